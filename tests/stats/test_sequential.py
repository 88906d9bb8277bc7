"""The sequential test: its errors by exact computation and by simulation, and the sampling around it without a model."""

import math

import numpy as np
import pytest
from helpers.sequential import ALPHA, POPULATIONS, check_wrong_decisions, find_borders, judge, simulate

from rlready.errors import InputError
from rlready.stats.sequential import SequentialTest, measure_evidence, run_sequential


def compute_errors(chance, threshold, alpha, trials):
    """Returns the probabilities that the test has approved and rejected after this many outcomes, by recursion."""
    approve, reject = find_borders(threshold, alpha, trials)
    open_, approved, rejected = np.array([1.0]), 0.0, 0.0
    for n in range(1, trials + 1):
        spread = np.append(open_ * (1 - chance), 0.0)
        spread[1:] += open_ * chance
        successes = np.arange(n + 1)
        up, down = successes >= approve[n], successes <= reject[n]
        approved, rejected = approved + spread[up].sum(), rejected + spread[down].sum()
        open_ = np.where(up | down, 0.0, spread)
    return approved, rejected


def answer_with(needed):
    """Returns an attempt whose draw number i succeeds at sample needed[i], counting from 1."""

    def attempt(draws, numbers):
        return [[number + 1 == needed[draw % len(needed)] for number in numbers] for draw, _ in draws]

    return attempt


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.5, 0.8, 0.95])
def test_errors_at_and_around_the_threshold_stay_within_alpha(threshold):
    for alpha in (0.05, 0.01):
        for distance in (0, 0.002, 0.02, 0.05):
            approved, _ = compute_errors(max(threshold - distance, 0), threshold, alpha, 1000)
            _, rejected = compute_errors(min(threshold + distance, 1), threshold, alpha, 1000)
            assert approved <= alpha, (alpha, distance)
            assert rejected <= alpha, (alpha, distance)
            if distance == 0 and threshold == 0.5:
                assert min(approved, rejected) > alpha / 2


@pytest.mark.parametrize("name", POPULATIONS)
def test_wrong_decisions_of_simulated_runs_stay_within_alpha(name):
    check_wrong_decisions(name)


def test_a_tenth_from_the_threshold_needs_a_fraction_of_the_samples():
    rng = np.random.default_rng(6)
    chances, k = rng.beta(0.3, 3, 128), 64
    truth = np.mean(1 - (1 - chances) ** k)
    fixed = 256 * len(chances)
    _, _, approving = simulate(chances, k, truth - 0.1, ALPHA, 16, 500, rng)
    _, _, rejecting = simulate(chances, k, truth + 0.1, ALPHA, 16, 500, rng)
    assert fixed / approving.mean() > 5
    assert fixed / rejecting.mean() > 5


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.93])
def test_interval_covers_at_all_times_at_once(chance):
    rng = np.random.default_rng(8)
    runs, trials = 400, np.arange(1, 201)
    path = np.cumsum(rng.random((runs, 200)) < chance, axis=1)
    above = measure_evidence(trials, path, chance)
    below = measure_evidence(trials, trials - path, 1 - chance)
    missed = (np.maximum(above, below) >= -math.log(ALPHA)).any(axis=1).mean()
    assert missed <= 2 * ALPHA + 3 * (2 * ALPHA * (1 - 2 * ALPHA) / runs) ** 0.5


def test_interval_only_shrinks_and_agrees_with_the_decision():
    rng = np.random.default_rng(9)
    for chance in (0.2, 0.7):
        sequence, before = SequentialTest(0.4, ALPHA), (0.0, 1.0)
        while sequence.decision is None:
            sequence.update(*(rng.random(4) < chance))
            low, high = sequence.interval()
            assert before[0] <= low < high <= before[1]
            assert sequence.decision is not None or low < 0.4 <= high
            before = low, high
        assert (low >= 0.4) if sequence.decision == "above" else (high < 0.4)
        assert sequence.decision == ("above" if chance > 0.4 else "below")


