"""The loss by itself is tested against logits in test_sampling.py; here are its interval and its split by length."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from rlready.stats.generalization_loss import estimate_loss_interval, mean_loss, split_by_length


def draw_losses(rng, examples):
    counts = rng.integers(5, 60, examples)
    return [(float(count * loss), int(count)) for count, loss in zip(counts, rng.gamma(4, 0.1, examples), strict=True)]


def test_interval_equals_an_independent_bootstrap_of_whole_examples():
    losses = draw_losses(np.random.default_rng(0), 80)
    sums, counts = np.array(losses).T
    other = bootstrap(
        (sums, counts), lambda s, c, axis: s.sum(axis) / c.sum(axis), paired=True, n_resamples=4000, method="percentile",
        rng=np.random.default_rng(1),
    )  # fmt: skip
    width = np.ptp(other.confidence_interval)
    assert estimate_loss_interval(losses) == pytest.approx(tuple(other.confidence_interval), abs=0.08 * width)


def test_interval_covers_the_loss_of_the_population():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        low, high = estimate_loss_interval(draw_losses(rng, 100))
        covered += low <= 0.4 <= high
    assert 0.90 <= covered / 300 <= 0.98  # 300 studies: the standard error is 1.3 points


def test_the_interval_of_a_difference_pairs_the_examples_and_covers():
    rng, held, widths = np.random.default_rng(4), 0, []
    for _ in range(300):
        one = draw_losses(rng, 100)
        other = [(nats + count * rng.normal(0.02, 0.05), count) for nats, count in one]
        low, high = estimate_loss_interval(other, one)
        held += low <= 0.02 <= high
        widths.append(np.ptp(estimate_loss_interval(one)) / (high - low))
    assert 0.90 <= held / 300 <= 0.98 and np.median(widths) > 2  # four times the spread of the difference, over equal tokens


@pytest.mark.parametrize(("examples", "least"), [(2, 0.9), (3, 0.86), (5, 0.86), (12, 0.88)])
def test_few_examples_leave_a_wide_interval(examples, least):
    rng, held = np.random.default_rng(5), 0
    for _ in range(400):
        low, high = estimate_loss_interval(draw_losses(rng, examples))
        held += low <= 0.4 <= high
    assert held / 400 >= least  # a bootstrap: 0.5 of two examples, 0.8 of five


def test_one_example_says_nothing():
    assert estimate_loss_interval([(0.8, 2)]) == (-np.inf, np.inf)
    assert estimate_loss_interval([(0.8, 2)], [(0.4, 2)]) == (-np.inf, np.inf)


def test_quartiles_hold_every_example_once_in_the_order_of_length():
    losses = draw_losses(np.random.default_rng(3), 41)
    parts = split_by_length(losses)
    ordered = sorted(losses, key=lambda entry: entry[1])
    assert [part["shortest"] for part in parts] == [ordered[i][1] for i in (0, 11, 21, 31)]
    assert [part["longest"] for part in parts] == [ordered[i][1] for i in (10, 20, 30, 40)]
    assert parts[0]["loss"] == pytest.approx(mean_loss(ordered[:11]))
    assert all(part["low"] <= part["loss"] <= part["high"] for part in parts)


def test_fewer_than_four_examples_are_fewer_parts():
    assert [part["loss"] for part in split_by_length([(1.0, 2), (3.0, 4)])] == [0.5, 0.75]
