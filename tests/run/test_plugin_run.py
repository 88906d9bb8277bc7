"""Countdown, a task of another package, through the whole DAG: format, gold answers and prompt are the package's."""

import itertools
import json
import os
import random
import subprocess
import sys

import pytest
import yaml
from helpers import PLUGINS
from helpers.tokenizer import make_byte_tokenizer
from helpers.warm import start_worker

from rlready.run import launch

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def write_rows(path, count, seed):
    rng, rows = random.Random(seed), {}
    while len(rows) < count:
        a, b, c = rng.sample(range(1, 10), 3)
        question = f"{a} {b} {c}: {a * b + c}."
        answer = {"numbers": [a, b, c], "target": a * b + c}
        rows[question] = {"question": question, "answer": answer, "solution": f"=>{a}*{b}+{c}"}
    path.write_text("".join(json.dumps(row) + "\n" for row in itertools.islice(rows.values(), count)))
    return str(path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    from helpers.miniature import build_model

    folder = tmp_path_factory.mktemp("countdown")
    tokenizer = make_byte_tokenizer(TEMPLATE, [], pad_token="<pad>", eos_token="<eos>")
    build_model(tokenizer, hidden=32, layers=1).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    data = write_rows(folder / "tasks.jsonl", 400, 0)
    parameters = {
        "base_model": str(folder / "model"),
        "sweep_candidates": [{"epochs": 2, "learning_rate": 1e-2}],
        "sweep_examples": [32],
        "curate_sft_data": "tasks",
        "curate_evaluation_data": "tests",
        "curate_sources": {
            "tasks": {"path": data, "format": "countdown", "share": [0, 0.6]},
            "tests": {"path": data, "format": "countdown", "share": [0.6, 1]},
        },
        "curate_contamination_ngram": 0,
        "curate_near_duplicates": 0,
        "curate_heldout_problems": 16,
        "curate_rl_problems": 16,
        "curate_predictor_problems": 4,
        "curate_benchmark_problems": 4,
        "sft_batch_size": 4,
        "sampling_max_tokens": 16,
        "predictors_samples": 8,
        "gate_k": 4,
        "gate_min_pass_at_k": 0.0,
        "gate_min_pass_at_k_over_base": -1.0,
        "gate_max_generalization_loss": 100.0,
        "gate_max_loss_rise": 100.0,
        "rl_steps": 1,
        "rl_prompts_per_step": 2,
        "rl_num_generations": 4,
        "rl_per_device_batch_size": 4,
        "benchmark_samples": 2,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"description": "countdown", "parameters": parameters}))
    return path


def call(command, recipe, *options, plugins=PLUGINS):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    environment[launch.SOCKET] = start_worker(str(plugins))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(plugins), environment.get("PYTHONPATH"))))
    line = [sys.executable, "-m", "rlready.cli", command, "--recipe", str(recipe), *options]
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=400)


def test_plan_says_where_the_format_comes_from_and_refuses_it_where_it_is_not_installed(recipe, tmp_path):
    said = call("plan", recipe)
    assert said.returncode == 0 and "answers     countdown, from countdown 0.1 " in said.stdout, said.stdout + said.stderr
    assert "accepts 20 of 20 worked solutions" in said.stdout
    assert "End with => formula." in said.stdout
    said = call("plan", recipe, plugins=tmp_path)
    assert said.returncode == 2 and "'countdown' is not one of word, boxed" in said.stderr
    assert "Traceback" not in said.stderr


def test_the_whole_dag_runs_on_it(recipe, tmp_path):
    said = call("run", recipe, "--work", str(tmp_path))
    (folder,) = (path.parent for path in tmp_path.glob("*/outcomes.json"))
    assert said.returncode == 0, said.stdout + said.stderr + (folder / "log.txt").read_text()[-3000:]
    (outcome,) = json.loads((folder / "outcomes.json").read_text())["outcomes"]
    shown = outcome["predictors"]["by_products"]
    assert outcome["verdict"]["decision"] == "approved", outcome["verdict"]
    # One check, so nothing to disagree with it; and it could tell of every sample.
    assert shown["verifier_checks"] == 1 and shown["verifier_disagreement"] is None
    assert shown["verifier_unknown"] == shown["verifier_faulty"] == 0
    assert outcome["predictors"]["false_positives"]["checked"] == 4 * 8
    # Two epochs teach to end in a formula, if not the right one: extraction is the plug-in's.
    assert shown["unreadable"] < 1
    assert outcome["rl"]["steps"] == 1 and 0 <= outcome["benchmark"]["pass_at_1"] <= 1
