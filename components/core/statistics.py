"""How well a predictor tells the outcome, and how sure that is: correlations, bootstrap, exact intervals, analysis of variance.

scipy is imported where it is needed: it is slow to import, and most of the report does without.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

MIN_POINTS = 8  # below, intervals of R2 cover too seldom, and those of a correlation hold nearly everything
DRAWS = 2000
SPLITS = 200
LEVEL = 0.95


def rank(values: Sequence[float]) -> np.ndarray:
    """Returns ranks from 1, ties sharing their mean rank."""
    return _rank(np.asarray(values, dtype=float), np.ones(len(values)))


def _rank(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ranks each row of a sample in which point i stands weights[i] times, as spelling the copies out would."""
    below = (values[:, None] > values) + 0.5 * (values[:, None] == values)
    return weights @ below.T + 0.5


def correlate(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Returns Pearson's correlation, or None where it is undefined (fewer than 3 points, or no spread)."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Returns Spearman's rank correlation, or None where it is undefined."""
    return correlate(rank(x), rank(y))


def r_squared(x: Sequence, y: Sequence[float]) -> float | None:
    """Returns R2 (in sample) of the least-squares fit, or None where it is undefined or any points would fit.

    Args:
        x: One number a point, or one row of numbers.
        y: What they should tell.
    """
    x, y = _columns(x), np.asarray(y, dtype=float)
    if len(y) < x.shape[1] + 2 or np.ptp(y) == 0 or not np.ptp(x, axis=0).any():
        return None
    return float(resample_r_squared(x, y, np.ones((1, len(y))))[0])


def fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float] | None:
    """Returns (slope, intercept) of the least-squares line, or None where it is undefined."""
    if correlate(x, y) is None:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    return float(slope), float(intercept)


def predict_at(
    x: Sequence[float], y: Sequence[float], at: float, level: float = LEVEL
) -> tuple[float, float, float] | None:
    """Predicts a new point on the least-squares line, with the interval that it falls into with this probability.

    Student's interval for a new observation (e.g. Draper and Smith, Applied Regression Analysis, section 1.4): it holds the
    scatter of the new point as well as the uncertainty of the line.

    Args:
        x: The predictor of the known points.
        y: Their outcomes.
        at: The predictor of the new point.
        level: Coverage.

    Returns:
        (predicted, low, high), or None with fewer than `MIN_POINTS` points or no spread.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    line = fit_line(x, y)
    if len(x) < MIN_POINTS or line is None:
        return None
    from scipy.special import stdtrit

    predicted = line[0] * at + line[1]
    residual = np.sqrt(((y - line[0] * x - line[1]) ** 2).sum() / (len(x) - 2))
    spread = residual * np.sqrt(1 + 1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    half = stdtrit(len(x) - 2, (1 + level) / 2) * spread
    return float(predicted), float(predicted - half), float(predicted + half)


def draw_clusters(clusters: Sequence[Hashable], draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Draws whole clusters with replacement, as many as there are (Davison and Hinkley 1997, section 3.8).

    Repetitions of one setting are not independent points; drawn one by one they would make every interval too narrow.

    Args:
        clusters: The cluster of each point; all different for the ordinary bootstrap.
        draws: Number of bootstrap samples.
        seed: Seeds the draws, so that statistics of the same points are paired.

    Returns:
        How often each point stands in each sample, draws x points.
    """
    members = _number(clusters)
    count = int(members.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws)
    return drawn[:, members].astype(float)


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], clusters: Sequence[Hashable], level: float = LEVEL
) -> tuple[float, float] | None:
    """Returns the percentile interval of a statistic (Efron 1979), drawing clusters.

    Args:
        statistic: Takes weights (draws x points) and returns one value a draw; draws where it is not finite are left out.
        clusters: The cluster of each point.
        level: Coverage.

    Returns:
        (low, high), or None with fewer than `MIN_POINTS` clusters, or where all draws agree: then they cannot show how far
        the truth may be.
    """
    if len(set(clusters)) < MIN_POINTS:
        return None
    values = statistic(draw_clusters(clusters))
    values = values[np.isfinite(values)]
    if not len(values) or np.ptp(values) < 1e-9:
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resample_spearman(x: Sequence[float], y: Sequence[float], weights: np.ndarray) -> np.ndarray:
    """Returns Spearman's correlation in each sample, nan where it is undefined.

    Args:
        x: One number a point.
        y: One number a point.
        weights: From `draw_clusters`.
    """
    ranks = (_rank(np.asarray(values, dtype=float), weights) for values in (x, y))
    (x, y), sizes = ranks, weights.sum(1, keepdims=True)
    x, y = (values - (weights * values).sum(1, keepdims=True) / sizes for values in (x, y))
    products = [(weights * a * b).sum(1) for a, b in ((x, y), (x, x), (y, y))]
    scale = np.sqrt(products[1] * products[2])
    return np.divide(products[0], scale, out=np.full(len(weights), np.nan), where=scale > 1e-9)


def resample_r_squared(x: Sequence, y: Sequence[float], weights: np.ndarray) -> np.ndarray:
    """Returns R2 (in sample) of the least-squares fit in each sample, nan where y has no spread.

    Args:
        x: One number a point, or one row of numbers.
        y: One number a point.
        weights: From `draw_clusters`.
    """
    return _score_fit(x, y, weights, weights)


def split_r_squared(
    x: Sequence, y: Sequence[float], clusters: Sequence[Hashable], splits: int = SPLITS, seed: int = 0
) -> tuple[float, float] | None:
    """Fits on a random half of the clusters and scores the other half, again and again (the form of the paper's tables).

    Whole clusters go to one side, so that no repetition of a fitted setting is scored. R2 is 1 - (squared error) / (squared
    error of the scored half's own mean): it is negative where the fit tells less than that mean would.

    Args:
        x: One number a point, or one row of numbers.
        y: One number a point.
        clusters: The cluster of each point.
        splits: Number of splits.
        seed: Seeds the splits.

    Returns:
        (mean, standard deviation) over the splits where it is defined, or None with fewer than `MIN_POINTS` clusters or no
        such split.
    """
    members = _number(clusters)
    count = int(members.max()) + 1 if len(members) else 0
    if count < MIN_POINTS:
        return None
    places = np.random.default_rng(seed).random((splits, count)).argsort(1).argsort(1)
    fitted = (places < (count + 1) // 2)[:, members].astype(float)
    scores = _score_fit(x, y, fitted, 1 - fitted)
    scores = scores[np.isfinite(scores)]
    return (float(scores.mean()), float(scores.std(ddof=1))) if len(scores) > 1 else None


def _score_fit(x: Sequence, y: Sequence[float], fitted: np.ndarray, scored: np.ndarray) -> np.ndarray:
    x, y = _columns(x), np.asarray(y, dtype=float)
    spread = np.ptp(x, axis=0)
    x = (x - x.mean(0)) / np.where(spread > 0, spread, 1)  # like scales, so that the pseudo-inverse cuts off only noise
    sizes = fitted.sum(1, keepdims=True)
    center_x, center_y = fitted @ x / sizes, fitted @ y[:, None] / sizes
    apart_x, apart_y = x - center_x[:, None], y - center_y
    covariance = np.einsum("sn,snp,snq->spq", fitted, apart_x, apart_x)
    slopes = (
        np.linalg.pinv(covariance, rcond=1e-9, hermitian=True)
        @ np.einsum("sn,snp,sn->sp", fitted, apart_x, apart_y)[..., None]
    )
    missed = apart_y - (apart_x @ slopes)[..., 0]
    own_mean = scored @ y[:, None] / scored.sum(1, keepdims=True)
    total = (scored * (y - own_mean) ** 2).sum(1)
    error = (scored * missed**2).sum(1)
    return np.where(total > 1e-12, 1 - error / np.where(total > 1e-12, total, 1), np.nan)


def _columns(x: Sequence) -> np.ndarray:
    x = np.asarray(x, dtype=float)
    return x[:, None] if x.ndim == 1 else x


def _number(clusters: Sequence[Hashable]) -> np.ndarray:
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    return np.array([numbers[cluster] for cluster in clusters], dtype=int)


def bound_share(hits: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Returns the exact interval of a share (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    return low, float(betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0


def bound_drawn_share(hits: int, drawn: int, population: int, level: float = LEVEL) -> tuple[float, float]:
    """Returns the exact interval of a share in a finite population, from a simple random draw without replacement.

    Every number of hits in the population stays in that the two one-sided hypergeometric tests do not refute (Buonaccorsi
    1987, American Statistician 41); where all were drawn it is one point.

    Args:
        hits: Hits among the drawn.
        drawn: How many were drawn.
        population: Out of how many.
        level: Coverage.
    """

    def chance(total: int, found: int) -> float:
        return math.comb(total, found) * math.comb(population - total, drawn - found) / math.comb(population, drawn)

    held = [
        total
        for total in range(hits, population - drawn + hits + 1)
        if sum(chance(total, found) for found in range(hits, drawn + 1)) > (1 - level) / 2
        and sum(chance(total, found) for found in range(hits + 1)) > (1 - level) / 2
    ]
    return held[0] / population, held[-1] / population


@dataclass(frozen=True)
class Variation:
    """One-way analysis of variance with random groups (Searle, Casella and McCulloch 1992, chapter 3).

    Attributes:
        deviation: Standard deviation within groups, pooled.
        deviation_interval: Its 95 % interval, for normal values.
        freedom: Degrees of freedom within groups.
        share: Share of the variance that lies between groups (intraclass correlation); an estimate below 0 stays.
        share_interval: Its 95 % interval, exact for normal values and groups of one size.
        f: Ratio of the mean squares.
        p: Chance of a larger one if the groups did not differ.
    """

    deviation: float
    deviation_interval: tuple[float, float]
    freedom: int
    share: float
    share_interval: tuple[float, float]
    f: float
    p: float


def pool_deviation(groups: Sequence[Sequence[float]]) -> tuple[float, int] | None:
    """Returns the standard deviation within groups and its degrees of freedom, or None if nothing is repeated."""
    freedom = sum(len(group) - 1 for group in groups if len(group))
    if not freedom:
        return None
    return math.sqrt(sum(float(np.var(group)) * len(group) for group in groups if len(group)) / freedom), freedom


def bound_deviation(deviation: float, freedom: int, level: float = LEVEL) -> tuple[float, float]:
    """Returns the interval of a standard deviation, from the chi-squared distribution."""
    from scipy.special import chdtri

    low, high = (deviation * math.sqrt(freedom / chdtri(freedom, tail)) for tail in ((1 - level) / 2, (1 + level) / 2))
    return low, high


def analyse_variance(groups: Sequence[Sequence[float]], level: float = LEVEL) -> Variation | None:
    """Compares the spread between groups with the spread within them.

    Args:
        groups: The values of each group; groups of one value tell only of the spread between.
        level: Coverage of the intervals.

    Returns:
        None with fewer than two groups, nothing repeated, or repetitions that are all equal.
    """
    groups = [np.asarray(group, dtype=float) for group in groups if len(group)]
    pooled = pool_deviation(groups)
    if len(groups) < 2 or pooled is None or pooled[0] == 0:
        return None
    from scipy.special import fdtrc, fdtri

    deviation, freedom = pooled
    sizes, between = np.array([len(group) for group in groups]), len(groups) - 1
    grand = np.concatenate(groups).mean()
    f = float(sum(n * (group.mean() - grand) ** 2 for n, group in zip(sizes, groups, strict=True)) / between)
    f /= deviation**2
    size = float((sizes.sum() - (sizes**2).sum() / sizes.sum()) / between)

    def turn(ratio: float) -> float:
        return (ratio - 1) / (ratio + size - 1)

    tails = (1 + level) / 2, (1 - level) / 2
    low, high = (turn(f / float(fdtri(between, freedom, tail))) for tail in tails)
    return Variation(
        deviation,
        bound_deviation(deviation, freedom, level),
        freedom,
        turn(f),
        (low, high),
        f,
        float(fdtrc(between, freedom, f)),
    )
