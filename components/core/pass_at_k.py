"""The unbiased Pass@k estimator (Chen et al. 2021, arXiv 2107.03374), its intervals, and what a lenient verifier does to it.

The paper takes Pass@64 from 256 samples a problem.
"""

import math
from collections.abc import Sequence
from numbers import Integral
from statistics import NormalDist

import numpy as np

from rlready.components.config import InputError

# Below this many effective successes (or failures) Wilson's interval undercovers; Brown, Cai and DasGupta (2001) say why.
FEW = 5
# With 1.25 some populations of the coverage test fell below 93 %; with 2 more of them exceed 97 %.
PRIOR_WEIGHT = 1.5


def estimate_curve(correct: Sequence[int], samples: int) -> np.ndarray:
    """Estimates Pass@k for every k from 1 to n, of every problem.

    Pass@k = 1 - C(n-c, k) / C(n, k), computed as 1 - prod_{i<k} (n-c-i)/(n-i), which stays in [0, 1] and never overflows.

    Args:
        correct: Right samples of each problem (c).
        samples: Samples a problem (n), the same for all.

    Returns:
        Array of shape (problems, n); column k-1 is Pass@k of each problem.

    Raises:
        InputError: If there is no problem or sample, the problems differ in n, or a count is missing, not whole or
            outside 0..n; problems are numbered from 0.
    """
    return 1.0 - _estimate_all_wrong(correct, samples)


def estimate_pass_at_k(correct: Sequence[int], samples: int, k: int) -> float:
    """Estimates Pass@k, the mean over problems.

    Args:
        correct: Right samples of each problem.
        samples: Samples a problem.
        k: Draws a problem.

    Returns:
        A number in [0, 1].

    Raises:
        InputError: If k is not in 1..n (fewer than k samples give no estimate), or as in `estimate_curve`.
    """
    curves = estimate_curve(correct, samples)
    if not isinstance(k, Integral) or not 1 <= k <= samples:
        raise InputError(f"Pass@{k} needs at least {k} samples a problem and a whole k >= 1, got {samples} samples")
    return float(curves[:, k - 1].mean())


