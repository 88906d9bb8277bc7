"""The model refuses the pipeline of 3c2111f for what was seen of it on a real backend."""

import copy
import dataclasses
import hashlib
import json

import pytest

from backend.launcher import Exit, PodLost
from backend.server import Server
from backend.size import LIMITS, count_packed_bytes
from backend.stages import BASELINE, SETTINGS, write_candidate

REFERENCE = write_candidate(BASELINE)
CANDIDATES = [write_candidate(f"random-256x{epochs}-lr0.001-s0") for epochs in (1, 4, 16)]
NUMBERS = {
    key: 0.123456789 * n
    for n, key in enumerate(["pass_at_1", "pass_at_k", "base_pass_at_k", "loss", "rise", "rank", "low", "high"])
}


def make_stages(candidates=CANDIDATES, approved=CANDIDATES):
    """Returns fake stages of the old pipeline; a verdict is the candidate, whether RL runs, a digest and numbers."""

    def judge(given):
        names = [measured.content for measured in given["measured"]]
        digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
        rest = f"{json.dumps(NUMBERS)} {json.dumps({key: 1 - value for key, value in NUMBERS.items()})}"
        verdicts = [f"{name}|{'yes' if name in approved else 'no'}|{digests[name]}|{rest}" for name in names]
        return {"Output": verdicts, "verdicts": 1}

    def plan(given):
        texts = {
            "base": "base",
            "revisions": "{}",
            "parameters": json.dumps(given),
            "experiment": "digest",
            "summary": 1,
        }
        return SETTINGS | texts | {"candidates": candidates, "reference": REFERENCE}

    return {
        "plan": plan,
        "curate": lambda given: {"data": 1, "card": 1},
        "sft": lambda given: {"model": given["candidate"], "record": 1},
        "predictors": lambda given: {"measured": given["candidate"], "metrics": 1},
        "gate": judge,
        "admit": lambda given: dict(
            zip(("candidate", "proceed", "measured_digest"), given["judged"].split("|")[:3], strict=True)
        ),
        "decline": lambda given: {"Output": ""},
        "rl": lambda given: {"trained": 1, "record": 1},
        "benchmark": lambda given: {"Output": "result of " + given["candidate"], "record": 1, "metrics": 1},
        "report": lambda given: {"html": 1, "markdown": 1, "records": 1},
    }


@pytest.mark.parametrize("approved", [CANDIDATES, []], ids=["all", "none"])
def test_verdicts_that_are_all_alike_end_in_a_report(old, approved):
    run = Server().run(old, make_stages(approved=approved))
    assert run.state == "Succeeded" and len(run.list_tasks("rl")) == len(approved)


@pytest.mark.parametrize("approved", [CANDIDATES[:1], CANDIDATES[1:]], ids=["one", "two"])
def test_mixed_verdicts_make_the_driver_of_the_report_panic_after_all_of_rl(old, approved):
    run = Server().run(old, make_stages(approved=approved))
    assert run.state == "Failed" and run.list_ran().count("rl") == len(approved)
    (reason,) = run.list_reasons()
    assert reason.startswith("report: driver: panic: runtime error: invalid memory address or nil pointer dereference")


@pytest.mark.parametrize("approved", [CANDIDATES, []], ids=["all", "none"])
def test_a_branch_from_the_cache_is_never_complete(old, approved):
    server = Server()
    server.run(old, make_stages(approved=approved))
    again = server.run(old, make_stages(approved=approved))
    (reason,) = again.list_reasons()
    assert again.state == "Failed" and "processing OneOf: No successful task found" in reason


def test_a_no_sft_candidate_and_the_reference_are_one_artifact(old):
    stages = make_stages([REFERENCE, *CANDIDATES], [REFERENCE, *CANDIDATES])
    server = Server()
    slow = server.run(old, stages, seconds=lambda stage, given: 60.0)
    assert slow.state == "Succeeded"  # both measured at the same time: two artifacts
    for run in (Server().run(old, stages), server.run(old, stages)):
        (reason,) = run.list_reasons()
        assert reason.startswith("gate: driver: failed to lookup existing execution") and 'name=""' in reason
        assert reason.endswith("as measured and as reference)")


def test_an_empty_loop_fails_in_whatever_collects_it(old):
    run = Server().run(old, make_stages(candidates=[]))
    (reason,) = run.list_reasons()
    assert run.state == "Failed" and reason.startswith("gate: driver: subTaskName, predictors_")


def test_retries_of_a_task_repeat_a_lost_pod_and_never_a_process_that_died(old):
    spec = copy.deepcopy(old.spec)
    spec["root"]["dag"]["tasks"]["sft"]["retryPolicy"] = {"maxRetryCount": 2, "backoffDuration": "60s"}
    retried = dataclasses.replace(old, spec=spec)
    calls = []

    def end(error, times):
        def sft(given):
            calls.append(given["candidate"])
            if given["candidate"] == REFERENCE and calls.count(REFERENCE) <= times:
                raise error
            return {"model": 1, "record": 1}

        return sft

    run = Server().run(retried, make_stages() | {"sft": end(Exit("exit code 3"), 1)})
    assert run.state == "Failed" and run.tasks[("sft",)].attempts == 1
    calls.clear()
    run = Server().run(retried, make_stages() | {"sft": end(PodLost(), 2)})
    assert run.state == "Succeeded" and run.tasks[("sft",)].attempts == 3


def test_the_workflow_outgrows_argo_long_before_the_48_candidates_that_plan_allowed(old):
    run = Server().run(old, make_stages())
    nodes = run.write_workflow().nodes
    assert run.nodes == len(nodes) == 252
    assert count_packed_bytes(nodes) == pytest.approx(205_000, rel=0.12)  # its texts were longer than the ones here
    many = [write_candidate(f"random-256x{n}-lr0.001-s0") for n in range(48)]
    size = Server().run(old, make_stages(many, many)).weigh()
    assert size.nodes == 252 + 45 * 62 and size.bytes > 1.5 * LIMITS["bytes"] and size.list_exceeded() == ["bytes"]
