"""Samples that the sequential test needs, against fixed sampling. Printed: make bench."""

import numpy as np
import pytest
from helpers.sequential import ALPHA, simulate

pytestmark = pytest.mark.bench
PROBLEMS, FIXED, RUNS, BATCH = 128, 256, 300, 16
SETS = {
    "Beta(0.3, 3)": lambda rng: rng.beta(0.3, 3, PROBLEMS),
    "Beta(0.3, 8)": lambda rng: rng.beta(0.3, 8, PROBLEMS),
    "half at 0": lambda rng: np.where(rng.random(PROBLEMS) < 0.5, 0.0, rng.beta(1, 2, PROBLEMS)),
    "all 0.02": lambda rng: np.full(PROBLEMS, 0.02),
}


@pytest.mark.parametrize("k", [64, 256])
@pytest.mark.parametrize("name", SETS)
def test_samples_against_fixed_sampling(name, k):
    rng = np.random.default_rng(0)
    chances = SETS[name](rng)
    truth = np.mean(1 - (1 - chances) ** k)
    print(f"\n{name}, Pass@{k} {truth:.3f}, alpha {ALPHA}, batches of {BATCH}, fixed: {PROBLEMS} x {FIXED} samples")
    print("truth - threshold   wrong   open  draws  samples  fixed/samples")
    for distance in (-0.2, -0.1, -0.05, -0.02, 0.02, 0.05, 0.1, 0.2):
        threshold = truth - distance
        if 0.01 < threshold < 0.99:
            decisions, draws, samples = simulate(chances, k, threshold, ALPHA, BATCH, RUNS, rng)
            wrong, undecided = (decisions * distance < 0).mean(), (decisions == 0).mean()
            ratio = PROBLEMS * FIXED / samples.mean()
            print(f"{distance:+17.2f} {wrong:7.3f} {undecided:6.3f} {draws.mean():6.0f} {samples.mean():8.0f} {ratio:14.1f}")
