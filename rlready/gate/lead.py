"""How far one candidate is ahead of another, before RL or after it: the one answer wherever two are compared."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from rlready.errors import InputError
from rlready.records.outcome import BenchmarkRecord, Outcome, PredictorsRecord
from rlready.stats.difference import estimate_difference
from rlready.stats.generalization_loss import estimate_loss_interval
from rlready.stats.intervals import LEVEL, Z95, estimate_interval
from rlready.stats.pass_at_k import estimate_curve

LOSS, SCORE, GREEDY = "generalization_loss", "pass_at_1_after_rl", "greedy_after_rl"


class Lead(NamedTuple):
    """How far one is ahead of another, with an interval; what is unknown is None, and 0 says that they tie."""

    ahead: float | None
    low: float | None = None
    high: float | None = None

    @property
    def sure(self) -> bool:
        """Whether the one is ahead beyond chance; what is unknown is not."""
        return self.low is not None and self.low > 0

    def describe(self) -> str:
        """Returns the figure with its interval."""
        if self.ahead is None:
            return "unknown"
        return f"{self.ahead:z.3f} " + ("[–]" if self.low is None else f"[{self.low:+.3f}, {self.high:+.3f}]")


class _Figure(NamedTuple):
    """A mean, its 95% interval and, if recorded, the values of its problems with their groups, weights and ids."""

    mean: float | None
    interval: Sequence[float | None] | None = None
    values: np.ndarray | None = None
    groups: list | None = None
    weights: list[float] | None = None
    problems: list | None = None


def measure_lead(one: Outcome, other: Outcome, by: str, k: int | None = None, level: float = LEVEL) -> Lead:
    """Measures how far one candidate is ahead of another; swapped, all signs are.

    Each problem, or held-out example, is compared with itself, so what is hard for both cancels out; a loss over other tokens
    (of another tokenizer) is not compared. The fallback, where a record has no counts of
    its problems (older versions, RL in other systems): the two intervals or standard errors as if of different problems,
    joined by the method of variance estimates recovery (Zou and Donner 2008), which is wider. Where one is missing, or a
    standard error of 0 says no more than that all problems scored alike, there is no interval.

    Args:
        one: A candidate.
        other: Another.
        by: `pass_at_k`, `pass_at_1` or LOSS (less is ahead) before RL; SCORE or GREEDY after it.
        k: Of Pass@k.
        level: Coverage; of m comparisons that are to hold together, 1 - (1 - LEVEL) / m.
    """
    mine, theirs = (_read(outcome, by, k) for outcome in (one, other))
    if by == LOSS:
        mine, theirs = theirs, mine
    if None in (mine.mean, theirs.mean) or (by == LOSS and not one.shares_tokens(other)):
        return Lead(None)
    if by == LOSS and one.predictors.losses and other.predictors.losses:
        interval = estimate_loss_interval(other.predictors.losses, one.predictors.losses, level)
        return Lead(mine.mean - theirs.mean, *interval)
    if mine.values is None or theirs.values is None or mine.problems != theirs.problems:
        return _compare_unpaired(mine, theirs, level)
    interval = estimate_difference(mine.values, theirs.values, mine.groups, mine.weights, level)
    return Lead(mine.mean - theirs.mean, *interval)


def _compare_unpaired(mine: _Figure, theirs: _Figure, level: float) -> Lead:
    ahead, intervals = mine.mean - theirs.mean, []
    for figure in (mine, theirs):
        if figure.interval is None or None in figure.interval:
            return Lead(ahead)
        intervals.append(figure.interval)
    (low, high), (their_low, their_high) = intervals
    wider = NormalDist().inv_cdf((1 + level) / 2) / Z95
    below = wider * math.hypot(mine.mean - low, their_high - theirs.mean)
    above = wider * math.hypot(high - mine.mean, theirs.mean - their_low)
    return Lead(ahead, ahead - below, ahead + above)


def _read(outcome: Outcome, by: str, k: int | None) -> _Figure:
    if by in (SCORE, GREEDY):
        return _read_result(outcome, by == GREEDY)
    predictors = outcome.predictors or PredictorsRecord()
    if by == LOSS:
        return _Figure(predictors.generalization_loss, predictors.loss_interval)
    k = 1 if by == "pass_at_1" else k
    values = list_pass_at_k(predictors, k)
    if values is None:
        return _Figure(predictors.get_pass_at(k), predictors.intervals.get(str(k)))
    groups = predictors.groups
    return _Figure(float(values.mean()), estimate_interval(values, groups=groups), values, groups)


def list_pass_at_k(predictors: PredictorsRecord, k: int | None) -> np.ndarray | None:
    """Returns Pass@k of each problem, or None where the counts do not allow it."""
    try:
        curve = estimate_curve(predictors.correct, predictors.samples)
        return curve[:, k - 1] if 1 <= k <= curve.shape[1] else None
    except (InputError, TypeError):
        return None


def _read_result(outcome: Outcome, greedy: bool) -> _Figure:
    """Returns the result on the benchmark, from here or from another system."""
    theirs, result = outcome.elsewhere, outcome.benchmark
    if result is None:
        figures = () if theirs is None or greedy else (theirs.pass_at_1, theirs.standard_error)
        result = BenchmarkRecord(*figures)
    mean, interval = result.greedy_pass_at_1 if greedy else result.pass_at_1, None if greedy else result.interval
    right, samples = (result.greedy_correct, 1) if greedy else (result.correct, result.samples)
    error = result.standard_error
    if mean is None:
        return _Figure(None)
    if greedy and result.problems and not result.benchmarks:
        solved = round(mean * result.problems)
        interval = estimate_interval([1.0] * solved + [0.0] * (result.problems - solved))
    elif error and not interval and not greedy:
        interval = mean - Z95 * error, mean + Z95 * error
    if not (right and samples and result.problem_ids):
        return _Figure(mean, interval)
    weights = result.weigh_problems() if result.benchmarks else None
    return _Figure(mean, interval, np.array(right) / samples, result.groups, weights, result.problem_ids)
