"""Intervals for means of values between 0 and 1, for shares, and by resampling whole clusters.

scipy is imported where it is needed: it is slow to import, and most of the report does without.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from numbers import Integral
from statistics import NormalDist, fmean, stdev

import numpy as np
from numpy.typing import ArrayLike

from rlready.errors import InputError
from rlready.stats.ties import TIE

LEVEL = 0.95
Z95 = NormalDist().inv_cdf((1 + LEVEL) / 2)
MIN_POINTS = 8  # with fewer, intervals of R2 undercover, and those of a correlation contain nearly everything
DRAWS = 2000
FEW = 5  # effective successes (or failures) below which Wilson's interval undercovers (Brown, Cai and DasGupta 2001)
# With 1.25 some populations of the coverage test fell below 93%; with 2 more of them exceed 97%.
PRIOR_WEIGHT = 1.5


def estimate_interval(
    values: ArrayLike, level: float = LEVEL, weights: ArrayLike | None = None, groups: Sequence[Hashable] | None = None
) -> tuple[float, float]:
    """Estimates an interval for the mean of numbers in [0, 1], one per problem; arguments are those of `estimate_intervals`."""
    low, high = estimate_intervals(np.atleast_1d(np.asarray(values, dtype=float))[:, None], level, weights, groups)
    return float(low[0]), float(high[0])


def estimate_intervals(
    values: np.ndarray, level: float = LEVEL, weights: ArrayLike | None = None, groups: Sequence[Hashable] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Estimates an interval for a mean over the population that the problems were drawn from.

    A problem's value carries the noise of its own samples, so the spread between problems covers both levels of chance.
    The interval is Wilson's; the problems count as the number of yes-or-no trials that would have the variance found (Korn
    and Graubard 1998). Two corrections keep its coverage where a bootstrap or a t interval fails: three quarters of a
    problem at 0 and as many at 1 join the variance, so that equal values do not look certain; and if fewer than 5 effective
    successes or failures are left, that end is Clopper and Pearson's if it is further out.

    Coverage over 2,000 studies in each of 216 settings (tests/stats/test_pass_at_k.py) is 93 to 98% for widely spread
    problems and means from 0.05 to 0.9; otherwise 93 to 100%. With 8 to 24 problems instead of 32 to 128 it is 95 to 100%.

    Args:
        values: Problems x columns, numbers in [0, 1]; every column has a mean of its own, and (low, high) one number for each.
        level: Coverage, between 0 and 1.
        weights: One number >= 0 per problem, not all 0, for a weighted mean; they may be random. The variance is that of a
            ratio, by linearization (Cochran 1977, chapter 6), and problems count as Kish's effective number.
        groups: The group of each problem: problems of one template, one source document or near-duplicates are one draw
            from the population. None: each is its own.

    Raises:
        InputError: If there is no value, a value is not in [0, 1], no weight is above 0, or the level not between 0 and 1.
    """
    _check_level(level)
    if values.size == 0 or not ((values >= 0) & (values <= 1)).all():
        raise InputError("an interval needs at least one value, all of them in [0, 1]")
    z = NormalDist().inv_cdf((1 + level) / 2)
    columns, shares = join_groups(values, weights, groups)
    shares = (shares * shares.sum() / (shares @ shares))[:, None]  # sum and sum of squares are now the effective number
    problems = shares.sum()
    mean = (shares * columns).sum(axis=0) / problems
    # The variance is estimated: Student's quantile, by the first term of Cornish and Fisher's expansion.
    z += (z**3 + z) / (4 * problems)
    total, half = problems + PRIOR_WEIGHT, PRIOR_WEIGHT / 2
    center = (mean * problems + half) / total
    squares = ((shares * (columns - center)) ** 2).sum(axis=0) + half * (center**2 + (1 - center) ** 2)
    trials = np.maximum(problems, center * (1 - center) * problems * (total - 1) / squares)
    middle = mean + z * z / trials / 2
    spread = z * np.sqrt(mean * (1 - mean) / trials + (z / trials / 2) ** 2)
    low, high = (middle - spread) / (1 + z * z / trials), (middle + spread) / (1 + z * z / trials)
    low = _widen(low, mean * trials, trials, level)
    high = 1 - _widen(1 - high, (1 - mean) * trials, trials, level)
    return low, high


