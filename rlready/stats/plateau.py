"""Whether a training had plateaued when it ended, from its rewards."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlready.stats.intervals import LEVEL, reach_t
from rlready.stats.ties import TIE

LAST = 0.25  # share of the steps that is the end
MUCH = 0.1  # share of the total gain; a linear rise has LAST, one that halves the remaining gain in every quarter has 0.07
LEAST_POINTS, LEAST_LATE = 8, 4  # in the last half, and of those in the last quarter
LAGS = np.linspace(0, 0.97, 40)  # lag-1 autocorrelations; if it is higher, a trend cannot be recognised


@dataclass(frozen=True)
class Rise:
    """How much a series gained."""

    gain: float  # from its first point to the end of the line through the last quarter
    late: float  # in the last quarter: the slope of the least-squares line through it, times its length
    low: float  # 95% interval of `late`, from the scatter around that line (Student's t)
    high: float

    @property
    def share(self) -> float | None:
        """Share of the gain that came in the last quarter; None without a gain."""
        return self.late / self.gain if self.gain > TIE else None

    @property
    def rising(self) -> bool:
        """Whether the last quarter gained significantly more than a tenth of the total gain."""
        return self.low > max(MUCH * self.gain, TIE)

    @property
    def level(self) -> bool:
        """Whether there was a gain, and the last quarter gained significantly less than a tenth of it."""
        return self.gain > TIE and self.high <= MUCH * self.gain


def measure_rise(series: Sequence[Sequence[float | None]], level: float = LEVEL) -> Rise | None:
    """Measures how much a series of [step, value] gained, and how much of it at the end; None with too few points.

    Rewards of neighbouring steps are correlated because the policy drifts, so a line through them is less certain than their
    scatter suggests. The lag-1 autocorrelation is measured on the last half of the series, around a parabola that removes the
    trend, and corrected for bias; the interval is Student's for a scatter with this autocorrelation (autoregressive of order
    1), with the degrees of freedom of its variance (Satterthwaite 1946). Pairs with a None are left out.
    """
    known = np.array([pair for pair in series if is_known(pair)], dtype=float).reshape(-1, 2)
    half = known[known[:, 0] > known[-1, 0] / 2] if len(known) else known
    late = half[half[:, 0] > (1 - LAST) * half[-1, 0]] if len(half) else half
    if len(half) < LEAST_POINTS or len(late) < LEAST_LATE:
        return None
    steps, values = late[:, 0] - late[:, 0].mean(), late[:, 1]
    slope = steps @ values / (steps @ steps)
    length, end = LAST * known[-1, 0], values.mean() + slope * steps[-1]
    trend, *expected = _expect(tuple(half[:, 0]), len(late))
    scatter = half[:, 1] - trend @ (trend.T @ half[:, 1])
    squares = scatter @ scatter
    lag = np.interp(scatter[1:] @ scatter[:-1] / squares if squares > 0 else 0.0, expected[0], LAGS)
    variance, freedom = (float(np.interp(lag, LAGS, column)) for column in expected[1:])
    reach = reach_t(freedom, level) * math.sqrt(variance * squares)
    ends = (length * (slope - reach), length * (slope + reach))
    return Rise(float(end - known[0, 1]), float(length * slope), *map(float, ends))


@functools.lru_cache(maxsize=64)
def _expect(steps: tuple[float, ...], late: int) -> tuple[np.ndarray, ...]:
    """Returns an orthonormal basis of the parabolas over the last half, and moments of the residuals of a parabola by LAGS.

    The moments are the autocorrelation found in the residuals, the variance of the slope of the `late` last steps over the
    residuals' sum of squares, and the degrees of freedom of the latter. The residuals' covariance is C - TT'C - CTT' + TT'CTT'
    of the basis T and the correlations C; its trace, neighbours and squares follow from CT without a product of C with itself.
    """
    at = np.array(steps)
    trend = np.linalg.qr(np.vander((at - at.mean()) / np.ptp(at), 3))[0]  # (points, 3)
    apart = np.abs(at[:, None] - at) / np.median(np.diff(at))
    weights = at[-late:] - at[-late:].mean()
    weights /= weights @ weights
    moments = []
    for lag in LAGS:
        correlations = lag**apart  # (points, points)
        image = correlations @ trend
        inner = trend.T @ image  # (3, 3)
        total = len(at) - np.trace(inner)
        neighbours = np.trace(correlations, 1) - (trend[:-1] * image[1:] + image[:-1] * trend[1:]).sum()
        neighbours += (trend[:-1] @ inner * trend[1:]).sum()
        squares = (correlations**2).sum() - 2 * (image**2).sum() + (inner**2).sum()
        variance = weights @ correlations[-late:, -late:] @ weights
        moments.append((neighbours / total, variance / total, total**2 / squares))
    found, variances, freedom = np.array(moments).T
    return trend, np.maximum.accumulate(found), variances, freedom


def is_known(pair: Sequence[float | None]) -> bool:
    """Returns True if both of [step, value] are known and finite."""
    return all(value is not None and math.isfinite(value) for value in pair)


def add_rises(rises: Sequence[Rise]) -> Rise:
    """Returns the sum of several series' gains; their errors are independent, so the squares of the intervals' arms add."""
    late = sum(rise.late for rise in rises)
    low, high = (
        math.sqrt(sum(arm**2 for arm in arms))
        for arms in ([rise.late - rise.low for rise in rises], [rise.high - rise.late for rise in rises])
    )
    return Rise(sum(rise.gain for rise in rises), late, late - low, late + high)


def average_blocks(series: Sequence[tuple[int, float | None]], most: int = 40) -> list[list]:
    """Returns [last step, mean] of at most `most` blocks of equal length; the first may be shorter.

    A None is left out of its block's mean, which is None if nothing else is in the block.
    """
    stride = -(-len(series) // most) or 1
    blocks = [series[max(0, end - stride) : end] for end in range(len(series), 0, -stride)][::-1]
    known = [[value for _, value in block if value is not None] for block in blocks]
    means = [round(sum(some) / len(some), 5) if some else None for some in known]
    return [[block[-1][0], mean] for block, mean in zip(blocks, means, strict=True)]
