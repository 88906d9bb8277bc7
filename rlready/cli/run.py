"""rlready run."""

import argparse
import contextlib
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rlready.cli.arguments import add_recipe, add_work, read_parameters
from rlready.cli.parameters import list_texts
from rlready.cli.result import end_with, print_outcomes, print_places
from rlready.cli.style import print_error, print_progress, print_result
from rlready.config import parse_parameters
from rlready.errors import InputError

if TYPE_CHECKING:
    from rlready.analysis.sweep_result import SweepResult
    from rlready.run.local.progress_table import ProgressTable
    from rlready.stages.plan.plan import Plan

TEXT = "Run the experiment on this machine, or go on with it."
EXAMPLE = "rlready run --recipe laptop --set gate_k=16"
# What the report stage writes, and what it is called in the run's folder; the records last, which make a run a finished one.
FILES = {"html": "report.html", "markdown": "report.md", "verdicts": "verdicts.json", "records": "outcomes.json"}
KEEP_ENDING = 15  # lines of the log shown after a failure
SECONDS_PER_LINE = 60  # between lines of progress without a terminal


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_recipe(command)
    add_running(command)
    command.epilog = list_texts()


def add_running(command: argparse.ArgumentParser) -> None:
    """Adds where and how a run on this machine goes."""
    add_work(command)
    command.add_argument("--image", help="run every stage in a container of this image (Docker, or podman's Docker socket)")
    command.add_argument("-v", "--verbose", action="store_true", help="show the log of every stage, not the progress table")


def execute(arguments: argparse.Namespace) -> None:
    """Runs the experiment of a recipe and prints the result.

    Raises:
        InputError: If the input is wrong, or a stage failed, or no report came.
    """
    run_experiment(read_parameters(arguments), Path(arguments.recipe).stem, arguments)


def run_experiment(parameters: dict, name: str, arguments: argparse.Namespace) -> None:
    """Runs an experiment through kfp.local, shows it live, prints the result, and ends with the status that it deserves.

    Args:
        parameters: Every parameter by its flat name.
        name: What the run's folder begins with.
        arguments: Those of `add_running`.

    Raises:
        InputError: If the input is wrong, or a stage failed, or no report came.
    """
    from rlready.run.local import run_locks, storage
    from rlready.run.local.containers import find_image
    from rlready.run.local.progress_table import ProgressTable
    from rlready.stages.plan.machine import describe_machine, look_at_machine
    from rlready.stages.plan.plan import describe_plan, make_plan

    image = [find_image(arguments.image)] if arguments.image else []
    plan = make_plan(parameters)
    work = arguments.work.resolve()
    folder = work / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    room = look_at_machine(work)
    lines, tight, side_by_side = describe_machine(
        parse_parameters(parameters), plan.shape, plan.lengths, len(plan.candidates), room
    )
    storage.make_private(work, *(work / name for name in storage.FOLDERS), folder)
    (folder / "parameters.json").write_text(json.dumps(parameters, indent=1))
    print("\n".join([describe_plan(plan), *lines]), flush=True)
    print_error("\n".join(tight))
    print_result("log", folder / "log.txt")
    print(flush=True)
    table = ProgressTable(plan, side_by_side)
    with (folder / "log.txt").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "rlready.run.local.local", str(work), str(folder), str(side_by_side), *image],
            stdin=subprocess.PIPE,
            stdout=None if arguments.verbose else log,
            stderr=subprocess.STDOUT if not arguments.verbose else None,
            start_new_session=True,
        )
        try:
            _watch(child, table, folder / "events.jsonl", arguments.verbose)
        except KeyboardInterrupt:
            print("\nstopped; the same command goes on from here", flush=True)
            raise
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                run_locks.close_dead(work)
    if table.failures and not table.written:
        raise InputError("\n".join([*dict.fromkeys(table.failures), f"the log is {folder / 'log.txt'}"]))
    if not table.written:
        ending = (folder / "log.txt").read_text(errors="replace").splitlines()[-KEEP_ENDING:]
        raise InputError("\n".join(["the run ended without a report; the end of its log:", *ending]))
    for source, file in FILES.items():
        shutil.copy(table.written[source], folder / file)
    sweep = _read_result(folder, plan)
    print_outcomes(sweep)
    print_places(folder, work, tracked=not table.lost)
    end_with(sweep)


def _watch(child: subprocess.Popen, table: "ProgressTable", events: Path, verbose: bool) -> None:
    """Feeds the progress table until the run ends; a terminal shows it, other outputs get one line per event or minute."""
    from rich.console import Console
    from rich.live import Live

    console, said, running = Console(), time.time(), True
    drawn = console.is_terminal and not verbose
    with Live(console=console, refresh_per_second=2, get_renderable=table.draw) if drawn else contextlib.nullcontext():
        while running:
            running = child.poll() is None  # events are read once more after the end
            lines = table.read(events)
            if not lines and time.time() - said >= SECONDS_PER_LINE and not verbose:
                lines = ["; ".join(table.describe_running())]
            said = time.time() if lines else said
            for line in [] if drawn else lines:
                print_progress(table.begun, line)
            time.sleep(0.2 if running else 0)


def _read_result(folder: Path, plan: "Plan") -> "SweepResult":
    """Reads what came out and compares it with the plan: kfp.local can skip a branch silently.

    Raises:
        InputError: If a candidate is missing, or RL did not run exactly where the gate said so.
    """
    from rlready.analysis.sweep_result import check_ran, read_sweep

    sweep = read_sweep(folder / "outcomes.json")
    planned = {candidate.candidate_id for candidate in plan.candidates}
    if lost := planned - {outcome.candidate.candidate_id for outcome in sweep.outcomes}:
        raise InputError(f"{', '.join(sorted(lost))}: planned, but has no outcome; the orchestrator skipped it")
    check_ran(sweep.outcomes)
    return sweep
