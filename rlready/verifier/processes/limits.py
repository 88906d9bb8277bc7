"""What bounds a question in a process of the verifier, and how its answers are kept apart from what a library prints."""

import os
import resource
import signal
import sys
from typing import TextIO

MEMORY_LIMIT = 2 << 30  # bytes


class Clock:
    """The processor time that a question may take; a process that exceeds it is ended by the signal."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def __enter__(self) -> None:
        """Starts the time; a busy machine's waiting does not count, but should the caller be gone, that ends, too."""
        signal.setitimer(signal.ITIMER_PROF, self.seconds)
        signal.setitimer(signal.ITIMER_REAL, 20 * self.seconds)

    def __exit__(self, *error: object) -> None:
        """Stops it."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def take_pipes() -> tuple[TextIO, TextIO]:
    """Returns the files of questions and of answers; what else reads or prints gets nothing, and goes to standard error."""
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    sys.dont_write_bytecode = True
    return questions, answers


def limit_process(file_bytes: int) -> None:
    """Sets the limits of this process.

    Args:
        file_bytes: Of the largest file that it may write.
    """
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_AS, MEMORY_LIMIT),
    ):
        resource.setrlimit(limit, (most, most))
