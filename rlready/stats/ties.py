"""When two numbers are the same: one tolerance for every threshold, budget, rank and tie.

Counts are exact and their means are rational, but not the floats that stand for them: 0.45 - 0.5 lies below -0.05.
"""

import math
from collections.abc import Sequence

import numpy as np

TIE = 1e-9  # far above rounding, far below what one sample more or less changes


def reaches(value: float | np.ndarray, least: float | np.ndarray) -> bool | np.ndarray:
    """Says whether a number is at least another: one that equals it, but for rounding, is."""
    return value >= least - TIE


def count_share(share: float, total: int | np.ndarray) -> int | np.ndarray:
    """Returns how many of a total a share of it is, rounded up: 0.28 of 25 is 7, though the product of the floats is more."""
    return np.ceil(share * total - TIE).astype(int) if isinstance(total, np.ndarray) else math.ceil(share * total - TIE)


def number_levels(values: Sequence[float | None]) -> np.ndarray:
    """Returns the level of each value, counted from 0 for the lowest; values that tie share one, unknown ones the last."""
    values = np.asarray(values, dtype=float)
    values = np.where(np.isnan(values), np.inf, values)
    order = np.argsort(values, kind="stable")
    with np.errstate(invalid="ignore"):  # unknown minus unknown
        steps = np.diff(values[order]) > TIE
    levels = np.empty(len(values), dtype=int)
    levels[order] = np.concatenate([[0], np.cumsum(steps)])[: len(values)]
    return levels


def order_best(values: Sequence[float | None], losses: Sequence[float | None], names: Sequence[str], falls: bool) -> np.ndarray:
    """Returns the places of the best first, as the gate's budget does: ties by the lower loss, then by name, unknown ones last.

    Args:
        values: What the order goes by.
        losses: Generalization losses.
        names: Of the candidates.
        falls: Whether less is better.
    """
    values = np.asarray(values, dtype=float)
    return np.lexsort((np.asarray(names), number_levels(losses), number_levels(values if falls else -values)))
