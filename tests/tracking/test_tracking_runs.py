"""Runs in MLflow: what they are called, where they hang, how they end, and how a list of them tells them apart."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from helpers.stages import SETTINGS, replace_work
from helpers.tracked import BENCHMARK, CANDIDATE, FULL, PARTIAL, SETTING, TAUGHT

from rlready.records.outcome import BenchmarkRecord, Failure, Outcome, PredictorsRecord, RlRecord, SequenceRecord
from rlready.records.serialization import to_json
from rlready.run.local import storage
from rlready.stages.report.stage import run as report
from rlready.tracking import log, runs, view

KFP = "1d6a0d1e-6b1c-4a6e-9d56-0a4b2a8f7c11"


def read_runs(client):
    """Returns all runs by name; names are unique in these tests."""
    experiments = [e.experiment_id for e in client.search_experiments()]
    return {run.info.run_name: run for run in client.search_runs(experiments)}


def read_states(client):
    return {name: run.info.status for name, run in read_runs(client).items()}


def test_on_a_laptop_a_run_is_called_like_its_folder(mlflow_client):
    runs.open_run("rlready-2026-01-02-03-04-05-678", {"gate_k": 64})
    (run,) = read_runs(mlflow_client).values()
    assert run.info.run_name == "run-1" and run.data.params == {"gate_k": "64"}
    assert "mlflow.note.content" not in run.data.tags


def test_on_a_cluster_a_run_has_the_users_name_and_leads_back_to_kfp(mlflow_client, monkeypatch):
    monkeypatch.setenv("RLREADY_RUN_ID", KFP)
    log.log_outcome(PARTIAL)  # a stage that was faster than plan
    runs.open_run("my sweep", {})
    found = read_runs(mlflow_client)
    assert set(found) == {"my sweep", CANDIDATE.candidate_id}
    assert found["my sweep"].data.tags["mlflow.note.content"] == f"Run of Kubeflow Pipelines: my sweep, id {KFP}"
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kfp.example/")
    runs.open_run("my sweep", {})
    log.log_outcome(PARTIAL)
    tags = {name: run.data.tags for name, run in read_runs(mlflow_client).items()}
    page = f"https://kfp.example/#/runs/details/{KFP}"
    assert tags["my sweep"]["rlready.kfp_page"] == page
    assert tags["my sweep"]["mlflow.note.content"] == f"Run of Kubeflow Pipelines: [my sweep]({page})"
    assert tags[CANDIDATE.candidate_id]["run"] == "my sweep"


@pytest.fixture
def plugin(mlflow_client, tmp_path, monkeypatch):
    """Makes what KFP's MLflow plugin makes, and sets what a task of it gets: a root run, one of a DAG, one of a task."""
    experiment = mlflow_client.create_experiment("KFP-Default", str(tmp_path / "artifacts"))
    page = f"https://kfp.example/#/runs/details/{KFP}"
    tags = {"kfp.pipeline_run_id": KFP, "kfp.pipeline_run_url": page}
    above = root = mlflow_client.create_run(experiment, run_name="sweep", tags=tags).info.run_id
    for name in ("measure-candidates", "sft"):
        above = mlflow_client.create_run(experiment, run_name=name, tags={"mlflow.parentRunId": above}).info.run_id
    monkeypatch.setenv("RLREADY_RUN_ID", KFP)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    monkeypatch.setenv("MLFLOW_RUN_ID", above)
    return root


def test_with_kfps_plugin_the_run_hangs_below_kfps_own_and_writes_nothing_to_it(mlflow_client, plugin):
    before = {run.info.run_id: run.to_dictionary() for run in read_runs(mlflow_client).values()}
    runs.open_run("my sweep", {"gate_k": 64})
    log.log_outcome(FULL)
    runs.finish_run(KFP, {"gate_k": 64}, {})
    runs.close_dead_runs({KFP: "FAILED"})
    found = read_runs(mlflow_client)
    for run_id, run in before.items():
        assert mlflow_client.get_run(run_id).to_dictionary() == run
    assert len(found) == len(before) + 2 and {run.info.experiment_id for run in found.values()} == {"1"}
    assert found["my sweep"].data.tags["mlflow.parentRunId"] == plugin
    assert found["my sweep"].data.tags["rlready.kfp_page"].endswith(KFP)
    assert found[CANDIDATE.candidate_id].data.tags["mlflow.parentRunId"] == found["my sweep"].info.run_id


