"""Records cross stages whole or not at all, and outcomes that contradict their verdicts are refused."""

import dataclasses
import subprocess
import sys

import pytest

from rlready.components.config import InputError
from rlready.components.core.records import (
    BenchmarkRecord,
    Candidate,
    Outcome,
    Result,
    Verdict,
    assemble,
    check_comparable,
    check_outcomes,
    from_json,
    read_record,
    to_json,
)

CANDIDATE = Candidate("c", 1, "random", 8, 1e-3, 0)
JUDGED = {"proceed": True, "decision": "approved"}


def test_a_record_survives_and_what_is_not_finite_becomes_null():
    record = BenchmarkRecord(
        CANDIDATE, float("nan"), float("inf"), [0.1, 0.9], 0.5, 0.0, [], 4, 2, 10, "vllm", 1.0, "CPU thread", 1
    )
    assert from_json(BenchmarkRecord, to_json(record)) == dataclasses.replace(
        record, pass_at_1=None, standard_error=None
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"candidate": 1}', to_json(CANDIDATE).replace("seed", "sead")])
def test_what_is_not_the_record_is_refused(text):
    with pytest.raises(InputError, match="not a Candidate"):
        from_json(Candidate, text)


def test_another_schema_is_refused():
    with pytest.raises(InputError, match="schema 1"):
        from_json(Outcome, to_json(dataclasses.replace(Outcome(CANDIDATE), schema=1)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nothing.json"):
        read_record(Candidate, tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        ([], "planned, but has no verdict"),
        ([Outcome(CANDIDATE)], "planned, but has no verdict"),
        ([Outcome(CANDIDATE, verdict=JUDGED)], "said run RL, but RL did not run"),
        ([Outcome(CANDIDATE, verdict=JUDGED, rl={})], "said run RL, but RL did not run"),
        (
            [Outcome(CANDIDATE, verdict=JUDGED | {"proceed": False}, rl={}, benchmark={})],
            "said do not run RL, but RL ran",
        ),
    ],
)
def test_what_ran_must_be_what_the_gate_decided(outcomes, message):
    with pytest.raises(InputError, match=message):
        check_outcomes(outcomes, [CANDIDATE])
    check_outcomes([Outcome(CANDIDATE, verdict=JUDGED, rl={}, benchmark={})], [CANDIDATE])


VERDICT = Verdict("c", "approved", True, "", "enforce", 1.0, False, {})


def test_an_outcome_is_put_together_from_what_each_stage_said():
    measured = Outcome(CANDIDATE, sft={"steps": 1}, links={"sft_model": "a"})
    (whole,) = assemble([measured], [VERDICT], [Result("c", {"steps": 2}, {"pass_at_1": 0.5}, {"rl_model": "b"})])
    assert whole.verdict == dataclasses.asdict(VERDICT) and whole.rl == {"steps": 2}
    assert whole.links == {"sft_model": "a", "rl_model": "b"} and whole.sft == {"steps": 1}
    assert assemble([measured], [VERDICT], [])[0].rl is None


def test_what_was_not_measured_has_no_verdict_and_no_result():
    with pytest.raises(InputError, match="c: has a verdict, but was not measured"):
        assemble([], [VERDICT], [])
    with pytest.raises(InputError, match="c: has a result, but was not measured"):
        assemble([], [], [Result("c", None, {}, {})])


def test_outcomes_of_another_experiment_are_named():
    reference = Outcome(CANDIDATE, measurement="here")
    with pytest.raises(InputError, match=r"c: measured in another experiment \(there\) than the base model \(here\)"):
        check_comparable([reference, Outcome(CANDIDATE, measurement="there")], reference)


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")
    code = (
        "import resource, signal; from rlready.components.core.records import write_atomically;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        f"write_atomically({str(path)!r}, 'x' * 5000)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode != 0 and "File too large" in ended.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"] and path.read_text() == "old"
