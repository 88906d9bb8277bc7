"""When two numbers are the same: one tolerance for every threshold, budget, rank and tie.

Counts are exact and their means are rational, but not the floats that stand for them: 0.45 - 0.5 lies below -0.05.
"""

import math
from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

TIE = 1e-9  # far above rounding, far below what one sample more or less changes


@overload
def reaches(value: float, least: float) -> bool: ...
@overload
def reaches(value: np.ndarray, least: np.ndarray | float) -> np.ndarray: ...
@overload
def reaches(value: float, least: np.ndarray) -> np.ndarray: ...
def reaches(value: float | np.ndarray, least: float | np.ndarray) -> bool | np.ndarray:
    """Returns True if a number is at least another, up to rounding."""
    return value >= least - TIE


@overload
def count_share(share: float, total: int) -> int: ...
@overload
def count_share(share: float, total: np.ndarray) -> np.ndarray: ...
def count_share(share: float, total: int | np.ndarray) -> int | np.ndarray:
    """Returns a share of a total, rounded up: 0.28 of 25 is 7, although the product of the floats is above 7."""
    return np.ceil(share * total - TIE).astype(int) if isinstance(total, np.ndarray) else math.ceil(share * total - TIE)


def number_levels(values: ArrayLike | Sequence[float | None]) -> np.ndarray:
    """Returns the level of each value, 0 for the lowest; values that tie share a level, and unknown values have the last."""
    known = np.asarray(values, dtype=float)
    known = np.where(np.isnan(known), np.inf, known)
    order = np.argsort(known, kind="stable")
    with np.errstate(invalid="ignore"):  # unknown minus unknown
        steps = np.diff(known[order]) > TIE
    levels = np.empty(len(known), dtype=int)
    levels[order] = np.concatenate([[0], np.cumsum(steps)])[: len(known)]
    return levels


def order_best(
    values: ArrayLike | Sequence[float | None],
    losses: ArrayLike | Sequence[float | None],
    names: Sequence[str],
    falls: bool,
) -> np.ndarray:
    """Returns the indices of candidates, best first: ties by the lower loss, then by name; unknown values last.

    Args:
        values: What to order by.
        losses: Generalization losses, in nats per token.
        names: Names of the candidates.
        falls: Whether less is better.
    """
    known = np.asarray(values, dtype=float)
    order: np.ndarray = np.lexsort((np.asarray(names), number_levels(losses), number_levels(known if falls else -known)))
    return order
