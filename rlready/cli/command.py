"""What a command is made of: its name, the arguments that several of them take, and how they print.

Progress is printed as `m:ss line`, results as `label       value`, errors as `rlready: line`.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import unquote

from rlready.config.recipes import find_origins, list_recipes, load_recipe
from rlready.errors import InputError
from rlready.escape import show_controls
from rlready.placement import images
from rlready.placement.placement import Placements, load_placement
from rlready.run.local.storage import RESULT
from rlready.runtime.events import show_clock

if TYPE_CHECKING:
    from rlready.analysis.sweep_result import SweepResult

Arguments = argparse.Namespace  # what the user typed after a command

# In the order in which a newcomer needs them. Each is a file of this folder, imported only if it is called.
COMMANDS = {
    "init": "Write a recipe that fits your data and your model.",
    "run": "Run an experiment on this machine, or resume it.",
    "rank": "Rank finished checkpoints, or logs of other tools, by Pass@k.",
    "runs": "List the runs of this project.",
    "report": "Show the result of a past run, and regenerate its report.",
    "open": "Open the report of a past run in the browser.",
    "samples": "Show what the models of a run or an evaluation wrote.",
    "replay": "Show the gate's verdicts under other thresholds.",
    "record": "Add external RL results to a run.",
    "calibrate": "Learn the gate's thresholds from runs with RL for all candidates.",
    "policies": "Compare policies for choosing candidates, and add your own.",
    "plan": "Check a recipe, and show what each stage needs and costs.",
    "evaluate": "Score a model on benchmarks, without the pipeline.",
    "clean": "Remove outputs that no remaining run uses.",
    "doctor": "Check everything that a run needs, and say what to fix.",
    "compile": "Write the pipeline as YAML for the KFP UI or GitOps.",
    "submit": "Start a run, or a schedule of runs, on a KFP server.",
    "follow": "Show the progress of a run on a KFP server until it ends.",
}

START_ONE = "start one with rlready run, or give the folder of your runs with --work"  # if there is no run


class Command(argparse.ArgumentParser):
    """The parser of a command, whose help ends with an example."""

    def __init__(self, name: str, example: str, *parents: argparse.ArgumentParser, epilog: str = ""):
        self.example = example
        super().__init__(
            f"rlready {name}",
            description=COMMANDS[name],
            epilog="\n\n".join(filter(None, [f"example:\n  {example}", epilog])),
            parents=list(parents),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )


def declare(*names: str, **how: Any) -> argparse.ArgumentParser:
    """Returns a parent for commands that take this argument, described as for `add_argument`."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(*names, **how)
    return parent


REPEATED: dict[str, Any] = {"action": "append", "default": []}  # of an argument that may be given several times
WORK = declare("--work", type=Path, default=Path("runs"), help="folder for runs, cache and tracking (runs)")
SET = declare("--set", **REPEATED, metavar="KEY=VALUE", help="change a parameter; repeatable")
MIRROR = declare("--mirror", metavar="DIR", help="read hub datasets from copies in this folder (curate_mirror)")
RECIPE = (declare("--recipe", default="laptop", help=f"{', '.join(list_recipes())}, or a YAML file (laptop)"), SET, MIRROR)
PAST_RUN = (declare("run", nargs="?", help="name or folder of the run (the last finished one)"), WORK)
RUNNING = (
    WORK,
    declare("--image", help="run every stage in a container of this image (Docker, or podman's Docker socket)"),
    declare("-v", "--verbose", action="store_true", help="show the log of every stage instead of the progress table"),
)
IMAGE = (
    declare("--image", help="container image of the stages, by digest (RLREADY_IMAGE)"),
    declare("--force-tag", action="store_true", help="accept an image by tag, although its cached results may be stale"),
)
SERVER = (
    declare("--host", help="address of the KFP server (KFP_HOST); credentials are read from variables only"),
    declare("--namespace", help="your namespace, if several users share the server (KFP_NAMESPACE)"),
)


def list_changes(arguments: Arguments) -> list[str]:
    """Returns what --set and --mirror change, as KEY=VALUE."""
    return arguments.set + ([f"curate_mirror={arguments.mirror}"] if getattr(arguments, "mirror", None) else [])


def read_parameters(arguments: Arguments) -> tuple[dict, Placements]:
    """Returns every parameter of a recipe, with what --set and --mirror change, and its placement, if all are valid."""
    placement = load_placement(arguments.recipe)  # a run on this machine ignores it, but reports an error in it
    return load_recipe(arguments.recipe, list_changes(arguments)), placement


