"""The estimators against rational arithmetic, scipy and simulated studies, and the errors that replace a wrong number."""

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from helpers.populations import EXTREME, SPREAD, draw_studies

from rlready.errors import InputError
from rlready.evaluation.suite import estimate_standard_error, list_groups
from rlready.stats.intervals import estimate_interval, estimate_intervals
from rlready.stats.pass_at_k import correct_curve, estimate_curve, estimate_pass_at_k, estimate_zero_variance


def test_curve_equals_rational_arithmetic_for_all_counts_up_to_64():
    for n in range(1, 65):
        chosen = [[comb(m, k) for k in range(1, n + 1)] for m in range(n + 1)]
        exact = [[float(1 - Fraction(chosen[n - c][i], chosen[n][i])) for i in range(n)] for c in range(n + 1)]
        np.testing.assert_allclose(estimate_curve(range(n + 1), n), exact, rtol=0, atol=1e-12)


def test_formula_is_the_share_of_subsets_with_a_right_sample():
    n, c = 7, 2
    for k in range(1, n + 1):
        subsets = list(combinations(range(n), k))
        share = sum(min(s) < c for s in subsets) / len(subsets)
        assert estimate_pass_at_k([c], n, k).value == pytest.approx(share, abs=1e-12)


def test_zero_variance_is_the_share_of_groups_with_one_reward():
    for n, g in ((7, 3), (8, 8), (5, 1)):
        groups = [[sum(i < c for i in some) for some in combinations(range(n), g)] for c in range(n + 1)]
        share = np.mean([np.isin(right, (0, g)).mean() for right in groups])
        assert estimate_zero_variance(range(n + 1), n, g) == pytest.approx(share)
    assert estimate_zero_variance([1], 4, 5) is None
    # What GRPO meets with 8 completions of such problems is said from 256 samples, of which 5 % have one reward.
    rates = np.random.default_rng(0).beta(0.5, 1, 4000)
    found = estimate_zero_variance(np.random.default_rng(1).binomial(256, rates), 256, 8)
    assert found == pytest.approx(np.mean(rates**8 + (1 - rates) ** 8), abs=0.005) and found > 0.35


@pytest.mark.parametrize(
    ("correct", "samples", "k", "message"),
    [
        ([1], 4, 5, "needs at least 5 samples"),
        ([1], 4, 0, "needs at least 0 samples"),
        ([1], 4, 1.5, "whole k"),
        ([0, 5], 4, 1, "problem 1: 5 right samples, but counts go from 0 to n = 4"),
        ([0, -1], 4, 1, "problem 1: -1 right samples, but counts go from 0 to n = 4"),
        ([0, 1, 0.5], 4, 1, "problem 2: 0.5 right samples, but Pass@k needs whole counts"),
        ([0, None], 4, 1, "problem 1: the count of right samples is missing"),
        ([float("nan"), 1], 4, 1, "problem 0: the count of right samples is missing"),
        ([float("inf"), 1], 4, 1, "problem 0: inf right samples"),
        ([0, "many"], 4, 1, "one count of right samples per problem"),
        ([[0, 1], [1]], 4, 1, "one count of right samples per problem"),
        (3, 4, 1, "one count of right samples per problem"),
        ([0, 1, 2], [4, 4, 3], 1, "the same for all problems: problem 2 has 3, problem 0 has 4"),
        ([0, 1], [4, 4], 1, "one whole number of samples"),
        ([1], 4.0, 1, "whole number of samples per problem, got 4.0"),
        ([1], None, 1, "whole number of samples per problem, got None"),
        ([1], 0, 1, "at least one problem and one sample"),
        ([], 4, 1, "at least one problem"),
    ],
)
def test_what_gives_no_estimate_is_an_error(correct, samples, k, message):
    with pytest.raises(InputError, match=message) as error:
        estimate_pass_at_k(correct, samples, k)
    assert "\n" not in str(error.value)


SIZES = [(n, k) for n in (16, 64, 128) for k in (1, 8, 64) if k <= n]


@pytest.mark.parametrize("name", [*SPREAD, *EXTREME])
def test_interval_covers_the_population_mean(name):
    rng = np.random.default_rng(7)
    for n, k in SIZES:
        values, truth = draw_studies((SPREAD | EXTREME)[name](k), n, k, rng)
        for problems in (32, 64, 128):
            low, high = estimate_intervals(values[:problems])
            coverage = ((low <= truth) & (truth <= high)).mean()
            print(f"{name:30} n {n:3} k {k:2} problems {problems:3}: Pass@k {truth:.3f} covered {coverage:.3f}")
            # 2,000 studies: the standard error of the coverage is half a point.
            assert coverage >= 0.93, (n, k, problems)
            if name in SPREAD and 0.05 < truth < 0.9:
                assert coverage <= 0.98, (n, k, problems)


def test_interval_keeps_its_width_when_nothing_or_everything_is_solved():
    low, high = estimate_interval([0.0] * 32)
    assert low == 0 and 0.08 < high < 0.13
    assert estimate_interval([1.0] * 32) == pytest.approx((1 - high, 1.0))
    low, high = estimate_interval([0.25] * 32)
    assert low < 0.22 and high > 0.28


def test_interval_of_one_problem_rules_out_little():
    low, high = estimate_interval([1.0])
    assert low < 0.3 and high == 1


def test_intervals_of_columns_equal_those_of_each():
    values = np.random.default_rng(0).beta(0.1, 3, (20, 6)).round(2)
    low, high = estimate_intervals(values, 0.9)
    np.testing.assert_allclose(np.array([low, high]).T, [estimate_interval(column, 0.9) for column in values.T], rtol=1e-9)


