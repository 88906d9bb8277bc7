"""What worker processes share: the loop that answers questions, within limits and apart from what a library prints."""

import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

MEMORY_LIMIT = 2 << 30  # bytes
LONGEST_FAULT = 200  # characters


@contextlib.contextmanager
def limit_time(seconds: float) -> Iterator[None]:
    """Ends this process if what follows takes more processor time; waiting for a busy machine does not count."""
    timers = {signal.ITIMER_PROF: seconds, signal.ITIMER_REAL: 20 * seconds}  # the latter if nothing else would end it
    for timer, limit in timers.items():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)


def describe_error(error: BaseException) -> str:
    """Returns an exception on one line."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"raised {said[:LONGEST_FAULT]}"


def serve(target: str, load: Callable[[], Callable[..., Any]], file_bytes: int) -> None:
    """Answers questions, one JSON array per line, with the function that `load` returns, until the input ends.

    If loading fails, a line that names the target replaces `ready`. No file may become larger than `file_bytes`.
    """
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    # A library reads nothing, and prints to standard error.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    sys.dont_write_bytecode = True
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: file_bytes, resource.RLIMIT_AS: MEMORY_LIMIT}
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))
    try:
        answer = load()
    except BaseException as error:
        print(f"{target} {describe_error(error)}; repair or reinstall its package", file=answers, flush=True)
        return
    print("ready", file=answers, flush=True)
    for line in questions:
        print(json.dumps(answer(*json.loads(line))), file=answers, flush=True)
