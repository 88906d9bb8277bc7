"""The estimator against rational brute force, and the errors that keep it from giving a number it cannot."""

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest

from rlready.components.config import InputError
from rlready.components.core.pass_at_k import bootstrap_interval, estimate_curve, estimate_pass_at_k


def test_curve_equals_rational_arithmetic_for_all_counts_up_to_32():
    for n in range(1, 33):
        curves = estimate_curve(range(n + 1), n)
        for c in range(n + 1):
            for k in range(1, n + 1):
                exact = 1 - Fraction(comb(n - c, k), comb(n, k))
                assert abs(curves[c, k - 1] - exact) < 1e-12, (n, c, k)


def test_formula_is_the_share_of_subsets_with_a_right_sample():
    n, c = 7, 2
    for k in range(1, n + 1):
        subsets = list(combinations(range(n), k))
        share = sum(min(s) < c for s in subsets) / len(subsets)
        assert estimate_pass_at_k([c], n, k) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(
    ("correct", "samples", "k", "message"),
    [
        ([1], 4, 5, "needs at least 5 samples"),
        ([1], 4, 0, "needs at least 0 samples"),
        ([5], 4, 1, "from 0 to n = 4"),
        ([-1], 4, 1, "from 0 to n = 4"),
        ([0.5], 4, 1, "whole counts"),
        ([], 4, 1, "at least one problem"),
    ],
)
def test_what_gives_no_estimate_is_an_error(correct, samples, k, message):
    with pytest.raises(InputError, match=message):
        estimate_pass_at_k(correct, samples, k)


def test_interval_covers_the_true_pass_at_k():
    rng = np.random.default_rng(1)
    n, k, problems, studies = 32, 8, 60, 300
    truth = np.mean(1 - (1 - rng.beta(0.5, 2, 200_000)) ** k)
    covered = 0
    for study in range(studies):
        correct = rng.binomial(n, rng.beta(0.5, 2, problems))
        low, high = bootstrap_interval(estimate_curve(correct, n)[:, k - 1], draws=500, seed=study)
        covered += low <= truth <= high
    # 300 studies: the standard error of the coverage is 1.3 points.
    assert 0.90 <= covered / studies <= 0.985
