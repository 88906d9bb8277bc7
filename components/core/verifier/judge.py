"""Whether a completion is right: reward, predictors and benchmark all call this, so they cannot disagree."""

import re
from dataclasses import dataclass
from functools import lru_cache

from rlready.components.config import InputError
from rlready.components.core.verifier import workers
from rlready.components.core.verifier.equivalence import is_close, normalise, parse_number
from rlready.components.core.verifier.extract import EXTRACT, LONGEST_ANSWER

REMEMBERED = 1 << 16  # pairs of answers, since the samples of a problem repeat one another
ACCEPTED = re.compile(r"(.+?) or (.+?) *\([^()]*accepted[^()]*\)")


@dataclass(frozen=True)
class Judgement:
    """What became of a completion.

    Attributes:
        right: Whether its final answer equals the given one.
        answer: Its final answer, None where none is found.
        disagreed: Whether math-verify found it equal and the second check did not confirm it; then it is not right.
    """

    right: bool
    answer: str | None
    disagreed: bool = False


def verify(completion: str, answer: str, answer_format: str) -> bool:
    """Says whether a completion's final answer equals the given one; see `judge`."""
    return judge(completion, answer, answer_format).right


def is_readable(answer: str, answer_format: str) -> bool:
    """Says whether a gold answer equals itself; one that does not would count every completion as wrong."""
    return verify(f"#{answer}" if answer_format == "word" else f"\\boxed{{{answer}}}", answer, answer_format)


def judge(completion: str, answer: str, answer_format: str) -> Judgement:
    """Compares a completion's final answer with the given one.

    Args:
        completion: What the model wrote.
        answer: The gold answer, without a box. `A or B (both were accepted)` accepts either.
        answer_format: `word` (exact, behind a single `#`), `boxed` (mathematically equal, in the last `\\boxed{}`) or
            `letter` (the option A to J in the last `\\boxed{}`, or at the end where there is no box).

    Returns:
        The judgement; an answer that is unreadable, too long or too slow is not right.

    Raises:
        InputError: If the format is unknown, or math-verify cannot be started at all.
    """
    if answer_format not in EXTRACT:
        raise InputError(f"format {answer_format!r} is not one of {', '.join(EXTRACT)}")
    found = (EXTRACT[answer_format](completion) or "").strip()
    answer = answer.strip()
    if not found or found == answer or answer_format != "boxed":
        return Judgement(found == answer != "", found or None)
    accepted = ACCEPTED.fullmatch(answer) if len(answer) <= LONGEST_ANSWER else None
    verdicts = [compare(found, gold) for gold in (accepted.groups() if accepted else (answer,))]
    right = any(right for right, _ in verdicts)
    return Judgement(right, found, not right and any(disagreed for _, disagreed in verdicts))


@lru_cache(REMEMBERED)
def compare(found: str, answer: str) -> tuple[bool, bool]:
    """Returns (whether two LaTeX answers are equal, whether math-verify was asked and says so)."""
    if max(len(found), len(answer)) > 2 * LONGEST_ANSWER:
        return False, False
    plain = normalise(found)
    if plain == normalise(answer):
        return plain != "", False
    number, gold = parse_number(found), parse_number(answer)
    if number is not None and gold is not None:
        return is_close(number, gold), False
    return workers.compare(found, answer)