def test_evidence_refutes_no_value_beyond_one_that_it_does_not_refute():
    grid = np.linspace(0.001, 0.999, 400)
    for trials in (1, 3, 10, 50, 300):
        for successes in range(0, trials + 1, max(1, trials // 10)):
            refuted = measure_evidence(trials, successes, grid) >= -math.log(ALPHA)
            assert (np.diff(refuted.astype(int)) <= 0).all(), (trials, successes)


def test_evidence_has_mean_one_at_the_threshold_and_less_below():
    trials, threshold = 12, 0.3
    successes = np.arange(trials + 1)
    evidence = np.exp(measure_evidence(trials, successes, threshold))
    for chance, check in ((0.3, lambda mean: mean == pytest.approx(1, abs=1e-9)), (0.2, lambda mean: mean < 1)):
        ways = np.array([math.comb(trials, s) for s in successes])
        assert check((ways * chance**successes * (1 - chance) ** (trials - successes) * evidence).sum())


def test_runs_equal_the_simulation_of_them():
    rng = np.random.default_rng(10)
    approve, reject = find_borders(0.5, ALPHA, 4000)
    for chance, k, batch in ((0.05, 32, 8), (0.01, 32, 1), (0.02, 20, 16), (0.6, 1, 5)):
        needed = rng.geometric(chance, (1, 4000))
        result = run_sequential(answer_with(needed[0]), 7, k, 0.5, ALPHA, 10**6, 0, batch)
        decisions, trials, samples = judge(needed, k, approve, reject, batch)
        assert result.decision == {1: "above", -1: "below", 0: "undecided"}[int(decisions[0])]
        assert (result.trials, result.samples) == (trials[0], samples[0])
        assert [solved for _, _, solved in result.outcomes] == [int(n <= k) for n in needed[0][: trials[0]]]


def test_samples_are_asked_for_once_in_rounds_and_only_where_needed():
    asked = {}
    needed = [3, 10**9, 1, 2] * 100

    def attempt(draws, numbers):
        for draw in draws:
            asked.setdefault(draw, []).extend(numbers)
        return answer_with(needed)(draws, numbers)

    result = run_sequential(attempt, 5, 8, 0.7, ALPHA, 5 * 8 - 2, 3, 4)
    assert result.decision == "undecided"
    assert [asked[draw] for draw in sorted(asked)] == [list(range(n)) for n in (4, 8, 1, 2, 4, 8, 1, 2, 4)]
    assert [spent for _, spent, _ in result.outcomes] == [4, 8, 1, 2, 4, 8, 1, 2, 4]
    assert result.samples == sum(map(len, asked.values())) == 34
    assert [problem for _, problem in sorted(asked)] == [problem for problem, _, _ in result.outcomes]


def test_outcomes_come_in_the_order_of_drawing():
    # Every second draw is hopeless and completes last: in order of completion eight successes would come first.
    needed = [10**9, 1] * 200
    result = run_sequential(answer_with(needed), 3, 16, 0.6, ALPHA, 10**6, 0, 16)
    assert [solved for _, _, solved in result.outcomes] == [int(n <= 16) for n in needed[: result.trials]]
    assert result.decision == "below"


def test_same_seed_same_result_and_problems_are_drawn_uniformly():
    def run(seed):
        return run_sequential(answer_with([1, 10**9]), 4, 2, 0.5, 0.001, 400, seed, 32)

    assert run(1) == run(1)
    assert run(1) != run(2)
    drawn = np.bincount([problem for problem, _, _ in run(1).outcomes], minlength=4)
    assert drawn.min() > 0.6 * drawn.mean()


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_budget_is_never_exceeded(batch):
    for budget in (8, 9, 300):
        result = run_sequential(answer_with([1, 10**9] * 2000), 4, 8, 0.5, 1e-9, budget, 0, batch)
        assert result.decision == "undecided"
        assert budget - 8 < result.samples <= budget
        low, high = result.interval
        assert low < 0.5 < high


def test_attempt_that_returns_too_little_is_found_out():
    with pytest.raises(ValueError):
        run_sequential(lambda draws, numbers: [[]] * len(draws), 4, 8, 0.5, ALPHA, 100, 0, 4)
    with pytest.raises(ValueError):
        run_sequential(lambda draws, numbers: [[True] * len(numbers)], 4, 8, 0.5, ALPHA, 100, 0, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k to be a whole number >= 1, got 0"),
        ({"problems": 0}, "problems to be a whole number >= 1"),
        ({"batch": 0}, "batch to be a whole number >= 1"),
        ({"budget": 7}, "budget to be a whole number >= 8, got 7"),
        ({"k": 2.5}, "k to be a whole number"),
        ({"threshold": 0}, "threshold of a sequential test lies between 0 and 1"),
        ({"threshold": 1}, "threshold of a sequential test lies between 0 and 1"),
        ({"threshold": float("nan")}, "threshold"),
        ({"alpha": 0}, "alpha of a sequential test lies between 0 and 1"),
        ({"alpha": 1}, "alpha"),
    ],
)
def test_bad_settings_are_errors(change, message):
    settings = {"problems": 4, "k": 8, "threshold": 0.5, "alpha": 0.05, "budget": 100, "seed": 0, "batch": 4}
    with pytest.raises(InputError, match=message):
        run_sequential(answer_with([1] * 100), **(settings | change))
