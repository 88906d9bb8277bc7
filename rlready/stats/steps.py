"""Which step of a training was best, and how sure that is, from the same problems sampled at several steps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlready.stats.difference import estimate_difference
from rlready.stats.intervals import LEVEL
from rlready.stats.ties import reaches


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
