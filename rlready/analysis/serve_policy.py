"""The worker process of a policy: python -m rlready.analysis.serve_policy FILE."""

import functools
import json
import reprlib
import runpy
import sys
from collections.abc import Callable
from typing import Any

from rlready.verifier.processes.limits import describe_error, limit_time, serve


def load(file: str) -> Callable[..., tuple[Any, str]]:
    """Returns `answer_question` of the file's `choose`. Raises TypeError if it has none, or whatever the file raises."""
    choose = runpy.run_path(file).get("choose")
    if not callable(choose):
        raise TypeError("it has no function choose")
    return functools.partial(answer_question, choose)


def answer_question(choose: Callable[..., Any], given: str, seconds: float) -> tuple[Any, str]:
    """Returns (what the policy returned, what is wrong with it or ""); ends the process after the seconds."""
    try:
        with limit_time(seconds):
            chosen = choose(*json.loads(given))
    except BaseException as error:
        return None, describe_error(error)
    if isinstance(chosen, dict) and all(type(name) is str and type(step) is int for name, step in chosen.items()):
        return chosen, ""
    return None, f"returned {reprlib.repr(chosen)}, not steps by name"


if __name__ == "__main__":
    serve(sys.argv[1], functools.partial(load, sys.argv[1]), file_bytes=0)
