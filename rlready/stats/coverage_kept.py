"""Coverage kept: the share of what the base model solves that a candidate still solves. It shows what SFT made it forget.

Pass@k alone does not show it: a candidate that gained ten problems and lost ten others has the same one.
"""

from collections.abc import Hashable, Sequence

import numpy as np

from rlready.errors import InputError
from rlready.stats.intervals import estimate_interval
from rlready.stats.pass_at_k import estimate_curve

Kept = tuple[float, float, float]


def estimate_coverage_kept(
    base: Sequence[int],
    base_samples: int,
    correct: Sequence[int],
    samples: int,
    k: int,
    groups: Sequence[Hashable] | None = None,
) -> Kept | None:
    """Estimates the share of the problems that the base model solves within k samples which a candidate still solves within k.

    With b and c the chances of the two to solve a problem within k samples, it is the mean of b c over that of b: the chance
    that the candidate solves a problem, given that the base model did. The samples are independent, so the product of the
    unbiased estimates of b and c is unbiased for b c; the ratio of the means is biased by a share of 1 / problems only. A
    problem counts with its chance, so that luck in n samples does not make it one of the base model's; hence a model that
    forgot nothing keeps less than 1 (`estimate_own_coverage`).

    `base` and `correct` are the right samples of the base model and of the candidate, of the same problems in the same order,
    among `base_samples` and `samples` per problem; for `groups` see `estimate_intervals`.

    Returns:
        The share with its 95% interval over problems; None if the base model solved nothing.

    Raises:
        InputError: If the numbers of problems differ, k is more than one of the numbers of samples, or as in `estimate_curve`.
    """
    curves = [estimate_curve(counts, n) for counts, n in ((base, base_samples), (correct, samples))]
    if len(curves[0]) != len(curves[1]):
        raise InputError(f"{len(curves[1])} problems, but the base model was measured on {len(curves[0])}")
    if not 1 <= k <= min(base_samples, samples):
        raise InputError(f"coverage within {k} needs at least {k} samples per problem, got {base_samples} and {samples}")
    solved, still = (curve[:, k - 1] for curve in curves)
    return _average(still, solved, groups)


def estimate_own_coverage(
    correct: Sequence[int], samples: int, k: int, groups: Sequence[Hashable] | None = None
) -> Kept | None:
    """Estimates what a model keeps of itself in a second draw: what a candidate that forgot nothing would keep.

    Two parts of the samples serve as the two draws: both have a right one, of c in n, with the chance
    1 - 2 C(n-c, k) / C(n, k) + C(n-c, 2k) / C(n, 2k), which is unbiased for the square of the chance to solve the problem.

    Returns:
        As `estimate_coverage_kept`; None if nothing was solved, or with fewer than 2 k samples.
    """
    curve = estimate_curve(correct, samples)
    if not 1 <= k <= samples // 2:
        return None
    solved = curve[:, k - 1]
    twice = 2 * solved - curve[:, 2 * k - 1]
    return _average(np.divide(twice, solved, out=np.zeros_like(solved), where=solved > 0), solved, groups)


def _average(values: np.ndarray, weights: np.ndarray, groups: Sequence[Hashable] | None) -> Kept | None:
    if not weights.any():
        return None
    values = values.clip(0, 1)  # rounding
    return float(np.average(values, weights=weights)), *estimate_interval(values, weights=weights, groups=groups)
