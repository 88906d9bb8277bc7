"""The whole DAG with epochs of one training as candidates through kfp.local: with a race, and a training that fails."""

import json
import subprocess
import sys
from itertools import islice

import pytest
from helpers.runs import list_started, run

from rlready.list_machine.problems import generate_rows

GOOD = [{"epochs": epochs, "learning_rate": 1e-2} for epochs in (1, 3)]
# More examples than there are, which plan does not see in this many rows.
SWEEP = [*GOOD, *({"epochs": epochs, "examples": 10_000} for epochs in (1, 2))]
CHANGES = ["sweep_checkpoints=every-epoch", f"sweep_candidates={json.dumps(SWEEP)}", "curate_sft_examples=0"]
CHANGES += ["gate_mode=audit", "race_steps=1", "race_keep=1", "rl_eval_steps=0.5", "curate_rl_problems=32"]
EARLY, LATE = "random-32x1of3-lr0.01-s0", "random-32x3-lr0.01-s0"
FAILED = ["random-10000x1of2-lr2e-05-s0", "random-10000x2-lr2e-05-s0"]


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in islice(generate_rows("sft", 1), 1100)))
    return [part for change in (*CHANGES, f"curate_sft_data={path}") for part in ("--set", change)]


def read(folder):
    outcomes = json.loads((folder / "outcomes.json").read_text())["outcomes"]
    return {outcome["candidate"]["candidate_id"]: outcome for outcome in outcomes}


@pytest.fixture(scope="module")
def first(recipe, work, options):
    output, _, events, folder = run(recipe, work, *options, status=3)
    return output, read(folder), events, folder


def test_each_training_runs_once_and_its_checkpoints_are_measured_and_race(first):
    output, outcomes, events, folder = first
    assert [*outcomes] == [EARLY, LATE, *FAILED]
    started = list_started(events)
    assert [name for stage, name in started if stage == "sft"].count(LATE) == 1
    assert {name for stage, name in started if stage == "sft"} == {"no-sft-s0", LATE, FAILED[1]}
    assert {name for stage, name in started if stage == "predictors"} == {"no-sft-s0", EARLY, LATE}
    early, late = outcomes[EARLY], outcomes[LATE]
    assert early["sft"]["model_digest"] != late["sft"]["model_digest"] and early["sft"]["seconds"] is None
    for outcome, ends in ((early, 1), (late, 3)):
        assert [epoch for epoch, _ in outcome["sft"]["trajectory"]] == [*range(ends + 1)]
        assert outcome["sft"]["trajectory"][-1][1] == pytest.approx(outcome["predictors"]["generalization_loss"], abs=1e-5)
    assert early["rl"] and late["rl"]
    (kept,) = [outcome for outcome in (early, late) if outcome["race"]["goes_on"]]
    assert kept["rl"]["steps"] == 2 and kept["benchmark"] and kept["effect"]["before"]
    for name in FAILED:
        assert outcomes[name]["failure"]["stage"] == "sft" and "larger than the data" in outcomes[name]["failure"]["reason"]
    page = (folder / "report.html").read_text()
    assert "2 of 8 epochs: a checkpoint of a training of 8 epochs" in page and "1 of 3" in page
    assert "trainings   5 epochs in 2 trainings, instead of 7 in 4" in output


def test_the_same_command_again_computes_nothing(first, recipe, work, options):
    _, _, events, folder = run(recipe, work, *options, status=3)
    assert list_started(events) == [("plan", ""), ("report", "")] and read(folder) == first[1]
    cached = {(event["stage"], event["candidate"]) for event in events if event["state"] == "cached"}
    for outcome in first[1].values():
        name = outcome["candidate"]["candidate_id"]
        assert [(stage, name) in cached for stage in ("rl", "benchmark")] == [bool(outcome[one]) for one in ("rl", "benchmark")]
    command = [sys.executable, "-m", "rlready.cli", "plan", "--recipe", str(recipe), "--work", str(work), *options]
    planned = subprocess.run(command, capture_output=True, text=True).stdout
    # Of the base model and two trainings; RL of the two checkpoints that did not fail, of which the dropped one may go on.
    assert "cached      3 of 3 SFT, 3 of 3 Predictors, 2 of 3 RL, 2 of 3 Benchmark: " in planned


def test_tracking_has_the_cost_of_a_training_once(first, work):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlready").experiment_id
    found = {entry.info.run_name: entry.data for entry in client.search_runs([experiment])}
    assert "sft/seconds" in found[LATE].metrics and "sft/seconds" not in found[EARLY].metrics
    assert found[EARLY].params["training_epochs"] == "3" and "training_epochs" not in found[LATE].params
    assert all("larger than the data" in found[name].tags["failed.reason"] for name in FAILED)
