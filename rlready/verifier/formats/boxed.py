r"""Mathematical answers in the last `\\boxed{}`, compared by their meaning."""

import re
from functools import lru_cache

from rlready.verifier.equivalence.decide import is_same_plain, read_plain
from rlready.verifier.equivalence.spelling import normalise
from rlready.verifier.formats.extract import LONGEST_ANSWER, clean_reference, extract_boxed
from rlready.verifier.formats.format import TIMEOUT, UNREADABLE, Format, Judgement
from rlready.verifier.processes import workers

REMEMBERED = 1 << 16  # pairs of answers, since the samples of a problem repeat one another
ACCEPTED = re.compile(r"(.+?) or (.+?) *\([^()]*accepted[^()]*\)")
timeouts = workers.TimeoutMemo()


class Boxed(Format):
    """The content of a box, or of boxes that form one list."""

    def judge(self, completion: str, reference: str) -> Judgement:
        """Compares by meaning; a reference may accept a second answer (`10 or 0.1 (both are accepted)`)."""
        found, reference = (extract_boxed(completion) or "").strip(), reference.strip()
        if not found:
            # A reference answer that lacks a closing brace takes that of its box.
            unclosed = clean_reference(reference) != reference
            same = unclosed and completion.rpartition("\\boxed")[2].startswith(f"{{{reference}}}")
            return Judgement(same, reference if same else None)
        if found == reference:
            return Judgement(True, found)
        compared = [compare(found, clean_reference(one)) for one in _list_accepted(reference)]
        right = next((right for right in (True, None) if any(one[0] is right for one in compared)), False)
        trouble = next((trouble for one, trouble in compared if one is right), None)
        return Judgement(right, found, trouble, reference)

    def extract(self, completion: str) -> str | None:
        """Returns the content of the last box; see `extract_boxed`."""
        return extract_boxed(completion)

    def describe_reference(self, reference: str) -> str | None:
        """Returns `value`, `words`, `text` or None; see `judgement.describe_reference`."""
        first, *others = _list_accepted(reference.strip())
        if others:
            return self.describe_reference(first)
        cleaned = clean_reference(first)
        if not cleaned.strip("{} ") or not self.judge(self.append("", cleaned), cleaned).right:
            return None
        kind: str = "value" if read_plain(cleaned) else workers.ask("describe", cleaned, cleaned) or "text"
        # If a brace is missing, a part may be missing, unless the rest has a meaning without it.
        broken = cleaned.count("}") > first.count("}") and kind == "text"
        return None if broken else kind

    def append(self, solution: str, answer: str) -> str:
        """Returns the solution with a last line that gives the answer in a box."""
        return f"{solution.rstrip()}\nThe answer is \\boxed{{{answer}}}."


def _list_accepted(reference: str) -> tuple[str, ...]:
    accepted = ACCEPTED.fullmatch(reference) if len(reference) <= LONGEST_ANSWER else None
    return accepted.groups() if accepted else (reference,)


def compare(found: str, reference: str) -> tuple[bool | None, str | None]:
    """Returns (whether two LaTeX answers are equal or None if that is unknown, the trouble); see `Judgement`."""
    try:
        return _compare(found, reference)
    except TimeoutError:
        return None, TIMEOUT


@lru_cache(REMEMBERED)
def _compare(found: str, reference: str) -> tuple[bool | None, str | None]:
    """As `compare`, but raises TimeoutError, which is not remembered here."""
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
    equal, unread = timeouts.ask(workers.ask, "compare", found, reference)
    if equal:
        return True, None
    return (None, UNREADABLE) if unread == "reference" else (False, UNREADABLE if unread else None)
