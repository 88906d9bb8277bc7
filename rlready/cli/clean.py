"""rlready clean."""

import argparse

from rlready.cli.arguments import add_work
from rlready.cli.style import print_result, shorten
from rlready.errors import InputError

TEXT = "Remove what past runs left and the last one does not need."
EXAMPLE = "rlready clean --dry-run"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_work(command)
    command.add_argument("--keep", type=int, default=1, metavar="N", help="how many of the last finished runs to keep (1)")
    command.add_argument("--dry-run", action="store_true", help="only say what stays and what would go")


def execute(arguments: argparse.Namespace) -> None:
    """Says what a work folder keeps and what goes, and removes that; a kept run still comes from the cache afterwards.

    Raises:
        InputError: If a run is at work there, or it cannot be known what is needed.
    """
    from rlready.run.local import run_locks, storage
    from rlready.stages.plan.machine import show_bytes

    work = arguments.work.resolve()
    if arguments.keep < 1:
        raise InputError(f"--keep {arguments.keep}: at least 1; to remove everything, remove the folder {shorten(work)}")
    if not work.is_dir():
        raise InputError(f"--work {arguments.work}: no such folder; `rlready run` makes one")
    with run_locks.claim(work):
        found = storage.find_leftovers(work, arguments.keep)
        for run in found.kept:
            print_result("keeps", f"{run.name} and all that it needs")
        if found.others:
            print_result("keeps", f"reports, records and logs of {_count(len(found.others), 'other run')}")
        print_result("keeps", "MLflow's store and evaluations")
        would = "would go" if arguments.dry_run else "removes"
        went = f"{_count(len(found.outputs), 'output')} and {_count(len(found.entries), 'result')} of the cache"
        print_result(would, f"{went}, {show_bytes(found.size)}; asked for again, they are computed anew")
        if not arguments.dry_run:
            found.remove()
        print_result("work", f"{shorten(work)} holds {show_bytes(storage.measure(work))}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
