"""The unbiased Pass@k estimator (Chen et al. 2021, arXiv 2107.03374), its correction for a lenient verifier, and coverage kept.

Coverage kept is the share of what the base model solves that a candidate still solves, which shows what SFT made it forget.
Pass@k alone does not: a candidate that gained ten problems and lost ten others has the same one.
"""

import math
from collections.abc import Hashable, Sequence
from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlready.errors import InputError
from rlready.stats.intervals import estimate_interval

LARGEST_K = 64  # of the paper

Groups = Sequence[Hashable] | None
Kept = tuple[float, float, float]  # coverage kept, with its 95% interval


def estimate_curve(correct: Sequence[int], samples: int) -> np.ndarray:
    """Estimates Pass@k of every problem for every k from 1 to n, as an array (problems, n); column k-1 is Pass@k.

    Pass@k = 1 - C(n-c, k) / C(n, k), computed as 1 - prod_{i<k} (n-c-i)/(n-i), which stays in [0, 1] and never overflows; c are
    the right ones (`correct`) of n `samples` of a problem. Raises InputError if there is no problem or sample, the problems
    differ in n, or a count is missing, not whole or outside 0..n; problems are numbered from 0.
    """
    return 1.0 - _estimate_all_wrong(correct, samples)


class Estimate(NamedTuple):
    """An estimate with its 95% interval over problems."""

    value: float
    low: float
    high: float


def estimate_pass_at_k(correct: Sequence[int], samples: int, k: int, groups: Groups = None) -> Estimate:
    """Estimates Pass@k, the mean over problems, with its interval; for `groups` see `estimate_intervals`.

    Raises InputError if k is not in 1..n (fewer than k samples give no estimate), or as in `estimate_curve`.
    """
    curves = estimate_curve(correct, samples)
    if not isinstance(k, Integral) or not 1 <= k <= samples:
        raise InputError(f"Pass@{k} needs at least {k} samples per problem and a whole k >= 1, got {samples} samples")
    values = curves[:, k - 1]
    return Estimate(float(values.mean()), *estimate_interval(values, groups=groups))


def summarize_curve(
    correct: Sequence[int], samples: int, groups: Groups = None
) -> tuple[list[list[float]], dict[str, Sequence[float | None]]]:
    """Returns Pass@k at the powers of two and at n, as records have it: pairs [k, mean], and 95% intervals by k.

    Arguments and errors are those of `estimate_pass_at_k`.
    """
    curves = estimate_curve(correct, samples)  # (problems, samples)
    means = curves.mean(axis=0).tolist()
    ks = [k for k in range(1, samples + 1) if k & (k - 1) == 0 or k == samples]
    return [[k, means[k - 1]] for k in ks], {str(k): [*estimate_interval(curves[:, k - 1], groups=groups)] for k in ks}


def choose_k(samples: int) -> int:
    """Returns the k of Pass@k where none is given: the paper's 64, or the largest power of two that n samples allow."""
    return 1 << (min(samples, LARGEST_K).bit_length() - 1)


def estimate_zero_variance(correct: Sequence[int], samples: int, group: int) -> float | None:
    """Estimates the share of GRPO's groups of g completions that are all right or all wrong, and so give no gradient.

    The estimate (C(c, g) + C(n-c, g)) / C(n, g) is unbiased; its mean over problems is returned, None if n < g. All n samples
    are alike less often than g of them. Arguments and errors are those of `estimate_curve`.
    """
    if not 1 <= group <= samples:
        return None
    alike = _estimate_all_wrong(correct, samples) + _estimate_all_wrong(samples - np.asarray(correct), samples)
    return float(alike[:, group - 1].mean())


def correct_curve(correct: Sequence[int], samples: int, rate: float | None) -> np.ndarray | None:
    """Estimates the mean Pass@k curve of a model whose verifier judges wrong samples right at a known rate.

    A rate of 0.1% makes an unsolved problem look solved at k = 256 with probability 1 - 0.999^256 = 22.6%. With f the rate
    and p the chance of a right sample, samples are judged right with q = p + (1-p) f, so (1-p)^k = (1-q)^k / (1-f)^k; and
    C(n-c, k) / C(n, k) is unbiased for (1-q)^k. The mean over problems is thus unbiased before it is clipped at 0. Clipping
    (of the mean, because negative values of one problem balance others) raises the expectation if the truth is within a
    standard error of 0: by 0.02 if 128 problems are all unsolved, at f = 0.1% and k = n = 256. The curve of one study may
    therefore fall with k. The uncertainty of the rate is not propagated: try both ends of its interval.

    Returns corrected Pass@k for k = 1..n, never above the uncorrected curve; None if the rate is unknown, or 1: a verifier that
    accepts everything says nothing about the model. Raises InputError if the rate is not in [0, 1], or as in `estimate_curve`.
    """
    if rate is None or rate == 1:
        return None
    if not 0 <= rate <= 1:
        raise InputError(f"a false-positive rate lies in [0, 1], got {rate}")
    all_wrong = _estimate_all_wrong(correct, samples).mean(axis=0)
    refused = (1 - rate) ** np.arange(1.0, samples + 1)  # that k wrong samples all are; rounded to 0 if the rate is high
    clipped = (all_wrong > 0).astype(float)
    corrected: np.ndarray = 1.0 - np.divide(all_wrong, refused, out=clipped, where=all_wrong < refused)
    return corrected


