"""rlready evaluate."""

import os
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from rlready.cli.command import MIRROR, REPEATED, WORK, Arguments, Command, list_changes, print_progress, print_result, shorten
from rlready.config import find_faults, parse_parameters
from rlready.config.recipes import parse_overrides
from rlready.data.registry import find_benchmarks, get_mirror
from rlready.errors import InputError, error_context
from rlready.evaluation.evaluate import describe_results, evaluate, list_metrics, plan_evaluation
from rlready.evaluation.parts import EvaluationProgress
from rlready.run.local import storage
from rlready.runtime.events import show_clock
from rlready.tracking.log import log_evaluation

MINIATURE = "builtin:list-machine"
EXAMPLE = f"rlready evaluate --model {MINIATURE} --benchmarks {MINIATURE} --limit 64 --set sampling_max_tokens=96"
SECONDS_A_LINE = 15  # of progress, if the output is not a terminal
COMMAND = Command("evaluate", EXAMPLE, MIRROR, WORK)
COMMAND.add_argument("--model", required=True, help=f"a folder, a hub id, or {MINIATURE}")
COMMAND.add_argument("--revision", default="main", help="revision of a hub model (main)")
COMMAND.add_argument("--benchmarks", required=True, help="known names, hub ids, files or URLs, separated by commas")
COMMAND.add_argument("--samples", type=int, default=8, help="samples per problem at temperature 1; 0: greedy only (8)")
COMMAND.add_argument("--limit", type=int, default=0, help="maximum number of problems per benchmark; 0: all (0)")
COMMAND.add_argument("--output", type=Path, help="folder for the results (a folder in --work, named after the settings)")
COMMAND.add_argument("--set", **REPEATED, metavar="KEY=VALUE", help="change sampling_... or curate_sources; repeatable")


def execute(arguments: Arguments) -> None:
    """Scores a model on benchmarks, prints the results and logs them to MLflow."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its messages would break up the progress bar
    changes = list_changes(arguments)
    for change in changes:
        if not change.startswith(("sampling_", "curate_sources", "curate_mirror")):
            raise InputError(f"--set {change.partition('=')[0]}: evaluate takes sampling_..., curate_sources and curate_mirror")
    settings = parse_parameters(parse_overrides(changes))
    if faults := find_faults(settings):
        raise InputError("\n".join(f"--set {fault}" for fault in faults))
    names = [name.strip() for name in arguments.benchmarks.split(",") if name.strip()]
    with error_context("--benchmarks"):
        benchmarks = find_benchmarks(names, settings.curate.sources, get_mirror(settings.curate.mirror))
    given = arguments.model, arguments.revision, benchmarks, arguments.samples, arguments.limit
    evaluation, work = plan_evaluation(*given, settings.sampling), arguments.work.resolve()
    out = arguments.output or work / "evaluations" / evaluation.name
    storage.make_private(work, out)
    with open(out / ".in-use", "w") as file:
        if isinstance(storage.try_lock(file), BlockingIOError):
            raise InputError(f"{out}: another process evaluates into this folder; wait until it ends, or give another --output")
        try:
            with ProgressMeter() as meter:
                results = evaluate(evaluation, out, meter.show)
        except KeyboardInterrupt:
            print(f"\nstopped; rerun the same command to resume; the samples so far are in {shorten(out)}", file=sys.stderr)
            raise
        print(describe_results(evaluation, results))
        print_result("samples", out / "samples.parquet")
        storage.choose_store(work)
        files = [out / "results.json", out / "samples.parquet"]
        log_evaluation(evaluation.name, evaluation.describe(), list_metrics(results), files)


class ProgressMeter(AbstractContextManager):
    """Shows progress on standard error: a bar in a terminal, else a line now and then. Time counts from the first call."""

    def __init__(self):
        self.begun = self.printed = 0.0
        columns = (TextColumn("{task.description:<22}", markup=False), BarColumn(), MofNCompleteColumn())
        speed = TextColumn("{task.fields[speed]}", markup=False)
        self.bar = Progress(*columns, speed, console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task("", total=None, speed="")

    def show(self, reached: EvaluationProgress) -> None:
        """Shows the progress."""
        now = time.time()
        first, self.begun = not self.begun, self.begun or now
        speed = describe_speed(reached, now - self.begun)
        if self.bar.console.is_terminal:
            self.bar.start()
            self.bar.update(self.task, description=reached.benchmark, total=reached.total, completed=reached.done, speed=speed)
        elif first or now - self.printed >= SECONDS_A_LINE or reached.done == reached.total:
            self.printed = now
            counted = f"{reached.benchmark}: {reached.done} of {reached.total} completions"
            print_progress(self.begun, ", ".join(filter(None, (counted, speed))), sys.stderr)

    def __exit__(self, *error) -> None:
        if self.bar.live.is_started:
            self.bar.stop()


def describe_speed(reached: EvaluationProgress, seconds: float) -> str:
    """Returns tokens per second and the time left at the speed of these seconds; nothing before the first completion."""
    drawn = reached.done - reached.kept
    if not drawn or seconds <= 0:
        return ""
    left = (reached.total - reached.done) * seconds / drawn
    return f"{reached.tokens / seconds:,.0f} tokens/s" + (f", about {show_clock(left)} left" if left else "")