def join_groups(
    columns: np.ndarray, weights: ArrayLike | None, groups: Sequence[Hashable] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Makes each group of problems one observation: its weighted mean, with the sum of its weights.

    The variance of a ratio over these is cluster-robust: residuals are summed within a group before they are squared (Cochran
    1977, section 9A.6). Problems of a group count as one if they are alike, and as several if they are not. The observations
    are groups x columns. Raises InputError if a weight is below 0 or none above, or `groups` has not one entry per problem.
    """
    shares = np.ones(len(columns)) if weights is None else np.asarray(weights, dtype=float)
    if not (shares >= 0).all() or not shares.any():
        raise InputError("the weights of an interval must be at least 0, and one of them above")
    if groups is None:
        return columns, shares
    if len(groups) != len(columns):
        raise InputError(f"{len(columns)} problems, but groups of {len(groups)}")
    members = number_clusters(groups)
    sums, totals = np.zeros((members.max() + 1, columns.shape[1])), np.bincount(members, shares)
    np.add.at(sums, members, columns * shares[:, None])
    means = np.divide(sums, totals[:, None], out=sums, where=totals[:, None] > 0)
    return means.clip(columns.min(), columns.max()), totals


def draw_clusters(clusters: Sequence[Hashable], draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Draws whole clusters with replacement, as many as there are (Davison and Hinkley 1997, section 3.8).

    Repetitions of one setting are not independent; drawn one by one they would make every interval too narrow. Draws with the
    same seed are the same, so statistics of the same points are paired. Returns how often each point is in each bootstrap
    sample, draws x points.
    """
    members = number_clusters(clusters)
    count = int(members.max()) + 1
    drawn: np.ndarray = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws)
    return drawn[:, members].astype(float)


def bootstrap(statistic: Callable[[np.ndarray], np.ndarray], clusters: Sequence[Hashable]) -> tuple[float, float] | None:
    """Returns the 95% percentile interval of a statistic (Efron 1979), drawing clusters.

    The statistic takes weights (draws x points) and returns one value per draw; values that are not finite are left out. The
    interval is None with fewer than `MIN_POINTS` clusters, or if all draws agree and so show no uncertainty.
    """
    if len(set(clusters)) < MIN_POINTS:
        return None
    values = statistic(draw_clusters(clusters))
    values = values[np.isfinite(values)]
    if not len(values) or np.ptp(values) <= TIE:
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def number_clusters(clusters: Sequence[Hashable]) -> np.ndarray:
    """Returns the number of each point's cluster, from 0 in the order of appearance."""
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    return np.array([numbers[cluster] for cluster in clusters], dtype=int)


def bound_share(hits: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Returns the exact interval of a share (Clopper and Pearson 1934).

    Raises InputError if these are not whole numbers with 0 <= hits <= trials and trials >= 1, or the level not between 0 and 1.
    """
    whole = isinstance(hits, Integral) and isinstance(trials, Integral)
    if not (whole and 0 <= hits <= trials and trials > 0):
        raise InputError(f"a share needs 0 <= hits <= trials and at least one trial, got {hits} of {trials}")
    _check_level(level)
    return float(_bound_below(hits, trials, level)), float(1 - _bound_below(trials - hits, trials, level))


def bound_drawn_share(hits: int, drawn: int, population: int) -> tuple[float, float]:
    """Returns the exact 95% interval of a share in a finite population, from a simple random draw without replacement.

    It holds every number of hits in the population that two one-sided hypergeometric tests do not reject (Buonaccorsi 1987,
    American Statistician 41); it is one point if all were drawn.
    """

    def chance(total: int, found: int) -> float:
        return math.comb(total, found) * math.comb(population - total, drawn - found) / math.comb(population, drawn)

    held = [
        total
        for total in range(hits, population - drawn + hits + 1)
        if sum(chance(total, found) for found in range(hits, drawn + 1)) > (1 - LEVEL) / 2
        and sum(chance(total, found) for found in range(hits + 1)) > (1 - LEVEL) / 2
    ]
    return held[0] / population, held[-1] / population


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"the level of an interval lies between 0 and 1, got {level}")


def _widen(low: np.ndarray, successes: np.ndarray, trials: np.ndarray, level: float) -> np.ndarray:
    """Returns the lower ends, not above the exact ones if successes are few."""
    low, few = np.clip(low, 0.0, 1.0), successes < FEW
    if few.any():
        low[few] = np.minimum(low[few], _bound_below(successes[few], trials[few], level))
    return low


def _bound_below(successes: np.ndarray | int, trials: np.ndarray | int, level: float) -> np.ndarray:
    """Returns the lower end of Clopper and Pearson's interval; the numbers need not be whole."""
    from scipy.special import betaincinv

    successes = np.asarray(successes, dtype=float)
    bound = betaincinv(np.maximum(successes, 1e-9), trials - successes + 1, (1 - level) / 2)
    return np.where(successes > 0, bound, 0.0)


def bound_mean(values: Sequence[float] | np.ndarray) -> tuple[float, float] | None:
    """Returns Student's 95% interval of the mean of one value per draw; None with fewer than two, or if all are alike."""
    if len(values) < 2 or np.ptp(values) <= TIE:
        return None
    half, mean = reach_t(len(values) - 1) * stdev(map(float, values)) / math.sqrt(len(values)), fmean(values)
    return mean - half, mean + half


def reach_t(freedom: float, level: float = LEVEL) -> float:
    """Returns how many standard errors Student's interval reaches to either side."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))
