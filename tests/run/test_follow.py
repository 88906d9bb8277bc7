"""What is said of a run on a KFP server: stages and candidates, once each, from pods in the names and states that it has."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time

import mlflow
import pytest
from google.protobuf import json_format
from helpers import ROOT
from helpers.kfp_server import IMAGE, Argo, list_titles, rlready

from rlready.config.recipes import load_recipe
from rlready.errors import InputError
from rlready.pipelines.experiment import experiment
from rlready.records.outcome import BenchmarkRecord, Candidate, Failure, Outcome, PredictorsRecord
from rlready.records.serialization import to_json
from rlready.records.verdicts import Verdict
from rlready.run.kfp import follow, runs
from rlready.run.kfp import server as kfp
from rlready.run.kfp.nodes import count_iterations, list_stage_nodes
from rlready.runtime import events
from rlready.tracking.runs import find_experiment, find_open_runs, open_run

MEASURE = ("measure-candidates", "for-loop-1")
TRAIN = ("train-approved", "for-loop-2", 0, "for-loop-3")
REPORT = ("report",)
NAMES = ("no-sft-s0", "random-256x1-lr0.001-s0", "random-256x4-lr0.001-s0")
CANDIDATES = [Candidate(name, epochs, "random", 256, 0.001, 0) for name, epochs in zip(NAMES, (0, 1, 4), strict=True)]
BASE, GOOD, BAD = (json.loads(to_json(candidate)) for candidate in CANDIDATES)
PAGE = "runs/details/runs-0"
SWEEP = load_recipe("laptop", ["sweep_epochs=1,4", "sweep_subsets=random", "sweep_candidates="])


TRACED = 'Traceback (most recent call last):\n  File "/tmp/x.py", line 1, in <module>\nValueError: not a table'
FAILED = "rlready: failed: curate: ValueError: not a table"
PLAN = ROOT / "components" / "plan" / "component.py"


@functools.cache
def run_plan(**settings):
    """Returns the output of plan as KFP's executor runs it, given these parameters in its object of settings."""
    given = experiment.pipeline_spec.root.input_definitions.parameters
    parameters = {name: json_format.MessageToDict(p.default_value) for name, p in given.items()}
    parameters |= {"settings": settings, "run_name": "test", "races": False}
    about = {"type": {"schemaTitle": "system.Markdown"}, "metadata": {}}
    made = experiment.pipeline_spec.components["comp-plan"].output_definitions.artifacts
    artifacts = {name: {"artifacts": [{"name": name, "uri": f"/tmp/{name}"} | about]} for name in made}
    spec = {
        "inputs": {"parameterValues": parameters},
        "outputs": {"artifacts": artifacts, "outputFile": "/tmp/kfp/output.json"},
    }
    command = [sys.executable, "-m", "kfp.dsl.executor_main", "--component_module_path", str(PLAN),
               "--function_to_execute", "plan", "--executor_input", json.dumps(spec)]  # fmt: skip
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "RLREADY"))}
    ended = subprocess.run(command, env=bare, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ended.returncode == 1
    return ended.stdout


def make_run(state="RUNNING", **more):
    return {"run_id": "runs-0", "state": state, "runtime_config": {"parameters": SWEEP}} | more


def tell(server, *steps, ending="SUCCEEDED", **more):
    """Returns what is said while the workflow of a run is as in these steps, and ends as in the last."""
    server.progress = [(make_run(), step) for step in steps] + [(make_run(ending, **more), steps[-1])]
    return list(follow.follow(kfp.connect(), "runs-0", pause=0.001))


def hand_out(server, argo, source="ui"):
    """Has the server hand out what the pods of a run wrote, as the UI's server, as the API server alone, or of lost pods."""
    server.ui, server.logs = source != "api", argo.logs if source in ("api", "ui") else {}
    server.artifacts = argo.artifacts if source in ("ui", "artifact") else {}
    return argo.write()


def mark(*lines):
    return events.mark("\n".join(lines))


PLANNED = mark(events.MEASURED + ", ".join(NAMES))


def test_stages_and_candidates_are_reported_once_each_from_the_states_of_their_pods(server):
    argo, steps = Argo(), [None]
    for stage in ("plan", "curate"):
        argo.task(stage, state="running")
        steps.append(argo.write())
        argo.task(stage, state="done")
        steps.append(argo.write())
    argo.task("benchmark", state="done", candidate=BASE)
    argo.loop(*MEASURE, count=3)
    for index, candidate in enumerate((BASE, GOOD, BAD)):
        argo.task(*MEASURE, index, "sft", state="running", candidate=candidate)
    steps.append(argo.write())
    for index, candidate in ((1, GOOD), (0, BASE), (2, BAD)):  # not in the order in which they began
        argo.task(*MEASURE, index, "sft", state="done", candidate=candidate)
        argo.task(*MEASURE, index, "predictors", state="starting")
        steps.append(argo.write(packed=True))  # a large one
    argo.task(*REPORT, state="done")
    steps.append(argo.write())
    lines = tell(server, *steps)
    assert lines == [
        "Plan: done",
        "Curate: done",
        "Benchmark (base): done",
        "SFT of random-256x1-lr0.001-s0: done, 1 of 3",
        "SFT of no-sft-s0: done, 2 of 3",
        "SFT of random-256x4-lr0.001-s0: done, 3 of 3",
        "Report: done",
    ]


@pytest.mark.parametrize("source", ["ui", "api"])
def test_a_run_from_the_cache_tells_names_and_verdicts_as_any_other(server, source):
    """Plan and the gate are never cached, and say whose the iterations are; drivers say nothing of what is."""
    verdicts = [f"{name}: approved: Pass@64 0.85 >= 0.6" for name in (NAMES[0], NAMES[2])]
    judged = [*verdicts, f"{NAMES[1]}: rejected: Pass@64 0.5 < 0.6", f"{events.TRAINED}{NAMES[0]}, {NAMES[2]}"]
    argo = Argo()
    argo.task("plan", state="done", output=f"a table\n{PLANNED}")
    argo.task("benchmark", state="cached")
    argo.loop(*MEASURE, count=3)
    for index in range(3):
        argo.task(*MEASURE, index, "sft", state="cached")
    argo.task("gate", state="done", output=mark(*judged))
    argo.loop(*TRAIN, count=2)
    for index in range(2):
        for stage in ("sft", "rl", "benchmark"):
            argo.task(*TRAIN, index, stage, state="cached")
    said = [
        "Plan: done",
        f"candidates to measure: {', '.join(NAMES)}",
        "Benchmark (base): from the cache",
        *(f"SFT of {name}: from the cache, {number} of 3" for number, name in enumerate(NAMES, start=1)),
        "Gate: done",
        *judged,
    ]
    trained = [
        f"{stage} of {name}: from the cache, {number} of 2"
        for number, name in enumerate((NAMES[0], NAMES[2]), start=1)
        for stage in ("RL", "Benchmark")
    ]
    assert tell(server, hand_out(server, argo, source)) == [*said, *trained]
    argo.task(*TRAIN, 1, "sft", state="done", candidate=BAD)
    refused = f"SFT (cached) of {NAMES[2]}: computed again instead of coming from the cache; RL will refuse it"
    assert refused in tell(server, hand_out(server, argo, source))


@pytest.mark.parametrize("state", ["done", "cached"])
def test_a_race_names_those_of_each_loop(server, state):
    argo, probe, train = Argo(races=True), ("probe-approved", "for-loop-2", 0, "for-loop-3"), TRAIN
    argo.task("plan", state="done", output=PLANNED)
    argo.task("gate", state="done", output=mark(f"{events.TRAINED}{NAMES[1]}, {NAMES[2]}"))
    argo.loop(*probe, count=2)
    for index, candidate in enumerate((GOOD, BAD)):
        argo.task(*probe, index, "sft", state="cached")
        argo.task(*probe, index, "rl", state=state, candidate=candidate)
    argo.task("race", state="done", output=mark(f"{events.FINALISTS}{NAMES[2]}"))
    argo.loop(*train, count=1)
    for task, how in (("sft", "cached"), ("rl", "cached"), ("rl-2", state), ("benchmark", state)):
        argo.task(*train, 0, task, state=how, candidate=BAD)
    end = "done" if state == "done" else "from the cache"
    assert tell(server, hand_out(server, argo))[-6:] == [
        f"RL to the race of {NAMES[1]}: {end}, 1 of 2",
        f"RL to the race of {NAMES[2]}: {end}, 2 of 2",
        "Race: done",
        f"{events.FINALISTS}{NAMES[2]}",
        *(f"{stage} of {NAMES[2]}: {end}, 1 of 1" for stage in ("RL", "Benchmark")),
    ]


def test_the_loops_that_plan_and_the_gate_list_are_those_of_the_compiled_pipeline():
    assert {(*MEASURE, "sft"), (TRAIN[0], TRAIN[1], TRAIN[3], "rl"), REPORT} <= list_titles().keys() and MEASURE[
        0
    ] == follow.MEASURING
    # Compiled for this machine; tests/backend/test_cache.py says which stages a cluster makes again in every run.
    assert not experiment.pipeline_spec.root.dag.tasks["plan"].caching_options.enable_cache


@pytest.mark.parametrize("source", ["ui", "api", "artifact"])
def test_a_failed_candidate_is_reported_with_its_reason_by_the_stage_that_failed(server, source):
    argo = Argo()
    argo.loop(*MEASURE, count=3)
    why = f"sft of {NAMES[2]}: out of memory; lower sft_device_batch_size"
    argo.task(*MEASURE, 2, "sft", state="done", candidate=BAD, output=mark(events.FAILED + why))
    passed = mark(f"{events.SKIPPED}sft failed: out of memory")
    argo.task(*MEASURE, 2, "predictors", state="done", candidate=BAD, output=passed)
    assert tell(server, hand_out(server, argo, source)) == [
        "SFT of random-256x4-lr0.001-s0: failed: out of memory; lower sft_device_batch_size, 1 of 3"
    ]


def test_what_a_training_marked_is_reported_with_its_end(server):
    argo = Argo()
    argo.loop(*TRAIN, count=1)
    output = f"rl {NAMES[1]}: 10/10\n{mark('no signal: all rewards equal')}\n{{'loss': 0.0}}"
    argo.task(*TRAIN, 0, "rl", state="done", candidate=GOOD, output=output)
    name = NAMES[1]
    assert tell(server, hand_out(server, argo)) == [
        f"RL of {name}: done, 1 of 1",
        f"RL of {name}: no signal: all rewards equal",
    ]


@pytest.mark.parametrize("source", ["api", "ui", "artifact", "nowhere"])
def test_a_run_that_fails_ends_with_the_reason(server, monkeypatch, capsys, source):
    """What the stage marked, from the real output of KFP's executor, and not what the launcher and Argo say after it."""
    argo = Argo()
    pod = argo.task("plan", state="failed", message="main: Error (exit code 1)", output=run_plan(gate_see=1))
    server.progress = [(make_run("FAILED", error={"message": "main: Error"}), hand_out(server, argo, source))]
    command = ("submit", "--image", IMAGE, "--follow") if source == "api" else ("follow", "runs-0")
    assert rlready(monkeypatch, *command) == 2
    out, err = capsys.readouterr()
    page, reason = f"{server.host}/#/{PAGE}", "unknown parameter 'gate_see'; did you mean gate_seed?"
    if source == "nowhere":
        ending = f"the log of pod {pod} is not available\n    {page}\n"
        assert f"Plan: failed: main: Error (exit code 1)\n    {ending}" in out
        assert err == "rlready: the run ended as failed: Plan: main: Error (exit code 1)\n"
    else:
        assert out.endswith(f"Plan: failed: {reason}\n    {page}\n")
        assert err == f"rlready: the run ended as failed: plan: {reason}\n"


def test_the_reason_is_the_last_line_of_a_stage_that_fails():
    output = run_plan(gate_see=1)
    assert output.splitlines()[-1] == "rlready: failed: plan: unknown parameter 'gate_see'; did you mean gate_seed?"


@pytest.mark.parametrize(
    ("output", "fault", "reason", "end"),
    [
        (f"working\n{TRACED}", "exit status 1", "ValueError: not a table", ["working", *TRACED.splitlines()]),
        (f"{TRACED}\n{FAILED}", "exit status 1", "curate: ValueError: not a table", TRACED.splitlines()),
        (f"working\n{FAILED}\n{FAILED}2", "exit status 1", "curate: ValueError: not a table", []),
        ("working", "signal: killed", "OOMKilled (exit code 137)", ["working"]),
        ("working", "unable to produce MLMD artifact: Value_NullValue",
         "failed to execute component: unable to produce MLMD artifact: Value_NullValue", ["working"]),
        ("\n".join(f"line {number}" for number in range(40)), "exit status 2", "OOMKilled (exit code 137)",
         [f"line {number}" for number in range(25, 40)]),
        ("\x1b[2Jgone", "exit status 2", "OOMKilled (exit code 137)", ["␛[2Jgone"]),
    ],
)  # fmt: skip
def test_why_a_stage_failed_is_found_in_what_it_wrote_and_the_rest_is_shown(server, output, fault, reason, end):
    argo = Argo()
    argo.task("curate", state="failed", message="OOMKilled (exit code 137)", output=output, fault=fault)
    server.progress = [(make_run("FAILED"), hand_out(server, argo))]
    said = []
    with pytest.raises(InputError) as caught:
        for text in follow.follow(kfp.connect(), "runs-0", pause=0.001):
            said.append(text)
    assert re.match(f"the run ended as failed: .*{re.escape(reason)}", str(caught.value))
    page = f"{server.host}/#/{PAGE}"
    assert said[-1].splitlines()[1:] == [f"    {line}" for line in (*end, page)]


def test_a_failed_driver_is_reported_with_its_own_log(server):
    argo = Argo()
    pod = argo.task("gate", state="failed-driver", message="Error (exit code 1)")
    fault = "KFP driver: driver.Container(run_id=1) failed: no successful task found"
    server.ui, server.logs = (
        False,
        {pod: f"I0101 09:00:00.000000       1 main.go:90] input\nF0101 09:00:00.100000       1 main.go:127] {fault}"},
    )
    with pytest.raises(InputError, match=f"ended as failed: Gate: {re.escape(fault)}$"):
        tell(server, argo.write(), ending="FAILED", error={"message": "main: Error"})
    assert list_stage_nodes(argo.write())[0].pod == pod


def test_a_run_that_fails_before_its_first_stage_ends_with_the_reason_of_its_pods(server):
    argo = Argo()
    fault = 'error looking up service account kubeflow/nobody: serviceaccount "nobody" not found'
    for attempt in range(3):
        message = f'pods "rlready-x4k9q-system-dag-driver-{attempt}" is forbidden: {fault}'
        argo.add(f"(0).root-driver({attempt})", "system-dag-driver", "Pod", "Error", message=message)
    with pytest.raises(InputError) as caught:
        tell(server, argo.write(), ending="FAILED")
    assert str(caught.value) == f"the run ended as failed: its pod is forbidden: {fault}"


def test_a_run_that_the_server_does_not_know_is_not_said_to_continue(server):
    connection = kfp.connect()
    server.failures["/runs/"] = lambda request: request.answer(404, {"message": "Run runs-0 not found"})
    with pytest.raises(InputError) as caught:
        list(follow.follow(connection, "runs-0", pause=60))
    assert str(caught.value) == f"{server.host}: no run runs-0; expected its id or its address in the UI"


def test_a_number_in_the_servers_message_is_not_its_status(server, monkeypatch):
    monkeypatch.setattr(follow, "LOST", 1)
    connection = kfp.connect()
    server.failures["/runs/"] = lambda request: request.answer(503, {"message": "upstream (404)"})
    with pytest.raises(InputError, match=r"refuses \(503 .*upstream \(404\)\nthe run continues: "):
        list(follow.follow(connection, "runs-0", pause=0))


@pytest.mark.parametrize("known", ["workflow", "history", "state"])
def test_a_run_that_was_stopped_is_not_twenty_failures(server, known):
    argo = Argo(**({"activeDeadlineSeconds": 0} if known == "workflow" else {}))
    for index in range(20):
        argo.task(*MEASURE, index, "sft", state="failed", message="workflow shutdown with strategy: Terminate")
    more = {"state_history": [{"state": "RUNNING"}, {"state": "CANCELING"}, {"state": "FAILED"}]}
    with pytest.raises(InputError) as caught:
        tell(
            server,
            argo.write(),
            ending="CANCELED" if known == "state" else "FAILED",
            **(more if known == "history" else {}),
        )
    assert str(caught.value) == "the run was terminated"


def test_waiting_pods_are_reported_once_with_the_reason_and_long_running_ones_are_not(server, monkeypatch):
    monkeypatch.setattr(follow, "PATIENCE", 0)
    reason = "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    argo = Argo()
    argo.loop(*MEASURE, count=3)
    argo.task(*MEASURE, 0, "sft", state="running", candidate=BASE)
    argo.task(*MEASURE, 1, "sft", state="waiting", candidate=GOOD, message=reason)
    first = argo.write()
    argo.task(*MEASURE, 2, "sft", state="waiting", candidate=BAD, message="ImagePullBackOff: no such image")
    argo.task(*MEASURE, 1, "sft", state="running", candidate=GOOD)
    second = argo.write()
    lines = tell(server, first, first, first, second, second, second)
    assert lines == [
        f"SFT of random-256x1-lr0.001-s0: waiting for more than 0 minutes: {reason}",
        "SFT of random-256x4-lr0.001-s0: waiting for more than 0 minutes: ImagePullBackOff: no such image",
    ]
    argo.task(*MEASURE, 1, "sft", state="waiting", candidate=GOOD, message=reason)
    argo.task(*MEASURE, 2, "sft", state="waiting", candidate=BAD, message=reason)
    (together,) = tell(server, argo.write(), argo.write())
    assert together.startswith("SFT of random-256x1-lr0.001-s0, SFT of random-256x4-lr0.001-s0: waiting")
    (nothing,) = tell(server, None, None, None)
    assert "nothing has started" in nothing and nothing.endswith("-l pipeline/runid=runs-0")


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("source", ["ui", "api"])
def test_a_lost_pod_is_reported_and_where_the_training_resumed(server, source, same):
    """Argo retries a lost pod as another node, or creates it again under its name."""
    argo, name = Argo(), "SFT of random-256x1-lr0.001-s0"
    argo.loop(*MEASURE, count=3)
    argo.task(*MEASURE, 1, "sft", state="running", candidate=GOOD)
    steps = [argo.write()]
    if same:
        pod = argo.task(*MEASURE, 1, "sft", state="waiting", candidate=GOOD)
        steps.append(argo.write())
        argo.task(*MEASURE, 1, "sft", state="running", candidate=GOOD)
    else:
        pod = argo.lose(*MEASURE, 1, "sft")
    assert list_stage_nodes(argo.write())[-1].pod == pod
    steps.append(argo.write())
    lost = f"{name}: pod lost; {'restarting it' if same else 'attempt 2'}"
    assert tell(server, *steps) == [lost]
    resumed = mark("resumed from step 31 after an interruption")
    argo.say(pod, "sft", argo.locate_logs(*MEASURE, 1, "sft") + ("-0" if same else "-1"), resumed)
    hand_out(server, argo, source)
    assert tell(server, *steps, argo.write()) == [lost, f"{name}: resumed from step 31 after an interruption"]


def test_a_server_without_a_cache_is_reported_before_rl_refuses(server, monkeypatch, capsys):
    driver = {"name": "system-container-driver", "container": {"args": ["--type", "CONTAINER", "--cache_disabled"]}}
    argo = Argo(templates=[driver])
    argo.task("plan", state="running")
    lines = tell(server, argo.write())
    assert lines == [runs.UNCACHED]
    assert runs.has_cache(kfp.connect()) is None  # no run yet
    server.past, server.workflow = [make_run()], argo.write()
    assert runs.has_cache(kfp.connect()) is False
    assert rlready(monkeypatch, "submit", "--image", IMAGE) == 0
    assert capsys.readouterr().err == f"rlready: according to the newest run, {runs.UNCACHED}\n"
    server.workflow = Argo(templates=[driver | {"container": {"args": ["--type", "CONTAINER"]}}]).write()
    assert runs.has_cache(kfp.connect()) is True


def finish(server, *outcomes):
    """Makes the server's newest run a finished one with these outcomes."""
    address = "minio://mlpipeline/v2/artifacts/records"
    records = {
        "baseline": json.loads(to_json(Outcome(CANDIDATES[0], predictors=PredictorsRecord()))),
        "parameters": SWEEP,
    }
    server.artifacts[address] = json.dumps(records | {"outcomes": [json.loads(to_json(outcome)) for outcome in outcomes]})
    argo = Argo()
    argo.task(*REPORT, state="done", artifacts={"records": address})
    server.progress, server.past = [(make_run("SUCCEEDED"), argo.write())], [make_run("SUCCEEDED")]


@pytest.mark.parametrize(("failing", "status"), [(0, 0), (1, 3), (2, 2)])
def test_a_run_ends_with_what_its_report_says_and_the_status_of_run(server, monkeypatch, capsys, failing, status):
    good, bad = {"benchmark": BenchmarkRecord(pass_at_1=0.321)}, {"failure": Failure("sft", "out of memory")}
    approved = [(one, Verdict(one.candidate_id, "approved", True, "good")) for one in CANDIDATES[1:]]
    ends = [good, good, bad, bad][failing : failing + 2]
    outcomes = [Outcome(one, verdict=verdict, **end) for (one, verdict), end in zip(approved, ends, strict=True)]
    finish(server, *outcomes)
    assert rlready(monkeypatch, "follow") == status
    out = capsys.readouterr().out
    assert out.startswith(f"{server.host}/#/{PAGE}\n") and f"report      {server.host}/#/{PAGE}" in out
    assert ("0.321" in out) == (failing < 2) and ("out of memory" in out) == (failing > 0)
    server.ui = False  # the API server alone hands out nothing, and the run succeeded anyway
    finish(server, *outcomes)
    assert rlready(monkeypatch, "follow", f"http://elsewhere/#/{PAGE}") == 0
    out = capsys.readouterr().out
    assert "0.321" not in out and f"only in the report, because {server.host} does not serve it" in out


def test_ctrl_c_leaves_the_run_going_and_says_how_to_follow_it_again(server, monkeypatch, capsys):
    argo = Argo()
    argo.task("plan", state="running")
    server.progress = [(make_run(), argo.write())]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with it ignored
    monkeypatch.setattr(time, "sleep", lambda seconds: signal.raise_signal(signal.SIGINT))
    assert rlready(monkeypatch, "follow", "runs-0") == 130
    assert "the run continues; to follow it again: rlready follow runs-0" in capsys.readouterr().out


def test_how_past_runs_ended(server):
    history = [{"state": "RUNNING"}, {"state": "CANCELING"}, {"state": "FAILED"}]
    stopped = Argo(activeDeadlineSeconds=0).write()
    server.progress = [
        make_run("SUCCEEDED"),
        make_run("FAILED"),
        make_run("FAILED", state_history=history),
        (make_run("FAILED"), stopped),
        make_run("RUNNING"),
    ]
    ended = runs.list_ended_runs(kfp.connect(), "abcde")
    assert ended == {"a": "SUCCEEDED", "b": "FAILED", "c": "CANCELED", "d": "CANCELED"}
    server.failures["/runs/"] = lambda request: request.answer(404, {"error": "no such run"})  # one of a laptop
    assert runs.list_ended_runs(kfp.connect(), ["laptop-20260101-120000"]) == {}


def test_what_a_stopped_run_left_running_in_mlflow_is_ended_before_the_next(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("RLREADY_RUN_ID", "runs-0")
    open_run("the first", {})
    monkeypatch.delenv("RLREADY_RUN_ID")
    assert find_open_runs() == {"runs-0"}
    server.progress = [(make_run("FAILED"), Argo(activeDeadlineSeconds=0).write())]
    assert rlready(monkeypatch, "submit", "--image", IMAGE) == 0
    assert find_open_runs() == set()
    (run,) = mlflow.MlflowClient().search_runs([find_experiment()])
    assert run.info.status == "KILLED"


def test_a_server_that_falters_is_called_again_while_a_run_is_followed(server):
    connection, asked = kfp.connect(), []

    def falter(request):
        asked.append(1)
        if len(asked) == 3:
            del server.failures["/runs/"]
        request.answer(503, {"error": "busy"})

    server.failures["/runs/"] = falter
    assert list(follow.follow(connection, "runs-0", pause=0.01)) == []
    assert len(asked) == 3
    server.failures["/runs/"] = lambda request: request.answer(503, {"error": "busy"})
    with pytest.raises(InputError, match=r"(?s)refuses \(503 .*: busy.*the run continues: http://.*/#/runs/details/runs-0"):
        list(follow.follow(connection, "runs-0", pause=0.001))


def test_iterations_are_counted_from_the_loop_s_driver():
    argo = Argo()
    argo.loop(*MEASURE, count=64)
    assert count_iterations(argo.write()) == {MEASURE: 64}
