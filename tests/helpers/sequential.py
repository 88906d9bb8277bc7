"""Simulated sequential sampling."""

import functools
import math

import numpy as np

from rlready.stats.sequential import measure_evidence

ALPHA = 0.05


@functools.lru_cache
def find_borders(threshold, alpha, trials):
    """Returns, for 0..trials outcomes, the fewest successes that approve and the most that reject."""
    counts = np.arange(trials + 1)

    def find_fewest(chance):
        low, high = np.zeros_like(counts), counts + 1
        for _ in range(trials.bit_length() + 1):
            middle = (low + high) // 2
            enough = measure_evidence(counts, np.minimum(middle, counts), chance) >= -math.log(alpha)
            enough |= middle > counts
            low, high = np.where(enough, low, np.minimum(middle + 1, high)), np.where(enough, middle, high)
        return high

    return find_fewest(threshold), counts - find_fewest(1 - threshold)


def simulate(chances, k, threshold, alpha, batch, runs, rng, trials=4000):
    """Returns decisions (1 above, -1 below, 0 open), trials and samples of many runs side by side.

    Args:
        chances: Chance of a right sample, of each problem.
        k, threshold, alpha, batch: As in run_sequential.
        runs: Number of runs.
        rng: Random generator.
        trials: Where a run is given up.
    """
    return judge(draw_needed(chances, runs, trials, rng), k, *find_borders(threshold, alpha, trials), batch)


def draw_needed(chances, runs, trials, rng):
    """Returns at which sample each draw of each run would succeed."""
    return rng.geometric(np.maximum(chances, 1e-12)[rng.integers(len(chances), size=(runs, trials))])


def judge(needed, k, approve, reject, batch):
    """Returns decisions, trials and samples, given at which sample each draw would succeed."""
    runs, trials = needed.shape
    successes = np.cumsum(needed <= k, axis=1)
    up, down = successes >= approve[1:], successes <= reject[1:]
    decided = up | down
    last = np.where(decided.any(axis=1), decided.argmax(axis=1), trials - 1)
    spent = np.minimum(k, 2 ** np.ceil(np.log2(np.minimum(needed, k)))).astype(int)
    samples = np.zeros(runs, dtype=int)
    for run, end in enumerate(last):
        begin = end // batch * batch
        longest = spent[run, begin : end + 1].max()
        samples[run] = spent[run, :begin].sum() + np.minimum(spent[run, begin : begin + batch], longest).sum()
    rows = np.arange(runs)
    return up[rows, last].astype(int) - down[rows, last], last + 1, samples


POPULATIONS = {
    "Beta(0.5, 2)": lambda rng: rng.beta(0.5, 2, 128),
    "Beta(0.2, 10)": lambda rng: rng.beta(0.2, 10, 128),
    "half at 0": lambda rng: np.where(rng.random(128) < 0.5, 0.0, rng.beta(1, 2, 128)),
    "all alike": lambda rng: np.full(128, 0.02),
    "families of 8": lambda rng: np.repeat(rng.beta(0.05, 1, 16), 8),
}


def check_wrong_decisions(name):
    """Simulates runs over one population, prints and checks how often the test decides wrongly."""
    rng = np.random.default_rng(5)
    chances, k, runs = POPULATIONS[name](rng), 64, 600
    truth, needed = np.mean(1 - (1 - chances) ** k), draw_needed(chances, runs, 600, rng)
    for distance in (-0.2, -0.1, -0.05, -0.02, -0.001, 0, 0.001, 0.02, 0.05, 0.1, 0.2):
        threshold = truth - distance
        if 0 < threshold < 1:
            decisions, trials, _ = judge(needed, k, *find_borders(threshold, ALPHA, 600), 16)
            wrong = (decisions == (1 if distance < 0 else -1)).mean()
            print(f"{name:14} truth {truth:.3f} threshold {threshold:.3f}: wrong {wrong:.3f}, trials {trials.mean():.0f}")
            assert wrong <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / runs) ** 0.5
            if abs(distance) >= 0.1:
                assert (decisions != 0).mean() > 0.98
