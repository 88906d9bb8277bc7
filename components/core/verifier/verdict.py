r"""Whether a completion is right: reward, predictors and benchmark all call this, so they cannot disagree."""

import re
import time
from dataclasses import dataclass, field
from functools import lru_cache

from rlready.components.config import InputError
from rlready.components.core.verifier import workers
from rlready.components.core.verifier.exact.decide import is_same_plain, read_plain
from rlready.components.core.verifier.exact.spelling import normalise
from rlready.components.core.verifier.extract import EXTRACT, LONGEST_ANSWER, clean_gold

REMEMBERED = 1 << 16  # pairs of answers, since the samples of a problem repeat one another
FORGOTTEN_AFTER = 600.0  # seconds after which a pair that took too long twice is asked again
ACCEPTED = re.compile(r"(.+?) or (.+?) *\([^()]*accepted[^()]*\)")
TIMEOUT, UNREADABLE = "timeout", "unreadable"


@dataclass(frozen=True)
class Judgement:
    """What became of a completion.

    Attributes:
        right: Whether its final answer equals the given one; None where that is unknown.
        answer: Its final answer, None where none is found.
        trouble: `timeout` where a check took too long twice, or its process died; `unreadable` where the gold answer
            cannot be read (both are unknown), or where the answer cannot (which is wrong); else None.
        gold: What a LaTeX answer was compared with, for `measure_disagreement`.
    """

    right: bool | None
    answer: str | None
    trouble: str | None = None
    gold: str | None = field(default=None, compare=False, repr=False)


def verify(completion: str, answer: str, answer_format: str) -> bool | None:
    """Says whether a completion's final answer equals the given one, or None where that is unknown; see `judge`."""
    return judge(completion, answer, answer_format).right


def judge(completion: str, answer: str, answer_format: str) -> Judgement:
    """Compares a completion's final answer with the given one.

    Unknown is not wrong: a check that took too long, or whose process died, says nothing of the answer, nor does one that
    cannot read the gold answer. But an answer that cannot be read beside a gold answer that can is wrong: were it unknown,
    and left out of the reward, then a policy would do better by writing what nobody can read than by a wrong answer.

    Args:
        completion: What the model wrote.
        answer: The gold answer, without a box. `A or B (both were accepted)` accepts either.
        answer_format: `word` (exact, behind a single `#`), `boxed` (mathematically equal, in the last `\\boxed{}`) or
            `letter` (the option A to J in the last `\\boxed{}`, or at the end where there is no box).

    Returns:
        The judgement.

    Raises:
        InputError: If the format is unknown, or the checking processes cannot be started at all.
    """
    if answer_format not in EXTRACT:
        raise InputError(f"format {answer_format!r} is not one of {', '.join(EXTRACT)}")
    found = (EXTRACT[answer_format](completion) or "").strip()
    gold = answer.strip()
    if answer_format != "boxed":
        return Judgement(found == gold != "", found or None)
    if not found:
        # A gold answer that lacks a brace takes that of its box.
        same = clean_gold(gold) != gold and completion.rpartition("\\boxed")[2].startswith(f"{{{gold}}}")
        return Judgement(same, gold if same else None)
    if found == gold:
        return Judgement(True, found)
    accepted = ACCEPTED.fullmatch(gold) if len(gold) <= LONGEST_ANSWER else None
    verdicts = [compare(found, clean_gold(one)) for one in (accepted.groups() if accepted else (gold,))]
    right = next((right for right in (True, None) if any(verdict[0] is right for verdict in verdicts)), False)
    trouble = next((trouble for verdict, trouble in verdicts if verdict is right), None)
    return Judgement(right, found, trouble, gold)


def describe_gold(answer: str, answer_format: str) -> str | None:
    """Says how answers are compared with a gold answer.

    Returns:
        `value` (by what it means), `words` (by its words: Monday, even), `text` (nothing but the same text is right, since
        it cannot be read, or is prose), or None where it does not even equal itself, so that every completion is wrong.
    """
    gold = answer.strip()
    if answer_format != "boxed":
        written = f"#{gold}" if answer_format == "word" else f"\\boxed{{{gold}}}"
        return "words" if verify(written, gold, answer_format) else None
    accepted = ACCEPTED.fullmatch(gold) if len(gold) <= LONGEST_ANSWER else None
    if accepted:
        return describe_gold(accepted[1], answer_format)
    cleaned = clean_gold(gold)
    if not cleaned.strip("{} ") or not verify(f"\\boxed{{{cleaned}}}", cleaned, answer_format):
        return None
    try:
        kind = "value" if read_plain(cleaned) else _describe(cleaned)
    except TimeoutError:
        kind = "text"
    # A brace that is missing is a part that is missing, unless what is there makes sense without it.
    broken = cleaned.count("}") > gold.count("}") and kind == "text"
    return None if broken else kind


def is_readable(answer: str, answer_format: str) -> bool:
    """Says whether a gold answer equals itself; one that does not would count every completion as wrong."""
    return describe_gold(answer, answer_format) is not None


@lru_cache(REMEMBERED)
def _describe(gold: str) -> str:
    kind = workers.ask("describe", gold, gold)
    if kind is None:
        raise TimeoutError
    return kind


def compare(found: str, gold: str) -> tuple[bool | None, str | None]:
    """Returns (whether two LaTeX answers are equal or None where that is unknown, the trouble); see `Judgement`."""
    try:
        return _compare(found, gold)
    except TimeoutError:
        return None, TIMEOUT


class _Slow(dict):
    """Pairs that took too long twice, and when."""

    def holds(self, pair: tuple[str, str]) -> bool:
        """Says whether a pair was too slow not long ago, and forgets it otherwise."""
        if pair in self and time.monotonic() - self[pair] < FORGOTTEN_AFTER:
            return True
        self.pop(pair, None)
        return False


slow = _Slow()


@lru_cache(REMEMBERED)
def _compare(found: str, gold: str) -> tuple[bool | None, str | None]:
    """Compares two answers; what it raises is not remembered.

    Raises:
        TimeoutError: If that took too long, and once more in another process.
    """
    if found == gold:
        return True, None
    if max(len(found), len(gold)) > 2 * LONGEST_ANSWER:
        return (False if len(gold) <= 2 * LONGEST_ANSWER else None), UNREADABLE
    number, other = read_plain(found), read_plain(gold)
    if number is not None and other is not None:
        if is_same_plain(number, other):
            return True, None
        if "." not in gold:
            return False, None
    if normalise(found) == normalise(gold) != "":
        return True, None
    if slow.holds((found, gold)):
        raise TimeoutError
    answer = workers.ask("compare", found, gold) or workers.ask("compare", found, gold)
    if answer is None:
        slow[found, gold] = time.monotonic()
        raise TimeoutError
    equal, unread = answer
    if equal:
        return True, None
    return (None, UNREADABLE) if unread == "gold" else (False, UNREADABLE if unread else None)
