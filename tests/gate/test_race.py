"""The race: who goes on after a part of RL, by brute force over counts, and what is refused."""

import numpy as np
import pytest

from rlready.config import Race
from rlready.errors import InputError
from rlready.gate.race import find_runner, judge_race, measure_race_lead
from rlready.records.outcome import Candidate, Failure, Outcome, RlRecord, ValidationPoint, ValidationRecord

PROBLEMS, SAMPLES, STEP = 60, 4, 100


def make_outcome(name, correct, steps=STEP, at=STEP, samples=SAMPLES, ids=None, unknown=None, **more):
    """Returns a candidate whose RL paused, with these right samples of each validation problem."""
    share = sum(correct) / samples / len(correct)
    points = [
        ValidationPoint(0, [0] * len(correct)),
        ValidationPoint(at, list(correct), share, unknown=unknown or [0] * len(correct)),
    ]
    ids = ids or [f"p{n}" for n in range(len(correct))]
    record = RlRecord([], steps, validation=ValidationRecord(points, samples, 2, ids), **more)
    return Outcome(Candidate(name, 1, "random", 8, 1e-3, 0), rl=record)


def draw(rng, level):
    """Returns right samples of problems that are equally hard for all candidates, shifted by a level."""
    hard = np.random.default_rng(0).normal(size=PROBLEMS)
    return rng.binomial(SAMPLES, 1 / (1 + np.exp(-hard - level))).tolist()


def judge(outcomes, keep=0, audit=0.0, run="r"):
    verdicts = judge_race(outcomes, Race(STEP, keep, audit), 0, run)
    return dict(zip((o.candidate.candidate_id for o in outcomes), verdicts, strict=True))


def test_those_clearly_behind_are_dropped_with_their_distance():
    rng = np.random.default_rng(1)
    outcomes = [make_outcome("low", draw(rng, -3)), make_outcome("high", draw(rng, 1)), make_outcome("near", draw(rng, 1))]
    found = judge(outcomes)
    assert [found[name].goes_on for name in ("high", "near", "low")] == [True, True, False]
    low, best = found["low"], min(("high", "near"), key=lambda name: found[name].place)
    assert low.place == 3 and low.lead < 0 and low.high < 0 and f"behind {best}, clearly" in low.reason
    assert found[best].place == 1 and found[best].lead == 0
    right = next(sum(o.rl.validation.points[1].correct) for o in outcomes if o.candidate.candidate_id == best)
    shown = f"{right / SAMPLES / PROBLEMS:.3f}"
    assert found[best].reason == f"ranked 1 of 3 after step {STEP}, validation Pass@1 {shown}"
    assert {verdict.propensity for verdict in found.values() if verdict.goes_on} == {1.0} and low.propensity == 0


def test_the_best_goes_on_in_any_order_and_the_budget_holds():
    rng = np.random.default_rng(2)
    outcomes = [make_outcome(f"c{n}", draw(rng, n / 4)) for n in range(6)]
    for keep in (1, 2, 5):
        one, other = judge(outcomes, keep), judge(outcomes[::-1], keep)
        assert one == other and 1 <= sum(verdict.goes_on for verdict in one.values()) <= keep
        best = min(one, key=lambda name: one[name].place)
        assert one[best].goes_on and all(verdict.place <= keep for verdict in one.values() if verdict.goes_on)
    tied = judge([make_outcome("b", [2] * PROBLEMS), make_outcome("a", [2] * PROBLEMS)], keep=1)
    assert (
        tied["a"].goes_on and not tied["b"].goes_on and "race_keep 1" in tied["b"].reason and "not clearly" in tied["b"].reason
    )


def test_equal_candidates_are_seldom_dropped():
    """Of five equal candidates in a race without a budget, none is dropped in 95% of races, whoever leads by luck."""
    rng, dropped = np.random.default_rng(3), 0
    for _ in range(200):
        found = judge([make_outcome(f"c{n}", draw(rng, 0.5)) for n in range(5)])
        dropped += any(not verdict.goes_on for verdict in found.values())
    assert dropped / 200 < 0.08  # two standard errors above 5%


def test_an_audit_draws_of_the_dropped_with_the_share_as_propensity():
    outcomes = [make_outcome("best", [4] * PROBLEMS)] + [make_outcome(f"c{n}", [1] * PROBLEMS) for n in range(4)]
    counts = dict.fromkeys(("c0", "c1", "c2", "c3"), 0)
    for run in range(400):
        found = judge(outcomes, audit=0.5, run=f"run-{run}")
        drawn = [name for name, verdict in found.items() if verdict.audited]
        assert len(drawn) == 2 and all(found[name].goes_on and found[name].propensity == 0.5 for name in drawn)
        assert all(verdict.propensity == 0.5 for name, verdict in found.items() if name != "best")
        for name in drawn:
            counts[name] += 1
    assert all(160 < count < 240 for count in counts.values())
    assert judge(outcomes, audit=0.5) == judge(outcomes, audit=0.5)


def test_failed_ones_do_not_race_and_one_that_ended_early_does():
    failed = Outcome(Candidate("failed", 1, "random", 8, 1e-3, 0), failure=Failure("rl", "diverged"))
    ended = make_outcome("ended", [3] * PROBLEMS, steps=40, at=40, stopped="no signal")
    found = judge([failed, ended, make_outcome("other", [3] * PROBLEMS)])
    assert not found["failed"].goes_on and found["failed"].reason == "rl failed: diverged" and found["failed"].place is None
    assert found["ended"].goes_on and found["ended"].step == 40 and found["other"].raced == 2
    assert not any(verdict.goes_on for verdict in judge([failed]).values())


def test_samples_without_a_verdict_drop_none():
    low = make_outcome("low", [1] * PROBLEMS, unknown=[3] * PROBLEMS)
    assert judge([make_outcome("high", [4] * PROBLEMS), low])["low"].goes_on
    assert not judge([make_outcome("high", [4] * PROBLEMS), make_outcome("low", [1] * PROBLEMS)])["low"].goes_on


def test_swapping_two_candidates_swaps_the_signs():
    rng = np.random.default_rng(4)
    outcomes = make_outcome("one", draw(rng, 0)), make_outcome("other", draw(rng, 1))
    one, other = (find_runner(outcome, STEP) for outcome in outcomes)
    lead, back = measure_race_lead(one, other, 1), measure_race_lead(other, one, 1)
    assert (lead.ahead, lead.low, lead.high) == pytest.approx((-back.ahead, -back.high, -back.low))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (make_outcome("c", [1] * PROBLEMS, ids=["x"] * PROBLEMS), "not validated on the same problems and samples"),
        (make_outcome("c", [1] * PROBLEMS, samples=8), "not validated on the same problems and samples"),
        (make_outcome("c", [1] * PROBLEMS, at=50), "c: not validated at step 100, so it cannot race"),
        (Outcome(Candidate("c", 1, "random", 8, 1e-3, 0), rl=RlRecord([], STEP)), "c: not validated at step 100"),
    ],
)
def test_what_cannot_be_compared_is_refused(other, message):
    with pytest.raises(InputError, match=message):
        judge([make_outcome("best", [4] * PROBLEMS), other])
