"""A format that a plug-in adds, run in worker processes of its own within the limits of every check.

A plug-in is a class without arguments, or a module, that has

    extract(completion: str) -> str | None       the final answer in what a model wrote; None where there is none
    check(answer: str, reference: str) -> bool | None  whether it is right; None where that cannot be said

and may have

    is_readable(reference: str) -> bool   whether a reference answer can be used; rows for which it cannot are left out
    prompt                           how a question is asked: a text with {question}
"""

from functools import lru_cache
from typing import Any

from rlready.errors import InputError
from rlready.verifier.formats.format import FAULTY, TIMEOUT, UNDECIDED, Format, Judgement
from rlready.verifier.processes import workers

REMEMBERED = 1 << 12  # pairs of an answer and a reference answer; either may be long
LONGEST_PLUGGED = 1 << 16  # characters of an answer; a longer one is none


class Fault(Exception):
    """A plug-in gave no judgement: it raised, returned what it may not, or (`UNDECIDED`) said that it cannot tell."""


class PlugIn(Format):
    """A format of a package.

    Args:
        name: Of the format.
        target: What its processes import, as an entry point says it.
        release: The package with its version.
    """

    def __init__(self, name: str, target: str, release: str):
        self.name, self.release = name, release
        self.arguments = ("rlready.verifier.processes.serve_plugin", name, target)
        self.timeouts = workers.TimeoutMemo()
        self.told: set[str] = set()
        self._prompt: str | None = None
        self._check = lru_cache(REMEMBERED)(self._decide)

    def find_prompt(self) -> str:
        """Returns how questions are asked whose source does not say; asks once.

        Raises:
            InputError: If the plug-in cannot be imported, or lacks what it must have.
        """
        if self._prompt is None:
            try:
                self._prompt = self._ask("prompt")
            except (Fault, TimeoutError) as error:
                raise InputError(f"the format {self.name} ({self.release}): its prompt {error}") from error
        return self._prompt

    def judge(self, completion: str, reference: str) -> Judgement:
        """Asks the plug-in; the judgement is unknown if it times out, dies, raises or returns anything but its three values."""
        answer = None
        try:
            answer = self._find(completion)
            return Judgement(answer is not None and self._check(answer, reference), answer, checks=1)
        except TimeoutError:
            return Judgement(None, answer, TIMEOUT, checks=1)
        except Fault as fault:
            return Judgement(None, answer, UNDECIDED if UNDECIDED in fault.args else FAULTY, checks=1)

    def extract(self, completion: str) -> str | None:
        """Returns the final answer in a completion; None where there is none, or the plug-in failed."""
        try:
            return self._find(completion)
        except (TimeoutError, Fault):
            return None

    def describe_reference(self, reference: str) -> str | None:
        """Returns `plug-in`, or None where the plug-in says that it cannot read the reference answer, or fails."""
        try:
            return "plug-in" if self._ask("is_readable", reference) else None
        except (TimeoutError, Fault):
            return None

    def append(self, solution: str, answer: str) -> None:
        """Returns None: only a solution's author knows how to end it."""

    def is_other(self, one: str, other: str) -> bool:
        """Returns True if two reference answers are different.

        If a reference is itself a right answer, each must be wrong for the other. If it is not (tests, the rules of a task), a
        different text is a different reference.
        """
        try:
            ways = [self._check(*pair) for pair in ((one, one), (one, other), (other, one))]
        except (TimeoutError, Fault):
            return True
        return ways[1:] == [False, False] if ways[0] else True not in ways

    def _find(self, completion: str) -> str | None:
        answer = self._ask("extract", completion)
        return answer if answer and len(answer) <= LONGEST_PLUGGED else None

    def _decide(self, answer: str, reference: str) -> bool:
        right: bool | None = self._ask("check", answer, reference)
        if right is None:
            raise Fault(UNDECIDED)
        return right

    def _ask(self, kind: str, *texts: str) -> Any:
        """Returns what the plug-in says.

        Raises:
            TimeoutError: If that took too long, or its process died, and once more in another process.
            Fault: If it raised, or returned what it may not.
        """
        question = (kind, *texts)
        if self.timeouts.holds(question):
            raise TimeoutError("took too long")
        pool = workers.find_pool(self.arguments, f"the format {self.name} ({self.release})")
        said = pool.ask(*question) or pool.ask(*question)
        if said is None:
            self.timeouts.add(question)
            raise TimeoutError("took too long")
        value, fault = said
        if fault:
            self._tell(f"{kind} {fault}")
            raise Fault(fault)
        return value

    def _tell(self, fault: str) -> None:
        """Prints each fault once: a broken plug-in fails on every sample."""
        if fault not in self.told and len(self.told) < 10:
            self.told.add(fault)
            print(
                f"the format {self.name} ({self.release}): {fault}; such samples are neither right nor wrong",
                flush=True,
            )