@pytest.mark.parametrize("families", [16, 64])
@pytest.mark.parametrize("alike", [1.0, 0.5, 0.0])
def test_the_interval_covers_where_problems_come_in_families(families, alike):
    rng, shape = np.random.default_rng(0), (families, 8, 1000)
    own, theirs = rng.beta(0.5, 0.5, shape), rng.beta(0.5, 0.5, (families, 1, 1000))
    chances = np.where(rng.random(shape) < alike, theirs, own).reshape(-1, 1000)
    low, high = estimate_intervals(rng.binomial(16, chances) / 16, groups=np.repeat(range(families), 8))
    assert ((low <= 0.5) & (high >= 0.5)).mean() >= 0.93


def test_copies_of_problems_add_nothing_and_single_problems_change_nothing():
    shares = np.random.default_rng(0).beta(0.5, 2, 20)
    alone, groups = estimate_interval(shares), np.repeat(range(20), 3)
    assert estimate_interval(shares, groups=list("abcdefghijklmnopqrst")) == alone
    assert estimate_interval(np.repeat(shares, 3), groups=groups) == pytest.approx(alone, abs=1e-9)
    error = shares.std(ddof=1) / 20**0.5
    assert estimate_standard_error(shares) == pytest.approx(error, rel=1e-12)
    assert estimate_standard_error(np.repeat(shares, 3), groups) == pytest.approx(error, rel=1e-12)
    assert estimate_standard_error(shares, [0] * 20) is None


@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        ([{"problem_id": "a"}, {"problem_id": "b"}, {}], None),
        ([{"problem_id": "a"}, {"problem_id": "b"}, {"problem_id": "a"}], [0, 1, 0]),
        (
            [{"problem_id": "a", "group": "t"}, {"problem_id": "b", "group": None}, {"problem_id": "c", "group": "t"}],
            [0, 1, 0],
        ),
        ([{"problem_id": "a", "group": "a"}, {"problem_id": "b", "group": "b"}], None),
        ([{"problem_id": "a", "group": "t"}, {"problem_id": "b", "group": "t"}], None),
    ],
)
def test_problems_are_grouped_by_what_they_come_from(rows, groups):
    assert list_groups(rows) == groups


@pytest.mark.parametrize(("values", "level"), [([], 0.95), ([0.5, float("nan")], 0.95), ([1.5], 0.95), ([0.5], 1), ([0.5], 0)])
def test_interval_needs_numbers_from_0_to_1(values, level):
    with pytest.raises(InputError):
        estimate_interval(values, level)


def test_a_rare_false_positive_makes_unsolved_problems_look_solved():
    rng = np.random.default_rng(2)
    correct = rng.binomial(256, 0.001, 50_000)
    apparent = (correct > 0).mean()
    assert apparent == pytest.approx(1 - 0.999**256, abs=0.008)
    assert round(1 - 0.999**256, 3) == 0.226
    assert correct_curve(correct, 256, 0.001)[-1] == pytest.approx(0, abs=0.012)


@pytest.mark.parametrize("rate", [0.001, 0.005])
def test_correction_is_unbiased(rate):
    rng = np.random.default_rng(3)
    n, problems, studies = 64, 32, 4000
    chances = rng.beta(0.3, 3, problems)
    verdicts = chances + (1 - chances) * rate
    curves = np.array([correct_curve(rng.binomial(n, verdicts), n, rate) for _ in range(studies)])
    truth = np.array([np.mean(1 - (1 - chances) ** k) for k in range(1, n + 1)])
    assert curves.min() > 0
    assert np.abs((curves.mean(axis=0) - truth) / (curves.std(axis=0) / studies**0.5)).max() < 4.5
    uncorrected = np.array([np.mean(1 - (1 - verdicts) ** k) for k in range(1, n + 1)])
    assert (uncorrected - truth)[-1] > 10 * abs(curves.mean(axis=0) - truth)[-1]


def test_clipping_lifts_the_estimate_by_what_the_docstring_says():
    rng = np.random.default_rng(4)
    ends = [correct_curve(rng.binomial(256, 0.001, 128), 256, 0.001)[-1] for _ in range(2000)]
    assert np.mean(ends) == pytest.approx(0.02, abs=0.003)


def test_correction_falls_with_the_rate_and_is_nothing_at_rate_0():
    correct = [0, 0, 1, 3, 16, 16]
    plain = estimate_curve(correct, 16).mean(axis=0)
    np.testing.assert_allclose(correct_curve(correct, 16, 0), plain, rtol=0, atol=1e-15)
    curves = [correct_curve(correct, 16, rate) for rate in (0, 0.001, 0.01, 0.05, 0.5, 0.99)]
    assert all((later <= earlier).all() for earlier, later in zip(curves, curves[1:], strict=False))
    assert (np.array(curves) >= 0).all()


@pytest.mark.parametrize("rate", [0.01, 0.95, 0.999])
def test_correction_equals_rational_arithmetic_also_if_k_wrong_samples_are_never_refused(rate):
    n, refused = 256, 1 - Fraction(rate)
    for correct in ([256, 256], [250, 256, 3], [0, 256], [0, 0]):
        for k in (1, 2, 64, 256):
            wrong = Fraction(sum(comb(n - c, k) for c in correct), len(correct) * comb(n, k))
            exact = float(max(Fraction(0), 1 - wrong / refused**k))
            assert correct_curve(correct, n, rate)[k - 1] == pytest.approx(exact, abs=1e-9)


def test_a_verifier_that_accepts_everything_or_was_not_checked_allows_no_correction():
    assert correct_curve([1], 4, 1.0) is None and correct_curve([1], 4, None) is None


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_correction_needs_a_rate(rate):
    with pytest.raises(InputError, match="false-positive rate"):
        correct_curve([1], 4, rate)
