import os
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from helpers.races import validate
from helpers.tracked import APPROVED, BENCHMARK, CANDIDATE, FULL, PARTIAL, PREDICTORS, SETTING, TAUGHT
from scipy.stats import linregress

from rlready.analysis.forecast import forecast
from rlready.records.outcome import (
    Outcome,
)
from rlready.records.serialization import from_json, to_json
from rlready.records.verdicts import Forecast, GateNumbers, Verdict
from rlready.tracking import client, log, runs


def describe(mlflow_client):
    """Everything the store holds about the run, in a form that compares equal when nothing was added."""
    (experiment,) = [e for e in mlflow_client.search_experiments() if e.name == "rlready"]
    seen = {}
    for run in map(mlflow_client.get_run, [run.info.run_id for run in mlflow_client.search_runs([experiment.experiment_id])]):
        points = {
            key: [(p.step, p.value) for p in mlflow_client.get_metric_history(run.info.run_id, key)] for key in run.data.metrics
        }
        datasets = sorted((d.dataset.name, d.dataset.digest, d.tags[0].value) for d in run.inputs.dataset_inputs)
        outputs = sorted(m.model_id for m in run.outputs.model_outputs)
        inputs = [m.model_id for m in run.inputs.model_inputs]
        seen[run.info.run_name] = (run.info.status, run.data.params, run.data.tags, points, datasets, inputs, outputs)
    models = mlflow_client.search_logged_models([experiment.experiment_id])
    return seen, {m.name: (m.model_id, m.tags, sorted((p.key, p.value) for p in m.metrics)) for m in models}


def test_an_outcome_is_logged_once_however_often_and_however_partial_it_comes(mlflow_client, capsys):
    log.log_outcome(PARTIAL)
    runs, _ = describe(mlflow_client)
    assert runs[CANDIDATE.candidate_id][0] == "RUNNING"
    for _ in range(2):
        log.log_outcome(FULL)
        runs, models = describe(mlflow_client)
        status, params, tags, points, datasets, inputs, outputs = runs[CANDIDATE.candidate_id]
        assert set(runs) == {"run-1", CANDIDATE.candidate_id}
        assert status == "FINISHED"
        assert params == SETTING
        assert (tags["verdict"], tags["verdict.reason"]) == ("approved", "Pass@64 is 0.7")
        assert tags["rl.stopped"] == "no signal: all rewards equal" and "RL without signal" in tags["mlflow.note.content"]
        assert points["sft/heldout_loss"] == [(0, 2.0), (1, 1.5)]
        assert points["rl/reward"] == [(1, 0.1), (2, 0.4)]
        assert points["sft/pass_at_64"] == [(0, 0.7)]
        assert points["sft/pass_at_64_low"] == [(0, 0.6)] and points["forecast/high"] == [(0, 0.8)]
        assert points["sft/coverage_kept"] == [(0, 0.75)] and points["sft/coverage_kept_low"] == [(0, 0.7)]
        assert points["sft/entropy"] == [(0, 0.9)] and points["sft/loss_of_length_quartile_2"] == [(0, 1.6)]
        assert "rl/greedy_pass_at_1" not in points
        assert datasets == [("rl", "cd", "rl"), ("sft", "ab", "sft")]
        sft, rl = models["sft-e4-random-64-0_1-s0"], models["rl-e4-random-64-0_1-s0"]
        assert outputs == sorted([sft[0], rl[0]]) and inputs == [sft[0]]
        assert sft[1]["rlready.parent_model"] == "builtin:list-machine" and rl[1]["rlready.parent_model"] == sft[0]
        assert rl[2] == [
            ("rl/file _v2_ _b_/pass_at_1", 0.6),  # MLflow refuses brackets
            ("rl/org/set:test/pass_at_1", 0.4),
            ("rl/pass_at_1", 0.5),
            ("rl/pass_at_1_standard_error", 0.01),
            ("rl/reward", 0.4),
            ("rl/seconds", 5.0),
            ("rl/steps", 2.0),
        ]
        assert dict(sft[2])["sft/pass_at_64"] == 0.7
    before = describe(mlflow_client)
    log.log_outcome(PARTIAL)
    log.log_outcome(from_json(Outcome, to_json(FULL)))
    assert describe(mlflow_client) == before
    assert capsys.readouterr().out == ""