def test_a_foreign_run_is_no_parent(mlflow_client, plugin, monkeypatch):
    mine = KFP.replace("1", "2")
    monkeypatch.setenv("RLREADY_RUN_ID", mine)
    runs.open_run("another", {})
    assert "mlflow.parentRunId" not in read_runs(mlflow_client)["another"].data.tags


def test_a_candidate_that_failed_says_where_and_why(mlflow_client):
    log.log_outcome(replace(PARTIAL, failure=Failure("rl", "out of memory; lower x", 3.0, 2)))
    run = read_runs(mlflow_client)[CANDIDATE.candidate_id]
    assert run.info.status == "FAILED"
    assert (run.data.tags["failed"], run.data.tags["failed.reason"]) == ("rl", "out of memory; lower x")


def test_a_long_training_and_many_settings_are_logged_whole(mlflow_client):
    runs.open_run("x", {f"p{number}": number for number in range(250)})
    log.log_outcome(replace(FULL, rl=RlRecord([[step, 0.5] for step in range(2500)])))
    run = read_runs(mlflow_client)[CANDIDATE.candidate_id]
    assert len(run.data.params) == 250 + len(SETTING)
    assert len(mlflow_client.get_metric_history(run.info.run_id, "rl/reward")) == 2500


def test_a_stopped_stage_and_its_pipeline_are_killed_and_run_again_when_it_starts_again(mlflow_client, tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    monkeypatch.setenv("PYTHONPATH", replace_work(tmp_path, "rl", f"import time; open({str(mark)!r}, 'w'); time.sleep(60)"))
    names = ("data", "model", "trained", "outcome", "before")
    arguments = {name: str(tmp_path / name) for name in names} | {"candidate": to_json(CANDIDATE)}
    (tmp_path / "before").write_text(to_json(Outcome(CANDIDATE)))
    for name in ("data", "model"):
        (tmp_path / name).mkdir()
    arguments |= {"settings": SETTINGS, "measured_digest": ""}
    start = f"from rlready.run.launch import launch; launch('rl', **{arguments!r})"

    task = subprocess.Popen([sys.executable, "-c", start])
    while not mark.exists():
        assert task.poll() is None
        time.sleep(0.05)
    assert read_states(mlflow_client) == dict.fromkeys(("run-1", CANDIDATE.candidate_id), "RUNNING")
    task.send_signal(signal.SIGTERM)
    assert task.wait() == 128 + signal.SIGTERM
    assert read_states(mlflow_client) == dict.fromkeys(("run-1", CANDIDATE.candidate_id), "KILLED")
    runs.set_status(CANDIDATE, "RUNNING")
    assert read_states(mlflow_client) == dict.fromkeys(("run-1", CANDIDATE.candidate_id), "RUNNING")


def test_what_ended_without_a_word_is_closed_with_its_candidates(mlflow_client):
    for name in ("good", "bad", "stopped", "alive"):
        log.log_outcome(replace(PARTIAL, candidate=replace(CANDIDATE, candidate_id=f"of {name}")), name)
    log.log_outcome(replace(FULL, candidate=replace(CANDIDATE, candidate_id="done")), "bad")
    assert runs.find_open_runs() == {"good", "bad", "stopped", "alive"}
    states = {"good": "SUCCEEDED", "bad": "FAILED", "stopped": "CANCELED", "alive": "RUNNING", "unknown": "FAILED"}
    assert runs.close_dead_runs(states)
    assert read_states(mlflow_client) == {
        "good": "FINISHED", "of good": "FINISHED", "bad": "FAILED", "of bad": "KILLED", "done": "FINISHED",
        "stopped": "KILLED", "of stopped": "KILLED", "alive": "RUNNING", "of alive": "RUNNING",
    }  # fmt: skip
    assert runs.find_open_runs() == {"alive"}


def test_a_run_closes_those_of_its_work_folder_that_were_killed_and_no_living_one(mlflow_client, tmp_path):
    hold = "import sys, time, pathlib; from rlready.run.local import storage\n"
    hold += "with storage.lock_run(pathlib.Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    held = {}
    for name in ("killed", "living", "ended"):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-c", hold, str(tmp_path / name)]
        held[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        held[name].stdout.readline()
        log.log_outcome(replace(PARTIAL, candidate=replace(CANDIDATE, candidate_id=f"of {name}")), name)
    held["killed"].kill()
    held["killed"].wait()
    held["ended"].communicate()
    storage.close_dead(tmp_path)
    assert read_states(mlflow_client) == {
        name: "KILLED" if "killed" in name else "RUNNING"
        for name in ("killed", "of killed", "living", "of living", "ended", "of ended")
    }
    assert [path.parent.name for path in tmp_path.glob(f"*/{storage.LOCK}")] == ["living"]
    held["living"].communicate()


def test_a_run_whose_gate_came_from_the_cache_counts_for_the_forecast(mlflow_client, tmp_path):
    linked = replace(TAUGHT, benchmark=BenchmarkRecord(0.5), links=FULL.links | {"experiment": "one"})
    held = {"baseline": json.loads(to_json(PARTIAL)), "outcomes": [json.loads(to_json(linked))]}
    (tmp_path / "judged").write_text(json.dumps(held))
    # As RL and the benchmark know it: they start from SFT's outcome, not from the gate's.
    (tmp_path / "result").write_text(to_json(replace(linked, predictors=None, verdict=None, links=PARTIAL.links)))
    (tmp_path / "baseline").write_text(to_json(Outcome(CANDIDATE, benchmark=BenchmarkRecord(0.5))))
    given = {"gate_k": 64, "base_model": "x", "sampling_max_tokens": 8}
    places = {name: str(tmp_path / name) for name in ("judged", "baseline", "html", "markdown", "records", "verdicts")}
    report(json.dumps(given), results=[str(tmp_path / "result")], **places)
    assert runs.find_finished("one", 64) == {CANDIDATE.candidate_id: (0.7, 0.5, False)}
    pipeline = read_runs(mlflow_client)["run-1"]
    assert pipeline.data.tags["gate.saving"] == "The gate approved the only candidate, so it saved nothing."
    assert pipeline.data.metrics == {"gate/regret": 0.0}  # the record of RL names no cost, so there is no share


def test_the_same_candidate_in_three_runs_can_be_told_apart(mlflow_client, monkeypatch):
    predictors = replace(
        FULL.predictors, curve=[[1, 0.2], [16, 0.5], [64, 0.7]], intervals={"64": [0.6, 0.75], "16": [0.4, 0.6]}
    )
    scored = replace(BENCHMARK, interval=[0.45, 0.55])
    changes = [{}, {"gate_k": 16}, {"rl_steps": 40, "sweep_epochs": [1]}]
    for number, change in enumerate(changes):
        monkeypatch.setenv("RLREADY_RUN_ID", f"run-{number}")
        runs.open_run("", {"gate_k": 64, "rl_steps": 20, "base_model": "m", "sweep_epochs": [4]} | change)
        ended = replace(FULL.rl, stopped="collapse: validation fell") if number == 2 else FULL.rl
        log.log_outcome(replace(FULL, predictors=predictors, benchmark=scored if number else None, rl=ended))
    (experiment,) = [e for e in mlflow_client.search_experiments() if e.name == "rlready"]
    found = mlflow_client.search_runs(
        [experiment.experiment_id], "tags.`rlready.role` = 'candidate'", order_by=["start_time ASC"]
    )
    assert [run.data.tags["mlflow.note.content"] for run in found] == [
        "Pass@64 70% [60%, 75%], RL without signal (run-0)",
        "RL 50% [45%, 55%], Pass@16 50% [40%, 60%], RL without signal (run-1)",
        "RL 50% [45%, 55%], Pass@64 70% [60%, 75%], RL collapsed (run-2)",
    ]
    shown = json.loads(experiment.tags[view.VIEW])["selectedColumns"]
    assert shown[0] == "attributes.`Description`"
    assert {"params.`gate_k`", "params.`rl_steps`", "metrics.`sft/pass_at_16`", "metrics.`sft/pass_at_64`"} <= set(shown)
    assert {"params.`examples`", "params.`epochs`"} <= set(shown)
    assert not {"params.`base_model`", "params.`sweep_epochs`", "params.`attempt`", "params.`candidate_id`"} & set(shown)
    log.log_outcome(replace(FULL, candidate=replace(CANDIDATE, candidate_id="again", attempt=2)))
    runs.finish_run("run-2", {}, {})  # every parameter in which candidates differ is a column once they are known
    tags = mlflow_client.get_experiment(experiment.experiment_id).tags
    assert json.loads(tags[view.VIEW])["selectedColumns"].count("params.`attempt`") == 1
    assert [run.data.params["rl_steps"] for run in found] == ["20", "20", "40"]


def test_a_sequential_measurement_is_shown_as_an_interval(mlflow_client):
    runs.open_run("", {"gate_k": 4})
    log.log_outcome(replace(PARTIAL, predictors=PredictorsRecord(sequence=SequenceRecord(4, 0.1, 0.3))))
    run = read_runs(mlflow_client)[CANDIDATE.candidate_id]
    assert run.data.tags["mlflow.note.content"] == "Pass@4 [10%, 30%] (run-1)"
