"""Decides "Pass@k >= threshold" while sampling, with a test that may be looked at and stopped at any moment.

Draw a problem uniformly, with replacement, and take up to k fresh samples until one is right: successes are independent and
have probability Pass@k, the mean over the given problems (not over their population), so groups of problems do not affect the
test. Evidence against "Pass@k <= p" is the likelihood ratio of a mixture of larger values to p (Robbins 1970). It is a
supermartingale under every value up to p, so it ever exceeds 1/alpha with probability at most alpha (Ville 1939): a betting
martingale (Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting) in closed form.

The mixture is Beta(20 p, 20 (1-p)) truncated at p. Mean number of draws at alpha = 0.05, threshold 0.5 and truth 0.6 (0.55):
176 (723). Beta(40 p, 40 (1-p)) needs 183 (700), Krichevsky and Trofimov's Beta(1/2, 1/2) 219 (995), and 260 (1174) without
truncation. Wald's test with the truth known beforehand would need about 150.

Savings depend on the distance of Pass@k from the threshold and on k, because a failed draw costs k samples. Compared with 256
samples of each of 128 problems (tests/benchmarks/test_sequential_savings.py), it needs at k = 64 13 to 24 times fewer at a
distance of 0.2, 4.4 to 7 at 0.1, 1.1 to 1.6 at 0.05; at k = 256 5 to 15, 1.5 to 4, 0.3 to 0.8. Nearer than that it needs more
than fixed sampling, so the budget should be the cost of that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaln

from rlready.errors import InputError

CONCENTRATION = 20

Attempt = Callable[[list[tuple[int, int]], range], list[list[bool]]]


@dataclass
class SequentialTest:
    """A test of the chance of success of independent draws.

    Each side is a test of its own: wrong approvals and wrong rejections each have probability at most alpha, however often
    one looks. The interval covers with 1 - 2 alpha, at all times at once.
    """

    threshold: float  # what the chance of success is compared with
    alpha: float  # maximum probability of a wrong approval, and of a wrong rejection
    path: list[int] = field(default_factory=lambda: [0])  # successes after each draw, from 0 draws on
    evidence: tuple[float, float] = (0.0, 0.0)  # logarithms, that the chance is above and below the threshold; -inf is none
    decision: str | None = None  # above (the chance is >= threshold) or below

    def __post_init__(self) -> None:
        for name, value in (("threshold", self.threshold), ("alpha", self.alpha)):
            if not 0 < value < 1:
                raise InputError(f"the {name} of a sequential test lies between 0 and 1, got {value}")

    @property
    def trials(self) -> int:
        """Number of outcomes so far."""
        return len(self.path) - 1

    @property
    def successes(self) -> int:
        """Number of successes so far."""
        return self.path[-1]

    def update(self, *outcomes: bool) -> None:
        """Adds the next outcomes, in the order in which the problems were drawn; those after a decision are ignored."""
        if self.decision:
            return
        successes = self.successes + np.cumsum(np.array(outcomes, dtype=int))
        trials = self.trials + np.arange(1, len(outcomes) + 1)
        above = measure_evidence(trials, successes, self.threshold)
        below = measure_evidence(trials, trials - successes, 1 - self.threshold)
        for evidence in zip(successes.tolist(), above.tolist(), below.tolist(), strict=True):
            self.path.append(evidence[0])
            self.evidence = evidence[1:]
            if max(self.evidence) >= -math.log(self.alpha):
                self.decision = "above" if self.evidence[0] > self.evidence[1] else "below"
                break

    def interval(self) -> tuple[float, float]:
        """Returns (low, high), the intersection of the intervals after every draw."""
        path, trials = np.array(self.path), np.arange(len(self.path))
        low, high = self._bound(path, trials), 1 - self._bound(trials - path, trials)
        # Rounding must not contradict the decision.
        if self.decision == "above":
            return max(low, self.threshold), high
        return low, min(high, math.nextafter(self.threshold, 0)) if self.decision == "below" else high

    def _bound(self, path: np.ndarray, trials: np.ndarray) -> float:
        refuted, open_ = 0.0, 1.0
        for _ in range(30):
            middle = (refuted + open_) / 2
            excluded = (measure_evidence(trials, path, middle) >= -math.log(self.alpha)).any()
            refuted, open_ = (middle, open_) if excluded else (refuted, middle)
        return refuted


@dataclass(frozen=True)
class SequentialResult:
    """What a sequential test found. It has no point estimate: a mean at the moment of stopping is biased."""

    decision: str  # above, below, or undecided if the budget was spent
    interval: tuple[float, float]  # of Pass@k over the given problems, with coverage 1 - 2 alpha
    trials: int  # draws that the decision rests on
    successes: int  # solved draws
    samples: int  # drawn, unneeded ones included
    outcomes: list[list[int]]  # [problem, samples drawn, solved 0 or 1] of each trial, in the order of drawing


def measure_evidence(trials: ArrayLike, successes: ArrayLike, chance: ArrayLike) -> np.ndarray:
    """Returns the logarithm of the evidence, after these trials, that the chance of success exceeds the given one.

    It is the log-likelihood ratio of the mixture above the chance to the chance, element by element; -inf if it vanishes. For
    the other side pass the failures and 1 - chance.
    """
    successes, chance = np.asarray(successes, dtype=float), np.asarray(chance, dtype=float)
    failures: np.ndarray = np.asarray(trials) - successes
    a, b = CONCENTRATION * chance, CONCENTRATION * (1 - chance)
    with np.errstate(divide="ignore"):
        prior = betaln(a, b) + np.log(betainc(b, a, 1 - chance))
        posterior = betaln(a + successes, b + failures) + np.log(betainc(b + failures, a + successes, 1 - chance))
    evidence: np.ndarray = posterior - prior - successes * np.log(chance) - failures * np.log1p(-chance)
    return evidence


def run_sequential(
    attempt: Attempt, problems: int, k: int, threshold: float, alpha: float, budget: int, seed: int, batch: int
) -> SequentialResult:
    """Samples until it is decided whether Pass@k reaches the threshold, or the budget is spent.

    Draws run in parallel batches, in rounds of 1, 1, 2, 4, ... up to k samples, until they succeed. The test takes the outcomes
    in the order of drawing, not of completion: easy draws complete first, and a test that saw them first would approve too
    often. An unfinished draw therefore holds back those after it.

    Args:
        attempt: Takes draws, pairs (number of the draw, problem), and a range of sample numbers; returns for each draw
            whether each of these samples is right. Samples must be fresh for every draw: seed them by its number too.
        problems: Number of problems, drawn uniformly with replacement.
        k: Maximum samples per draw.
        threshold: What Pass@k is compared with, as `alpha` between 0 and 1.
        alpha: Maximum probability of a wrong approval, and of a wrong rejection.
        budget: Maximum samples in all.
        seed: Seeds the draws of problems; with it, `batch` and the answers of `attempt` the result is the same.
        batch: Maximum number of parallel draws.

    Raises:
        InputError: If a number is out of its range.
    """
    for name, value, least in (("k", k, 1), ("problems", problems, 1), ("batch", batch, 1), ("budget", budget, k)):
        if not isinstance(value, Integral) or value < least:
            raise InputError(f"a sequential test needs {name} to be a whole number >= {least}, got {value}")
    sequence, rng = SequentialTest(threshold, alpha), np.random.default_rng(seed)
    samples, outcomes = 0, []
    # Only as many draws begin as the budget suffices for: an unfinished one would have no outcome.
    while sequence.decision is None and (width := min(batch, (budget - samples) // k)):
        begun = sequence.trials
        draws = [(begun + i, int(problem)) for i, problem in enumerate(rng.integers(problems, size=width))]
        spent, solved, waiting = [0] * width, [False] * width, list(range(width))
        while sequence.decision is None and sequence.trials < begun + width:
            numbers = range(spent[waiting[0]], min(k, max(1, 2 * spent[waiting[0]])))
            judgements = attempt([draws[i] for i in waiting], numbers)
            for i, right in zip(waiting, judgements, strict=True):
                if len(right) != len(numbers):
                    raise ValueError(f"expected {len(numbers)} samples per draw, got {len(right)}")
                spent[i], solved[i] = numbers.stop, any(right)
            samples += len(waiting) * len(numbers)
            waiting = [i for i in waiting if not solved[i] and spent[i] < k]
            sequence.update(*solved[sequence.trials - begun : min(waiting, default=width)])
        taken = range(sequence.trials - begun)
        outcomes += [[draws[i][1], spent[i], int(solved[i])] for i in taken]
    decision = sequence.decision or "undecided"
    return SequentialResult(decision, sequence.interval(), sequence.trials, sequence.successes, samples, outcomes)
