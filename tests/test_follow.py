"""What is said of a run on a KFP server: stages and candidates, once each, from pods in the names and states that it has."""

import json
import signal
import threading

import mlflow
import pytest
from kfp_server import IMAGE, Argo, rlready, serve_kfp  # noqa: F401  a fixture

from rlready.components.config import InputError
from rlready.components.core.records import BenchmarkRecord, Candidate, Failure, Outcome, PredictorsRecord, RlRecord
from rlready.components.core.serialization import to_json
from rlready.components.core.tracking.find import find_experiment
from rlready.components.core.tracking.runs import find_open_runs, open_run
from rlready.components.core.verdicts import Verdict
from rlready.pipelines.cluster import follow, runs, story
from rlready.pipelines.cluster import server as kfp
from rlready.pipelines.cluster.steps import LOGS, count_iterations, list_steps
from rlready.pipelines.recipes import load_recipe

MEASURE = ("measure-candidates", "for-loop-1")
TRAIN = ("conclude", "condition-branches-1", "condition-2", "train-approved", "for-loop-1")
REPORT = ("conclude", "condition-branches-1", "condition-2", "report")
NAMES = ("no-sft-s0", "random-256x1-lr0.001-s0", "random-256x4-lr0.001-s0")
CANDIDATES = [Candidate(name, epochs, "random", 256, 0.001, 0) for name, epochs in zip(NAMES, (0, 1, 4), strict=True)]
BASE, GOOD, BAD = (json.loads(to_json(candidate)) for candidate in CANDIDATES)
PAGE = "runs/details/runs-0"
SWEEP = load_recipe("laptop", ["sweep_epochs=1,4", "sweep_subsets=random", "sweep_candidates="])


def make_run(state="RUNNING", **more):
    return {"run_id": "runs-0", "state": state, "runtime_config": {"parameters": SWEEP}} | more


def tell(server, *steps, ending="SUCCEEDED", **more):
    """Returns what is said while the workflow of a run is as in these steps, and ends as in the last."""
    server.progress = [(make_run(), step) for step in steps] + [(make_run(ending, **more), steps[-1])]
    return list(follow.follow(kfp.connect(), "runs-0", pause=0.001))


def test_stages_and_candidates_are_told_once_each_from_the_states_of_their_pods(server):
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
    lines = tell(server, *steps)
    assert lines == [
        "Plan: done",
        "Curate: done",
        "Benchmark of the base model: done",
        "SFT of random-256x1-lr0.001-s0: done, 1 of 3",
        "SFT of the base model: done, 2 of 3",
        "SFT of random-256x4-lr0.001-s0: done, 3 of 3",
    ]


def test_what_comes_from_the_cache_has_its_candidate_by_plan_s_order_and_is_not_told_twice(server):
    argo = Argo()
    argo.loop(*MEASURE, count=3)
    for index in range(3):
        argo.task(*MEASURE, index, "sft", state="cached")
    argo.task("gate", state="done")
    argo.loop(*TRAIN, count=1)
    argo.task(*TRAIN, 0, "sft", state="cached")
    argo.task(*TRAIN, 0, "rl", state="running", candidate=GOOD)
    argo.task(*TRAIN, 0, "benchmark", state="skipped")
    names = ("the base model", "random-256x1-lr0.001-s0", "random-256x4-lr0.001-s0")
    cached = [f"SFT of {name}: from the cache, {number} of 3" for number, name in enumerate(names, start=1)]
    assert tell(server, argo.write()) == [*cached, "Gate: done"]
    argo.task(*TRAIN, 0, "sft", state="done", candidate=GOOD)
    assert tell(server, argo.write()) == [
        *cached,
        "Gate: done",
        "SFT of random-256x1-lr0.001-s0: made again instead of coming from the cache; RL is going to refuse it",
    ]


