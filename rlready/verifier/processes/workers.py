"""Worker processes that check answers: model output is hostile, so a process that exceeds its time or memory is killed."""

import atexit
import contextlib
import itertools
import json
import math
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rlready.errors import InputError

TIME_LIMIT = 2.0  # seconds of processor time per question
STALL = 10  # times as long a question may take by the clock, since a busy machine says nothing about an answer
START_LIMIT = 120.0  # seconds until a worker has imported its libraries on a busy machine
WORKERS = max(1, min(4, os.cpu_count() or 1))
ANSWERS_OF_A_WORKER = 10_000  # then it is replaced, since the parser's tables only grow
FORGOTTEN_AFTER = 600.0  # seconds after which a question that timed out twice is asked again
MATHEMATICS = ("rlready.verifier.processes.serve",)


class TimeoutMemo(dict[tuple[str, ...], float]):
    """Questions that timed out twice, each with the monotonic time of that."""

    def ask(self, ask: Callable[..., Any], *question: str) -> Any:
        """Asks a question, and a second time if the first process times out or dies.

        Raises TimeoutError if the second one does, too, or did within `FORGOTTEN_AFTER`.
        """
        if time.monotonic() - self.get(question, -math.inf) >= FORGOTTEN_AFTER:
            if (answer := ask(*question) or ask(*question)) is not None:
                return answer
            self[question] = time.monotonic()
        raise TimeoutError("took too long")


class Checkers:
    """A pool of worker processes; one that exceeds the limits of a question is killed and replaced.

    Args:
        arguments: The module that each process runs, and its arguments.
        name: What they run, for messages.
    """

    def __init__(self, arguments: tuple[str, ...], name: str):
        self.arguments, self.name = arguments, name
        self.idle: list[Checker] = []
        self.free = threading.Semaphore(WORKERS)

    def ask(self, *question: str) -> Any:
        """Returns the answer to a question, or None if it exceeded the limits or its process died.

        Raises InputError if no process starts.
        """
        with self.free:
            worker = self._find_worker()
            try:
                worker.wait()
                answer = worker.ask(*question)
            except BaseException:
                worker.kill()
                raise
            if answer is None or worker.answers >= ANSWERS_OF_A_WORKER:
                worker.kill()
                # It imports its libraries while the caller goes on.
                worker = Checker(self.arguments, self.name)
            self.idle.append(worker)
            return answer

    def _find_worker(self) -> "Checker":
        with contextlib.suppress(IndexError):
            while (worker := self.idle.pop()).process.poll() is not None:
                worker.kill()
            return worker
        return Checker(self.arguments, self.name)


class Checker:
    """One process of a pool."""

    def __init__(self, arguments: tuple[str, ...], name: str):
        self.arguments, self.name, self.answers = arguments, name, 0
        # Its own session, so that Ctrl-C reaches only the stage; the caller's import path instead of the current folder; no
        # secrets in its environment; and one order of hashing, on which sympy's time depends.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=kept | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self.process.stdin and self.process.stdout  # pipes, as asked for
        self.questions, self.replies = self.process.stdin, self.process.stdout

    def wait(self) -> None:
        """Waits until the libraries are imported, so that this does not count against an answer.

        Raises InputError if the process ends before that.
        """
        if not self.answers and (said := self._read_line(START_LIMIT)) != b"ready\n":
            self.kill()
            why = said.decode(errors="replace").strip() or f"`python -m {shlex.join(self.arguments)} < /dev/null` shows why"
            raise InputError(f"{self.name} does not start: {why}")

    def ask(self, *question: str) -> Any:
        """Returns the answer to a question, or None if it exceeded the limits or the process died."""
        self.answers += 1
        try:
            self.questions.write(json.dumps([*question, TIME_LIMIT]).encode() + b"\n")
            self.questions.flush()
            return json.loads(self._read_line(STALL * TIME_LIMIT))
        except (OSError, ValueError):
            return None

    def kill(self) -> None:
        """Ends the process if it has not ended, with those that it started, and reaps it."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.questions, self.replies):
            with contextlib.suppress(OSError):
                pipe.close()

    def _read_line(self, seconds: float) -> bytes:
        poll = select.poll()  # select fails in a process with more than 1,024 open files
        poll.register(self.replies, select.POLLIN)
        return self.replies.readline() if poll.poll(seconds * 1000) else b""


_pools: dict[tuple[tuple[str, ...], str], Checkers] = {}


def ask(kind: str, found: str, reference: str) -> Any:
    """Returns the answer to a question about two answers (see `serve.answer_question`), or None; see `Checkers.ask`."""
    return find_pool(MATHEMATICS, "the verifier").ask(kind, found, reference)


def find_pool(arguments: tuple[str, ...], name: str) -> Checkers:
    """Returns the pool of processes that run a module with these arguments; see `Checkers`."""
    return _pools.setdefault((arguments, name), Checkers(arguments, name))


@atexit.register
def _close_pools(forked: bool = False) -> None:
    for worker in itertools.chain(*(pool.idle for pool in _pools.values())):
        if forked:
            worker.process.returncode = 0  # the parent reaps it
        worker.kill()
    _pools.clear()


# A fork shares the pipes of its parent's workers; both would read each other's answers.
os.register_at_fork(after_in_child=partial(_close_pools, forked=True))
