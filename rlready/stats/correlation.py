"""How well a predictor predicts the outcome: correlations, fits, and their values in other samples."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rlready.stats.intervals import LEVEL, MIN_POINTS, number_clusters
from rlready.stats.ties import TIE, number_levels

SPLITS = 200
NEARLY_ALL = 0.9995  # a larger R2 gets the interval of this one


def rank(values: ArrayLike, weights: np.ndarray | None = None) -> np.ndarray:
    """Returns ranks from 1, ties sharing their mean rank; with weights, of each sample that holds point i weights[i] times."""
    levels = number_levels(values)
    below: np.ndarray = (levels[:, None] > levels) + 0.5 * (levels[:, None] == levels)
    ranks: np.ndarray = (np.ones(len(levels)) if weights is None else weights) @ below.T + 0.5
    return ranks


def correlate(x: ArrayLike, y: ArrayLike) -> float | None:
    """Returns Pearson's correlation, or None if it is undefined (fewer than 3 points, or no spread)."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 3 or np.ptp(x) <= TIE or np.ptp(y) <= TIE:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def spearman(x: ArrayLike, y: ArrayLike) -> float | None:
    """Returns Spearman's rank correlation, or None if it is undefined."""
    return correlate(rank(x), rank(y))


def r_squared(x: ArrayLike, y: ArrayLike) -> float | None:
    """Returns R2 (in sample) of the fit of y by x, a number or a row per point; None if undefined or if any points fit."""
    x, y = _columns(x), np.asarray(y, dtype=float)
    if len(y) < x.shape[1] + 2 or np.ptp(y) <= TIE or (np.ptp(x, axis=0) <= TIE).all():
        return None
    return float(_score_fit(x, y, *np.ones((2, 1, len(y))))[0])


def adjust_r_squared(found: float, points: int, variables: int) -> float | None:
    """Returns R2 less what the variables explain by chance (Ezekiel 1930), at least 0; None with too few points."""
    return max(0.0, 1 - (1 - found) * (points - 1) / (points - variables - 1)) if points > variables + 1 else None


def bound_r_squared(found: float, points: int, variables: int) -> tuple[float, float]:
    """Returns the 95% interval of the population's R2, from a sample's; exact for normal values (Muirhead 1982, section 5.2).

    R2 of a sample is a mixture of beta distributions, with negative binomial weights. Each end is the R2 of a population in
    which the R2 found in the sample is at the edge of the tail. The interval begins at 0 in 97.5% of samples of noise.
    """
    from scipy.special import betainc, gammaln

    a, b, found = (points - 1) / 2, (points - 1 - variables) / 2, min(found, NEARLY_ALL)
    terms = np.arange(int((b + 10 * b**0.5 + 20) / (1 - found)))  # beyond, the distributions are above what was found
    below = betainc(variables / 2 + terms, b, found)
    weights = gammaln(a + terms) - gammaln(a) - gammaln(terms + 1)

    def solve(tail: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            chance = np.exp(weights + terms * np.log(middle) + a * np.log1p(-middle)) @ below
            low, high = (middle, high) if chance > tail else (low, middle)
        return high if below[0] > tail else 0.0

    return solve((1 + LEVEL) / 2), solve((1 - LEVEL) / 2)


def resample_spearman(x: ArrayLike, y: ArrayLike, weights: np.ndarray) -> np.ndarray:
    """Returns Spearman's correlation of x and y in each sample of `draw_clusters`, nan if it is undefined."""
    ranks = (rank(values, weights) for values in (x, y))
    sizes = weights.sum(1, keepdims=True)
    mine, theirs = (values - (weights * values).sum(1, keepdims=True) / sizes for values in ranks)
    products = [(weights * a * b).sum(1) for a, b in ((mine, theirs), (mine, mine), (theirs, theirs))]
    scale = np.sqrt(products[1] * products[2])
    correlations: np.ndarray = np.divide(products[0], scale, out=np.full(len(weights), np.nan), where=scale > 1e-9)
    return correlations


def split_r_squared(
    x: ArrayLike, y: ArrayLike, clusters: Sequence[Hashable], splits: int = SPLITS
) -> tuple[float, float] | None:
    """Fits on a random half of the clusters and scores the other half, repeatedly (as in the paper's tables).

    Whole clusters go to one side, so that no repetition of a fitted setting is scored. R2 is 1 - (squared error) / (squared
    error of the scored half's own mean): it is negative if the fit predicts worse than that mean. x has one number or one row
    of numbers per point; y and clusters have one entry per point. Returns (mean, standard deviation) of R2 over the splits that
    define it; None with fewer than `MIN_POINTS` clusters or no split.
    """
    members = number_clusters(clusters)
    count = int(members.max()) + 1 if len(members) else 0
    if count < MIN_POINTS:
        return None
    places = np.random.default_rng(0).random((splits, count)).argsort(1).argsort(1)
    fitted = (places < (count + 1) // 2)[:, members].astype(float)
    scores = _score_fit(x, y, fitted, 1 - fitted)
    scores = scores[np.isfinite(scores)]
    return (float(scores.mean()), float(scores.std(ddof=1))) if len(scores) > 1 else None


def _score_fit(x: ArrayLike, y: ArrayLike, fitted: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Returns R2 in the scored points of a fit to the fitted ones, by their weights in each sample; nan if y has no spread."""
    x, y = _columns(x), np.asarray(y, dtype=float)  # (points, variables), (points,)
    spread = np.ptp(x, axis=0)  # (variables,)
    x = (x - x.mean(0)) / np.where(spread > 0, spread, 1)  # equal scales, so that the pseudo-inverse drops only noise
    sizes = fitted.sum(1, keepdims=True)  # (samples, 1)
    center_x, center_y = fitted @ x / sizes, fitted @ y[:, None] / sizes
    apart_x, apart_y = x - center_x[:, None], y - center_y  # (samples, points, variables), (samples, points)
    covariance = np.einsum("sn,snp,snq->spq", fitted, apart_x, apart_x)  # (samples, variables, variables)
    products = np.einsum("sn,snp,sn->sp", fitted, apart_x, apart_y)[..., None]  # (samples, variables, 1)
    slopes = np.linalg.pinv(covariance, rcond=1e-9, hermitian=True) @ products  # (samples, variables, 1)
    missed = apart_y - (apart_x @ slopes)[..., 0]  # (samples, points)
    own_mean = scored @ y[:, None] / scored.sum(1, keepdims=True)
    total = (scored * (y - own_mean) ** 2).sum(1)  # (samples,)
    error = (scored * missed**2).sum(1)
    return np.where(total > 1e-12, 1 - error / np.where(total > 1e-12, total, 1), np.nan)


def _columns(x: ArrayLike) -> np.ndarray:
    x = np.asarray(x, dtype=float)
    return x[:, None] if x.ndim == 1 else x
