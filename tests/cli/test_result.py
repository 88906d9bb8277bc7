"""What a run came to, on a terminal: the answer, every score with its interval, and what failed."""

import contextlib
import dataclasses

import pytest

from rlready.analysis.sweep_result import SweepResult
from rlready.cli.result import end_with, print_outcomes
from rlready.records.outcome import (
    BenchmarkRecord,
    Candidate,
    Failure,
    Outcome,
    PredictorsRecord,
    RlRecord,
    SampleStatistics,
)
from rlready.records.verdicts import GateNumbers, Verdict
from rlready.stages.report.document import render_markdown
from rlready.stages.report.report import compose

MEASURED = PredictorsRecord(
    generalization_loss=0.4,
    curve=[[1, 0.1], [2, 0.2]],
    intervals={"1": [0.05, 0.2], "2": [0.1, 0.35]},
    by_products=SampleStatistics(truncated=0.03, unreadable=0.125),
)


def make_outcome(name, score, interval, error=0.01, decision="approved"):
    candidate = Candidate(name, 1, "random", 8, 1e-3, 0)
    verdict = Verdict(name, decision, decision == "approved", "a reason", numbers=GateNumbers(k=2))
    scored = BenchmarkRecord(score, error, interval, truncated=0.999, unreadable=1.0)
    return Outcome(candidate, predictors=MEASURED, verdict=verdict, benchmark=None if score is None else scored)


def read_lines(capsys, *outcomes, **parameters):
    base = make_outcome("base", 0.0, [0.0, 0.178], 0.0)
    print_outcomes(SweepResult(list(outcomes), dataclasses.replace(base, verdict=None), parameters))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_every_score_has_its_interval_and_the_shares_of_lost_answers(capsys):
    lead, header, *lines = read_lines(capsys, make_outcome("a", 0.44, [0.42, 0.46]), sampling_max_tokens=24)
    assert lead == (
        "The scores say little: > 99% of the samples were truncated by the length limit; raise sampling_max_tokens (now 24)."
    )
    shown = "0.100 [0.05, 0.20] 3/12% 0.200 [0.10, 0.35] 0.400"
    assert lines[0] == f"a {shown} approved 0.440 [0.420, 0.460] > 99/100%"
    assert lines[1] == f"base model, no RL {shown} – 0.000 [0.000, 0.178] > 99/100%"


def test_rl_that_had_nothing_to_learn_from_is_said(capsys):
    silent = RlRecord([[10, 0.0]], 10, stopped="no signal: all rewards equal in all 10 steps; stopped after 10 of 30")
    rows = [dataclasses.replace(make_outcome(name, 0.1, [0.0, 0.2]), rl=silent) for name in "ab"]
    sweep = SweepResult([*rows, make_outcome("c", 0.3, [0.2, 0.4])], make_outcome("base", 0.0, [0.0, 0.178]), {})
    lines = read_lines(capsys, *sweep.outcomes)
    assert sum("approved (RL without signal)" in line for line in lines) == 2
    assert lines[-1] == f"RL of a, b had {silent.stopped}."
    page = render_markdown(compose(sweep))
    assert f"RL of a, b had {silent.stopped}." in page and "approved (RL without signal)" in page
    assert f"| {silent.stopped}; a reason |" in page


def test_what_failed_is_named_with_the_way_to_try_again(capsys):
    good, bad = (make_outcome(name, None, None) for name in ("good", "bad"))
    bad = dataclasses.replace(bad, failure=Failure("rl", "diverged"))
    lines = read_lines(capsys, dataclasses.replace(good, failure=Failure("sft", "out of memory"), verdict=None), bad)
    assert lines[0] == "No candidate has a result: all failed."
    assert any(line.startswith("good") and "SFT failed" in line for line in lines)
    assert any(line.startswith("bad") and "approved (RL failed)" in line for line in lines)
    assert lines[-3:-1] == ["good: SFT failed: out of memory", "bad: RL failed: diverged"]
    assert """sweep_attempts='{"good": 2, "bad": 2}'""" in lines[-1]


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        (("approved", "rejected"), None),
        (("approved", "failed"), 3),
        (("rejected", "undecided"), 4),
        (("rejected", "failed"), 4),
        (("rejected", "audited"), None),
        (("failed", "failed"), 2),
    ],
)
def test_the_exit_status_says_how_the_candidates_ended(ends, status):
    outcomes = []
    for end in ends:
        outcome = make_outcome(end, 0.1, None, decision="rejected" if end in ("failed", "audited") else end)
        verdict = dataclasses.replace(outcome.verdict, proceed=outcome.verdict.proceed or end == "audited")
        failure = Failure("sft", "why") if end == "failed" else None
        outcomes.append(dataclasses.replace(outcome, verdict=verdict, failure=failure))
    with pytest.raises(SystemExit) if status else contextlib.nullcontext() as exit:
        end_with(SweepResult(outcomes, None, {}))
    assert status is None or exit.value.code == status
