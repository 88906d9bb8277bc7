"""How much values differ between groups, and how much within them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlready.stats.intervals import LEVEL
from rlready.stats.ties import TIE

OUTLYING = 0.99


@dataclass(frozen=True)
class Variation:
    """One-way analysis of variance with random groups (Searle, Casella and McCulloch 1992, chapter 3)."""

    deviation: float  # standard deviation within groups, pooled
    freedom: int  # degrees of freedom within groups
    share: float  # of the variance between groups (intraclass correlation); may be below 0
    share_interval: tuple[float, float]  # exact for normal values and groups of one size
    f: float  # ratio of the mean squares
    p: float  # chance of a larger one if the groups did not differ


def pool_deviation(groups: Sequence[Sequence[float]]) -> tuple[float, int] | None:
    """Returns the standard deviation within groups and its degrees of freedom, or None if nothing is repeated."""
    freedom = sum(len(group) - 1 for group in groups if len(group))
    if not freedom:
        return None
    deviation = math.sqrt(sum(float(np.var(group)) * len(group) for group in groups if len(group)) / freedom)
    return (deviation if deviation > TIE else 0.0), freedom


def find_scattered(groups: Sequence[Sequence[float]], level: float = OUTLYING) -> list[int]:
    """Returns the indices of the groups that scatter significantly more than the others and so must not be pooled with them.

    The largest variance is tested against the pool of the others (F-test, Bonferroni's correction for the number of groups),
    and again without it, until none is too large (Cochran 1941; for groups of unequal sizes 't Lam 2010; at 1% as in ISO
    5725-2, because a group left out by chance makes the pool too small). `level` is 1 minus the chance that a group is left
    out although all scatter alike. Groups whose values are all equal, as if all scores are 0, are not considered.
    """
    from scipy.special import fdtrc

    freedom = {number: len(group) - 1 for number, group in enumerate(groups) if len(group) > 1 and np.ptp(group) > TIE}
    squares = {number: float(np.var(groups[number])) * len(groups[number]) for number in freedom}
    found = []
    while len(freedom) > 2:
        largest = max(freedom, key=lambda number: squares[number] / freedom[number])
        own, within = freedom[largest], squares[largest]
        others, rest = sum(freedom.values()) - own, sum(squares.values()) - within
        if fdtrc(own, others, within / own / (rest / others)) * len(freedom) >= 1 - level:
            break
        found.append(largest)
        del freedom[largest], squares[largest]
    return sorted(found)


def bound_deviation(deviation: float, freedom: int) -> tuple[float, float]:
    """Returns the 95% interval of a standard deviation, from the chi-squared distribution."""
    from scipy.special import chdtri

    low, high = (deviation * math.sqrt(freedom / chdtri(freedom, tail)) for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return low, high


def analyse_variance(groups: Sequence[Sequence[float]]) -> Variation | None:
    """Compares the spread between groups with the spread within them; groups of one value count only for the former.

    Returns None with fewer than two groups, if nothing is repeated, or if all repetitions are equal.
    """
    values = [np.asarray(group, dtype=float) for group in groups if len(group)]
    pooled = pool_deviation(groups)
    if len(values) < 2 or pooled is None or pooled[0] == 0:
        return None
    from scipy.special import fdtrc, fdtri

    deviation, freedom = pooled
    sizes, between = np.array([len(group) for group in values]), len(values) - 1
    grand = np.concatenate(values).mean()
    f = float(sum(n * (group.mean() - grand) ** 2 for n, group in zip(sizes, values, strict=True)) / between)
    f /= deviation**2
    size = float((sizes.sum() - (sizes**2).sum() / sizes.sum()) / between)

    def estimate_share(ratio: float) -> float:
        return (ratio - 1) / (ratio + size - 1)

    tails = (1 + LEVEL) / 2, (1 - LEVEL) / 2
    low, high = (estimate_share(f / float(fdtri(between, freedom, tail))) for tail in tails)
    return Variation(deviation, freedom, estimate_share(f), (low, high), f, float(fdtrc(between, freedom, f)))
