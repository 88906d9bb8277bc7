"""The interface of a format (a kind of answer), the judgement of a completion, and the formats that compare text."""

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

TIMEOUT, UNREADABLE, FAULTY, UNDECIDED = "timeout", "unreadable", "faulty", "undecided"


@dataclass(frozen=True)
class Judgement:
    """The judgement of a completion."""

    right: bool | None  # whether its final answer equals the reference answer; None if that is unknown
    answer: str | None  # its final answer; None if there is none
    # `timeout` (a check timed out or its process died, twice), `unreadable` (the reference answer cannot be read, which is
    # unknown, or the answer cannot, which is wrong), `faulty` (a plug-in raised or returned an invalid value), `undecided`
    # (a plug-in returned None), or None. An unknown judgement always has one.
    trouble: str | None = None
    # What a LaTeX answer was compared with, for `measure_disagreement`.
    reference: str | None = field(default=None, compare=False, repr=False)
    # Number of independent checks of its format: two for mathematics, else one, with which nothing can disagree.
    checks: int = field(default=2, compare=False, repr=False)


class Format(ABC):
    """A kind of answer: how it is found in a completion, and how it is compared with a reference answer."""

    def find_prompt(self) -> str:
        """Returns the prompt, a text with {question}, of sources that name none; "" for the one in prompts.yaml."""
        return ""

    @abstractmethod
    def judge(self, completion: str, reference: str) -> Judgement:
        """Compares a completion's final answer with a reference answer; see `judgement.judge`."""

    @abstractmethod
    def extract(self, completion: str) -> str | None:
        """Returns the final answer in a completion, or None if there is none."""

    @abstractmethod
    def describe_reference(self, reference: str) -> str | None:
        """Describes how answers are compared with a reference answer; see `judgement.describe_reference`."""

    def list_accepted(self, answer: str) -> list[str]:
        """Returns the answers that a reference answer accepts: those of a JSON list of texts, or only itself."""
        if answer.startswith('["'):
            with contextlib.suppress(ValueError):
                accepted: list[str] = json.loads(answer)
                if all(isinstance(one, str) for one in accepted):
                    return accepted
        return [answer]

    @abstractmethod
    def append(self, solution: str, answer: str) -> str | None:
        """Returns a solution that ends in an answer as `extract` finds it, or None if only its author can write that."""

    def is_other(self, one: str, other: str) -> bool:
        """Returns True if two reference answers are certainly different, whichever of them is the answer."""
        ways = ((one, other), (other, one))
        return all(self.judge(self.append("", answer) or "", reference).right is False for answer, reference in ways)


class SameText(Format):
    """A format whose answers are right if they are the same text: a word after a `#`, the letter of an option.

    Args:
        extract: Finds the answer.
        ending: What is appended to a solution without an answer; contains {answer}.
    """

    def __init__(self, extract: Callable[[str], str | None], ending: str):
        self._extract, self.ending = extract, ending

    def judge(self, completion: str, reference: str) -> Judgement:
        """Compares the texts without the blanks around them."""
        found, reference = (self.extract(completion) or "").strip(), reference.strip()
        return Judgement(found == reference != "", found or None, checks=1)

    def extract(self, completion: str) -> str | None:
        """Returns the final answer in a completion, or None if there is none."""
        return self._extract(completion)

    def describe_reference(self, reference: str) -> str | None:
        """Returns `words`, or None if the reference could not be found in a completion."""
        return "words" if self.judge(self.append("", reference.strip()), reference).right else None

    def append(self, solution: str, answer: str) -> str:
        """Returns the solution with the answer at its end."""
        return solution + self.ending.format(answer=answer)
