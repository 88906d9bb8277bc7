"""Prediction of a new point from points that come in settings, each with one or several seeds.

The model is y = a + b x + u + e: u is the deviation of a setting from the line, the same for all its seeds, and e that of a
seed. A line through single points mistakes u for noise that more seeds average out, and its interval for a new setting
undercovers (71% for 3 settings of 3 seeds; tests/benchmarks/test_coverage.py prints more).
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rlready.stats.correlation import correlate
from rlready.stats.intervals import LEVEL, MIN_POINTS, number_clusters, reach_t
from rlready.stats.ties import TIE
from rlready.stats.variation import find_scattered, pool_deviation

MIN_SETTINGS = 5  # with fewer, the interval of a new setting covers less than 93% for some ratios of the two variances


def fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float] | None:
    """Returns (slope, intercept) of the least-squares line, or None if it is undefined."""
    if correlate(x, y) is None:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    return float(slope), float(intercept)


def predict_new_setting(
    x: ArrayLike, y: Sequence[float] | np.ndarray, settings: Sequence[Hashable], at: float, level: float = LEVEL
) -> tuple[float, float, float] | None:
    """Predicts one point of a setting without known points, with its prediction interval.

    The line goes through the means of the settings. Their scatter about it estimates the variance of u and of a mean of e; the
    rest of e's comes from the scatter within settings. The variance of the prediction is a sum of both, with degrees of freedom
    as Satterthwaite (1946). With one seed per setting this is Student's interval for a new observation (e.g. Draper and Smith,
    Applied Regression Analysis, section 1.4).

    `x`, `y` and `settings` are predictor, outcome and setting of each known point; `at` is the predictor of the new one.
    Returns (predicted, low, high); None with fewer than `MIN_POINTS` points or `MIN_SETTINGS` settings, no spread, or a perfect
    fit, which shows no uncertainty.
    """
    if len(y) < MIN_POINTS:
        return None
    x, y, members = np.asarray(x, dtype=float), np.asarray(y, dtype=float), number_clusters(settings)
    sizes = np.bincount(members)  # (settings,)
    if len(sizes) < MIN_SETTINGS:
        return None
    mean_x, mean_y = _average(x, members), _average(y, members)  # (settings,)
    if np.ptp(mean_x) <= TIE or np.ptp(mean_y) <= TIE:
        return None
    design = np.column_stack([np.ones(len(sizes)), mean_x])  # (settings, 2)
    fit = np.linalg.pinv(design)  # (2, settings)
    slope = (fit @ mean_y)[1]
    leverage = (design * fit.T).sum(1)
    weights = np.append(1.0, at) @ fit  # of the means, in the prediction
    freedom = np.array([len(sizes) - design.shape[1], len(x) - len(sizes)])
    between = ((mean_y - design @ fit @ mean_y) ** 2).sum() / freedom[0]
    left = y - x * slope
    within = ((left - (np.bincount(members, left) / sizes)[members]) ** 2).sum() / max(freedom[1], 1)
    # E[between] = var(u) + share var(e), and var(prediction - y) = var(u) factor + var(e) (1 + sum(weights² / sizes)).
    share, factor = ((1 - leverage) / sizes).sum() / freedom[0], 1 + (weights**2).sum()
    parts = np.array([factor * between, max(0.0, 1 + (weights**2 / sizes).sum() - share * factor) * within])
    variance = parts.sum()
    if variance <= 1e-18:
        return None
    effective = variance**2 / (parts**2 / np.maximum(freedom, 1)).sum()
    predicted, half = weights @ mean_y, reach_t(effective, level) * np.sqrt(variance)
    return float(predicted), float(predicted - half), float(predicted + half)


def _average(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Returns the mean over the points of each setting."""
    return np.array([values[members == setting].mean(axis=0) for setting in range(members.max() + 1)])


def predict_known_setting(
    y: Sequence[float], settings: Sequence[Hashable], setting: Hashable
) -> tuple[float, float, float] | None:
    """Predicts one more point of a setting with known points: their mean, with Student's 95% interval for a new observation.

    The scatter within settings is pooled, because one setting has too few points; but a setting that scatters more than the
    others uses its own, and is left out of the pool. `y` and `settings` are the outcome and the setting of each known point.
    Returns (predicted, low, high); None with fewer than `MIN_POINTS` points, none of this setting, or no setting repeated.
    """
    groups: dict[Hashable, list[float]] = {}
    for value, name in zip(y, settings, strict=True):
        groups.setdefault(name, []).append(value)
    apart = [[*groups][number] for number in find_scattered([*groups.values()])]
    alike = [setting] if setting in apart else groups.keys() - apart
    pooled, own = pool_deviation([groups.get(name, []) for name in alike]), groups.get(setting)
    if len(y) < MIN_POINTS or not own or not pooled or pooled[0] == 0:
        return None
    deviation, freedom = pooled
    half, mean = reach_t(freedom) * deviation * (1 + 1 / len(own)) ** 0.5, float(np.mean(own))
    return mean, mean - half, mean + half