def test_samples_are_uploaded_to_the_run_of_whoever_wrote_them(mlflow_client, tmp_path):
    file = tmp_path / "samples.parquet"
    file.write_text("rows")
    log.log_samples(CANDIDATE, "predictors", file, baseline=False)
    log.log_samples(replace(CANDIDATE, candidate_id="no-sft-s0", epochs=0), "benchmark", file, baseline=True)
    log.log_outcome(replace(FULL, links=FULL.links | {"predictors_samples": "s3://bucket/samples"}))
    experiment = mlflow_client.get_experiment_by_name("rlready").experiment_id
    seen = {run.info.run_name: run for run in mlflow_client.search_runs([experiment])}
    for name, stage in {CANDIDATE.candidate_id: "predictors", "base model": "benchmark"}.items():
        (held,) = mlflow_client.list_artifacts(seen[name].info.run_id, stage)
        assert held.path == f"{stage}/samples.parquet" and held.file_size == 4
    assert seen[CANDIDATE.candidate_id].data.tags["samples.predictors"] == "s3://bucket/samples"


def test_candidates_can_be_filtered_and_the_base_model_stands_apart(mlflow_client):
    worn = replace(CANDIDATE, candidate_id="e16", epochs=16)
    log.log_outcome(FULL)
    log.log_outcome(replace(FULL, candidate=worn, verdict=replace(APPROVED, decision="rejected", proceed=False, reason="worn")))
    log.log_outcome(replace(FULL, rl=None, verdict=None), role="baseline")
    experiment = mlflow_client.get_experiment_by_name("rlready").experiment_id
    found = mlflow_client.search_runs([experiment], "metrics.`sft/pass_at_64` > 0.5 and tags.verdict = 'approved'")
    assert [run.info.run_name for run in found] == [CANDIDATE.candidate_id]
    assert [r.info.run_name for r in mlflow_client.search_runs([experiment], "params.epochs = '16'")] == ["e16"]
    (baseline,) = mlflow_client.search_runs([experiment], "tags.`rlready.role` = 'baseline'")
    assert baseline.info.run_name == "base model"  # and not like the candidate without SFT
    assert baseline.data.metrics["base/pass_at_1"] == 0.5 and "rl/pass_at_1" not in baseline.data.metrics
    assert baseline.data.metrics["base/org/set:test/pass_at_1"] == 0.4


def test_finished_candidates_are_found_once_each_in_their_experiment_only(mlflow_client):
    linked = replace(TAUGHT, links=FULL.links | {"experiment": "one"})
    worse = replace(linked, benchmark=replace(BENCHMARK, pass_at_1=0.1))
    unfinished = replace(PARTIAL, candidate=replace(CANDIDATE, candidate_id="waiting"), links={"experiment": "one"})
    log.log_outcome(worse, "run-0")
    log.log_outcome(linked, "run-1")
    log.log_outcome(unfinished, "run-1")
    log.log_outcome(replace(linked, links={"experiment": "two"}), "run-2")
    longest = replace(CANDIDATE, candidate_id="longest", subset="longest")
    log.log_outcome(replace(linked, candidate=longest), "run-1")
    silent = replace(CANDIDATE, candidate_id="silent")  # its RL taught nothing, so its score is no result of RL
    log.log_outcome(replace(linked, candidate=silent, rl=FULL.rl), "run-1")
    found = runs.find_finished("one", 64)
    assert found == {CANDIDATE.candidate_id: (0.7, 0.5, False), "longest": (0.7, 0.5, False)}
    assert runs.find_finished("three", 64) == {}
    ran = validate(replace(linked, links={"experiment": "four"}), {0: [1] * 8, 50: [2] * 8, 100: [3] * 8})
    log.log_outcome(ran, "run-3")
    assert runs.find_finished("four", None, 50) == {CANDIDATE.candidate_id: (0.5, 0.5, False)}
    assert runs.find_finished("four", None, 60) == runs.find_finished("one", None, 50) == {}