def test_a_candidate_that_failed_and_the_verdicts_are_told_where_the_server_hands_them_out(server):
    failed = Outcome(CANDIDATES[2], failure=Failure("sft", "out of memory; lower sft_device_batch_size"))
    verdict = Verdict(NAMES[1], "approved", True, "Pass@64 0.85 >= 0.6")
    server.artifacts = {
        "minio://mlpipeline/v2/sft": to_json(failed),
        "minio://mlpipeline/v2/judged": json.dumps(
            {"outcomes": [json.loads(to_json(Outcome(CANDIDATES[1], verdict=verdict)))]}
        ),
    }
    argo, outcome = Argo(), {"outcome": "minio://mlpipeline/v2/sft"}
    argo.loop(*MEASURE, count=3)
    for stage in ("sft", "predictors"):  # the second passes on what the first says
        argo.task(*MEASURE, 2, stage, state="done", candidate=BAD, artifacts=outcome)
    argo.task("gate", state="done", artifacts={"judged": "minio://mlpipeline/v2/judged"})
    assert tell(server, argo.write()) == [
        "SFT of random-256x4-lr0.001-s0: failed: out of memory; lower sft_device_batch_size, 1 of 3",
        "Gate: done",
        "random-256x1-lr0.001-s0: approved: Pass@64 0.85 >= 0.6",
    ]
    server.ui = False
    assert "SFT of random-256x4-lr0.001-s0: done, 1 of 3" in tell(server, argo.write())


def test_rl_without_a_signal_is_told_with_its_end(server):
    trained = Outcome(CANDIDATES[1], rl=RlRecord([[10, 0.0]], 10, stopped="no signal: all rewards equal"))
    server.artifacts = {"minio://mlpipeline/v2/rl": to_json(trained)}
    argo = Argo()
    argo.loop(*TRAIN, count=1)
    argo.task(*TRAIN, 0, "rl", state="done", candidate=GOOD, artifacts={"outcome": "minio://mlpipeline/v2/rl"})
    name = NAMES[1]
    assert tell(server, argo.write()) == [
        f"RL of {name}: done, 1 of 1",
        f"RL of {name}: had no signal: all rewards equal",
    ]


@pytest.mark.parametrize("source", ["api", "ui", "artifact", "nowhere"])
def test_a_stage_that_fails_shows_the_end_of_its_log_and_where_to_look(server, monkeypatch, capsys, source):
    argo = Argo()
    logs = {LOGS: "minio://mlpipeline/v2/logs"}
    pod = argo.task("curate", state="failed", artifacts=logs, message="main: Error (exit code 1)")
    text = "\n".join([*(f"line {number}" for number in range(40)), "curate: train.jsonl, row 3: no answer"])
    server.ui = source != "api"
    server.logs = {pod: text} if source in ("api", "ui") else {}
    server.artifacts = {"minio://mlpipeline/v2/logs-0": text} if source == "artifact" else {}
    server.progress = [(make_run("FAILED"), argo.write())]
    command = ("submit", "--image", IMAGE, "--follow") if source == "api" else ("follow", "runs-0")
    assert rlready(monkeypatch, *command) == 2
    out, err = capsys.readouterr()
    assert "Curate: failed; the end of its log:\n" in out and f"    {server.host}/#/{PAGE}" in out
    if source == "nowhere":
        assert f"no log of pod {pod} can be had from here" in out
    else:
        assert "    curate: train.jsonl, row 3: no answer\n" in out and "line 39" in out and "line 10\n" not in out
    ending = ("the run ended as failed", "Curate: main: Error (exit code 1)", f"{server.host}/#/{PAGE}")
    assert err.splitlines() == [f"rlready: {line}" for line in ending]


def test_a_driver_that_fails_is_told_with_its_own_pod(server):
    argo = Argo()
    server.ui, pod = False, argo.task("gate", state="failed-driver", message="Error (exit code 1)")
    server.logs = {pod: "F0101 no successful task found"}
    with pytest.raises(InputError, match=r"(?s)ended as failed.*main: Error.*Gate: Error \(exit code 1\)"):
        tell(server, argo.write(), ending="FAILED", error={"message": "main: Error"})
    assert list_steps(argo.write())[0].pod == pod


@pytest.mark.parametrize("known", ["workflow", "history", "state"])
def test_a_run_that_somebody_stopped_is_not_twenty_failures(server, known):
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
    assert str(caught.value).splitlines() == [
        "the run ended as canceled: somebody stopped it", f"{server.host}/#/{PAGE}"
    ]  # fmt: skip


def test_pods_that_wait_are_told_once_with_the_reason_and_those_that_work_for_long_are_not(server, monkeypatch):
    monkeypatch.setattr(story, "PATIENCE", 0)
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