@contextlib.contextmanager
def annotate_errors(arguments: Arguments) -> Iterator[None]:
    """Prefixes each line of an error that begins with a parameter's name with its origin: the recipe's file, or --set."""
    try:
        yield
    except InputError as error:
        if "set" not in arguments:
            raise
        origins = find_origins(getattr(arguments, "recipe", None), list_changes(arguments))
        heads = {name: "--set " if where == "--set" else f"{where}: " for name, where in origins.items()}
        lines = [heads.get(line.partition(":")[0], "") + line for line in str(error).splitlines()]
        raise type(error)("\n".join(lines)) from error


def choose_image(arguments: Arguments) -> str | None:
    """Returns the image of --image or RLREADY_IMAGE, if any; raises InputError if it is none, or a tag without --force-tag."""
    image = arguments.image or os.environ.get(images.IMAGE)
    if image:
        images.check_image(image, arguments.force_tag)
    return image


def choose_server(arguments: Arguments) -> tuple[str | None, str | None]:
    """Returns the address of the KFP server and the namespace, as far as --host, --namespace and KFP_NAMESPACE give them."""
    return arguments.host, arguments.namespace or os.environ.get("KFP_NAMESPACE")


def check_folders(work: Path) -> None:
    """Raises InputError if the folder for runs or that for temporary files cannot be used."""
    temporary = os.environ.get("TMPDIR")
    if temporary and not Path(temporary).is_dir():
        raise InputError(f"TMPDIR: {temporary} is not a folder; create it, or set TMPDIR to another folder for temporary files")
    if file := next((path for path in (work, *work.absolute().parents) if path.exists() and not path.is_dir()), None):
        raise InputError(f"--work {work}: {file} is a file; expected a folder for runs")
    if "?" in (place := str(work.resolve())) or unquote(place) != place:
        raise InputError(f"{place}: MLflow cannot write below a folder with a question mark or a code such as %20 in its name")


def find_work(arguments: Arguments) -> Path:
    """Returns the folder of --work; a relative one may also be in a folder above the current one."""
    folders = [parent / arguments.work for parent in (Path.cwd(), *Path.cwd().parents)]
    return next(filter(Path.is_dir, folders), folders[0]).resolve()


def locate_run(arguments: Arguments) -> Path:
    """Returns where the run that is named would be, or the last finished run, or without any the work folder."""
    work = find_work(arguments)
    if arguments.run:
        return Path(arguments.run).resolve() if (Path(arguments.run) / RESULT).is_file() else work / arguments.run
    finished = sorted(work.glob(f"*/{RESULT}"), key=lambda path: path.stat().st_mtime)
    return finished[-1].parent if finished else work


def find_past_run(arguments: Arguments) -> Path:
    """Returns the folder of the named run, or of the last finished one; raises InputError if there is no such run."""
    folder = locate_run(arguments)
    if not (folder / RESULT).is_file():
        raise InputError(f"{folder}: no finished run here; {START_ONE}")
    return folder


def read_past_run(arguments: Arguments) -> tuple[Path, "SweepResult"]:
    """Returns the folder and the records of the run that `find_past_run` finds."""
    from rlready.analysis.sweep_result import read_sweep  # slow to import, and `rlready --help` needs no records

    folder = find_past_run(arguments)
    return folder, read_sweep(folder / RESULT)


def print_progress(begun: float, line: str, file: TextIO | None = None) -> None:
    """Prints a line of progress with the time since `begun`, in seconds since the epoch."""
    print(f"{show_clock(time.time() - begun):>5} {line}", file=file, flush=True)


def print_result(label: str, value: str | Path) -> None:
    """Prints a labelled line, a path as `shorten` shows it, safe for a terminal: the value may be of another's file."""
    print(f"{label:<11} {show_controls(shorten(value) if isinstance(value, Path) else value)}", flush=True)


def print_error(error: InputError | str) -> None:
    """Prints the lines of an error or a warning to standard error."""
    for line in str(error).splitlines():
        print(f"rlready: {show_controls(line)}", file=sys.stderr)


def print_table(columns: Iterable[str], rows: Iterable[Sequence[str]], width: int, left: Collection[str] = ()) -> None:
    """Prints a table, aligned to the right except the columns of `left`; a terminal narrower than `width` wraps its lines."""
    from rich.console import Console  # slow to import, and few commands print a table
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    for cells in rows:
        table.add_row(*(Text(show_controls(cell)) for cell in cells))
    Console(width=max(Console().width, width)).print(table)


def shorten(path: Path) -> str:
    """Returns a path, relative to the current folder if it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
