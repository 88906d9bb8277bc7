"""Processes that compare answers: model output is hostile text, and one that exceeds its time or memory is killed."""

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading

from rlready.components.config import InputError

TIME_LIMIT = 2.0  # seconds of processor time a question
STALL = 10  # times as long a question may take by the clock, since a busy machine says nothing of an answer
START_LIMIT = 120.0  # seconds until a worker has imported its libraries on a busy machine
WORKERS = max(1, min(4, os.cpu_count() or 1))
ANSWERS_OF_A_WORKER = 10_000  # then it is replaced, since the parser's tables only grow


class Checkers:
    """Processes that compare answers; one that exceeds an answer's limits is killed and replaced."""

    def __init__(self):
        self.idle: list[Checker] = []
        self.free = threading.Semaphore(WORKERS)

    def ask(self, kind: str, found: str, gold: str):
        """Returns the answer to a question, or None beyond the limits."""
        with self.free:
            worker = self._take()
            try:
                worker.wait()
                answer = worker.ask(kind, found, gold)
            except BaseException:
                worker.kill()
                raise
            if answer is None or worker.answers >= ANSWERS_OF_A_WORKER:
                worker.kill()
                # It imports its libraries while the caller goes on.
                worker = Checker()
            self.idle.append(worker)
            return answer

    def close(self) -> None:
        """Ends the idle processes."""
        while self.idle:
            self.idle.pop().kill()

    def _take(self) -> "Checker":
        while True:
            try:
                worker = self.idle.pop()
            except IndexError:
                return Checker()
            if worker.process.poll() is None:
                return worker
            worker.kill()


class Checker:
    """One process of the pool."""

    def __init__(self):
        self.answers = 0
        # Its own session, so Ctrl-C reaches the stage only; the caller's import path instead of the current folder; no
        # tokens to give away; and one order of hashing, on which the time that sympy needs depends.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rlready.components.core.verifier.serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=kept | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def wait(self) -> None:
        """Waits until the libraries are imported, so that this does not count against an answer.

        Raises:
            InputError: If the process ends before that.
        """
        if not self.answers and self._read_line(START_LIMIT) != b"ready\n":
            self.kill()
            raise InputError(
                "the verifier does not start; `python -m rlready.components.core.verifier.serve < /dev/null` says why"
            )

    def ask(self, kind: str, found: str, gold: str):
        """Returns the answer to a question (see `serve.answer_question`), or None beyond the limits."""
        self.answers += 1
        try:
            self.process.stdin.write(json.dumps([kind, found, gold, TIME_LIMIT]).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return None
        try:
            return json.loads(self._read_line(STALL * TIME_LIMIT))
        except ValueError:
            return None

    def kill(self) -> None:
        """Ends the process and collects it."""
        self.process.kill()
        self.process.wait()
        self._close_pipes()

    def abandon(self) -> None:
        """Lets go of a process that belongs to the parent of a fork."""
        self.process.returncode = 0
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _read_line(self, seconds: float) -> bytes:
        # poll, because select fails in a process with more than 1,024 open files.
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN)
        return self.process.stdout.readline() if poll.poll(seconds * 1000) else b""


_pool = Checkers()


def ask(kind: str, found: str, gold: str):
    """Returns the answer to a question (see `serve.answer_question`), or None where it took too long or a process died."""
    return _pool.ask(kind, found, gold)


@atexit.register
def _close_pool() -> None:
    _pool.close()


def _forget_pool() -> None:
    global _pool
    for worker in _pool.idle:
        worker.abandon()
    _pool = Checkers()


# A fork shares the pipes of its parent's workers; both would read each other's verdicts.
os.register_at_fork(after_in_child=_forget_pool)
