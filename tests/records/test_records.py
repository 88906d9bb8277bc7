"""Records cross stages whole or not at all, and outcomes that contradict their verdicts are refused."""

import dataclasses
import subprocess
import sys

import pytest

from rlready.errors import InputError
from rlready.records.outcome import BenchmarkRecord, Candidate, Outcome, PredictorsRecord, SftRecord
from rlready.records.serialization import from_json, identify_work, read_record, to_json

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
