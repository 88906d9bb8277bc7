r"""Mathematical answers in the last `\\boxed{}`, compared by what they mean."""

import re
from functools import lru_cache

from rlready.verifier.equivalence.decide import is_same_plain, read_plain
from rlready.verifier.equivalence.spelling import normalise
from rlready.verifier.formats.extract import LONGEST_ANSWER, clean_reference, extract_boxed
from rlready.verifier.formats.format import TIMEOUT, UNREADABLE, Format, Judgement
from rlready.verifier.processes import workers

REMEMBERED = 1 << 16  # pairs of answers, since the samples of a problem repeat one another
ACCEPTED = re.compile(r"(.+?) or (.+?) *\([^()]*accepted[^()]*\)")


class Boxed(Format):
    """What follows in a box, or in boxes that are one list."""

    def judge(self, completion: str, reference: str) -> Judgement:
        """Compares what both mean; a reference may accept another answer (`10 or 0.1 (both are accepted)`)."""
        found, reference = (extract_boxed(completion) or "").strip(), reference.strip()
        if not found:
            # A reference answer that lacks a brace takes that of its box.
            same = clean_reference(reference) != reference and completion.rpartition("\\boxed")[2].startswith(
                f"{{{reference}}}"
            )
            return Judgement(same, reference if same else None)
        if found == reference:
            return Judgement(True, found)
        accepted = ACCEPTED.fullmatch(reference) if len(reference) <= LONGEST_ANSWER else None
        compared = [compare(found, clean_reference(one)) for one in (accepted.groups() if accepted else (reference,))]
        right = next((right for right in (True, None) if any(one[0] is right for one in compared)), False)
        trouble = next((trouble for one, trouble in compared if one is right), None)
        return Judgement(right, found, trouble, reference)

    def extract(self, completion: str) -> str | None:
        """Returns the content of the last box; see `extract_boxed`."""
        return extract_boxed(completion)

    def describe_reference(self, reference: str) -> str | None:
        """Returns `value`, `words`, `text` or None; see `judgement.describe_reference`."""
        reference = reference.strip()
        accepted = ACCEPTED.fullmatch(reference) if len(reference) <= LONGEST_ANSWER else None
        if accepted:
            return self.describe_reference(accepted[1])
        cleaned = clean_reference(reference)
        if not cleaned.strip("{} ") or not self.judge(self.append("", cleaned), cleaned).right:
            return None
        try:
            kind = "value" if read_plain(cleaned) else _describe(cleaned)
        except TimeoutError:
            kind = "text"
        # A brace that is missing is a part that is missing, unless what is there makes sense without it.
        broken = cleaned.count("}") > reference.count("}") and kind == "text"
        return None if broken else kind

    def append(self, solution: str, answer: str) -> str:
        """Returns the solution with a last line that gives the answer in a box."""
        return f"{solution.rstrip()}\nThe answer is \\boxed{{{answer}}}."


@lru_cache(REMEMBERED)
def _describe(reference: str) -> str:
    kind: str | None = workers.ask("describe", reference, reference)
    if kind is None:
        raise TimeoutError
    return kind


def compare(found: str, reference: str) -> tuple[bool | None, str | None]:
    """Returns (whether two LaTeX answers are equal or None where that is unknown, the trouble); see `Judgement`."""
    try:
        return _compare(found, reference)
    except TimeoutError:
        return None, TIMEOUT


timeouts = workers.TimeoutMemo()


@lru_cache(REMEMBERED)
def _compare(found: str, reference: str) -> tuple[bool | None, str | None]:
    """Compares two answers; what it raises is not remembered.

    Raises:
        TimeoutError: If that took too long, and once more in another process.
    """
    if found == reference:
        return True, None
    if max(len(found), len(reference)) > 2 * LONGEST_ANSWER:
        return (False if len(reference) <= 2 * LONGEST_ANSWER else None), UNREADABLE
    number, other = read_plain(found), read_plain(reference)
    if number is not None and other is not None:
        if is_same_plain(number, other):
            return True, None
        if "." not in reference:
            return False, None
    if normalise(found) == normalise(reference) != "":
        return True, None
    if timeouts.holds((found, reference)):
        raise TimeoutError
    answer = workers.ask("compare", found, reference) or workers.ask("compare", found, reference)
    if answer is None:
        timeouts.add((found, reference))
        raise TimeoutError
    equal, unread = answer
    if equal:
        return True, None
    return (None, UNREADABLE) if unread == "reference" else (False, UNREADABLE if unread else None)
