"""The whole DAG through kfp.local, as its user runs it: one candidate approved, one rejected; then again; then one more."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from helpers.runs import FAST, SLOW, list_started, run, start, wait_for_event


@pytest.fixture(scope="module")
def first(recipe, work):
    return run(recipe, work)


def test_rl_runs_for_the_approved_candidate_only(first):
    output, outcomes, events, folder = first
    assert outcomes[1]["verdict"]["decision"] == "rejected"
    assert "loss" in outcomes[1]["verdict"]["reason"]
    assert outcomes[1]["rl"] is None and outcomes[1]["benchmark"] is None
    assert outcomes[6]["verdict"]["decision"] == "approved"
    assert outcomes[6]["rl"]["steps"] == 2
    assert 0 <= outcomes[6]["benchmark"]["pass_at_1"] <= 1
    assert [stage for stage, _ in list_started(events)].count("rl") == 1
    assert (folder / "report.html").stat().st_size > 5000
    assert "approved" in output and "rejected" in output and str(folder / "report.html") in output


def test_the_second_loop_gets_the_models_of_the_first(first):
    started = list_started(first[2])
    assert len(started) == len(set(started)), started


def test_the_last_point_of_the_trajectory_is_the_generalization_loss(first):
    for outcome in first[1].values():
        assert outcome["sft"]["trajectory"][-1][1] == pytest.approx(outcome["predictors"]["generalization_loss"], abs=1e-5)
        assert [epoch for epoch, _ in outcome["sft"]["trajectory"]] == list(range(outcome["candidate"]["epochs"] + 1))


def test_tracking_holds_every_candidate(first, work):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "rlready"]
    found = client.search_runs([experiment.experiment_id], "tags.verdict = 'approved'")
    assert len(found) == 1 and "rl/pass_at_1" in found[0].data.metrics
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`rlready.role` = 'pipeline'")
    logged = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in logged} == {"FINISHED"}
    names = {"base model", parent.info.run_name, *(o["candidate"]["candidate_id"] for o in first[1].values())}
    assert sorted(run.info.run_name for run in logged) == sorted(names)


def test_every_sample_is_kept_and_can_be_read(first, work):
    from mlflow import MlflowClient

    _, outcomes, _, folder = first
    approved = outcomes[6]
    for stage, count in {"predictors": 4 * (8 + 1), "benchmark": 4 * (2 + 1)}.items():
        assert approved[stage]["kept"]["rows"] == count
        rows = pq.read_table(f"{approved['links'][f'{stage}_samples']}/samples.parquet").to_pylist()
        assert len(rows) == count and {row["verdict"] for row in rows} <= {"right", "wrong", "unknown"}
    command = [sys.executable, "-m", "rlready.cli", "samples", "--work", str(work)]
    counts = subprocess.run(command, capture_output=True, text=True).stdout
    for name in (*(outcome["candidate"]["candidate_id"] for outcome in outcomes.values()), "base"):
        assert name in counts
    for name in (approved["candidate"]["candidate_id"], "base"):
        for stage, count in {"predictors": 36, "benchmark": 12}.items():
            options = ["--candidate", name, "--stage", stage]
            shown = subprocess.run([*command, *options], capture_output=True, text=True)
            assert f"{count} of {count} | " in shown.stdout, shown.stderr
    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlready").experiment_id
    seen = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment])}
    for name in (approved["candidate"]["candidate_id"], "base model"):
        for stage in ("predictors", "benchmark"):
            (held,) = client.list_artifacts(seen[name], stage)
            assert held.path == f"{stage}/samples.parquet"
    assert "What the models wrote" in (folder / "report.html").read_text()


def call(work, command, *options):
    """Returns what a command about a work folder prints."""
    command = [sys.executable, "-m", "rlready.cli", command, "--work", str(work), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plan_leaves_out_what_comes_from_the_cache(first, recipe, work):
    def preview(*changes):
        shown = call(work, "plan", "--recipe", str(recipe), *(part for change in changes for part in ("--set", change)))
        return next(line.removeprefix("cached      ") for line in shown.splitlines() if line.startswith("cached"))

    assert preview() == "3 of 3 SFT, 3 of 3 Predictors, 1 of 1 RL, 2 of 2 Benchmark: nothing is left"
    judged = preview("gate_max_generalization_loss=100")  # the gate decides, and approves the other one
    assert judged.startswith("3 of 3 SFT, 3 of 3 Predictors, 1 of 2 RL, 2 of 3 Benchmark: less than one core-minute")
    longer = preview("rl_steps=3")
    assert longer.startswith("3 of 3 SFT, 3 of 3 Predictors, 0 of 1 RL, 1 of 2 Benchmark: ")
    unjudged = preview("sampling_seed=8")
    assert unjudged.startswith("3 of 3 SFT, 0 of 3 Predictors, 0 of 2 RL, 0 of 3 Benchmark: ")
    assert unjudged.endswith("if every candidate goes on to RL") and not longer.endswith("goes on to RL")
    more = json.dumps([SLOW, FAST, {"epochs": 2, "learning_rate": 1e-6}])
    assert preview(f"sweep_candidates={more}").startswith("3 of 4 SFT, 3 of 4 Predictors, 1 of 3 RL, 2 of 4 Benchmark: ")


def test_one_more_candidate_computes_only_that_one(first, recipe, work):
    more = json.dumps([SLOW, FAST, {"epochs": 2, "learning_rate": 1e-6}])
    _, outcomes, events, _ = run(recipe, work, "--set", f"sweep_candidates={more}")
    assert sorted(outcomes) == [1, 2, 6]
    assert {c for stage, c in list_started(events) if stage == "sft"} == {outcomes[2]["candidate"]["candidate_id"]}


def test_a_threshold_that_nothing_passes_still_gives_a_report(first, recipe, work):
    output, outcomes, _, folder = run(recipe, work, "--set", "gate_min_pass_at_k=1", status=4)
    assert all(o["rl"] is None for o in outcomes.values())
    assert (folder / "report.md").read_text()
    said = call(work, "replay", folder.name, "--set", "gate_min_pass_at_k=0")
    assert "Changed: 1 of 2 verdicts. RL ran for none of 2 candidates." in said


def test_a_budget_and_an_audit_change_who_gets_rl_and_repeat_nothing(first, recipe, work):
    budget = [
        "--set",
        "gate_max_generalization_loss=100",
        "--set",
        "gate_max_rl_runs=1",
        "--set",
        "gate_audit_fraction=1",
    ]
    _, outcomes, events, folder = run(recipe, work, *budget)
    assert {o["verdict"]["numbers"]["rank"] for o in outcomes.values()} == {1, 2}
    (audited,) = [o for o in outcomes.values() if o["verdict"]["decision"] == "rejected"]
    assert audited["verdict"]["audited"] and audited["verdict"]["propensity"] == 1 and audited["rl"]["steps"] == 2
    assert not [stage for stage, _ in list_started(events) if stage in ("sft", "predictors")]
    assert [stage for stage, _ in list_started(events)].count("rl") == 1
    assert "insufficient data" in audited["verdict"]["forecast"]["reason"]
    said = replay(work, folder.name)
    assert said.returncode == 0 and "reproduced to the last digit (2 in all)" in said.stdout
    said = replay(work, folder.name, "--set", "gate_max_rl_runs=0")
    assert "Changed: 1 of 2 verdicts. RL ran for both candidates; its results stay." in said.stdout
    assert "gate_min_pass_at_k: 2.0 lies outside" in replay(work, folder.name, "--set", "gate_min_pass_at_k=2").stderr
    assert "expected key=value with a key of gate_mode" in replay(work, folder.name, "--set", "rl_steps=2").stderr
    assert "no finished run here" in replay(work, "nowhere").stderr
    outcomes = json.loads((folder / "outcomes.json").read_text())
    outcomes["outcomes"][0]["verdict"]["decision"] = "undecided"
    (folder / "outcomes.json").write_text(json.dumps(outcomes))
    said = replay(work, folder.name)
    assert said.returncode == 2 and "these verdicts differ from the stored ones" in said.stderr


def replay(work, name, *options):
    command = [sys.executable, "-m", "rlready.cli", "replay", name, "--work", str(work), *options]
    return subprocess.run(command, capture_output=True, text=True)


SEQUENTIAL = ["--set", "predictors_sampling=sequential", "--set", "gate_min_pass_at_k=0.5"]
SEQUENTIAL += ["--set", "gate_min_pass_at_k_over_base=-1", "--set", "predictors_sequential_budget=2000"]


@pytest.fixture(scope="module")
def sequential(first, recipe, work):
    return run(recipe, work, *SEQUENTIAL, status=4)


def test_sequential_sampling_stops_early_and_rejects_what_solves_nothing(sequential, work):
    _, outcomes, _, folder = sequential
    for outcome in outcomes.values():
        sequence = outcome["predictors"]["sequence"]
        assert outcome["verdict"]["decision"] == "rejected" and "all < 0.5" in outcome["verdict"]["reason"]
        assert sequence["samples"] < 300 and sequence["high"] < 0.5 and outcome["predictors"]["curve"] == []
    assert "sequential" in (folder / "report.html").read_text()
    assert replay(work, folder.name).returncode == 0


def test_a_stop_leaves_nothing_running_and_the_next_run_goes_on(recipe, work, first):
    changed = ("--set", "sampling_seed=7")
    process = start(recipe, work, *changed)
    folder = wait_for_event(work, "predictors", "started")
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130 and "rerun the same command to resume" in output
    time.sleep(1)
    assert str(folder) not in subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True).stdout
    states = read_states(work, folder)
    assert states[folder.name] == "KILLED" and "RUNNING" not in states.values()
    _, outcomes, events, _ = run(recipe, work, *changed)
    assert outcomes[6]["benchmark"]
    assert not [event for event in list_started(events) if event[0] in ("curate", "sft")]


def read_states(work, folder):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlready").experiment_id
    found = client.search_runs([experiment], f"tags.`rlready.run_id` = '{folder.name}'")
    return {run.info.run_name: run.info.status for run in found}


def test_a_failing_stage_is_one_clear_line(recipe, work):
    # Two processes would make this step of 4; that there is one, only the stage knows.
    process = start(recipe, work, "--set", "sft_trainer_overrides={per_device_train_batch_size: 2}")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "is 2, a process's share of a step is 4" in output and "Traceback" not in output
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlready").experiment_id
    (last, *_) = client.search_runs([experiment], "tags.`rlready.role` = 'pipeline'", order_by=["start_time DESC"])
    assert last.info.status == "FAILED"


@pytest.fixture(scope="module")
def failed(recipe, work, tmp_path_factory):
    """A sweep in which one candidate needs more examples than the data has: plan does not count all of this many rows."""
    from itertools import islice

    from rlready.list_machine.problems import generate_rows

    path = tmp_path_factory.mktemp("file") / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in islice(generate_rows("sft", 1), 1100)))
    sweep = json.dumps([FAST, {"epochs": 2, "examples": 10_000}])
    options = [
        "--set",
        f"curate_sft_data={path}",
        "--set",
        "curate_sft_examples=0",
        "--set",
        "gate_max_generalization_loss=100",
        "--set",
        f"sweep_candidates={sweep}",
    ]
    process = start(recipe, work, *options)
    output, _ = process.communicate(timeout=400)
    return process.returncode, output, options


def test_a_candidate_that_fails_is_an_outcome_and_the_others_go_on(failed, recipe, work):
    status, output, options = failed
    assert status == 3, output
    assert "SFT failed" in output and "10000 examples is larger than the data" in output
    folder = max(work.glob("*/outcomes.json"), key=lambda path: path.stat().st_mtime).parent
    outcomes = {o["candidate"]["epochs"]: o for o in json.loads((folder / "outcomes.json").read_text())["outcomes"]}
    assert outcomes[6]["benchmark"], outcomes[6]["verdict"]
    assert outcomes[2]["failure"]["stage"] == "sft"
    assert outcomes[2]["verdict"]["decision"] == "rejected" and not outcomes[2]["verdict"]["proceed"]
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlready").experiment_id
    name = outcomes[2]["candidate"]["candidate_id"]
    (run, *_) = client.search_runs([experiment], f"tags.`rlready.candidate_id` = '{name}'", order_by=["start_time DESC"])
    assert run.info.status == "FAILED" and "larger than the data" in run.data.tags["failed.reason"]


def test_a_failure_comes_from_the_cache_until_another_attempt_is_requested(failed, recipe, work):
    _, output, options = failed
    process = start(recipe, work, *options)
    process.communicate(timeout=400)
    folder = max(work.glob("*/events.jsonl"), key=lambda path: path.stat().st_mtime).parent
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert process.returncode == 3 and list_started(events) == [("plan", ""), ("report", "")]
    again = next(line for line in output.splitlines() if line.startswith("To retry")).split("--set ")[1].strip("'")
    process = start(recipe, work, *options, "--set", again.replace("='", "=").strip("'"))
    process.communicate(timeout=400)
    folder = max(work.glob("*/events.jsonl"), key=lambda path: path.stat().st_mtime).parent
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    tried = {candidate for stage, candidate in list_started(events) if stage == "sft"}
    assert process.returncode == 3 and tried == {"random-10000x2-lr2e-05-s0"}


def test_the_same_command_computes_nothing_nor_after_cleaning_but_what_was_removed(first, sequential, recipe, work):
    output, outcomes, events, folder = run(recipe, work)
    assert list_started(events) == [("plan", ""), ("report", "")] and outcomes == first[1]
    assert "work        " in output and "rlready clean --dry-run shows what can be removed" in output
    rejected, approved = (outcomes[epochs]["candidate"]["candidate_id"] for epochs in (1, 6))
    assert f"{rejected}: Predictors from the cache" in output and f"{rejected}: RL" not in output
    assert f"{approved}: RL from the cache" in output
    said = call(work, "clean")
    assert f"keeps       {folder.name} and everything it needs" in said
    _, again, events, _ = run(recipe, work)
    assert list_started(events) == [("plan", ""), ("report", "")] and again == outcomes == first[1]
    _, removed, events, _ = run(recipe, work, *SEQUENTIAL, status=4)
    stages = {stage for stage, _ in list_started(events)}
    assert "predictors" in stages and "sft" not in stages and all(o["verdict"] for o in removed.values())
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    assert client.get_experiment_by_name("rlready")
