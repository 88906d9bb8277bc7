"""rlready run."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from rlready.analysis.sweep_result import read_sweep
from rlready.cli.command import RECIPE, RUNNING, Arguments, Command, print_error, print_progress, print_result, read_parameters
from rlready.cli.result import end_with, print_outcomes, print_places
from rlready.config import SECTIONS, list_parameters, parse_parameters
from rlready.errors import InputError
from rlready.run.local import storage
from rlready.run.local.progress_table import ProgressTable
from rlready.stages.plan.needs import describe_machine, find_lacking, look_at_machine
from rlready.stages.plan.plan import describe_plan, make_plan
from rlready.stages.report.report import FILES

LAST_LINES = 15  # of the log shown after a failure
SECONDS_PER_LINE = 60  # between lines of progress without a terminal


def list_texts() -> str:
    """Returns every parameter with its default and description: first those of the KFP form, then the others by stage."""
    parameters = list_parameters().values()
    groups = {"common": [p for p in parameters if p.form]}
    groups |= {section: [p for p in parameters if p.name.startswith(f"{section}_") and not p.form] for section in SECTIONS}
    lines = ["parameters of --set and recipes, with their defaults"]
    for title, group in groups.items():
        if group:
            lines += [f"\n{title}:", *(f"  {p.name} = {json.dumps(p.default)}\n      {p.description}" for p in group)]
    return "\n".join(lines)


COMMAND = Command("run", "rlready run --recipe laptop --set gate_k=16", *RECIPE, *RUNNING, epilog=list_texts())


def execute(arguments: Arguments) -> None:
    """Runs the experiment of a recipe and prints the result."""
    run_experiment(read_parameters(arguments)[0], Path(arguments.recipe).stem, arguments)


def run_experiment(parameters: dict, name: str, arguments: Arguments) -> None:
    """Runs an experiment with kfp.local in a folder that begins with `name`, shows its result, and ends with its status."""
    from rlready.run.local.containers import find_image  # loads Docker's client

    image = [find_image(arguments.image)] if arguments.image else []
    plan = make_plan(parameters)
    work = arguments.work.resolve()
    experiment = parse_parameters(parameters)
    if not image and (lacking := find_lacking(experiment)):  # an image has packages of its own
        raise InputError("\n".join(lacking))
    needs = (experiment, plan.shape, plan.lengths, len(plan.candidates))
    lines, tight, side_by_side = describe_machine(*needs, look_at_machine(work))
    storage.make_private(work, *(work / folder for folder in storage.FOLDERS))
    folder = storage.make_run(work, name)
    (folder / storage.PARAMETERS).write_text(json.dumps(parameters, indent=1))
    print("\n".join([describe_plan(plan), *lines]), flush=True)
    print_error("\n".join(tight))
    path, table = folder / "log.txt", ProgressTable(plan, side_by_side)
    print_result("log", path)
    print(flush=True)
    with path.open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "rlready.run.local.local", str(work), str(folder), str(side_by_side), *image],
            stdin=subprocess.PIPE,
            stdout=None if arguments.verbose else log,
            stderr=None if arguments.verbose else subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"RLREADY_COMMAND": shlex.join(["rlready", *sys.argv[1:]])},  # for the report
        )
        try:
            _watch(child, table, folder / "events.jsonl", arguments.verbose)
        except KeyboardInterrupt:
            print("\nstopped; rerun the same command to resume", flush=True)
            raise
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                storage.close_dead(work)
    if not table.written and table.failures:
        raise InputError("\n".join([*dict.fromkeys(table.failures), f"the log is {path}"]))
    if not table.written:
        ending = path.read_text(errors="replace").splitlines()[-LAST_LINES:]
        raise InputError("\n".join(["the run ended without a report; the end of its log:", *ending]))
    for source, file in FILES.items():
        shutil.copy(table.written[source], folder / file)
    sweep = read_sweep(folder / FILES["records"])
    print_outcomes(sweep)
    print_places(folder, work, tracked=not table.lost)
    end_with(sweep)


def _watch(child: subprocess.Popen, table: ProgressTable, events: Path, verbose: bool) -> None:
    """Feeds the progress table until the run ends; a terminal shows it, other outputs get one line per event or minute."""
    console, printed, running = Console(), time.time(), True
    live = console.is_terminal and not verbose
    with Live(console=console, refresh_per_second=2, get_renderable=table.draw) if live else contextlib.nullcontext():
        while running:
            running = child.poll() is None  # events are read once more after the end
            lines = table.read(events)
            if not lines and time.time() - printed >= SECONDS_PER_LINE and not verbose:
                lines = ["; ".join(table.describe_running())]
            printed = time.time() if lines else printed
            for line in [] if live else lines:
                print_progress(table.begun, line)
            time.sleep(0.2 if running else 0)
