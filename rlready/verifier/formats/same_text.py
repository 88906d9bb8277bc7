"""Answers that are right if they are the same text: a word after a `#`, the letter of an option."""

from collections.abc import Callable

from rlready.verifier.formats.format import Format, Judgement


class SameText(Format):
    """A format whose answers are compared letter by letter.

    Args:
        extract: Finds the answer.
        ending: What is put behind a solution without an answer; {answer} is the answer.
    """

    def __init__(self, extract: Callable[[str], str | None], ending: str):
        self._extract, self.ending = extract, ending

    def judge(self, completion: str, reference: str) -> Judgement:
        """Compares texts, but for blanks around them."""
        found, reference = (self.extract(completion) or "").strip(), reference.strip()
        return Judgement(found == reference != "", found or None, checks=1)

    def extract(self, completion: str) -> str | None:
        """Returns the final answer in a completion, None where there is none."""
        return self._extract(completion)

    def describe_reference(self, reference: str) -> str | None:
        """Returns `words`, or None for what could not be found in a completion."""
        return "words" if self.judge(self.append("", reference.strip()), reference).right else None

    def append(self, solution: str, answer: str) -> str:
        """Returns the solution with the answer behind it."""
        return solution + self.ending.format(answer=answer)
