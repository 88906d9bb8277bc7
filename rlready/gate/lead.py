"""How far one candidate is ahead of another, before RL or after it: the only implementation of a comparison."""

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
    """How far one candidate is ahead of another, with its 95% interval; None is unknown, 0 a tie."""

    ahead: float | None
    low: float | None = None
    high: float | None = None

    @property
    def sure(self) -> bool:
        """Whether it is ahead beyond chance; False if unknown."""
        return self.low is not None and self.low > 0

    def describe(self) -> str:
        """Returns the figure with its interval."""
        if self.ahead is None:
            return "unknown"
        return f"{self.ahead:z.3f} " + ("[–]" if self.low is None else f"[{self.low:+.3f}, {self.high:+.3f}]")


class Figure(NamedTuple):
    """A mean, its 95% interval and, if recorded, the values of its problems (or losses of its examples)."""

    mean: float
    interval: tuple[float, float] | None = None
    values: np.ndarray | None = None
    groups: list[int] | None = None
    weights: list[float] | None = None
    problems: list[str] | None = None
    losses: list[tuple[float, int]] | None = None


def measure_lead(one: Outcome, other: Outcome, by: str, k: int | None = None, level: float = LEVEL) -> Lead:
    """Measures how far one candidate is ahead of another; swapped, all signs are.

    Each problem, or held-out example, is compared with itself, so what is hard for both cancels out; losses over different
    tokens (of another tokenizer) are not compared. If a record has no counts of its problems (older versions, external
    results), the two intervals are joined as if they were of different problems (method of variance estimates recovery, Zou
    and Donner 2008), which is wider. There is no interval if one of them is missing, or if a standard error is 0, which says
    only that all problems scored alike.

    Args:
        by: `pass_at_k`, `pass_at_1` or LOSS (less is ahead) before RL; SCORE or GREEDY after it.
        level: Coverage; for m comparisons that must hold jointly, 1 - (1 - LEVEL) / m.
    """
    mine, theirs = (read_figure(outcome, by, k) for outcome in (one, other))
    if by == LOSS:
        mine, theirs = theirs, mine
    if mine is None or theirs is None or (by == LOSS and not one.shares_tokens(other)):
        return Lead(None)
    ahead = mine.mean - theirs.mean
    if mine.losses and theirs.losses and len(mine.losses) == len(theirs.losses) > 1:
        return Lead(ahead, *estimate_loss_interval(mine.losses, theirs.losses, level))
    if mine.values is not None and theirs.values is not None and mine.problems == theirs.problems:
        return Lead(ahead, *estimate_difference(mine.values, theirs.values, mine.groups, mine.weights, level))
    if mine.interval is None or theirs.interval is None:
        return Lead(ahead)
    (low, high), (their_low, their_high) = mine.interval, theirs.interval
    wider = NormalDist().inv_cdf((1 + level) / 2) / Z95
    below = wider * math.hypot(mine.mean - low, their_high - theirs.mean)
    return Lead(ahead, ahead - below, ahead + wider * math.hypot(high - mine.mean, theirs.mean - their_low))


def measure_gain(outcome: Outcome) -> Lead:
    """Measures how much RL gained in Pass@1 on the problems of the predictors; unknown if the result is on others."""
    before, ids = outcome.predictors, outcome.scored.problem_ids
    if before is None or not before.correct or not ids or before.problem_ids != ids:
        return Lead(None)
    started = BenchmarkRecord(
        before.get_pass_at(1), samples=before.samples, problem_ids=ids, correct=before.correct, groups=before.groups
    )
    return measure_lead(outcome, Outcome(outcome.candidate, benchmark=started), SCORE)


def measure_effect(outcome: Outcome) -> Lead:
    """Measures how much RL gained in Pass@1 on the benchmark, over the checkpoint that it started from."""
    before = outcome.effect.before if outcome.effect else None
    return measure_lead(outcome, Outcome(outcome.candidate, benchmark=before), SCORE)


def read_figure(outcome: Outcome, by: str, k: int | None = None) -> Figure | None:
    """Returns what candidates are compared by, named as in `measure_lead`; None if it was not measured."""
    if by in (SCORE, GREEDY):
        return _read_result(outcome, by == GREEDY)
    predictors = outcome.predictors or PredictorsRecord()
    if by == LOSS:
        loss = predictors.generalization_loss
        return None if loss is None else Figure(loss, read_interval(predictors.loss_interval), losses=predictors.losses)
    k, groups = 1 if by == "pass_at_1" else k or 0, predictors.groups
    values = list_pass_at_k(predictors, k)
    if values is not None:
        interval = estimate_interval(values, groups=groups)
        return Figure(float(values.mean()), interval, values, groups, problems=predictors.problem_ids)
    mean = predictors.get_pass_at(k)
    return None if mean is None else Figure(mean, read_interval(predictors.intervals.get(str(k))))


def read_interval(found: Sequence[float | None] | None) -> tuple[float, float] | None:
    """Returns an interval, or None if one of its ends is missing."""
    low, high = found if found and len(found) == 2 else (None, None)
    return None if low is None or high is None else (low, high)


def bound_greedy(share: float, problems: int) -> tuple[float, float]:
    """Returns the 95% interval of the share of problems that greedy decoding solves."""
    solved = round(share * problems)
    return estimate_interval([1.0] * solved + [0.0] * (problems - solved))


def list_pass_at_k(predictors: PredictorsRecord, k: int | None) -> np.ndarray | None:
    """Returns Pass@k of each problem, or None if the counts do not allow it."""
    try:
        curve = estimate_curve(predictors.correct, predictors.samples)
    except (InputError, TypeError):
        return None
    return curve[:, k - 1] if k is not None and 1 <= k <= curve.shape[1] else None


def _read_result(outcome: Outcome, greedy: bool) -> Figure | None:
    """Returns the result on the benchmark, of this run or of another system."""
    result = outcome.scored
    mean = result.greedy_pass_at_1 if greedy else result.pass_at_1
    if mean is None:
        return None
    interval = None if greedy else read_interval(result.interval)
    if greedy and result.problems and not result.benchmarks:
        interval = bound_greedy(mean, result.problems)
    elif not greedy and not interval and result.standard_error:
        interval = mean - Z95 * result.standard_error, mean + Z95 * result.standard_error
    right, samples = (result.greedy_correct, 1) if greedy else (result.correct, result.samples)
    if not (right and samples and result.problem_ids):
        return Figure(mean, interval)
    weights, values = result.weigh_problems() if result.benchmarks else None, np.array(right) / samples
    if greedy:
        interval = estimate_interval(values, weights=weights, groups=result.groups)
    return Figure(mean, interval, values, result.groups, weights, result.problem_ids)
