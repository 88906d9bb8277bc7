"""Whether a completion is right: reward, predictors and benchmark all call this, so they cannot disagree."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from rlready.verifier.formats.format import Judgement
from rlready.verifier.formats.plugin import PlugIn
from rlready.verifier.processes.workers import WORKERS
from rlready.verifier.registry import find_format


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
        answer: The reference answer, without a box. `A or B (both were accepted)` accepts either.
        answer_format: `word` (the same text after a single `#`), `boxed` (mathematically equal, in the last `\\boxed{}`),
            `letter` (the option A to J in the last `\\boxed{}`, or at the end if there is no box), or the name of a
            plug-in (see `registry`).

    Raises:
        InputError: If the format is unknown, or the worker processes cannot be started.
    """
    return find_format(answer_format).judge(completion, answer)


def judge_all(samples: Iterable[tuple[str, str, str]]) -> list[Judgement]:
    """Judges many samples, each as the arguments of `judge`; plug-ins, which may run code, in several processes at once."""
    samples = list(samples)
    if not any(isinstance(find_format(form), PlugIn) for form in {form for *_, form in samples}):
        return [judge(*sample) for sample in samples]
    with ThreadPoolExecutor(WORKERS) as threads:
        return list(threads.map(lambda sample: judge(*sample), samples))


def describe_reference(answer: str, answer_format: str) -> str | None:
    """Describes how answers are compared with a reference answer.

    Returns:
        `value` (by meaning), `words` (by its words: Monday, even), `text` (only the same text is right, since it cannot be
        read, or is prose), `plug-in` (by a plug-in), or None if it does not even equal itself, so that every completion
        would be wrong.
    """
    return find_format(answer_format).describe_reference(answer)


def is_readable(answer: str, answer_format: str) -> bool:
    """Returns True if a reference answer equals itself; otherwise every completion would be wrong."""
    return describe_reference(answer, answer_format) is not None
