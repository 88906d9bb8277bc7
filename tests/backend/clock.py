"""Time of its own, in which what a cluster does at once happens in a known order and takes no time."""

import heapq
from collections.abc import Generator, Iterable
from typing import Any

Routine = Generator[Any, None, Any]  # yields seconds to wait, or processes to wait for


class Process:
    """A routine that has been started.

    Attributes:
        done: Whether it has ended.
        result: What it returned.
    """

    def __init__(self, routine: Routine):
        self.routine, self.done, self.result = routine, False, None
        self.missing, self.watchers = 0, []


class Clock:
    """Runs routines in the order of their times.

    Attributes:
        now: Seconds since the start.
    """

    def __init__(self):
        self.now = 0.0
        self._queue: list[tuple[float, int, Process]] = []
        self._count = 0

    def start(self, routine: Routine) -> Process:
        """Starts a routine."""
        process = Process(routine)
        self._schedule(process, self.now)
        return process

    def run(self, routine: Routine) -> Any:
        """Returns what a routine returns, after everything that it waits for."""
        process = self.start(routine)
        while self._queue:
            self.now, _, following = heapq.heappop(self._queue)
            self._step(following)
        return process.result

    def _schedule(self, process: Process, time: float) -> None:
        self._count += 1
        heapq.heappush(self._queue, (time, self._count, process))

    def _step(self, process: Process) -> None:
        try:
            wanted = next(process.routine)
        except StopIteration as end:
            process.done, process.result = True, end.value
            for watcher in process.watchers:
                watcher.missing -= 1
                if not watcher.missing:
                    self._schedule(watcher, self.now)
            return
        if isinstance(wanted, Iterable):
            pending = [other for other in wanted if not other.done]
            process.missing = len(pending)
            for other in pending:
                other.watchers.append(process)
            if pending:
                return
            wanted = 0
        self._schedule(process, self.now + wanted)
