"""The unbiased Pass@k estimator (paper, section on Pass@k; Chen et al. 2021, arXiv 2107.03374) and its intervals."""

from collections.abc import Sequence

import numpy as np

from rlready.components.config import InputError


def estimate_curve(correct: Sequence[int], samples: int) -> np.ndarray:
    """Estimates Pass@k for every k from 1 to n, of every problem.

    Pass@k = 1 - C(n-c, k) / C(n, k), computed as 1 - prod_{i<k} (n-c-i)/(n-i), which stays in [0, 1] and never overflows.

    Args:
        correct: Right samples of each problem (c).
        samples: Samples a problem (n), the same for all.

    Returns:
        Array of shape (problems, n); column k-1 is Pass@k of each problem.

    Raises:
        InputError: If there is no problem or sample, or a count lies outside 0..n.
    """
    counts = np.asarray(correct)
    if counts.size == 0 or samples < 1:
        raise InputError(f"Pass@k needs at least one problem and one sample, got {counts.size} and {samples}")
    if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any() or (counts > samples).any():
        raise InputError(f"Pass@k needs whole counts from 0 to n = {samples}, got {counts.tolist()}")
    drawn = np.arange(samples)
    factors = np.clip((samples - counts[:, None] - drawn) / (samples - drawn), 0.0, None)
    return 1.0 - np.cumprod(factors, axis=1)


def estimate_pass_at_k(correct: Sequence[int], samples: int, k: int) -> float:
    """Estimates Pass@k, the mean over problems.

    Args:
        correct: Right samples of each problem.
        samples: Samples a problem.
        k: Draws a problem.

    Returns:
        A number in [0, 1].

    Raises:
        InputError: If k is not in 1..n; fewer than k samples give no estimate.
    """
    if not 1 <= k <= samples:
        raise InputError(f"Pass@{k} needs at least {k} samples a problem, got {samples}")
    return float(estimate_curve(correct, samples)[:, k - 1].mean())


def bootstrap_interval(
    values: Sequence[float], level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of a mean over problems.

    A problem's estimate carries its own sampling noise, so resampling problems covers both levels of chance.

    Args:
        values: One number a problem.
        level: Coverage.
        draws: Bootstrap draws.
        seed: Seeds the draws.

    Returns:
        (low, high).
    """
    values = np.asarray(values, dtype=float)
    picks = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