def estimate_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Estimates an interval for a mean over the population that the problems were drawn from.

    A problem's value carries the noise of its own samples, so the spread between problems covers both levels of chance.
    The interval is Wilson's, with the problems counted as the effective number of yes-or-no trials that would have the
    variance found (Korn and Graubard 1998). Two things keep it honest where a bootstrap or a t interval breaks: three
    quarters of a problem at 0 and as much at 1 join the variance, so that equal values do not look certain; and
    where fewer than 5 effective successes or failures are left, that end is Clopper and Pearson's if it lies further out.

    Measured over 2,000 studies in each of 216 settings (tests/test_pass_at_k.py): 93 to 98 % for means from 0.05 to 0.9
    whose problems are spread widely; never below 93 %, and up to 100 %, where the mean is near 0 or 1 or the problems
    resemble each other: values in hand cannot rule out a rare problem of another kind. The settings have 32 to 128
    problems; with 8 to 24 it covers 95 to 100 %.

    Args:
        values: One number in [0, 1] a problem. Columns of a second axis are means of their own.
        level: Coverage, between 0 and 1.

    Returns:
        (low, high); arrays if there is a second axis.

    Raises:
        InputError: If there is no value, a value is not in [0, 1], or the level not between 0 and 1.
    """
    values = np.atleast_1d(np.asarray(values, dtype=float))
    if values.size == 0 or not ((values >= 0) & (values <= 1)).all():
        raise InputError("an interval needs at least one value, all of them in [0, 1]")
    z = NormalDist().inv_cdf((1 + _check_level(level)) / 2)
    columns = values.reshape(len(values), -1)
    problems, mean = len(columns), columns.mean(axis=0)
    # The variance is estimated: Student's quantile, by the first term of Cornish and Fisher's expansion.
    z += (z**3 + z) / (4 * problems)
    total, half = problems + PRIOR_WEIGHT, PRIOR_WEIGHT / 2
    center = (mean * problems + half) / total
    squares = ((columns - center) ** 2).sum(axis=0) + half * (center**2 + (1 - center) ** 2)
    trials = np.maximum(problems, center * (1 - center) * problems * (total - 1) / squares)
    middle = mean + z * z / trials / 2
    spread = z * np.sqrt(mean * (1 - mean) / trials + (z / trials / 2) ** 2)
    low, high = (middle - spread) / (1 + z * z / trials), (middle + spread) / (1 + z * z / trials)
    low = _widen(low, mean * trials, trials, level)
    high = 1 - _widen(1 - high, (1 - mean) * trials, trials, level)
    return (float(low[0]), float(high[0])) if values.ndim == 1 else (low, high)


def estimate_false_positive_rate(suspect: int, checked: int, level: float = 0.95) -> tuple[float, tuple[float, float]]:
    """Estimates how often the verifier takes a wrong sample for right, with Clopper and Pearson's exact interval (1934).

    Args:
        suspect: Wrong samples that the verifier took for right.
        checked: Wrong samples that were looked at.
        level: Coverage; the interval covers at least that often.

    Returns:
        The rate and its (low, high).

    Raises:
        InputError: If these are not whole numbers with 0 <= suspect <= checked and checked >= 1.
    """
    whole = isinstance(suspect, Integral) and isinstance(checked, Integral)
    if not (whole and 0 <= suspect <= checked and checked > 0):
        raise InputError(f"a rate needs 0 <= suspect <= checked and something checked, got {suspect} of {checked}")
    low = _bound_below(suspect, checked, _check_level(level))
    high = 1 - _bound_below(checked - suspect, checked, level)
    return suspect / checked, (float(low), float(high))


def correct_curve(correct: Sequence[int], samples: int, rate: float) -> np.ndarray:
    """Estimates the mean Pass@k curve of a model behind a verifier that takes a wrong sample for right at a known rate.

    A rate of 0.1 % makes an unsolved problem look solved at k = 256 with probability 1 - 0.999^256 = 22.6 %. With f the rate
    and p the chance of a right sample, verdicts are right with q = p + (1-p) f, so that (1-p)^k = (1-q)^k / (1-f)^k; and
    C(n-c, k) / C(n, k) is unbiased for (1-q)^k. The mean over problems is therefore unbiased before it is clipped at 0.
    Clipping (of the mean, never of a problem, whose negative values balance others) lifts the expectation where the truth
    is within a standard error of 0: by 0.02 where 128 problems are all unsolved, at f = 0.1 % and k = n = 256. For the
    same reason the curve of one study may fall with k, which its expectation never does.

    Args:
        correct: Samples of each problem that the verifier took for right.
        samples: Samples a problem.
        rate: The false-positive rate a sample, in [0, 1). Its own uncertainty is not propagated: try both ends of its
            interval.

    Returns:
        Array of length n: corrected Pass@k for k = 1..n, never above the uncorrected curve.

    Raises:
        InputError: If the rate is not in [0, 1), or as in `estimate_curve`.
    """
    if not 0 <= rate < 1:
        raise InputError(f"a false-positive rate lies in [0, 1), got {rate}")
    all_wrong = _estimate_all_wrong(correct, samples).mean(axis=0)
    return np.maximum(0.0, 1.0 - all_wrong * (1 - rate) ** -np.arange(1.0, samples + 1))


def _estimate_all_wrong(correct: Sequence[int], samples: int) -> np.ndarray:
    """Returns C(n-c, k) / C(n, k), the unbiased estimate that k samples are all wrong, by problem and k."""
    counts = _check_counts(correct, samples)
    drawn = np.arange(samples)
    return np.cumprod(np.clip((samples - counts[:, None] - drawn) / (samples - drawn), 0.0, None), axis=1)


def _check_counts(correct: Sequence[int], samples: int) -> np.ndarray:
    if np.ndim(samples):
        odd = [f": problem {i} has {n}, problem 0 has {samples[0]}" for i, n in enumerate(samples) if n != samples[0]]
        raise InputError(f"Pass@k needs one whole number of samples, the same for all problems{odd[0] if odd else ''}")
    if not isinstance(samples, Integral) or isinstance(samples, bool):
        raise InputError(f"Pass@k needs a whole number of samples a problem, got {samples!r}")
    try:
        counts = np.asarray(correct, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"Pass@k needs one count of right samples a problem: {error}") from error
    if counts.ndim != 1:
        raise InputError(f"Pass@k needs one count of right samples a problem, got {counts.ndim} dimensions")
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


def _check_level(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"the level of an interval lies between 0 and 1, got {level}")
    return level


def _widen(low: np.ndarray, successes: np.ndarray, trials: np.ndarray, level: float) -> np.ndarray:
    """Returns the lower ends, where successes are few not above the exact ones."""
    low, few = np.clip(low, 0.0, 1.0), successes < FEW
    if few.any():
        low[few] = np.minimum(low[few], _bound_below(successes[few], trials[few], level))
    return low


def _bound_below(successes: np.ndarray, trials: np.ndarray, level: float) -> np.ndarray:
    """Returns the lower end of Clopper and Pearson's interval; neither number need be whole."""
    from scipy.special import betaincinv

    successes = np.asarray(successes, dtype=float)
    bound = betaincinv(np.maximum(successes, 1e-9), trials - successes + 1, (1 - level) / 2)
    return np.where(successes > 0, bound, 0.0)
