r"""The process that a worker is: reads questions about pairs of answers as lines of JSON and writes what it finds."""

import json
import logging
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from rlready.verifier.equivalence.decide import decide, understand
from rlready.verifier.equivalence.expression import Unreadable
from rlready.verifier.processes.limits import Clock, limit_process, take_pipes

DEEPEST = 5_000  # calls within calls, for nested brackets


@lru_cache(1)
def open_math_verify() -> tuple[Callable[..., list[Any]], Callable[..., bool]]:
    """Returns math-verify's functions; importing them takes a second that no answer pays for."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    return parse, verify


@lru_cache(1024)
def _parse(text: str) -> list[Any]:
    parse, _ = open_math_verify()
    return parse("\\boxed{" + re.sub(r"(?<!\\)\$|[.,\s]+$", "", text) + "}", parsing_timeout=None)


def ask_math_verify(found: str, reference: str) -> bool | None:
    """Returns whether math-verify calls an answer right, or None where it cannot read both."""
    _, verify = open_math_verify()
    target, answer = _parse(reference), _parse(found)
    if not target or not answer:
        return None
    return bool(verify(target, answer, allow_set_relation_comp=True, timeout_seconds=None))


def describe(reference: str) -> str:
    """Returns how answers are compared with a reference answer: `value`, `words` or `text`."""
    try:
        value = understand(reference)
    except Unreadable:
        return "text"
    return "words" if getattr(value, "kind", "") == "word" else "value"


def answer_question(kind: str, found: str, reference: str, seconds: float) -> str | bool | list[bool | str]:
    """Answers one question.

    The exact check decides. Only where a symbol stands in a function that jumps or has kinks, so that random points prove
    little, math-verify must not read both and find them different.

    Args:
        kind: `compare`, `math-verify` or `describe`.
        found: An answer.
        reference: The reference answer.
        seconds: Of processor time.

    Returns:
        [whether they are equal, what is unreadable] of `compare`, whether math-verify finds them equal, or a description.
    """
    if kind == "describe":
        with Clock(seconds):
            return describe(reference)
    equal, unread, asks = False, "", kind == "math-verify"
    if kind == "compare":
        with Clock(seconds):
            equal, unread, asks = decide(found, reference)
    if asks:
        open_math_verify()
        with Clock(seconds):
            try:
                second = ask_math_verify(found, reference)
            except Exception:
                second = None
        if kind == "math-verify":
            return bool(second)
        equal = equal and second is not False
    return [equal, unread]


def serve() -> None:
    """Answers questions until the input ends."""
    questions, answers = take_pipes()
    sys.setrecursionlimit(DEEPEST)
    decide("\\frac{x}{2}", "\\sqrt{x}")
    limit_process(file_bytes=0)
    print("ready", file=answers, flush=True)
    for line in questions:
        print(json.dumps(answer_question(*json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    serve()
