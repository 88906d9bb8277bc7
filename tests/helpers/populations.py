"""Populations of problems that simulations draw from."""

import math
from math import exp, lgamma

import numpy as np

from rlready.stats.correlation import bound_r_squared, r_squared
from rlready.stats.difference import estimate_difference
from rlready.stats.pass_at_k import estimate_curve
from rlready.stats.plateau import average_blocks, measure_rise


def draw_alike(rng, problems):
    """Two models whose problems are as hard for one as for the other, but for a gap."""
    hard = rng.beta(0.6, 0.8, problems)
    return np.clip(hard + 0.05, 0, 1), hard


def draw_few(rng, problems):
    """Two weak models that solve hardly anything."""
    hard = rng.beta(0.1, 5, problems)
    return 2 * hard.clip(0, 0.5), hard


def draw_apart(rng, problems):
    """Two models that solve other problems."""
    return rng.beta(0.5, 0.5, problems), rng.beta(0.5, 0.7, problems)


def draw_saturated(rng, problems):
    """Two models that solve everything within a few samples."""
    return (rng.beta(5, 0.1, problems),) * 2


def solve_rarely(easy, only_one, only_other=0.0):
    """Returns a population of problems that both solve with the chance `easy`, but for those that only one solves."""

    def draw(rng, problems):
        kind = rng.random(problems)
        lost, won = kind < only_one, kind > 1 - only_other
        return np.where(won, 0.0, easy), np.where(lost, 0.0, easy)

    return draw


POPULATIONS = {
    "a gap of 0.05": draw_alike,
    "hardly any solved": draw_few,
    "other problems": draw_apart,
    "everything solved": draw_saturated,
    "both 0.5, 1% only one": solve_rarely(0.5, 0.01),
    "both 0.5, 3% only one": solve_rarely(0.5, 0.03),
    "both 0.1, 2% only one": solve_rarely(0.1, 0.02),
    "both 0.1, 2% each way": solve_rarely(0.1, 0.02, 0.02),
    "both 0.3, 6% and 2%": solve_rarely(0.3, 0.06, 0.02),
    "neither, 5% only one": lambda rng, problems: ((rng.random(problems) < 0.05) * 0.9, np.zeros(problems)),
}


def cover(draw, problems, samples, k, studies, size=1, known=True):
    """Returns how often the interval holds the true difference of Pass@k; of families of `size` problems that are alike."""
    rng, curve = np.random.default_rng(0), estimate_curve(range(samples + 1), samples)[:, k - 1]
    one, other = draw(rng, 400_000)
    truth, held = np.mean((1 - other) ** k - (1 - one) ** k), 0
    groups = np.repeat(np.arange(problems // size), size) if known else None
    for _ in range(studies):
        pair = (np.repeat(chances, size) for chances in draw(rng, problems // size))
        low, high = estimate_difference(*(curve[rng.binomial(samples, chances)] for chances in pair), groups)
        held += low <= truth <= high
    return held / studies


def draw_settings(generator, sizes, share, known):
    """Returns x, y and settings of all seeds of the settings, and of one more point: of a setting among them, or of a new one.

    `share` of the variance of y about the line lies between settings; x differs between seeds too.
    """
    settings = np.repeat(np.arange(len(sizes)), sizes)
    settings = np.append(settings, generator.choice(settings) if known else len(sizes))
    x = generator.uniform(size=len(sizes) + 1)[settings] + 0.02 * generator.normal(size=len(settings))
    beyond = math.sqrt(share) * generator.normal(size=len(sizes) + 1)[settings]
    y = 0.1 + 0.3 * x + 0.05 * (beyond + math.sqrt(1 - share) * generator.normal(size=len(settings)))
    return x, y, settings.tolist()


# A population is a mixture: (weight, a, b) of a Beta, or (weight, None, p) of problems that all have the same p.
SPREAD = {
    "Beta(0.5, 2)": lambda k: [(1, 0.5, 2)],
    "Beta(2, 2)": lambda k: [(1, 2, 2)],
    "half at 0, else Beta(1, 2)": lambda k: [(0.5, None, 0), (0.5, 1, 2)],
}


EXTREME = {
    "0.8 at 0, else Beta(0.5, 0.5)": lambda k: [(0.8, None, 0), (0.2, 0.5, 0.5)],
    "hard: Beta, Pass@k 0.03": lambda k: [(1, 0.3, find_b(0.3, k, 0.03))],
    "hard: 0.96 at 0, else Beta": lambda k: [(0.96, None, 0), (0.04, 2, 0.7)],
    "easy: Beta, Pass@k 0.97": lambda k: [(1, 8, find_b(8, k, 0.97))],
    "easy: 0.03 at 0, else Beta": lambda k: [(0.03, None, 0), (0.97, 20, 1)],
    "all problems alike": lambda k: [(1, None, 1 - 0.5 ** (1 / k))],
}


STUDIES = 2000


def all_wrong(a, b, k):
    """Returns the mean of (1-p)^k over a Beta."""
    return exp(lgamma(b + k) + lgamma(a + b) - lgamma(b) - lgamma(a + b + k))


def find_b(a, k, mean):
    """Returns the b that gives a Beta this Pass@k."""
    low, high = 1e-4, 1e6
    for _ in range(100):
        b = (low * high) ** 0.5
        low, high = (b, high) if 1 - all_wrong(a, b, k) > mean else (low, b)
    return b


def draw_studies(population, n, k, rng):
    """Returns Pass@k estimates of shape (128 problems, studies), and the truth."""
    kind = rng.choice(len(population), (128, STUDIES), p=[weight for weight, *_ in population])
    chances, truth = np.zeros(kind.shape), 0.0
    for i, (weight, a, b) in enumerate(population):
        chances[kind == i] = b if a is None else rng.beta(a, b, (kind == i).sum())
        truth += weight * (1 - ((1 - b) ** k if a is None else all_wrong(a, b, k)))
    return estimate_curve(range(n + 1), n)[:, k - 1][rng.binomial(n, chances)], truth


def cover_rise(lag, steps=400, studies=300):
    """Returns how often the interval holds the gain of the last quarter, if the scatter of a step depends on the one before."""
    draw, scatter, held = np.random.default_rng(0), np.zeros((steps + 1, studies)), []  # steps, studies
    scatter[0] = draw.normal(size=studies)
    for step in range(1, steps + 1):
        scatter[step] = lag * scatter[step - 1] + math.sqrt(1 - lag**2) * draw.normal(size=studies)
    for study in scatter[1:].T:
        rise = measure_rise(average_blocks([(step, 0.4 * step / steps + 0.05 * own) for step, own in enumerate(study, 1)]))
        held.append(rise.low <= 0.1 <= rise.high)
    return np.mean(held)


def cover_r_squared(points, variables, share, studies=500):
    """Returns how often the interval holds the R2 of a population, and how often it begins above 0."""
    draw, held, begun = np.random.default_rng(0), 0, 0
    for _ in range(studies):
        x = draw.normal(size=(points, variables))
        y = math.sqrt(share) * x[:, 0] + math.sqrt(1 - share) * draw.normal(size=points)
        low, high = bound_r_squared(r_squared(x, y), points, variables)
        held, begun = held + (low <= share <= high), begun + (low > 0)
    return held / studies, begun / studies
