"""What RL changed: the same problems before and after it, the off-target benchmarks apart from the score."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.training import curate_few

from rlready.analysis.comparison import read_row
from rlready.analysis.effect import Change, describe_lost, list_changes
from rlready.config import parse_parameters, read_settings, write_settings
from rlready.gate.lead import Lead
from rlready.models.load import BUILTIN
from rlready.records.outcome import BenchmarkRecord, Candidate, EffectRecord, Outcome, PredictorsRecord, RlRecord
from rlready.records.serialization import from_json, to_json
from rlready.stages.benchmark.stage import measure
from rlready.stages.report.candidates import describe_effect
from rlready.tracking.figures import list_metrics

CANDIDATE = Candidate("c", 1, "random", 8, 1e-3, 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two benchmarks, of which one is off target."""
    folder = curate_few(tmp_path_factory.mktemp("data") / "data", 8)
    rows = pq.read_table(folder / "benchmark.parquet").to_pylist()
    rows = [row | {"benchmark": f"b{n % 2}", "off_target": (n % 2) or None} for n, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "benchmark.parquet")
    return folder


def test_the_checkpoint_before_rl_is_scored_on_the_same_problems(data, tiny_model, tmp_path, monkeypatch):
    given = {"sampling_max_tokens": 40, "benchmark_samples": 4, "benchmark_coverage_samples": 8}
    settings = read_settings(write_settings(parse_parameters(given), "benchmark"))
    after, start = str(BUILTIN["builtin:list-machine"]), str(tiny_model)
    alone, nothing = measure(CANDIDATE, settings, data, after, tmp_path / "alone")
    with monkeypatch.context() as patched:
        patched.setenv("RLREADY_EVENTS", str(tmp_path / "events"))
        scored, effect = measure(CANDIDATE, settings, data, after, tmp_path / "both", start)
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    done = [event["done"] for event in events]
    assert {event["total"] for event in events} == {2 * 8 * 5 + 8 * 8} and done == sorted(done) and done[-1] == 144
    assert nothing is None and dataclasses.replace(alone, seconds=scored.seconds) == scored
    assert scored.problems == 4 and [name for name, *_ in scored.benchmarks] == ["b0"] and scored.kept.rows == 4 * 5
    assert effect.before.problem_ids == scored.problem_ids and effect.before.pass_at_1 == 0  # it has learned nothing
    assert [name for name, *_ in effect.off_target.benchmarks] == ["b1"]
    assert effect.off_target_before.problem_ids == effect.off_target.problem_ids
    assert not set(effect.off_target.problem_ids) & set(scored.problem_ids)
    assert effect.predictors.samples == 8 and effect.predictors.get_pass_at(8) > 0
    # Before RL the same model would have drawn the same samples.
    _, same = measure(CANDIDATE, settings, data, after, tmp_path / "same", after)
    assert (same.before.correct, same.off_target_before.correct) == (scored.correct, effect.off_target.correct)
    assert from_json(EffectRecord, to_json(effect)) == effect
    assert not list((tmp_path / "checkpoints").iterdir())


def make_benchmark(correct, name=""):
    ids = [f"{name}{n}" for n in range(len(correct))]
    mean = sum(correct) / len(correct) / 4
    parts = [[name, len(correct), mean, 0.1, mean]] if name else []
    return BenchmarkRecord(mean, benchmarks=parts, samples=4, problems=len(ids), problem_ids=ids, correct=correct)


def make_predictors(correct, samples):
    return PredictorsRecord(samples=samples, correct=correct, problem_ids=[str(n) for n in range(len(correct))])


@pytest.fixture
def row():
    before, after = make_benchmark([1] * 40), make_benchmark([3] * 40)
    off = [make_benchmark(correct, "law") for correct in ([3] * 40, [1] * 40)]
    effect = EffectRecord(before, *off, make_predictors([8] * 20 + [0] * 20, 8))
    rl = RlRecord([], steps=9, kept_step=6, kept_why="step 6, the best in validation")
    outcome = Outcome(CANDIDATE, predictors=make_predictors([8] * 21 + [0] * 19, 16), benchmark=after, effect=effect, rl=rl)
    return read_row(outcome, 8)