def test_a_lost_pod_is_told_and_what_it_comes_to(server):
    argo = Argo()
    argo.loop(*MEASURE, count=3)
    argo.task(*MEASURE, 1, "sft", state="running", candidate=GOOD)
    first, pod = argo.write(), argo.lose(*MEASURE, 1, "sft")
    assert list_steps(argo.write())[-1].pod == pod
    assert tell(server, first, argo.write()) == ["SFT of random-256x1-lr0.001-s0: its pod was lost; try 2"]


def test_a_server_without_a_cache_is_told_before_rl_refuses(server, monkeypatch, capsys):
    driver = {"name": "system-container-driver", "container": {"args": ["--type", "CONTAINER", "--cache_disabled"]}}
    argo = Argo(templates=[driver])
    argo.task("plan", state="running")
    lines = tell(server, argo.write())
    assert lines == [story.UNCACHED]
    assert runs.has_cache(kfp.connect()) is None  # no run yet
    server.past, server.workflow = [make_run()], argo.write()
    assert runs.has_cache(kfp.connect()) is False
    assert rlready(monkeypatch, "submit", "--image", IMAGE) == 0
    assert capsys.readouterr().err == f"rlready: as the newest run shows, {story.UNCACHED}\n"
    server.workflow = Argo(templates=[driver | {"container": {"args": ["--type", "CONTAINER"]}}]).write()
    assert runs.has_cache(kfp.connect()) is True


def finish(server, *outcomes):
    """Makes the server's newest run a finished one with these outcomes."""
    address = "minio://mlpipeline/v2/artifacts/records"
    records = {
        "baseline": json.loads(to_json(Outcome(CANDIDATES[0], predictors=PredictorsRecord()))),
        "parameters": SWEEP,
    }
    server.artifacts[address] = json.dumps(
        records | {"outcomes": [json.loads(to_json(outcome)) for outcome in outcomes]}
    )
    argo = Argo()
    argo.task(*REPORT, state="done", artifacts={"records": address})
    server.progress, server.past = [(make_run("SUCCEEDED"), argo.write())], [make_run("SUCCEEDED")]


@pytest.mark.parametrize(("failing", "status"), [(0, 0), (1, 3), (2, 2)])
def test_a_run_ends_with_what_its_report_says_and_the_status_of_run(server, monkeypatch, capsys, failing, status):
    verdict = Verdict(NAMES[1], "approved", True, "good")
    good = Outcome(CANDIDATES[1], verdict=verdict, benchmark=BenchmarkRecord(pass_at_1=0.321))
    bad = Outcome(CANDIDATES[2], verdict=verdict, failure=Failure("sft", "out of memory"))
    finish(server, *([good, good, bad, bad][failing : failing + 2]))
    assert rlready(monkeypatch, "follow") == status
    out = capsys.readouterr().out
    assert out.startswith(f"{server.host}/#/{PAGE}\n") and f"report      {server.host}/#/{PAGE}" in out
    assert ("0.321" in out) == (failing < 2) and ("out of memory" in out) == (failing > 0)
    server.ui = False  # the API server alone hands out nothing, and the run succeeded all the same
    finish(server, good)
    assert rlready(monkeypatch, "follow", f"http://elsewhere/#/{PAGE}") == 0
    assert "0.321" not in capsys.readouterr().out


def test_ctrl_c_leaves_the_run_going_and_says_how_to_follow_it_again(server, monkeypatch, capsys):
    argo = Argo()
    argo.task("plan", state="running")
    server.progress = [(make_run(), argo.write())]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with it ignored
    main = threading.main_thread().ident
    threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT]).start()
    assert rlready(monkeypatch, "follow", "runs-0") == 130
    assert "the run goes on; follow it again with: rlready follow runs-0" in capsys.readouterr().out


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


def test_a_server_that_falters_is_asked_again_while_a_run_is_followed(server):
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
    with pytest.raises(
        InputError, match=r"(?s)refuses \(503 .*: busy.*the run goes on: http://.*/#/runs/details/runs-0"
    ):
        list(follow.follow(connection, "runs-0", pause=0.001))


def test_iterations_are_counted_from_the_loop_s_driver():
    argo = Argo()
    argo.loop(*MEASURE, count=64)
    assert count_iterations(argo.write()) == {MEASURE: 64}
