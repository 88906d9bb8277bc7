"""Runs of the laptop recipe, shortened."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from helpers.warm import start_worker
from rlready.run import launch

# A learning rate this small leaves the untrained model's loss near ln(28) = 3.3; the other setting brings it below 3.
SLOW, FAST = {"epochs": 1, "learning_rate": 1e-6}, {"epochs": 6, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def recipe(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    parameters = {
        "base_model": str(tiny_model),
        "sweep_candidates": [SLOW, FAST],
        "sweep_examples": [32],
        "curate_sft_data": "builtin:list-machine",
        "curate_rl_data": "builtin:list-machine",
        "curate_evaluation_data": "builtin:list-machine",
        "curate_sft_examples": 48,
        "curate_heldout_problems": 16,
        "curate_rl_problems": 16,
        "curate_predictor_problems": 4,
        "curate_benchmark_problems": 4,
        "sft_batch_size": 4,
        "sampling_max_tokens": 24,
        "predictors_samples": 8,
        "gate_k": 4,
        "gate_min_pass_at_k": 0.0,
        "gate_max_generalization_loss": 3.25,
        "gate_max_loss_rise": 2.0,
        "rl_steps": 2,
        "rl_prompts_per_step": 2,
        "rl_num_generations": 4,
        "rl_per_device_batch_size": 4,
        "benchmark_samples": 2,
    }
    path.write_text(yaml.safe_dump({"description": "tiny", "parameters": parameters}))
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


def start(recipe, work, *options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")} | {launch.SOCKET: start_worker()}
    command = [
        sys.executable,
        "-m",
        "rlready.cli",
        "run",
        "--recipe",
        str(recipe),
        "--work",
        str(work),
        *options,
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
        # A shell has what it starts in the background ignore Ctrl-C, and these tests with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(recipe, work, *options, status=0):
    process = start(recipe, work, *options)
    output, _ = process.communicate(timeout=400)
    folder = max((path.parent for path in work.glob("*/parameters.json")), key=lambda path: path.stat().st_mtime)
    logged = (folder / "log.txt").read_text()[-3000:]
    assert process.returncode == status, output + logged
    outcomes = json.loads((folder / "outcomes.json").read_text())["outcomes"]
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return output, {o["candidate"]["epochs"]: o for o in outcomes}, events, folder


def list_started(events):
    return sorted((e["stage"], e["candidate"] or "") for e in events if e["state"] == "started")


def wait_for_event(work, stage, state):
    for _ in range(1500):
        newest = max(work.glob("*/parameters.json"), key=lambda path: path.stat().st_mtime).parent
        events = newest / "events.jsonl"
        if events.exists() and f'"stage": "{stage}"' in events.read_text() and not (newest / "outcomes.json").exists():
            return newest
        time.sleep(0.1)
    raise AssertionError(f"no {stage} {state}")
