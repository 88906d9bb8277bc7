"""Coverage kept against brute force over subsets, and over simulated studies: no bias, and intervals that hold the truth."""

from itertools import combinations

import numpy as np
import pytest
from helpers.coverage_kept import WAYS, check_coverage_kept

from rlready.errors import InputError
from rlready.stats.intervals import estimate_interval
from rlready.stats.pass_at_k import estimate_coverage_kept, estimate_own_coverage


def solve(count, n, k):
    """Returns for every choice of k of n samples, of which the first are right, whether it holds a right one."""
    return [min(chosen) < count for chosen in combinations(range(n), k)]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_it_is_the_share_of_pairs_of_draws_in_which_both_solve_of_those_in_which_the_base_does(k):
    base, candidate, n, m = [0, 1, 2, 5], [3, 0, 1, 4], 5, 4
    both = base_solves = 0.0
    for b, c in zip(base, candidate, strict=True):
        pairs = [(x, y) for x in solve(b, n, k) for y in solve(c, m, k)]
        both += np.mean([x and y for x, y in pairs])
        base_solves += np.mean([x for x, _ in pairs])
    kept, low, high = estimate_coverage_kept(base, n, candidate, m, k)
    assert kept == pytest.approx(both / base_solves, abs=1e-12) and 0 <= low < kept < high <= 1


@pytest.mark.parametrize("k", [1, 2, 3])
def test_what_a_model_keeps_of_itself_is_the_share_of_two_separate_draws(k):
    counts, n = [0, 1, 2, 6], 6
    both = solved = 0.0
    for c in counts:
        pairs = [
            (min(one) < c, min(other) < c)
            for one in combinations(range(n), k)
            for other in combinations(sorted(set(range(n)) - set(one)), k)
        ]
        both, solved = both + np.mean([x and y for x, y in pairs]), solved + np.mean([x for x, _ in pairs])
    assert estimate_own_coverage(counts, n, k)[0] == pytest.approx(both / solved, abs=1e-12)


def test_gains_do_not_hide_what_was_forgotten():
    assert estimate_coverage_kept([4, 0], 4, [0, 4], 4, 2)[0] == 0
    assert estimate_coverage_kept([4, 0], 4, [4, 4], 4, 2)[0] == 1


def test_nothing_solved_or_too_few_samples_give_no_number():
    assert estimate_coverage_kept([0, 0], 4, [4, 4], 4, 2) is None and estimate_own_coverage([0, 0], 4, 2) is None
    assert estimate_own_coverage([4, 4], 4, 3) is None
    with pytest.raises(InputError, match="3 problems, but the base model was measured on 2"):
        estimate_coverage_kept([1, 1], 4, [1, 1, 1], 4, 2)
    with pytest.raises(InputError, match="coverage within 5 needs at least 5 samples per problem, got 8 and 4"):
        estimate_coverage_kept([1, 1], 8, [1, 1], 4, 5)


def test_weights_that_are_alike_change_no_interval_and_a_weight_of_nothing_leaves_a_problem_out():
    values = np.random.default_rng(0).beta(1, 2, 30)
    assert estimate_interval(values, weights=[0.3] * 30) == pytest.approx(estimate_interval(values), rel=1e-9)
    weights = np.arange(30) % 2
    assert estimate_interval(values, weights=weights) == pytest.approx(estimate_interval(values[1::2]), rel=1e-9)
    for weights in ([0.0] * 30, [-1.0] + [1.0] * 29):
        with pytest.raises(InputError, match="weights"):
            estimate_interval(values, weights=weights)


@pytest.mark.parametrize("way", WAYS)
def test_the_interval_covers_and_the_estimate_has_no_bias_to_speak_of(way):
    check_coverage_kept(way)
