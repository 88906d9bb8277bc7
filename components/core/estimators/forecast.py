"""A new point on a line through known ones, with the interval that it falls into."""

from collections.abc import Sequence

import numpy as np

from rlready.components.core.estimators.correlation import correlate
from rlready.components.core.estimators.intervals import LEVEL, MIN_POINTS


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
