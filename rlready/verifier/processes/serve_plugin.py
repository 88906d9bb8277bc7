"""The worker process of a plug-in: python -m rlready.verifier.processes.serve_plugin NAME TARGET."""

import functools
import reprlib
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

from rlready.verifier.processes.limits import describe_error, limit_time, serve

FILE_LIMIT = 64 << 20  # bytes of a file that it writes
QUESTION = "{question}"  # the prompt of a plug-in that has none
# What each function may return, and what else is wrong with it.
VALUES = {
    "extract": (lambda value: value is None or isinstance(value, str), "neither text nor None"),
    "check": (lambda value: value is None or isinstance(value, bool), "neither True, False nor None"),
    "is_readable": (lambda value: isinstance(value, bool), "neither True nor False"),
}


def load(name: str, target: str) -> Callable[..., tuple[Any, str]]:
    """Returns `answer_question` of the plug-in (a module, or an object of the class) that an entry point names.

    Raises:
        Exception: Whatever its import raises.
        TypeError: If it lacks a function, or its prompt is not a text with {question}.
    """
    found = EntryPoint(name, target, "").load()
    plug_in = found() if isinstance(found, type) else found
    for function in ("extract", "check"):
        if not callable(getattr(plug_in, function, None)):
            raise TypeError(f"{target} has no function {function}")
    prompt = getattr(plug_in, "prompt", QUESTION)
    if not isinstance(prompt, str) or QUESTION not in prompt:
        raise TypeError(f"the prompt of {target} is {reprlib.repr(prompt)}, not a text with {QUESTION}")
    return functools.partial(answer_question, plug_in)


def answer_question(plug_in: Any, kind: str, *texts_and_seconds: Any) -> tuple[Any, str]:
    """Returns (what the plug-in's function returned, what is wrong with it or ""); ends the process after the seconds."""
    *texts, seconds = texts_and_seconds
    if kind == "prompt":
        return getattr(plug_in, "prompt", QUESTION), ""
    if kind == "is_readable" and not hasattr(plug_in, kind):
        return bool(texts[0].strip()), ""
    try:
        with limit_time(seconds):
            value = getattr(plug_in, kind)(*texts)
    except BaseException as error:
        return None, describe_error(error)
    is_valid, otherwise = VALUES[kind]
    return (value, "") if is_valid(value) else (None, f"returned {reprlib.repr(value)}, {otherwise}")


if __name__ == "__main__":
    serve(sys.argv[2], functools.partial(load, *sys.argv[1:]), FILE_LIMIT)
