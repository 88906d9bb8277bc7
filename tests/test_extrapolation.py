"""The beta-binomial fit where its model holds, at its edges, and its known failure."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import betabinom

from rlready.components.config import InputError
from rlready.components.core.extrapolation import extrapolate_pass_at_k, fit_beta
from rlready.components.core.pass_at_k import estimate_pass_at_k

# Chances of a right sample, drawn for a number of problems.
FITTING = {
    "Beta(0.5, 2)": lambda rng, count: rng.beta(0.5, 2, count),
    "Beta(0.3, 5)": lambda rng, count: rng.beta(0.3, 5, count),
    "Beta(2, 2)": lambda rng, count: rng.beta(2, 2, count),
}
OTHER = {
    "half at 0, else Beta(1, 4)": lambda rng, count: np.where(rng.random(count) < 0.5, 0, rng.beta(1, 4, count)),
    "0.02 or 0.5": lambda rng, count: rng.choice([0.02, 0.5], count),
    "0, 0.01, 0.2 or 0.9": lambda rng, count: rng.choice([0, 0.01, 0.2, 0.9], count),
    "logit-normal(-3, 2)": lambda rng, count: 1 / (1 + np.exp(-rng.normal(-3, 2, count))),
    "all 0.02": lambda rng, count: np.full(count, 0.02),
}


def measure_errors(draw, problems, samples, k, studies, rng):
    """Returns the truth and the errors of simulated studies."""
    truth = np.mean(1 - (1 - draw(rng, 200_000)) ** k)
    counts = [rng.binomial(samples, draw(rng, problems)) for _ in range(studies)]
    return truth, np.array([extrapolate_pass_at_k(c, samples, k) for c in counts]) - truth


@pytest.mark.parametrize("name", FITTING)
def test_error_is_small_where_the_model_holds(name):
    _, errors = measure_errors(FITTING[name], 128, 16, 256, 30, np.random.default_rng(0))
    assert abs(errors.mean()) < 0.03
    assert (errors**2).mean() ** 0.5 < 0.1


def test_fit_is_the_maximum_of_the_likelihood():
    counts = np.random.default_rng(1).binomial(16, np.random.default_rng(2).beta(0.5, 2, 128))

    def loss(logs):
        return -betabinom.logpmf(counts, 16, *np.exp(logs)).sum()

    found = np.log(fit_beta(counts, 16))
    assert loss(found) == pytest.approx(minimize(loss, [0, 0], method="Nelder-Mead").fun, abs=1e-4)


def test_within_the_samples_it_agrees_with_the_unbiased_estimator():
    counts = np.random.default_rng(3).binomial(64, np.random.default_rng(4).beta(0.5, 2, 400))
    for k in (1, 8, 32):
        assert extrapolate_pass_at_k(counts, 64, k) == pytest.approx(estimate_pass_at_k(counts, 64, k), abs=0.02)


def test_it_rises_with_k_and_stays_a_probability():
    for counts in ([0] * 20, [8] * 20, [1], [0, 0, 0, 1], [3] * 20, [0, 8] * 10):
        curve = [extrapolate_pass_at_k(counts, 8, k) for k in (1, 2, 8, 64, 1024)]
        assert curve == sorted(curve)
        assert 0 <= curve[0] <= curve[-1] <= 1
    assert extrapolate_pass_at_k([0] * 20, 8, 64) < 0.02
    assert extrapolate_pass_at_k([8] * 20, 8, 1) > 0.98
    assert extrapolate_pass_at_k([3] * 20, 8, 1) == pytest.approx(3 / 8, abs=0.001)


def test_problems_out_of_reach_are_its_known_failure():
    _, errors = measure_errors(OTHER["half at 0, else Beta(1, 4)"], 128, 16, 256, 20, np.random.default_rng(5))
    assert 0.1 < errors.mean() < 0.3


@pytest.mark.parametrize(
    ("correct", "k", "message"),
    [([1], 0, "whole k >= 1"), ([1], 2.5, "whole k >= 1"), ([9], 8, "problem 0"), ([None], 8, "problem 0")],
)
def test_bad_input_is_an_error(correct, k, message):
    with pytest.raises(InputError, match=message):
        extrapolate_pass_at_k(correct, 8, k)