def estimate_coverage_kept(
    base: Sequence[int], base_samples: int, correct: Sequence[int], samples: int, k: int, groups: Groups = None
) -> Kept | None:
    """Estimates the share of the problems that the base model solves within k samples which a candidate still solves within k.

    With b and c the chances of the two to solve a problem within k samples, it is the mean of b c over that of b: the chance
    that the candidate solves a problem, given that the base model did. The samples are independent, so the product of the
    unbiased estimates of b and c is unbiased for b c; the ratio of the means is biased by a share of 1 / problems only. A
    problem counts with its chance, so that luck in n samples does not make it one of the base model's; hence a model that
    forgot nothing keeps less than 1 (`estimate_own_coverage`).

    `base` and `correct` are the right samples of the base model and of the candidate, of the same problems in the same order,
    among `base_samples` and `samples` per problem; for `groups` see `estimate_intervals`. Returns the share with its 95%
    interval over problems; None if the base model solved nothing. Raises InputError if the numbers of problems differ, k is
    more than one of the numbers of samples, or as in `estimate_curve`.
    """
    curves = [estimate_curve(counts, n) for counts, n in ((base, base_samples), (correct, samples))]
    if len(curves[0]) != len(curves[1]):
        raise InputError(f"{len(curves[1])} problems, but the base model was measured on {len(curves[0])}")
    if not 1 <= k <= min(base_samples, samples):
        raise InputError(f"coverage within {k} needs at least {k} samples per problem, got {base_samples} and {samples}")
    solved, still = (curve[:, k - 1] for curve in curves)
    return _weigh(still, solved, groups)


def estimate_own_coverage(correct: Sequence[int], samples: int, k: int, groups: Groups = None) -> Kept | None:
    """Estimates what a model keeps of itself in a second draw: what a candidate that forgot nothing would keep.

    Two parts of the samples serve as the two draws: both have a right one, of c in n, with the chance
    1 - 2 C(n-c, k) / C(n, k) + C(n-c, 2k) / C(n, 2k), which is unbiased for the square of the chance to solve the problem.
    Returns what `estimate_coverage_kept` does; None if nothing was solved, or with fewer than 2 k samples.
    """
    curve = estimate_curve(correct, samples)
    if not 1 <= k <= samples // 2:
        return None
    solved = curve[:, k - 1]
    twice = 2 * solved - curve[:, 2 * k - 1]
    return _weigh(np.divide(twice, solved, out=np.zeros_like(solved), where=solved > 0), solved, groups)


def _weigh(values: np.ndarray, weights: np.ndarray, groups: Groups) -> Kept | None:
    if not weights.any():
        return None
    values = values.clip(0, 1)  # rounding
    return float(np.average(values, weights=weights)), *estimate_interval(values, weights=weights, groups=groups)


def _estimate_all_wrong(correct: ArrayLike, samples: int) -> np.ndarray:
    """Returns C(n-c, k) / C(n, k), the unbiased estimate that k samples are all wrong, by problem and k."""
    counts = _check_counts(correct, samples)  # (problems,)
    drawn = np.arange(samples)  # (n,)
    chances: np.ndarray = np.clip((samples - counts[:, None] - drawn) / (samples - drawn), 0.0, None)
    return chances.cumprod(axis=1)


def _check_counts(correct: ArrayLike, samples: int | Sequence[int]) -> np.ndarray:
    if isinstance(samples, Sequence | np.ndarray) and not isinstance(samples, str):
        odd = [f": problem {i} has {n}, problem 0 has {samples[0]}" for i, n in enumerate(samples) if n != samples[0]]
        raise InputError(f"Pass@k needs one whole number of samples, the same for all problems{odd[0] if odd else ''}")
    if not isinstance(samples, Integral) or isinstance(samples, bool):
        raise InputError(f"Pass@k needs a whole number of samples per problem, got {samples!r}")
    try:
        counts = np.asarray(correct, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"Pass@k needs one count of right samples per problem: {error}") from error
    if counts.ndim != 1:
        raise InputError(f"Pass@k needs one count of right samples per problem, got {counts.ndim} dimensions")
    if counts.size == 0 or samples < 1:
        raise InputError(f"Pass@k needs at least one problem and one sample, got {counts.size} and {samples}")
    bad = np.flatnonzero(~((counts >= 0) & (counts <= samples) & (counts == np.floor(counts))))
    if bad.size:
        index, count = int(bad[0]), counts[bad[0]]
        if math.isnan(count):
            raise InputError(f"problem {index}: the count of right samples is missing")
        if count != np.floor(count):
            raise InputError(f"problem {index}: {count} right samples, but Pass@k needs whole counts")
        raise InputError(f"problem {index}: {count:.0f} right samples, but counts go from 0 to n = {samples}")
    return counts