def test_what_rl_gained_and_broke_is_said_clearly_or_perhaps(row):
    gained, off, coverage = list_changes(row, 8)
    assert (gained.what, gained.before, gained.after, gained.said) == ("Pass@1", 0.25, 0.75, "gained")
    assert (off.what, off.said) == ("law (off target)", "lost") and off.gain.high < 0
    assert coverage.what == "Pass@8 of the predictors' problems" and coverage.said == "perhaps lost"
    assert list_changes(row, 64)[2].what == coverage.what  # no more samples were drawn after RL
    (section,) = describe_effect([row], 8)
    assert section.texts == ["Clearly lower after RL: c (law (off target))."]
    assert section.table[1][1].endswith(": gained")
    assert section.notes[1] == "c: kept step 6, the best in validation."
    for why, notes in (("the last step (rl_keep: last)", 1), ("the last step (rl_keep: last), although clearly worse", 2)):
        last = dataclasses.replace(row.outcome.rl, kept_step=9, kept_why=why)
        (section,) = describe_effect([read_row(dataclasses.replace(row.outcome, rl=last), 8)], 8)
        assert len(section.notes) == notes
    logged = {name: value for name, _, value in list_metrics(row.outcome, "candidate")}
    assert logged["rl/gain_over_start"] == 0.5 and logged["rl/gain_over_start_low"] > 0 and logged["rl/kept_step"] == 6
    assert (logged["off_target/before_pass_at_1"], logged["off_target/after_pass_at_1"]) == (0.75, 0.25)


def test_each_off_target_benchmark_has_problems_of_its_own_and_coverage_the_gates_k(row):
    sides = []
    for correct in ([3] * 40, [1] * 40):
        law, art = make_benchmark([2] * 40, "law"), make_benchmark(correct, "art")
        ids = law.problem_ids + art.problem_ids
        both = {"benchmarks": law.benchmarks + art.benchmarks, "problem_ids": ids, "correct": law.correct + art.correct}
        sides.append(BenchmarkRecord(None, samples=4, **both))
    effect = EffectRecord(row.outcome.effect.before, *sides, make_predictors([6] * 20 + [0] * 20, 6))
    changes = list_changes(read_row(dataclasses.replace(row.outcome, effect=effect), 6), 6)
    assert [(change.what, change.said) for change in changes[1:3]] == [
        ("law (off target)", "the same"),
        ("art (off target)", "lost"),
    ]
    assert changes[3].what == "Pass@6 of the predictors' problems"


@pytest.mark.parametrize("side", ["off_target_before", "off_target"])
def test_counts_on_one_side_only_leave_a_gain_that_is_not_paired(row, side):
    counted = getattr(row.outcome.effect, side)
    bare = dataclasses.replace(counted, correct=None, problem_ids=None)
    paired = list_changes(row, 8)[1].gain
    for record, gains in ((bare, [-0.5]), (None, [])):
        effect = dataclasses.replace(row.outcome.effect, **{side: record})
        found = list_changes(read_row(dataclasses.replace(row.outcome, effect=effect), 8), 8)
        assert [change.gain.ahead for change in found[1:-1]] == gains
        assert all(change.gain.low < paired.low for change in found[1:-1])


def test_what_is_unknown_is_not_said_to_be_the_same(row):
    assert Change("x", 0.5, 0.5, Lead(0.0, -0.1, 0.1)).said == "the same"
    assert Change("x", 0.5, 0.6, Lead(0.1)).said == "unknown"
    unknown, known = Change("x", 0.5, 0.1, Lead(-0.4)), Change("y", 0.5, 0.5, Lead(0.0, -0.1, 0.1))
    said = "Unknown for a, in part or whole: there is no interval."
    assert describe_lost({"a": [unknown]}) == [said]
    assert describe_lost({"a": [unknown], "b": [known]}) == ["Nothing is clearly lower after RL.", said]
    older = read_row(dataclasses.replace(row.outcome, effect=None), 8)
    assert list_changes(older, 8) == [] and describe_effect([older], 8) == []
