"""Intervals for the mean difference of two models on the same problems. scipy is imported where it is needed."""

import math
from collections.abc import Sequence

import numpy as np

from rlready.components.config import InputError
from rlready.components.core.estimators.intervals import FEW, LEVEL, estimate_interval


def estimate_difference(one: Sequence[float], other: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Estimates an interval for the difference of two means, each problem compared with itself.

    Student's, over problems: what makes a problem hard for both cancels out. Where fewer than 5 problems differ their spread
    tells little of the others, and the interval is as wide as `estimate_interval` makes it of differences as of values.

    Measured over 600 studies in each of 13 settings (tests/test_finished.py): 94 to 97 %, where the rare problems of one model
    only make the difference up to 100 %; Student's alone covers 71 % of such with 24 problems.

    Args:
        one: Numbers in [0, 1], one a problem.
        other: Of the same problems, in the same order.
        level: Coverage.

    Returns:
        (low, high), within [-1, 1].

    Raises:
        InputError: If there is no problem, or not the same number.
    """
    from scipy.special import stdtrit

    if len(one) != len(other) or not len(one):
        raise InputError(f"a difference needs the same problems twice, got {len(one)} and {len(other)}")
    differences = np.subtract(one, other, dtype=float)
    count, mean = len(differences), float(differences.mean())
    wide = np.array(estimate_interval((1 + differences) / 2, level)) * 2 - 1
    if np.count_nonzero(differences) < FEW or count < 2:
        low, high = wide
    else:
        spread = stdtrit(count - 1, (1 + level) / 2) * differences.std(ddof=1) / math.sqrt(count)
        low, high = mean - spread, mean + spread
    return max(-1.0, float(low)), min(1.0, float(high))
