"""Finished checkpoints through the whole DAG: beside a swept candidate with RL, and ranked without RL by one command."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.warm import start_worker

from rlready.run import launch

SETTINGS = {
    "sweep_examples": [32],
    "curate_sft_data": "builtin:list-machine",
    "curate_evaluation_data": "builtin:list-machine",
    "curate_sft_examples": 48,
    "curate_heldout_problems": 16,
    "curate_rl_problems": 16,
    "curate_predictor_problems": 16,
    "curate_benchmark_problems": 4,
    "sft_batch_size": 4,
    "sampling_max_tokens": 64,
    "predictors_samples": 16,
    "gate_k": 16,
    "rl_steps": 2,
    "rl_prompts_per_step": 2,
    "rl_num_generations": 4,
    "benchmark_samples": 2,
}


@pytest.fixture(scope="module")
def place(tiny_model, tmp_path_factory):
    """Returns a folder with two checkpoints, one that solves problems and one that solves none, and a recipe beside them."""
    from rlready.models.load import BUILTIN

    folder = tmp_path_factory.mktemp("rank")
    shutil.copytree(BUILTIN["builtin:list-machine"], folder / "able")
    shutil.copytree(tiny_model, folder / "blank")
    items = [{"model": "./able", "name": "good"}, {"model": "./blank"}, {"epochs": 1, "learning_rate": 1e-6}]
    parameters = SETTINGS | {"base_model": "./blank", "sweep_candidates": items, "gate_min_pass_at_k": 0.1}
    (folder / "mixed.yaml").write_text(yaml.safe_dump({"parameters": parameters}))
    (folder / "small.yaml").write_text(yaml.safe_dump({"parameters": {"sampling_max_tokens": 64}}))
    return folder


def rlready(place, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")} | {launch.SOCKET: start_worker()}
    command = [sys.executable, "-m", "rlready.cli", *arguments, "--work", str(place / "work")]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=400)
    work = place / "work"
    folder = max((p.parent for p in work.glob("*/parameters.json")), key=lambda path: path.stat().st_mtime)
    log = folder / "log.txt"
    return done.returncode, done.stdout + done.stderr + (log.read_text()[-3000:] if log.exists() else ""), folder


def list_started(folder):
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return sorted((e["stage"], e["candidate"] or "") for e in events if e["state"] == "started")


def read(folder, name="verdicts.json"):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def mixed(place):
    return rlready(place, "run", "--recipe", "mixed.yaml")


def test_a_checkpoint_beside_a_swept_candidate_goes_the_whole_way(mixed, place):
    status, output, folder = mixed
    assert status == 0, output
    outcomes = {o["candidate"]["candidate_id"]: o for o in read(folder, "outcomes.json")["outcomes"]}
    good, blank, swept = outcomes["good"], outcomes["blank"], outcomes["random-32x1-lr1e-06-s0"]
    assert good["verdict"]["decision"] == "approved" and good["rl"]["steps"] == 2, good["verdict"]
    assert good["benchmark"]["problems"] == 4 and good["links"]["sft_model"] == good["candidate"]["checkpoint"]["location"]
    assert "loss not judged: not declared comparable" in good["verdict"]["reason"]
    assert good["sft"]["trajectory"] == [] and good["predictors"]["generalization_loss"] > 0
    assert {o["verdict"]["decision"] for o in (blank, swept)} == {"rejected"}
    # The blank checkpoint is the base model: measured once, as that.
    started = list_started(folder)
    assert ("predictors", "blank") not in started and ("predictors", "no-sft-s0") in started
    page = (folder / "report.html").read_text()
    assert "0 epochs" not in page and "good: " in page and good["candidate"]["checkpoint"]["digest"] in page


def test_mlflow_knows_where_a_checkpoint_comes_from(mixed, place):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place / 'work' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlready").experiment_id
    (run,) = client.search_runs([experiment], "tags.`rlready.candidate_id` = 'good'")
    assert run.data.params["checkpoint"] == str((place / "able").resolve()) and run.data.params["checkpoint_digest"]
    assert "epochs" not in run.data.params and run.data.metrics["gate/place"] == 1
    models = client.search_logged_models([experiment], f"source_run_id = '{run.info.run_id}'")
    (before,) = [model for model in models if model.tags["rlready.stage"] == "sft"]
    assert before.tags["rlready.location"] == str((place / "able").resolve())
    assert before.tags["rlready.parent_model"] == "" and before.params["checkpoint_digest"]


RANK = ("rank", "./able", "best=./blank", "--benchmarks", "builtin:list-machine", "--samples", "16", "--problems", "16")
RANK += ("--recipe", "small.yaml")


@pytest.fixture(scope="module")
def ranked(place):
    return rlready(place, *RANK)


def test_one_command_ranks_checkpoints_and_says_how_sure_the_order_is(ranked):
    status, output, folder = ranked
    assert status == 0, output
    assert "able comes first by Pass@16" in output and "ahead of the next by" in output
    assert "base model" not in output.split("able comes first")[1].split("report ")[0]
    verdicts = read(folder)
    assert verdicts["version"] == 1 and verdicts["rl"] is False and verdicts["base_model"] is None
    assert [c["candidate"] for c in verdicts["candidates"]] == ["able", "best"]
    first = verdicts["candidates"][0]
    assert first["place"] == 1 and first["ahead_of"] == "best"
    low, high = first["lead_interval"]
    assert low < first["lead"] < high and verdicts["approved"] == ["able"]
    assert "over base" not in first["reason"] and "loss not judged: nothing is held out" in first["reason"]
    page = (folder / "report.html").read_text()
    assert ">Ranking<" in page and "Post-RL" not in page and "base model" not in page
    assert {stage for stage, _ in list_started(folder)} == {
        "plan", "curate", "sft", "predictors", "gate", "benchmark", "report",
    }  # fmt: skip


def test_the_log_of_a_checkpoint_beside_another_one_ranks_as_the_checkpoint_itself(ranked, place):
    _, _, folder = ranked
    able, best = read(folder, "outcomes.json")["outcomes"]
    shutil.copy(Path(able["links"]["predictors_samples"]) / "samples.parquet", place / "able.parquet")
    status, output, again = rlready(place, "rank", "able=able.parquet", *RANK[2:])
    assert status == 0, output
    outcomes = read(again, "outcomes.json")["outcomes"]
    found = {outcome["candidate"]["candidate_id"]: outcome["predictors"] for outcome in outcomes}
    assert [found[name]["curve"] for name in ("able", "best")] == [o["predictors"]["curve"] for o in (able, best)]
    assert "able comes first by Pass@16" in output and ("predictors", "best") not in list_started(again)


def test_the_same_command_computes_nothing_and_one_more_checkpoint_only_that(ranked, place):
    status, _, folder = rlready(place, *RANK)
    assert (status, list_started(folder)) == (0, [("plan", ""), ("report", "")])
    shutil.copytree(place / "able", place / "third", dirs_exist_ok=True)
    (place / "third" / "note.json").write_text("{}")
    status, output, folder = rlready(place, "rank", "./third", *RANK[1:])
    assert status == 0, output
    assert [name for stage, name in list_started(folder) if stage == "predictors"] == ["third"]
    twins = {c["candidate"]: c for c in read(folder)["candidates"]}
    # The same model twice draws random numbers of its own each time; its seeds fix both, and which is ahead.
    assert (twins["able"]["pass_at_k"], twins["third"]["pass_at_k"]) == (0.375, 0.4375)
    assert twins["third"]["lead"] == pytest.approx(0.0625)


def test_a_loss_is_judged_where_data_is_given_and_a_base_model_is_compared_with(ranked, place):
    options = ["--data", "builtin:list-machine", "--base", "./blank", "--set", "gate_max_generalization_loss=2"]
    options += ["--set", "curate_sft_examples=1", "--set", "curate_heldout_problems=8"]
    status, output, folder = rlready(place, *RANK, *options)
    assert status == 0, output
    verdicts = {c["candidate"]: c for c in read(folder)["candidates"]}
    assert "loss" in verdicts["able"]["reason"] and "not judged" not in verdicts["able"]["reason"]
    assert "loss" in verdicts["best"]["reason"] and verdicts["best"]["decision"] == "rejected"
    assert read(folder)["base_model"]["pass_at_k"] == verdicts["best"]["pass_at_k"]


def test_nobody_approved_is_a_status_of_its_own(ranked, place):
    status, output, folder = rlready(place, *RANK, "--set", "gate_min_pass_at_k=1")
    assert status == 4 and read(folder)["approved"] == [], output
    status, output, _ = rlready(place, "report", folder.name)
    assert status == 0 and "comes first" in output
    status, output, _ = rlready(place, "replay", folder.name)
    assert status == 0 and "reproduced to the last digit (2 in all)" in output
