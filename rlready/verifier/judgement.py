"""Whether a completion is right (reward, predictors and benchmark all call this, so they agree), and how reliable that is."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from rlready.verifier.equivalence.decide import read_plain
from rlready.verifier.formats.extract import LONGEST_ANSWER, clean_reference
from rlready.verifier.formats.format import FAULTY, TIMEOUT, UNREADABLE, Judgement
from rlready.verifier.formats.plugin import PlugIn
from rlready.verifier.processes import workers
from rlready.verifier.registry import find_format

DRAWN = 128  # different refused pairs that math-verify checks


def verify(completion: str, answer: str, answer_format: str) -> bool | None:
    """Returns True if a completion's final answer is right, None if that is unknown; see `judge`."""
    return judge(completion, answer, answer_format).right


def judge(completion: str, answer: str, answer_format: str) -> Judgement:
    """Compares a completion's final answer with a reference answer.

    Unknown is not wrong: a check that timed out, whose process died, or that cannot read the reference says nothing about
    the answer. But an unreadable answer to a readable reference is wrong: if it were unknown and left out of the reward, RL
    would reward an unreadable answer more than a wrong one.

    Args:
        completion: What the model wrote.
        answer: The reference answer, without a box. `A or B (both were accepted)` accepts either, a JSON list of texts any.
        answer_format: `word` (the same text after a single `#`), `boxed` (mathematically equal, in the last `\\boxed{}`),
            `letter` (the option A to J in the last `\\boxed{}`, or at the end if there is no box), or the name of a
            plug-in (see `registry`).

    Raises:
        InputError: If the format is unknown, or the worker processes cannot be started.
    """
    known = find_format(answer_format)
    judged = [known.judge(completion, accepted) for accepted in known.list_accepted(answer)]
    return next((one for right in (True, None) for one in judged if one.right is right), judged[0])


def judge_all(samples: Iterable[tuple[str, str, str]]) -> list[Judgement]:
    """Judges many samples, each as the arguments of `judge`; plug-ins, which may run code, in several processes at once."""
    samples = list(samples)
    if not any(isinstance(find_format(form), PlugIn) for form in {form for *_, form in samples}):
        return [judge(*sample) for sample in samples]
    with ThreadPoolExecutor(workers.WORKERS) as threads:
        return list(threads.map(lambda sample: judge(*sample), samples))


def is_other(one: str, other: str, answer_format: str) -> bool:
    """Returns True if two reference answers are certainly different, whichever is compared with the other."""
    known = find_format(answer_format)
    return all(known.is_other(a, b) for a in known.list_accepted(one) for b in known.list_accepted(other))


def describe_reference(answer: str, answer_format: str) -> str | None:
    """Describes how answers are compared with a reference answer.

    Returns `value` (by meaning), `words` (by its words: Monday, even), `text` (only the same text is right, since it cannot be
    read, or is prose), `plug-in` (by a plug-in), or None if it does not even equal itself, so that every completion would be
    wrong.
    """
    known = find_format(answer_format)
    kinds = [known.describe_reference(one) for one in known.list_accepted(answer)]
    return next((kind for kind in ("value", "words", "text", "plug-in") if kind in kinds), None)


def is_readable(answer: str, answer_format: str) -> bool:
    """Returns True if a reference answer equals itself; otherwise every completion would be wrong."""
    return describe_reference(answer, answer_format) is not None


def measure_disagreement(judgements: Sequence[Judgement]) -> float | None:
    """Estimates the share of the answers called right by the verifier or math-verify that the verifier refuses.

    Math-verify checks `DRAWN` different pairs of a refused answer and its reference answer, drawn at random; the result is
    extrapolated to the others. Plain numbers are left out, since no check can be mistaken about them. Returns the share; None
    if neither calls any right, or all judgements are of formats with a single check.
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
    drawn = random.Random(0).sample(pairs, min(DRAWN, len(pairs)))
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
