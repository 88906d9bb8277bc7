"""Whether a training had levelled off when it ended, from the rewards on its way."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlready.stats.intervals import LEVEL

LAST = 0.25  # of the steps, in which the gain is looked at
MUCH = 0.1  # share of all gain; an even rise has LAST, one that halves what is missing in every quarter has 0.07
LEAST_POINTS, LEAST_LATE = 8, 4  # in the last half, and of those in the last quarter
LAGS = np.linspace(0, 0.97, 40)  # correlations of neighbours; where they are higher, little can be told


@dataclass(frozen=True)
class Rise:
    """How much a series gained.

    Attributes:
        gain: From its first point to the end of the line through the last quarter.
        late: In the last quarter: the slope of the least-squares line through it, times its length.
        low: Lower end of the 95 % interval of `late`, from the scatter around that line (Student's t).
        high: Its upper end.
    """

    gain: float
    late: float
    low: float
    high: float

    @property
    def share(self) -> float | None:
        """Share of the gain that came in the last quarter; None where nothing was gained."""
        return self.late / self.gain if self.gain > 0 else None

    @property
    def rising(self) -> bool:
        """Whether the end still rose: surely by more than a tenth of all gain."""
        return self.low > MUCH * max(self.gain, 0.0)

    @property
    def level(self) -> bool:
        """Whether the end surely gained no more than a tenth of all gain, and there was a gain."""
        return self.gain > 0 and self.high <= MUCH * self.gain


def measure_rise(series: Sequence[Sequence[float | None]], level: float = LEVEL) -> Rise | None:
    """Measures how much a series of [step, value] gained, and how much of it at the end.

    A policy that drifts makes the rewards of neighbouring steps scatter together, and then a line through them is less sure
    than their scatter says. The correlation of neighbours is measured on the last half of the series, around a parabola
    that takes the trend out of it, and without the bias that this has; the interval is Student's for a scatter so correlated
    (autoregressive of order 1), with the degrees of freedom of its variance (Satterthwaite 1946).

    Args:
        series: Pairs in the order of their steps; a None is left out.
        level: Coverage of the interval.

    Returns:
        None with too few points to tell the line from the scatter.
    """
    known = np.array([pair for pair in series if is_known(pair)], dtype=float).reshape(-1, 2)
    half = known[known[:, 0] > known[-1, 0] / 2] if len(known) else known
    late = half[half[:, 0] > (1 - LAST) * half[-1, 0]] if len(half) else half
    if len(half) < LEAST_POINTS or len(late) < LEAST_LATE:
        return None
    from scipy.special import stdtrit

    steps, values = late[:, 0] - late[:, 0].mean(), late[:, 1]
    slope = steps @ values / (steps @ steps)
    length, end = LAST * known[-1, 0], values.mean() + slope * steps[-1]
    left, *expected = _expect(tuple(half[:, 0]), len(late))
    scatter = left @ half[:, 1]
    squares = scatter @ scatter
    lag = np.interp(scatter[1:] @ scatter[:-1] / squares if squares > 0 else 0.0, expected[0], LAGS)
    variance, freedom = (float(np.interp(lag, LAGS, column)) for column in expected[1:])
    reach = float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(variance * squares)
    ends = (length * (slope - reach), length * (slope + reach))
    return Rise(float(end - known[0, 1]), float(length * slope), *map(float, ends))


@functools.lru_cache(maxsize=64)
def _expect(steps: tuple[float, ...], late: int) -> tuple[np.ndarray, ...]:
    """Returns what turns values at these steps into their scatter around a parabola, and what to expect of that by LAGS.

    Args:
        steps: Of the last half.
        late: How many of them are in the last quarter.

    Returns:
        The matrix; and for each correlation of neighbours: the one found in the scatter, the variance of the slope of the last
        quarter over the scatter's sum of squares, and the degrees of freedom of the latter.
    """
    at = np.array(steps)
    powers = np.vander((at - at.mean()) / np.ptp(at), 3)  # (points, 3)
    left = np.eye(len(at)) - powers @ np.linalg.pinv(powers)
    apart = np.abs(at[:, None] - at) / np.median(np.diff(at))
    correlations = LAGS[:, None, None] ** apart  # (lags, points, points)
    spread = left @ correlations @ left
    total = np.trace(spread, axis1=1, axis2=2)
    found = np.trace(spread, offset=1, axis1=1, axis2=2) / total
    weights = at[-late:] - at[-late:].mean()
    weights /= weights @ weights
    variance = np.einsum("i,lij,j->l", weights, correlations[:, -late:, -late:], weights) / total
    return left, np.maximum.accumulate(found), variance, total**2 / (spread**2).sum((1, 2))


def is_known(pair: Sequence[float | None]) -> bool:
    """Whether a [step, value] has both, and finite."""
    return all(value is not None and math.isfinite(value) for value in pair)


def add_rises(rises: Sequence[Rise]) -> Rise:
    """Returns what several series gained together; their errors are independent, so the squares of the intervals' arms add."""
    late = sum(rise.late for rise in rises)
    low, high = (
        math.sqrt(sum(arm**2 for arm in arms))
        for arms in ([rise.late - rise.low for rise in rises], [rise.high - rise.late for rise in rises])
    )
    return Rise(sum(rise.gain for rise in rises), late, late - low, late + high)


def average_blocks(series: Sequence[tuple[int, float | None]], most: int = 40) -> list[list]:
    """Returns at most so many [last step, mean] of blocks of equal length; the first may be shorter.

    Args:
        series: (step, value); a None is left out of its block's mean, and a block of None alone has none.
        most: Blocks.
    """
    stride = -(-len(series) // most) or 1
    blocks = [series[max(0, end - stride) : end] for end in range(len(series), 0, -stride)][::-1]
    averaged = []
    for block in blocks:
        known = [value for _, value in block if value is not None]
        averaged.append([block[-1][0], round(sum(known) / len(known), 5) if known else None])
    return averaged
