r"""The worker process of mathematics: compares and describes LaTeX answers."""

import contextlib
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


@lru_cache(1024)
def _parse(text: str) -> list[Any]:
    import math_verify

    boxed = "\\boxed{" + re.sub(r"(?<!\\)\$|[.,\s]+$", "", text) + "}"
    parsed: list[Any] = math_verify.parse(boxed, parsing_timeout=None)
    return parsed


def ask_math_verify(found: str, reference: str, seconds: float) -> bool | None:
    """Returns whether math-verify calls an answer right, or None if it cannot read both."""
    from math_verify import verify  # which takes a second that does not count against an answer

    logging.disable(logging.CRITICAL)
    with limit_time(seconds):
        try:
            target, answer = _parse(reference), _parse(found)
            if not target or not answer:
                return None
            return bool(verify(target, answer, allow_set_relation_comp=True, timeout_seconds=None))
        except Exception:
            return None


def answer_question(kind: str, found: str, reference: str, seconds: float) -> str | bool | list[bool | str]:
    """Answers a question about two answers within seconds of processor time.

    The exact check decides. Math-verify can veto it only if it is doubtful; see `decide`. Returns [whether they are equal, what
    is unreadable] for `compare`, whether math-verify finds them equal for `math-verify`, or for `describe` how answers are
    compared with the reference: by `value`, `words` or `text`.
    """
    if kind == "math-verify":
        return bool(ask_math_verify(found, reference, seconds))
    with limit_time(seconds):
        if kind == "describe":
            with contextlib.suppress(Unreadable):
                return "words" if understand(reference).kind == "word" else "value"
            return "text"
        equal, unread, doubtful = decide(found, reference)
    return [equal and not (doubtful and ask_math_verify(found, reference, seconds) is False), unread]


def load() -> Callable[..., Any]:
    """Returns `answer_question`, with the libraries that it needs imported."""
    sys.setrecursionlimit(DEEPEST)
    decide("\\frac{x}{2}", "\\sqrt{x}")
    return answer_question


if __name__ == "__main__":
    serve("rlready.verifier", load, file_bytes=0)
