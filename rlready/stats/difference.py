"""The interval of a mean difference on the same problems."""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rlready.errors import InputError
from rlready.stats.intervals import LEVEL, estimate_intervals, join_groups, reach_t

DECIDING = 15  # effective number of differing problems below which Student's interval undercovers in simulation
UNSEEN = 3  # with a chance of 5%, n problems show none of a kind whose share is 3 / n


def estimate_difference(
    one: Sequence[float] | np.ndarray,
    other: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable] | None = None,
    weights: ArrayLike | None = None,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Estimates an interval for the difference of two means, with problems paired: what is hard for both cancels out.

    It is Student's interval if the differences are many and large enough: their effective number, (sum of squares)^2 / sum of
    fourth powers, is at least DECIDING, so that many rounding differences do not hide that few problems decide; and the
    interval allows for the kinds of problems that none of n may show, up to 3 / n of all. Otherwise the mean gain (over
    problems where the first is better) and the mean loss each get an interval of `estimate_interval`, and these are joined
    (method of variance estimates recovery, Zou and Donner 2008).

    `one` and `other` are numbers in [0, 1] of the same problems in the same order; for `groups` and `weights` see
    `estimate_intervals`. Returns (low, high), within [-1, 1].
    """
    if len(one) != len(other) or not len(one):
        raise InputError(f"a difference needs the same problems twice, got {len(one)} and {len(other)}")
    differences, shares = join_groups(np.subtract(one, other, dtype=float)[:, None], weights, groups)
    pulls = shares * differences[:, 0] / shares.sum()
    gap, problems = float(pulls.sum()), shares.sum() ** 2 / (shares @ shares)
    below = above = 0.0
    if problems > 1 and (pulls**2).sum() ** 2 >= DECIDING * (pulls**4).sum():
        scatter = pulls - gap * shares / shares.sum()
        below = above = reach_t(problems - 1, level) * math.sqrt(scatter @ scatter * problems / (problems - 1))
    if below * problems < UNSEEN:
        below, above = _join_parts(np.hstack([differences, -differences]).clip(0), shares, level)
    return max(-1.0, float(gap - below)), min(1.0, float(gap + above))


def _join_parts(parts: np.ndarray, shares: np.ndarray, level: float) -> tuple[float, float]:
    """Returns how far the difference may be below and above that of the means of two columns, gain and loss."""
    low, high = estimate_intervals(parts, level, shares)
    mean = shares @ parts / shares.sum()
    scatter = shares[:, None] * (parts - mean)
    spread = math.sqrt((scatter**2).sum(axis=0).prod())
    correlation = scatter.prod(axis=1).sum() / spread if spread else 0.0

    def join(first: float, second: float) -> float:
        return math.sqrt(max(0.0, first**2 + second**2 - 2 * correlation * first * second))

    return join(mean[0] - low[0], high[1] - mean[1]), join(high[0] - mean[0], mean[1] - low[1])
