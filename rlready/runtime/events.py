"""What stages report while they run: events of a local run, one JSON line each, and marked lines of their output."""

import functools
import json
import os
import time

FILE = "RLREADY_EVENTS"
MARK = "rlready: "  # begins the important lines of a stage's output; `rlready follow` repeats them
FAILED, SKIPPED = "failed: ", "skipped: "  # begin a marked line if a stage failed, or one before it
# Begin the line of plan, of the gate and of the race that names the candidates of the next loop, in its order.
MEASURED, TRAINED, FINALISTS = "candidates to measure: ", "candidates for RL: ", "candidates that finish RL: "


def mark(text: str) -> str:
    """Returns a text with every line marked."""
    return "\n".join(f"{MARK}{line}" for line in text.splitlines())


def tell(text: str) -> None:
    """Prints marked lines: KFP's UI shows them in the log of the task, and `rlready follow` repeats them."""
    print(mark(text), flush=True)


@functools.lru_cache
def tell_once(line: str | None) -> None:
    """Prints a line, if there is one, once per process."""
    if line:
        print(line, flush=True)


def emit(stage: str, candidate_id: str | None, state: str, **details) -> None:
    """Appends an event to the file that RLREADY_EVENTS names, if any."""
    path = os.environ.get(FILE)
    if path:
        event = {"time": time.time(), "stage": stage, "candidate": candidate_id, "state": state, **details}
        # One write of less than a page in append mode does not interleave with another process's.
        with open(path, "a") as file:
            file.write(json.dumps(event) + "\n")


def show_clock(seconds: float) -> str:
    """Returns a time as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Reports the progress of a loop over `total` units of work, and its rate in `unit`/s, at most twice per second."""

    def __init__(self, stage: str, candidate_id: str | None, total: int, unit: str = "tokens"):
        self.stage, self.candidate_id, self.total, self.unit = stage, candidate_id, total, unit
        self.begun = time.monotonic()
        self.reported = 0.0

    def update(self, done: int, counted: int = 0) -> None:
        """Reports the work done, and how many of `unit` were counted."""
        now = time.monotonic()
        if now - self.reported >= 0.5 or done >= self.total:
            self.reported = now
            rate = counted / max(now - self.begun, 1e-9)
            emit(self.stage, self.candidate_id, "progress", done=done, total=self.total, rate=rate, unit=self.unit)
            if done >= self.total:
                who = " ".join(filter(None, (self.stage, self.candidate_id)))
                print(f"{who}: {done}/{self.total}, {rate:,.1f} {self.unit}/s", flush=True)
