"""Mean differences on the same problems, of two models or of the steps of a training, with their intervals."""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlready.errors import InputError
from rlready.stats.intervals import LEVEL, estimate_intervals, join_groups, reach_t
from rlready.stats.ties import reaches

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


class Steps(NamedTuple):
    """Right samples at several steps of one training, and how sure differences have to be."""

    low: np.ndarray  # (steps, problems), shares of right samples
    high: np.ndarray  # (steps, problems), if every sample not judged were right
    comparisons: int  # that hold together

    @classmethod
    def of(cls, right: Sequence[Sequence[int]], unknown: Sequence[Sequence[int]], samples: int, planned: int) -> "Steps":
        """Returns the shares from counts by step and problem; `planned` steps are compared with one in the end."""
        low = np.array(right, dtype=float) / samples
        return cls(low, low + np.array(unknown, dtype=float) / samples, max(1, planned - 1))

    def estimate_gain(self, later: int, earlier: int) -> tuple[float, float]:
        """Estimates an interval for the gain of one step, by its number, over another."""
        level = 1 - (1 - LEVEL) / self.comparisons
        low, _ = estimate_difference(self.low[later], self.high[earlier], level=level)
        _, high = estimate_difference(self.high[later], self.low[earlier], level=level)
        return low, high

    def find_best(self) -> int:
        """Returns the number of the step with the highest mean, the first of those that tie."""
        means = self.low.mean(axis=1)
        return int(np.argmax(reaches(means, means.max())))

    def is_worse(self, step: int) -> bool:
        """Returns True if a step is clearly worse than the best one."""
        best = self.find_best()
        return best != step and self.estimate_gain(step, best)[1] < 0

    def choose_latest(self) -> int:
        """Returns the number of the latest step that is not clearly worse than the best one.

        Of the steps so far, only this one can be chosen later, besides later ones: what is clearly worse than the best stays
        so, or a later one is the best. So the weights of one step are enough to keep.
        """
        return max(step for step in range(len(self.low)) if not self.is_worse(step))

    def has_gained(self, since: int) -> bool:
        """Returns True if a later step is clearly better than step number `since`."""
        return any(self.estimate_gain(step, since)[0] > 0 for step in range(since + 1, len(self.low)))
