"""The interface of a format (a kind of answer), and the judgement of a completion."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

TIMEOUT, UNREADABLE, FAULTY, UNDECIDED = "timeout", "unreadable", "faulty", "undecided"


@dataclass(frozen=True)
class Judgement:
    """What became of a completion.

    Attributes:
        right: Whether its final answer equals the given one; None where that is unknown.
        answer: Its final answer, None where none is found.
        trouble: `timeout` where a check took too long twice, or its process died; `unreadable` where the reference answer
            cannot be read (both are unknown), or where the answer cannot (which is wrong); `faulty` where a plug-in raised
            or returned something else than it may, `undecided` where it said that it cannot tell (both are unknown); else
            None. What is unknown always has one.
        reference: What a LaTeX answer was compared with, for `measure_disagreement`.
        checks: How many checks there are of its kind of answer: of mathematics two, of texts that are compared as they are and
            of plug-ins one, with which nothing can disagree.
    """

    right: bool | None
    answer: str | None
    trouble: str | None = None
    reference: str | None = field(default=None, compare=False, repr=False)
    checks: int = field(default=2, compare=False, repr=False)


class Format(ABC):
    """A kind of answer: how it is found in what a model wrote, and how it is compared with a reference answer."""

    def find_prompt(self) -> str:
        """Returns how questions are asked whose source does not say: a text with {question}; "" for that of prompts.yaml."""
        return ""

    @abstractmethod
    def judge(self, completion: str, reference: str) -> Judgement:
        """Compares a completion's final answer with a reference answer; see `judgement.judge`."""

    @abstractmethod
    def extract(self, completion: str) -> str | None:
        """Returns the final answer in a completion, None where there is none."""

    @abstractmethod
    def describe_reference(self, reference: str) -> str | None:
        """Says how answers are compared with a reference answer; see `judgement.describe_reference`."""

    @abstractmethod
    def append(self, solution: str, answer: str) -> str | None:
        """Returns a solution with an answer at its end as `extract` finds it; None where only the solution's author can."""

    def is_other(self, one: str, other: str) -> bool:
        """Returns True if two reference answers are certainly different, whichever way round they are compared."""
        ways = ((one, other), (other, one))
        return all(self.judge(self.append("", answer) or "", reference).right is False for answer, reference in ways)
