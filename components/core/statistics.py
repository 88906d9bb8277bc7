"""How well a predictor tells the outcome: Spearman's rank correlation and R2, over candidates."""

from collections.abc import Sequence

import numpy as np


def rank(values: Sequence[float]) -> np.ndarray:
    """Returns ranks from 1, ties sharing their mean rank."""
    values = np.asarray(values, dtype=float)
    return (values[:, None] > values).sum(1) + 0.5 * ((values[:, None] == values).sum(1) + 1)


def correlate(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Returns Pearson's correlation, or None where it is undefined (fewer than 3 points, or no spread)."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Returns Spearman's rank correlation, or None where it is undefined."""
    return correlate(rank(x), rank(y))


def r_squared(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Returns R2 of the least-squares line from x to y (in sample), or None where it is undefined."""
    r = correlate(x, y)
    return None if r is None else r * r


def fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float] | None:
    """Returns (slope, intercept) of the least-squares line, or None where it is undefined."""
    if correlate(x, y) is None:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    return float(slope), float(intercept)


MIN_POINTS = 8


def predict_at(x: Sequence[float], y: Sequence[float], at: float, level: float = 0.95) -> tuple[float, float, float] | None:
    """Returns (predicted, low, high) of a new point on the least-squares line, or None with fewer than 8 points or no spread."""
    from scipy.stats import t

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    line = fit_line(x, y)
    if len(x) < MIN_POINTS or line is None:
        return None
    predicted = line[0] * at + line[1]
    residual = np.sqrt(((y - line[0] * x - line[1]) ** 2).sum() / (len(x) - 2))
    spread = residual * np.sqrt(1 + 1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    half = t.ppf((1 + level) / 2, len(x) - 2) * spread
    return float(predicted), float(predicted - half), float(predicted + half)
