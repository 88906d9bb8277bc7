"""Decides "Pass@k >= threshold" while sampling, with a test that may be looked at and stopped at any moment.

Draw a problem uniformly, with replacement, and take up to k fresh samples until one is right: successes are independent and
have probability Pass@k, the mean over the given problems (not over the population they came from). So problems that belong
together change no error of the test: given the problems, draws are independent. Evidence against
"Pass@k <= p" is the likelihood ratio of p with a mixture of larger values (Robbins 1970). It is a supermartingale under
every value up to p, so it exceeds 1/alpha at any time with probability at most alpha (Ville 1939); a betting martingale in
the sense of Waudby-Smith and Ramdas (2024, Estimating means of bounded random variables by betting), in closed form.

The mixture is Beta(20 p, 20 (1-p)) cut off at p. Mean number of draws at alpha = 0.05, threshold 0.5 and truth 0.6 (0.55): 176
(723). Beta(40 p, 40 (1-p)) needs 183 (700), Krichevsky and Trofimov's Beta(1/2, 1/2) 219 (995), and 260 (1174) not cut off.
Wald's test, told the truth beforehand, would need about 150.

What it saves depends on the distance of Pass@k from the threshold and on k, for a failed draw costs k samples. Against 256
samples of each of 128 problems (tests/benchmarks/test_sequential_savings.py): at k = 64 13 to 24 times fewer at a distance
of 0.2, 4.4 to 7 at 0.1, 1.1 to 1.6 at 0.05; at k = 256 5 to 15, 1.5 to 4, 0.3 to 0.8. Nearer than that it needs more than
fixed sampling, which holds the problems fixed and so has less to average over: the budget should be what that would cost.
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
    """Outcomes of independent draws, and what they say about the chance of success.

    Each end is a test of its own: approving what lies below the threshold, and rejecting what does not, each have
    probability at most alpha, however often one looks. The interval as a whole covers with 1 - 2 alpha, at all times at once.

    Attributes:
        threshold: What the chance of success is compared with.
        alpha: Largest probability of a wrong approval, and of a wrong rejection.
        path: Successes after each draw, beginning with 0 draws.
        evidence: Logarithms of the evidence that the chance lies above and below the threshold; -inf is none.
        decision: above (the chance is >= threshold), below (it is not), or None.
    """

    threshold: float
    alpha: float
    path: list[int] = field(default_factory=lambda: [0])
    evidence: tuple[float, float] = (0.0, 0.0)
    decision: str | None = None

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
        """Takes the next outcomes, in the order in which the problems were drawn; what comes after a decision is not taken."""
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
        """Returns (low, high), the intersection of the intervals after every draw: the values not yet refuted."""
        path, trials = np.array(self.path), np.arange(len(self.path))
        low, high = self._bound(path, trials), 1 - self._bound(trials - path, trials)
        # Rounding must not contradict the decision.
        if self.decision == "above":
            low = max(low, self.threshold)
        if self.decision == "below":
            high = min(high, math.nextafter(self.threshold, 0))
        return low, high

    def _bound(self, path: np.ndarray, trials: np.ndarray) -> float:
        refuted, open_ = 0.0, 1.0
        for _ in range(30):
            middle = (refuted + open_) / 2
            if (measure_evidence(trials, path, middle) >= -math.log(self.alpha)).any():
                refuted = middle
            else:
                open_ = middle
        return refuted


@dataclass(frozen=True)
class SequentialResult:
    """What a sequential test found. It holds no point estimate: a mean at the moment of stopping is biased.

    Attributes:
        decision: above, below, or undecided when the budget was spent.
        interval: (low, high) for Pass@k over the given problems, covering with 1 - 2 alpha whatever the moment of stopping.
        trials: Draws that the decision rests on.
        successes: How many of them were solved.
        samples: Samples drawn, those that turned out not to be needed included.
        outcomes: [problem, samples drawn, solved 0 or 1] of each of the trials, in the order of drawing.
    """

    decision: str
    interval: tuple[float, float]
    trials: int
    successes: int
    samples: int
    outcomes: list[list[int]]


def measure_evidence(trials: ArrayLike, successes: ArrayLike, chance: ArrayLike) -> np.ndarray:
    """Returns the logarithm of the evidence that the chance of success exceeds the given one.

    For the other side give the failures and 1 - chance. Arrays are taken element by element.

    Args:
        trials: Number of outcomes.
        successes: How many were successes.
        chance: Between 0 and 1.

    Returns:
        The log-likelihood ratio of the mixture above the chance to the chance itself; -inf where it vanishes.
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

    Draws go side by side, a batch at a time, in rounds of 1, 1, 2, 4, ... up to k samples; what has succeeded leaves. The test
    takes the outcomes in the order of drawing, never of completion: easy draws complete first, and a test that saw them
    first would approve too often. An unfinished draw therefore holds back those after it until it is finished.

    Args:
        attempt: Takes draws, pairs (number of the draw, problem), and a range of sample numbers; returns for each draw
            whether each of these samples is right. Samples must be fresh for every draw: seed them by its number too.
        problems: Number of problems, drawn uniformly with replacement.
        k: Most samples a draw.
        threshold: What Pass@k is compared with, between 0 and 1.
        alpha: Largest probability of a wrong approval, and of a wrong rejection.
        budget: Most samples in all; it is never exceeded.
        seed: Seeds which problems are drawn.
        batch: Most draws side by side.

    Returns:
        The result; the same for the same seed, batch and answers of `attempt`.

    Raises:
        InputError: If a number is out of its range.
    """
    for name, value, least in (("k", k, 1), ("problems", problems, 1), ("batch", batch, 1), ("budget", budget, k)):
        if not isinstance(value, Integral) or value < least:
            raise InputError(f"a sequential test needs {name} to be a whole number >= {least}, got {value}")
    sequence, rng = SequentialTest(threshold, alpha), np.random.default_rng(seed)
    samples, outcomes = 0, []
    # Only as many draws begin as the budget lasts for at worst: one that is cut short would have no outcome.
    while sequence.decision is None and (width := min(batch, (budget - samples) // k)):
        begun = sequence.trials
        draws = [(begun + i, int(problem)) for i, problem in enumerate(rng.integers(problems, size=width))]
        spent, solved, waiting = [0] * width, [False] * width, list(range(width))
        while sequence.decision is None and sequence.trials < begun + width:
            numbers = range(spent[waiting[0]], min(k, max(1, 2 * spent[waiting[0]])))
            judgements = attempt([draws[i] for i in waiting], numbers)
            for i, right in zip(waiting, judgements, strict=True):
                if len(right) != len(numbers):
                    raise ValueError(f"asked for {len(numbers)} samples a draw, got {len(right)}")
                spent[i], solved[i] = numbers.stop, any(right)
            samples += len(waiting) * len(numbers)
            waiting = [i for i in waiting if not solved[i] and spent[i] < k]
            sequence.update(*solved[sequence.trials - begun : min(waiting, default=width)])
        taken = range(sequence.trials - begun)
        outcomes += [[draws[i][1], spent[i], int(solved[i])] for i in taken]
    decision = sequence.decision or "undecided"
    return SequentialResult(decision, sequence.interval(), sequence.trials, sequence.successes, samples, outcomes)
