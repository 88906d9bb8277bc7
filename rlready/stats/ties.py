"""When two numbers are equal: one tolerance for every threshold, budget, rank and tie.

Means of counts are rational, but floats round them: 0.6 - 0.65 is below -0.05.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

TIE = 1e-9  # far above rounding, far below what one sample more or less changes


def reaches(value: Any, least: Any) -> Any:
    """Returns True if a number is at least another, up to rounding; of arrays, an array."""
    return value >= least - TIE


def count_share(share: float, total: Any) -> Any:
    """Returns a share of a number or an array, rounded up: 0.28 of 25 is 7, although the product of the floats is above 7."""
    return np.ceil(share * total - TIE).astype(int) if isinstance(total, np.ndarray) else math.ceil(share * total - TIE)


def number_levels(values: ArrayLike | Sequence[float | None]) -> np.ndarray:
    """Returns the level of each value, 0 for the lowest; values that tie share one, and unknown values have the last."""
    known = np.asarray(values, dtype=float)
    known = np.where(np.isnan(known), np.inf, known)
    order = np.argsort(known, kind="stable")
    with np.errstate(invalid="ignore"):  # unknown minus unknown
        steps = np.diff(known[order]) > TIE
    levels = np.empty(len(known), dtype=int)
    levels[order] = np.concatenate([[0], np.cumsum(steps)])[: len(known)]
    return levels


def order_best(
    values: ArrayLike | Sequence[float | None], losses: ArrayLike | Sequence[float | None], names: Sequence[str], falls: bool
) -> np.ndarray:
    """Returns the indices of candidates, best first: ties by the lower loss, then by name; unknown values last.

    The lowest value is the best if `falls` is true, else the highest.
    """
    known = np.asarray(values, dtype=float)
    order: np.ndarray = np.lexsort((np.asarray(names), number_levels(losses), number_levels(known if falls else -known)))
    return order
