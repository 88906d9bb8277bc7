"""The reliability of the verifier on the samples that it judged: disagreement with math-verify, and failures."""

import random
from collections import Counter
from collections.abc import Sequence

from rlready.verifier.equivalence.decide import read_plain
from rlready.verifier.formats.extract import LONGEST_ANSWER, clean_reference
from rlready.verifier.formats.format import FAULTY, TIMEOUT, UNREADABLE, Judgement
from rlready.verifier.processes import workers

DRAWN = 128  # different refused pairs that math-verify checks


def measure_disagreement(judgements: Sequence[Judgement], seed: int = 0) -> float | None:
    """Estimates the share of the answers called right by the verifier or math-verify that the verifier refuses.

    Math-verify checks `DRAWN` different pairs of a refused answer and its reference answer, drawn with the seed; the result is
    extrapolated to the others. Plain numbers are left out, since no check can be mistaken about them.

    Returns:
        The share; None if neither calls any right, or all judgements are of formats with a single check.
    """
    if count_checks(judgements) < 2:
        return None
    judgements = [judgement for judgement in judgements if judgement.checks > 1]
    refused = Counter(
        (judgement.answer, clean_reference(judgement.reference))
        for judgement in judgements
        if judgement.right is False and judgement.answer and judgement.reference
    )
    pairs = sorted(pair for pair in refused if max(map(len, pair)) <= 2 * LONGEST_ANSWER and None in map(read_plain, pair))
    drawn = random.Random(seed).sample(pairs, min(DRAWN, len(pairs)))
    differing = sum(refused[pair] for pair in drawn if workers.ask("math-verify", *pair)) * len(pairs) / max(1, len(drawn))
    called_right = differing + sum(judgement.right is True for judgement in judgements)
    return differing / called_right if called_right else None


def count_checks(judgements: Sequence[Judgement]) -> int:
    """Returns how many checks could disagree on some samples: 1 if each has a single check, else 2."""
    return max((judgement.checks for judgement in judgements), default=2)


def measure_trouble(judgements: Sequence[Judgement]) -> dict[str, float | None]:
    """Returns the shares of samples with trouble (see `Judgement`) and of unknown judgements; None if there are no samples."""
    troubles = [judgement.trouble for judgement in judgements]
    counts = {
        "verifier_timeouts": troubles.count(TIMEOUT),
        "verifier_unreadable": troubles.count(UNREADABLE),
        "verifier_faulty": troubles.count(FAULTY),
        "verifier_unknown": sum(judgement.right is None for judgement in judgements),
    }
    return {name: count / len(judgements) if judgements else None for name, count in counts.items()}
