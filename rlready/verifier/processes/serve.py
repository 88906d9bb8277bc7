r"""The worker process of mathematics: compares and describes LaTeX answers."""

import logging
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from rlready.verifier.equivalence.decide import decide, understand
from rlready.verifier.equivalence.parser import Unreadable
from rlready.verifier.processes.limits import limit_time, serve

DEEPEST = 5_000  # calls within calls, for nested brackets


@lru_cache(1)
def open_math_verify() -> tuple[Callable[..., list[Any]], Callable[..., bool]]:
    """Returns math-verify's functions; importing them takes a second that does not count against an answer."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    return parse, verify


@lru_cache(1024)
def _parse(text: str) -> list[Any]:
    parse, _ = open_math_verify()
    return parse("\\boxed{" + re.sub(r"(?<!\\)\$|[.,\s]+$", "", text) + "}", parsing_timeout=None)


def ask_math_verify(found: str, reference: str, seconds: float) -> bool | None:
    """Returns whether math-verify calls an answer right, or None if it cannot read both."""
    _, verify = open_math_verify()
    with limit_time(seconds):
        try:
            target, answer = _parse(reference), _parse(found)
            if not target or not answer:
                return None
            return bool(verify(target, answer, allow_set_relation_comp=True, timeout_seconds=None))
        except Exception:
            return None


def describe(reference: str) -> str:
    """Returns how answers are compared with a reference answer: `value`, `words` or `text`."""
    try:
        value = understand(reference)
    except Unreadable:
        return "text"
    return "words" if value.kind == "word" else "value"


def answer_question(kind: str, found: str, reference: str, seconds: float) -> str | bool | list[bool | str]:
    """Answers a question about two answers within seconds of processor time.

    The exact check decides. Math-verify can veto it only if a symbol is inside a function that jumps or has kinks, since random
    points prove little there. Returns [whether they are equal, what is unreadable] for `compare`, a description for `describe`,
    or whether math-verify finds them equal for `math-verify`.
    """
    if kind == "math-verify":
        return bool(ask_math_verify(found, reference, seconds))
    with limit_time(seconds):
        if kind == "describe":
            return describe(reference)
        equal, unread, doubtful = decide(found, reference)
    return [equal and not (doubtful and ask_math_verify(found, reference, seconds) is False), unread]


def load() -> Callable[..., Any]:
    """Returns `answer_question`, with the libraries that it needs imported."""
    sys.setrecursionlimit(DEEPEST)
    decide("\\frac{x}{2}", "\\sqrt{x}")
    return answer_question


if __name__ == "__main__":
    serve("rlready.verifier", load, file_bytes=0)
