"""How far an evaluation is: a bar in a terminal, elsewhere a line now and then, both on standard error."""

import sys
import time
from contextlib import AbstractContextManager

from rlready.cli.style import print_progress, show_clock
from rlready.evaluation.parts import EvaluationProgress

SECONDS_A_LINE = 15  # between lines where there is no terminal


class ProgressMeter(AbstractContextManager):
    """Shows the progress of an evaluation; time counts from the first call, when the model is loaded.

    Attributes:
        last: The newest progress; None before any.
    """

    def __init__(self):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.last: EvaluationProgress | None = None
        self.begun = self.said = 0.0
        columns = (TextColumn("{task.description:<22}", markup=False), BarColumn(), MofNCompleteColumn())
        console = Console(stderr=True)
        self.bar = Progress(*columns, TextColumn("{task.fields[speed]}", markup=False), console=console, transient=True)
        self.task = self.bar.add_task("", total=None, speed="")

    def tell(self, reached: EvaluationProgress) -> None:
        """Shows how far it is."""
        now = time.time()
        first, self.last = self.last is None, reached
        self.begun = now if first else self.begun
        speed = describe_speed(reached, now - self.begun)
        if self.bar.console.is_terminal:
            if first:
                self.bar.start()
            self.bar.update(self.task, description=reached.benchmark, total=reached.total, completed=reached.done, speed=speed)
        elif first or now - self.said >= SECONDS_A_LINE or reached.done == reached.total:
            self.said = now
            counted = f"{reached.benchmark}: {reached.done} of {reached.total} completions"
            print_progress(self.begun, ", ".join(filter(None, (counted, speed))), sys.stderr)

    def __exit__(self, *error) -> None:
        if self.bar.live.is_started:
            self.bar.stop()


def describe_speed(reached: EvaluationProgress, seconds: float) -> str:
    """Returns tokens a second and the time left, at the speed of these seconds; nothing before the first completion."""
    drawn = reached.done - reached.kept
    if not drawn or seconds <= 0:
        return ""
    left = (reached.total - reached.done) * seconds / drawn
    return f"{reached.tokens / seconds:,.0f} tokens/s" + (f", about {show_clock(left)} to go" if left else "")