def test_a_forecast_is_the_line_through_the_finished_runs_for_what_has_not_finished(mlflow_client):
    def finish(number, score):
        candidate = replace(CANDIDATE, candidate_id=f"c{number}")
        predictors = replace(PREDICTORS, curve=[[64, number / 10]])
        benchmark = replace(BENCHMARK, pass_at_1=score)
        links = FULL.links | {"experiment": "one"}
        log.log_outcome(replace(TAUGHT, candidate=candidate, predictors=predictors, benchmark=benchmark, links=links))

    def judge(name, at):
        return Verdict(name, "approved", True, "", "enforce", 1.0, False, GateNumbers(k=64, pass_at_k=at))

    for number in range(7):
        finish(number, 0.1 + number / 20 + 0.01 * (-1) ** number)
    assert forecast([judge("new", 0.5)], "one")[0].reason == "insufficient data: 7 finished runs, 8 needed"
    finish(7, 0.45 - 0.01)
    own, new, blind = forecast([judge("c7", 0.7), judge("new", 0.5), judge("blind", None)], "one")
    assert own == Forecast(reason="an earlier run has its result already") and "no line" in blind.reason
    line = linregress([n / 10 for n in range(8)], [0.1 + n / 20 + 0.01 * (-1) ** n for n in range(8)])
    assert new.predicted == pytest.approx(line.intercept + 0.5 * line.slope) and new.points == 8
    assert new.low < new.predicted < new.high
    assert forecast([judge("new", 0.5)], "two")[0].reason.startswith("insufficient data: 0")


def test_the_pipeline_run_is_finished_with_parameters_and_report(mlflow_client, tmp_path):
    (tmp_path / "report.md").write_text("# report")
    for _ in range(2):
        runs.finish_run("run-1", {"gate_k": 64, "sweep_epochs": [1] * 9000}, {"report.md": tmp_path / "report.md"})
    (run,) = mlflow_client.search_runs([mlflow_client.get_experiment_by_name("rlready").experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["gate_k"] == "64"
    assert len(run.data.params["sweep_epochs"]) == 6000 and run.data.params["sweep_epochs"].endswith("…")
    assert [f.path for f in mlflow_client.list_artifacts(run.info.run_id)] == ["report.md"]
    assert (tmp_path / "mlartifacts").is_dir()


def test_training_is_streamed_to_the_run_that_the_outcome_completes(mlflow_client):
    callback = log.stream_training("rl", CANDIDATE)
    for step in (1, 2):
        state = SimpleNamespace(is_world_process_zero=True, global_step=step)
        callback.on_log(None, state, None, logs={"loss": 0.1 * step, "rewards/verify/mean": 0.5, "train_runtime": 1.0})
    callback.on_train_end(None, state, None)
    log.log_outcome(FULL)
    points = describe(mlflow_client)[0][CANDIDATE.candidate_id][3]
    assert points["rl/train_loss"] == [(1, 0.1), (2, 0.2)] and "rl/train_rewards/verify/mean" in points
    assert "rl/train_train_runtime" not in points


def test_processes_that_start_together_share_experiment_and_parent(tmp_path):
    code = "import sys; from rlready.records.outcome import *; from rlready.tracking import log\n"
    code += "log.log_outcome(Outcome(Candidate(sys.argv[1], 1, 'random', 8, 0.1, 0)))"
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    env = {**os.environ, "MLFLOW_TRACKING_URI": uri, "RLREADY_RUN_ID": "run-1"}
    racers = [subprocess.Popen([sys.executable, "-c", code, name], env=env, stdout=-1, stderr=-2, text=True) for name in "ab"]
    assert [racer.communicate()[0] for racer in racers] == ["", ""]
    from mlflow import MlflowClient

    runs, _ = describe(MlflowClient(uri))
    assert set(runs) == {"run-1", "a", "b"}
    assert runs["a"][2]["mlflow.parentRunId"] == runs["b"][2]["mlflow.parentRunId"]


def test_a_server_that_refuses_costs_seconds_and_one_line(monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setattr(client, "_reported", set())
    begun = time.monotonic()
    log.log_outcome(FULL, "run-1")
    runs.finish_run("run-1", {}, {})
    out, err = capfd.readouterr()
    assert time.monotonic() - begun < 10
    assert (out.count("\n"), err) == (1, "")
    assert out.startswith("tracking: lost (http://127.0.0.1:9 cannot be reached: ")
