"""Simulated studies of what a candidate keeps of the base model's coverage."""

import numpy as np

from rlready.stats.pass_at_k import estimate_coverage_kept, estimate_own_coverage

# The chances of base and candidate to solve a problem once, for drawn problems.
WAYS = {
    "a part of each problem is forgotten": lambda p, rng: (p, p * rng.beta(2, 1, p.size)),
    "a third of the problems is forgotten": lambda p, rng: (p, np.where(rng.random(p.size) < 0.33, 0, p)),
    "the hard problems are forgotten": lambda p, rng: (p, np.where(p < 0.05, p / 10, p)),
    "nothing is forgotten": lambda p, rng: (p, p),
    "the candidate is another model": lambda p, rng: (p, rng.permutation(p)),
    "nearly all is forgotten": lambda p, rng: (p, np.where(rng.random(p.size) < 0.9, 0, 0.2)),
    "the base solves few": lambda p, rng: (
        few := np.where(rng.random(p.size) < 0.85, 0, p),
        few * rng.beta(2, 1, p.size),
    ),
}


def check_coverage_kept(way, studies=500):
    """Simulates studies of one way to forget, prints and checks coverage and bias."""
    rng = np.random.default_rng(5)
    base, candidate = WAYS[way](rng.beta(0.3, 2, 400_000), rng)
    for n, k in ((16, 8), (128, 64)):
        b, c = (1 - (1 - chances) ** k for chances in (base, candidate))
        truth, own_truth = (b * c).mean() / b.mean(), (b * b).mean() / b.mean()
        for problems in (32, 128):
            found, own = [], []
            for drawn in rng.integers(base.size, size=(studies, problems)):
                counts = rng.binomial(n, base[drawn])
                found.append(estimate_coverage_kept(counts, n, rng.binomial(n, candidate[drawn]), n, k))
                own.append(estimate_own_coverage(counts, n, k))
            for name, estimates, true in (("kept", found, truth), ("own", own, own_truth)):
                estimates = np.array([estimate for estimate in estimates if estimate])
                covered = ((estimates[:, 1] <= true) & (true <= estimates[:, 2])).mean()
                mean, error = estimates[:, 0].mean(), estimates[:, 0].std() / len(estimates) ** 0.5
                print(f"{way:38} n {n:3} problems {problems:3} {name:4} {true:.3f}, mean {mean:.3f}, covered {covered:.3f}")
                assert covered >= 0.93 - 2 * (0.07 * 0.93 / studies) ** 0.5
                if way != "the base solves few" and problems == 128:
                    assert covered <= 0.985
                    assert abs(mean - true) < 4 * error + 0.3 / problems
