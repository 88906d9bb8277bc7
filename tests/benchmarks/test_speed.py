"""Speed as ratios within one run, printed and never asserted: make bench."""

import itertools
import json
import statistics
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.bench
REPEATS = 3


def median_seconds(work):
    seconds = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return sorted(seconds)[REPEATS // 2]


def run_python(code):
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


PLAN = """
from rlready.stages.plan.plan import make_plan
from rlready.config.recipes import load_recipe
make_plan(load_recipe("laptop", []))
"""
GATE = """
from rlready.config import Gate
from rlready.records.outcome import Candidate, Outcome, PredictorsRecord, SampleStatistics, SftRecord
from rlready.gate.decide import decide
statistics = SampleStatistics(verifier_disagreement=0.0)
predictors = PredictorsRecord(correct=[7] * 64, samples=256, generalization_loss=0.4, by_products=statistics)
def outcome(seed):
    candidate = Candidate(f"c{seed}", 1, "random", 8, 1e-3, seed)
    return Outcome(candidate, sft=SftRecord([[0, 0.5], [1, 0.4]]), predictors=predictors)
decide([outcome(seed) for seed in range(8)], outcome(0), Gate(max_rl_runs=3))
"""
REPORT = """
from pathlib import Path
from tempfile import mkdtemp
from rlready.records import outcome as records
from rlready.config.parameters import Sweep
from rlready.stages.report.report import write_report
curve = [[2**i, i / 9] for i in range(8)]
def outcome(epochs):
    return records.Outcome(
        records.Candidate(f"c{epochs}", epochs, "random", 8, 1e-3, 0),
        sft=records.SftRecord([[e, 1 / (e + 1)] for e in range(epochs + 1)], 1, 1, seconds=1.0, device="CPU thread", devices=1),
        predictors=records.PredictorsRecord(generalization_loss=0.4, samples=128, greedy_pass_at_1=0.1, curve=curve),
        verdict=records.Verdict(
            f"c{epochs}", "approved", True, "", numbers=records.GateNumbers(k=64, pass_at_k=0.5)
        ),
        rl=records.RlRecord([[1, 0.1]], 1, seconds=1.0),
        benchmark=records.BenchmarkRecord(epochs / 9, 0.01, None, 0.1, problems=9, samples=2))
folder = Path(mkdtemp())
sweep = Sweep([outcome(e) for e in range(1, 8)], outcome(0), {"base_model": "bench"})
write_report(sweep, folder / "r.html", folder / "r.md")
"""


@pytest.mark.parametrize(("stage", "code"), [("plan", PLAN), ("gate", GATE), ("report", REPORT)])
def test_light_stages_start_and_end_quickly(stage, code):
    bare = median_seconds(lambda: run_python("pass"))
    own = median_seconds(lambda: run_python(code)) - bare
    print(f"\n{stage}: {own:.2f} s of its own, from start to end (aim: under 1.5)")


@pytest.mark.parametrize(("name", "spread"), [("laptop problems", "evaluation"), ("widely varying lengths", "sft")])
def test_sampling_against_generate(name, spread):
    import torch

    from rlready.list_machine.problems import generate_rows
    from rlready.models.load import find_model, load_model, load_tokenizer
    from rlready.models.prompts import encode_prompt
    from rlready.sampling.engine import Draw
    from rlready.sampling.transformers_engine import TransformersEngine

    base = find_model("builtin:list-machine", "")
    model, tokenizer = load_model(base), load_tokenizer(base)
    problems, samples, tokens = 32, 64, 64
    rows = list(itertools.islice(generate_rows(spread, 0), problems))
    prompts = [encode_prompt(tokenizer, row["question"], "word") for row in rows]
    engine = TransformersEngine(model, tokenizer)
    keys = [row["question"] for row in rows]

    def ours():
        engine.sample(prompts, keys, Draw(samples, tokens))

    def generate():
        for start in range(0, problems, 16):
            batch = tokenizer.pad({"input_ids": prompts[start : start + 16]}, return_tensors="pt")
            with torch.no_grad():
                model.generate(**batch, do_sample=True, top_k=0, num_return_sequences=samples, max_new_tokens=tokens)

    ours_seconds, generate_seconds = median_seconds(ours), median_seconds(generate)
    rate, factor = problems * samples / ours_seconds, generate_seconds / ours_seconds
    print(f"\nsampling, {name}: {rate:,.0f} samples/s, {factor:.2f} times generate(num_return_sequences={samples})")


def test_grpo_step_against_trl(tmp_path, monkeypatch):
    import torch
    import trl

    from rlready.config import read_settings
    from rlready.config.recipes import load_recipe
    from rlready.models.load import BUILTIN
    from rlready.stages.curate.stage import run as curate
    from rlready.stages.plan.plan import make_plan
    from rlready.stages.rl import grpo, stage

    seconds = {"ThriftyGRPOTrainer": [], "GRPOTrainer": []}
    monkeypatch.setattr(
        stage,
        "list_rewards",
        lambda history: seconds[kind.__name__].extend(e["step_time"] for e in history if "step_time" in e) or [],
    )
    torch.set_num_threads(1)
    plan = make_plan(load_recipe("laptop", ["rl_steps=12", "rl_prompts_per_step=16", "rl_num_generations=16"]))
    curate(plan.settings["curate"], str(tmp_path / "data"), str(tmp_path / "card.md"))
    settings = read_settings(plan.settings["rl"])
    for kind in (grpo.ThriftyGRPOTrainer, trl.GRPOTrainer) * 2:
        monkeypatch.setattr(grpo, "ThriftyGRPOTrainer", kind)
        stage.train(plan.baseline, settings, tmp_path / "data", str(BUILTIN[plan.base.location]), tmp_path / "model")
    ours, theirs = map(statistics.median, seconds.values())
    print(f"\na step of GRPO on 256 completions: {ours:.2f} s, {theirs / ours:.2f} times TRL's GRPOTrainer")


def test_laptop_recipe_by_stage(tmp_path):
    begun = time.perf_counter()
    command = [sys.executable, "-m", "rlready.cli", "run", "--recipe", "laptop", "--work", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - begun
    (events,) = tmp_path.glob("*/events.jsonl")
    seconds: dict[str, float] = {}
    busy = []
    for event in map(json.loads, events.read_text().splitlines()):
        if event["state"] == "finished":
            seconds[event["stage"]] = seconds.get(event["stage"], 0) + event["seconds"]
            if event["stage"] in ("sft", "predictors", "rl", "benchmark"):
                busy.append((event["time"] - event["seconds"], event["time"]))
    covered, end = 0.0, 0.0
    for start, stop in sorted(busy):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    print(f"\nlaptop recipe: {wall:.0f} s; seconds by stage, two side by side: ", end="")
    print(", ".join(f"{stage} {value:.0f}" for stage, value in seconds.items()))
    print(f"no stage that samples or trains was running for {1 - covered / wall:.0%} of the time (aim: under 20 %)")
