"""The interval for the difference of two models on the same problems holds what it says, whatever decides."""

import numpy as np
import pytest
from helpers.populations import POPULATIONS, cover, draw_apart
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rlready.errors import InputError
from rlready.stats.difference import estimate_difference


@pytest.mark.parametrize(
    ("name", "problems", "samples", "k"),
    [
        ("a gap of 0.05", 128, 16, 1),
        ("other problems", 24, 16, 4),
        ("hardly any solved", 128, 64, 8),
        # Most differ by rounding only; where none of the others is among the problems, the spread of these says nothing.
        ("both 0.5, 1% only one", 128, 256, 4),
        ("both 0.5, 3% only one", 128, 64, 8),
        ("both 0.1, 2% only one", 128, 256, 64),
        ("both 0.1, 2% each way", 64, 64, 64),
    ],
)
def test_the_interval_of_a_difference_covers_what_it_says(name, problems, samples, k):
    assert cover(POPULATIONS[name], problems, samples, k, 200) >= 0.91  # 0.94 less two standard errors


@pytest.mark.parametrize("families", [16, 64])
def test_problems_of_a_family_are_one_draw(families):
    assert cover(draw_apart, 8 * families, 16, 1, 150, 8) >= 0.91
    assert cover(draw_apart, 8 * families, 16, 1, 150, 8, known=False) < 0.7


def test_many_large_differences_have_students_interval():
    one, other = np.random.default_rng(0).random((2, 128))
    found = stats.ttest_rel(one, other).confidence_interval(0.9)
    assert estimate_difference(one, other, level=0.9) == pytest.approx((found.low, found.high))


VALUES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)


@settings(deadline=None, max_examples=50)
@given(VALUES, st.integers(2, 8))
def test_swapped_or_copied_problems_change_nothing_else(pairs, times):
    one, other = np.array(pairs).T
    low, high = estimate_difference(one, other)
    assert -1 <= low <= np.mean(one - other) + 1e-9 and np.mean(one - other) - 1e-9 <= high <= 1
    assert estimate_difference(other, one) == pytest.approx((-high, -low), abs=1e-9)
    assert estimate_difference(one, other, groups=range(len(one))) == pytest.approx((low, high), abs=1e-9)
    copies = [np.repeat(side, times) for side in (one, other)]
    groups = np.repeat(range(len(one)), times)
    assert estimate_difference(*copies, groups, np.full(len(groups), 0.3)) == pytest.approx((low, high), abs=1e-6)


def test_a_few_gains_leave_more_room_above_than_below():
    low, high = estimate_difference([1.0] * 3 + [0.0] * 97, [0.0] * 100)
    assert low < 0 < 0.03 < high and 0.03 - low < 0.045 < 0.05 < high - 0.03


def test_a_difference_of_equal_counts_is_not_certain_and_needs_the_same_problems():
    low, high = estimate_difference([0.5] * 30, [0.5] * 30)
    assert -0.2 < low < 0 < high < 0.2
    with pytest.raises(InputError, match="the same problems twice, got 2 and 1"):
        estimate_difference([0.1, 0.2], [0.1])
    with pytest.raises(InputError, match="2 problems, but groups of 1"):
        estimate_difference([0.1, 0.2], [0.1, 0.2], [1])
