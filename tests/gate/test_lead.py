"""How far one is ahead of another: paired where both have counts, the fallback by hand, and unknown never a number."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlready.gate.lead import GREEDY, LOSS, SCORE, Lead, measure_lead
from rlready.records.outcome import BenchmarkRecord, Candidate, ElsewhereRecord, Outcome, PredictorsRecord
from rlready.stats.difference import estimate_difference
from rlready.stats.intervals import Z95

CANDIDATE = Candidate("c", 1, "random", 8, 1e-3, 0)


def make_scored(*figures, **more):
    return Outcome(CANDIDATE, benchmark=BenchmarkRecord(*figures, **more))


def test_without_counts_two_standard_errors_are_joined_as_if_of_different_problems():
    lead = measure_lead(make_scored(0.6, 0.03), make_scored(0.5, 0.04), SCORE)
    assert lead == pytest.approx((0.1, 0.1 - Z95 * 0.05, 0.1 + Z95 * 0.05)) and lead.sure
    wide = measure_lead(make_scored(0.6, 0.03), make_scored(0.5, 0.04), SCORE, level=0.99)
    assert wide.low == pytest.approx(0.1 - 2.5758 * 0.05, abs=1e-4) and not wide.sure
    skewed = measure_lead(make_scored(0.0, 0.0, [0.0, 0.2]), make_scored(0.3, None, [0.2, 0.5]), SCORE)
    assert skewed == pytest.approx((-0.3, -0.5, -0.3 + math.hypot(0.2, 0.1)))
    elsewhere = Outcome(CANDIDATE, elsewhere=ElsewhereRecord(0.6, 0.03))
    assert measure_lead(elsewhere, make_scored(0.5, 0.04), SCORE) == lead


def test_before_rl_the_problems_are_paired():
    one, other = (Outcome(CANDIDATE, predictors=PredictorsRecord(samples=4, correct=c)) for c in ([4, 0, 2], [4, 0, 1]))
    assert measure_lead(one, other, "pass_at_1")[1:] == estimate_difference([1, 0, 0.5], [1, 0, 0.25])
    assert measure_lead(one, other, "pass_at_k", 2).ahead == pytest.approx((5 / 6 - 1 / 2) / 3)
    assert measure_lead(one, other, "pass_at_k", 5) == Lead(None)


def make_counted(correct, greedy=None, ids=None, samples=4, **more):
    shares = np.array(correct) / samples
    error = shares.std(ddof=1) / math.sqrt(len(shares))
    ids = list(range(len(correct))) if ids is None else ids
    more = {"pass_at_1": float(shares.mean())} | more
    more |= {"greedy_correct": greedy, "greedy_pass_at_1": greedy and float(np.mean(greedy)), "samples": samples}
    more |= {"correct": correct, "problems": len(correct), "problem_ids": ids}
    return Outcome(CANDIDATE, benchmark=BenchmarkRecord(standard_error=float(error), **more))


def test_after_rl_the_problems_are_paired_as_in_the_demo():
    """As in the demo: 128 problems that are hard for both or for none, and one model a little better."""
    generator = np.random.default_rng(8)
    shared = generator.normal(0.3, 1.0, 128)
    one, other = (
        make_counted(generator.binomial(8, 1 / (1 + np.exp(-shared - up - generator.normal(0, 0.5, 128)))).tolist(), samples=8)
        for up in (0.18, -0.18)
    )
    apart = [dataclasses.replace(o, benchmark=dataclasses.replace(o.benchmark, correct=None)) for o in (one, other)]
    paired, unpaired = measure_lead(one, other, SCORE), measure_lead(*apart, SCORE)
    assert paired.ahead == unpaired.ahead
    errors = [lead.ahead / ((lead.high - lead.low) / 2 / Z95) for lead in (unpaired, paired)]
    assert (paired.ahead, *errors) == pytest.approx((0.073, 2.2, 3.5), abs=0.05)
    elsewhere = make_counted(other.benchmark.correct, samples=8, ids=list(range(1, 129)))
    assert measure_lead(one, elsewhere, SCORE) == pytest.approx(unpaired)


def test_every_benchmark_of_a_suite_counts_the_same_and_greedy_answers_are_paired():
    suite = {"benchmarks": [["a", 2, 0.5, None, 0.5], ["b", 4, 0.5, None, 0.5]]}
    one = make_counted([4, 4, 0, 0, 0, 4], [1, 1, 0, 0, 0, 1], pass_at_1=0.625, **suite)
    other = make_counted([0, 0, 0, 0, 0, 4], [0, 1, 0, 0, 0, 1], pass_at_1=0.125, **suite)
    weights = [1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 8]
    expected = estimate_difference([1, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1], None, weights)
    assert measure_lead(one, other, SCORE) == pytest.approx((0.5, *expected))
    low, high = estimate_difference([1, 1, 0, 0, 0, 1], [0, 1, 0, 0, 0, 1], None, weights)
    assert measure_lead(one, other, GREEDY)[1:] == pytest.approx((low, high))
    grouped = dataclasses.replace(one.benchmark, groups=[0, 0, 1, 1, 2, 2]), other.benchmark
    wider = measure_lead(*(Outcome(CANDIDATE, benchmark=benchmark) for benchmark in grouped), SCORE)
    assert wider.high - wider.low > expected[1] - expected[0]
    other_problems = make_counted([0] * 6, [0] * 6, ids=list("uvwxyz"))
    alone, as_groups = (
        measure_lead(Outcome(CANDIDATE, benchmark=b), other_problems, GREEDY) for b in (one.benchmark, grouped[0])
    )
    assert as_groups.high - as_groups.low > alone.high - alone.low


def test_the_loss_of_one_example_has_no_interval():
    one, other = (
        Outcome(CANDIDATE, predictors=PredictorsRecord(generalization_loss=nats, losses=[(2 * nats, 2)])) for nats in (0.5, 0.4)
    )
    assert measure_lead(other, one, LOSS) == (pytest.approx(0.1), None, None)


def test_losses_of_other_examples_are_not_paired():
    losses = [(1.0, 2), (0.5, 2), (0.3, 1)]
    one, other = (
        Outcome(CANDIDATE, predictors=PredictorsRecord(generalization_loss=0.4, loss_interval=[0.3, 0.5], losses=some))
        for some in (losses, losses[:2])
    )
    wide = 0.1 * math.sqrt(2)
    assert measure_lead(one, other, LOSS) == pytest.approx((0.0, -wide, wide))


MISSING = st.one_of(st.none(), st.just(math.nan))
SHARES = st.floats(0, 1, width=16)
RESULTS = st.one_of(
    st.builds(make_scored, SHARES | MISSING, st.floats(0, 0.25, width=16) | MISSING, greedy_pass_at_1=SHARES | MISSING,
              problems=st.none() | st.integers(1, 40)),
    st.builds(lambda share, error: Outcome(CANDIDATE, elsewhere=ElsewhereRecord(share, error)), SHARES, SHARES | MISSING),
    st.builds(lambda counts, loss, ends: Outcome(CANDIDATE, predictors=PredictorsRecord(
        generalization_loss=loss, loss_interval=None if loss is None else ends, samples=4, correct=counts)),
        st.lists(st.integers(0, 4), min_size=6, max_size=6) | st.just([]), SHARES | MISSING,
        st.just([0.0, 2.0]) | st.just([None, 2.0]) | st.none()),
    st.just(Outcome(CANDIDATE)),
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(RESULTS, RESULTS, st.sampled_from([SCORE, GREEDY, LOSS, "pass_at_1", "pass_at_k"]))
def test_swapping_two_swaps_all_signs_and_unknown_is_never_a_number(one, other, by):
    lead, back = measure_lead(one, other, by, 2), measure_lead(other, one, by, 2)
    assert (lead.ahead is None) == (back.ahead is None) and (lead.low is None) == (back.low is None)
    assert not (lead.sure and back.sure)
    if lead.ahead is None:
        assert lead == Lead(None) and not lead.sure
        return
    assert lead.ahead == pytest.approx(-back.ahead)
    for outcome in (one, other):
        assert outcome != Outcome(CANDIDATE)  # of nothing nothing is known
    if lead.low is not None:
        assert np.isfinite(lead[:3]).all() and (lead.low, lead.high) == pytest.approx((-back.high, -back.low))
        assert lead.low <= lead.ahead <= lead.high
    if by == SCORE and None in [r.standard_error for o in (one, other) if (r := o.benchmark or o.elsewhere)]:
        assert lead.low is None and not lead.sure
