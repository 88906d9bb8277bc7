"""Records cross stages whole or not at all, and outcomes that contradict their verdicts are refused."""

import dataclasses
import re
import subprocess
import sys

import pytest

from rlready.errors import InputError
from rlready.records.outcome import (
    BenchmarkRecord,
    Candidate,
    FalsePositives,
    LengthQuarter,
    Outcome,
    PredictorsRecord,
    SftRecord,
)
from rlready.records.serialization import from_json, identify_work, parse_record, read_record, to_json, to_values

CANDIDATE = Candidate("c", 1, "random", 8, 1e-3, 0)


def test_a_record_survives_and_what_is_not_finite_becomes_null():
    record = BenchmarkRecord(
        float("nan"), float("inf"), [0.1, 0.9], 0.5, problems=4, engine="vllm", seconds=1.0, device="CPU thread"
    )
    assert from_json(BenchmarkRecord, to_json(record)) == dataclasses.replace(record, pass_at_1=None, standard_error=None)


def test_a_record_never_holds_a_number_that_is_not_finite():
    nan = float("nan")
    outcome = Outcome(
        CANDIDATE,
        SftRecord([[0, 1.0], [1, nan]]),
        PredictorsRecord(generalization_loss=nan, loss_interval=[nan, 1.0], intervals={"1": [nan, 1]}),
    )
    assert outcome.sft.trajectory == [[0, 1.0], [1, None]]
    assert outcome.predictors.generalization_loss is None and outcome.predictors.loss_interval == [None, 1.0]
    assert from_json(Outcome, to_json(outcome)) == outcome


def test_another_try_goes_on_from_the_checkpoints_of_the_last():
    again = dataclasses.replace(CANDIDATE, attempt=2)
    assert identify_work(again) == identify_work(CANDIDATE) and to_json(again) != to_json(CANDIDATE)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"candidate": 1}', to_json(CANDIDATE).replace("seed", "sead")])
def test_what_is_not_the_record_is_refused(text):
    with pytest.raises(InputError, match="not a Candidate"):
        from_json(Candidate, text)


MEASURED = PredictorsRecord(
    problems=2,
    samples=4,
    correct=[1, 4],
    curve=[[1, 0.625]],
    problem_ids=["a", "b"],
    losses=[(1.5, 3)],
    intervals={"1": [0, 1]},
)
WRONG = {
    "samples": [
        (None, "a whole number"),
        ("8", "a whole number"),
        (4.0, "a whole number"),
        (True, "a whole number"),
        (-1, "0 or"),
    ],
    "correct[0]": [(1.5, "a whole number"), (None, "a whole number"), (-1, "0 or more"), (10**30, "a whole number")],
    "correct": [({}, "a list"), ("14", "a list")],
    "curve[0]": [([1], "k and Pass@k"), ([1, 2.0], "k and Pass@k"), ([0, 0.5], "k and Pass@k")],
    "losses[0]": [([1.5], "a list of 2"), (1, "a list of 2")],
    "losses[0][0]": [(float("nan"), "a finite number"), (float("inf"), "a finite number"), (-1.0, "0 or more")],
    "intervals.1": [([0.5, 0.1], "the lower one first"), ([0.5], "two numbers"), ([0, 0.5, 1], "two numbers")],
    "by_products.truncated": [(1.2, "between 0 and 1"), ("0.1", "a finite number"), (False, "a finite number")],
    "problem_ids[1]": [(7, "a text"), (None, "a text")],
    "by_products": [(None, "an object"), ([], "an object")],
}


@pytest.mark.parametrize(("key", "value", "expected"), [(key, *wrong) for key in WRONG for wrong in WRONG[key]])
def test_a_value_of_another_type_is_refused_by_its_key(key, value, expected):
    values = to_values(Outcome(CANDIDATE, predictors=MEASURED))
    assert parse_record(Outcome, values) == Outcome(CANDIDATE, predictors=MEASURED)
    *above, last = re.findall(r"\w+", f"predictors.{key}")
    holder = values
    for name in above:
        holder = holder[int(name)] if isinstance(holder, list) else holder[name]
    holder[int(last) if isinstance(holder, list) else last] = value
    with pytest.raises(InputError, match=rf"^predictors\.{re.escape(key)}: .*{expected}"):
        parse_record(Outcome, values)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"correct": [1, 5]}, "5 right samples of 4 are impossible"),
        ({"problem_ids": ["a"]}, "of 1 and 2 problems"),
        ({"problems": 3}, "of 2 and 3 problems"),
        ({"curve": [[1, 0.5]]}, "Pass@1 is 0.5, but 0.625 by the right samples"),
        ({"false_positives": FalsePositives(3, 2, 0.5, 0.1, 0.9)}, "more were accepted than checked"),
        ({"loss_by_length": [LengthQuarter(0.5, low=0.9, high=0.1)]}, r"low \(0.9\) lies above high \(0.1\)"),
    ],
)
def test_values_that_contradict_each_other_are_refused(changes, fault):
    with pytest.raises(InputError, match=f"^predictors.*{fault}"):
        from_json(Outcome, to_json(Outcome(CANDIDATE, predictors=dataclasses.replace(MEASURED, **changes))))


def test_another_schema_is_refused():
    with pytest.raises(InputError, match="schema 1"):
        from_json(Outcome, to_json(dataclasses.replace(Outcome(CANDIDATE), schema=1)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nothing.json"):
        read_record(Candidate, tmp_path / "nothing.json")


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")
    code = (
        "import resource, signal; from rlready.records.serialization import write_atomically;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        f"write_atomically({str(path)!r}, 'x' * 5000)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode != 0 and "File too large" in ended.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"] and path.read_text() == "old"
