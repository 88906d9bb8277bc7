"""The process that a plug-in runs in: python -m rlready.verifier.processes.serve_plugin NAME TARGET."""

import json
import reprlib
import sys
from importlib.metadata import EntryPoint
from typing import Any

from rlready.verifier.processes.limits import Clock, limit_process, take_pipes

FILE_LIMIT = 64 << 20  # bytes of a file that it writes
NEEDED, LONGEST_FAULT = ("extract", "check"), 200
ASKED = "{question}"
# What each may return, by its name, and in words.
VALUES = {
    "extract": (lambda value: value is None or isinstance(value, str), "neither text nor None"),
    "check": (lambda value: value is None or isinstance(value, bool), "neither True, False nor None"),
    "is_readable": (lambda value: isinstance(value, bool), "neither True nor False"),
}


def load(name: str, target: str) -> Any:
    """Returns the plug-in: a module, or an object of the class, that an entry point names.

    Raises:
        Exception: Whatever its import raises.
        TypeError: If it lacks a function, or its prompt is no text with {question}.
    """
    found = EntryPoint(name, target, "").load()
    plug_in = found() if isinstance(found, type) else found
    for function in NEEDED:
        if not callable(getattr(plug_in, function, None)):
            raise TypeError(f"{target} has no function {function}")
    prompt = get_prompt(plug_in)
    if not isinstance(prompt, str) or ASKED not in prompt:
        raise TypeError(f"the prompt of {target} is {reprlib.repr(prompt)}, not a text with {ASKED}")
    return plug_in


def get_prompt(plug_in: Any) -> str:
    """Returns how it wants questions asked; as they are, if it does not say."""
    return getattr(plug_in, "prompt", ASKED)


def answer_question(plug_in: Any, kind: str, *texts: str, seconds: float) -> tuple[Any, str]:
    """Asks the plug-in one question; beyond the time the process ends.

    Returns:
        (what it said, what is wrong with it or "").
    """
    if kind == "prompt":
        return get_prompt(plug_in), ""
    if kind == "is_readable" and not hasattr(plug_in, kind):
        return bool(texts[0].strip()), ""
    try:
        with Clock(seconds):
            value = getattr(plug_in, kind)(*texts)
    except BaseException as error:
        return None, describe(error)
    fits, otherwise = VALUES[kind]
    return (value, "") if fits(value) else (None, f"returned {reprlib.repr(value)}, {otherwise}")


def describe(error: BaseException) -> str:
    """Returns an exception on one line."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"raised {said[:LONGEST_FAULT]}"


def serve(name: str, target: str) -> None:
    """Answers questions until the input ends; a plug-in that cannot be loaded is said in the first line."""
    questions, answers = take_pipes()
    limit_process(FILE_LIMIT)
    try:
        plug_in = load(name, target)
    except BaseException as error:
        print(f"{target} {describe(error)}; repair or reinstall its package", file=answers, flush=True)
        return
    print("ready", file=answers, flush=True)
    for line in questions:
        *question, seconds = json.loads(line)
        print(json.dumps(answer_question(plug_in, *question, seconds=seconds)), file=answers, flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
