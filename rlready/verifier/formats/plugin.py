"""A format that a plug-in adds; it runs in its own worker processes, within the limits of every check.

A plug-in is a class without arguments, or a module, with

    extract(completion: str) -> str | None             the final answer in what a model wrote, or None if there is none
    check(answer: str, reference: str) -> bool | None  whether it is right, or None if that cannot be decided

and optionally

    is_readable(reference: str) -> bool  whether a reference answer can be used; other rows are left out
    prompt                               a text with {question}
"""

import contextlib
from functools import lru_cache
from typing import Any

from rlready.errors import InputError
from rlready.verifier.formats.format import FAULTY, TIMEOUT, UNDECIDED, Format, Judgement
from rlready.verifier.processes import workers

REMEMBERED = 1 << 12  # pairs of an answer and a reference answer; either may be long
LONGEST_PLUGGED = 1 << 16  # characters; a longer final answer is not one
MOST_FAULTS = 10  # that are printed


class Fault(Exception):
    """A plug-in gave no judgement: it raised, returned an invalid value, or returned None (`UNDECIDED`)."""


class PlugIn(Format):
    """A format of another package.

    Args:
        name: Name of the format.
        target: What its processes import, as in an entry point.
        release: The package with its version.
    """

    def __init__(self, name: str, target: str, release: str):
        self.arguments = ("rlready.verifier.processes.serve_plugin", name, target)
        self.title = f"the format {name} ({release})"
        self.timeouts = workers.TimeoutMemo()
        self.faults: set[str] = set()
        self._prompt: str | None = None
        self._check = lru_cache(REMEMBERED)(self._decide)

    def find_prompt(self) -> str:
        """Returns the plug-in's prompt; raises InputError if the plug-in cannot be imported, or lacks a function."""
        if self._prompt is None:
            try:
                self._prompt = self._ask("prompt")
            except (Fault, TimeoutError) as error:
                raise InputError(f"{self.title}: its prompt {error}") from error
        return self._prompt

    def list_accepted(self, answer: str) -> list[str]:
        """Returns the reference answer alone: what a list means is the plug-in's to say."""
        return [answer]

    def judge(self, completion: str, reference: str) -> Judgement:
        """Asks the plug-in; the judgement is unknown if it times out, dies, raises or returns an invalid value."""
        answer = None
        try:
            answer = self._find(completion)
            return Judgement(answer is not None and self._check(answer, reference), answer, checks=1)
        except TimeoutError:
            return Judgement(None, answer, TIMEOUT, checks=1)
        except Fault as fault:
            return Judgement(None, answer, UNDECIDED if UNDECIDED in fault.args else FAULTY, checks=1)

    def extract(self, completion: str) -> str | None:
        """Returns the final answer in a completion, or None if there is none or the plug-in fails."""
        with contextlib.suppress(TimeoutError, Fault):
            return self._find(completion)
        return None

    def describe_reference(self, reference: str) -> str | None:
        """Returns `plug-in`, or None if the plug-in cannot read the reference answer or fails."""
        with contextlib.suppress(TimeoutError, Fault):
            return "plug-in" if self._ask("is_readable", reference) else None
        return None

    def append(self, solution: str, answer: str) -> None:
        """Returns None: only a solution's author can write its end."""

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
        """Returns what the plug-in returns, or raises TimeoutError or Fault; prints each fault once."""
        value, fault = self.timeouts.ask(workers.find_pool(self.arguments, self.title).ask, kind, *texts)
        if fault:
            said = f"{self.title}: {kind} {fault}; such samples are neither right nor wrong"
            if said not in self.faults and len(self.faults) < MOST_FAULTS:
                self.faults.add(said)
                print(said, flush=True)
            raise Fault(fault)
        return value
