"""rlready clean."""

from rlready.analysis.format import count
from rlready.cli.command import WORK, Arguments, Command, print_result, shorten
from rlready.errors import InputError
from rlready.run.local import storage
from rlready.stages.plan.needs import show_bytes

COMMAND = Command("clean", "rlready clean --dry-run", WORK)
COMMAND.add_argument("--keep", type=int, default=1, metavar="N", help="number of finished runs to keep, the newest first (1)")
COMMAND.add_argument("--dry-run", action="store_true", help="only show what stays and what would be removed")


def execute(arguments: Arguments) -> None:
    """Removes what no kept run needs from a work folder, and prints it; kept runs still come from the cache afterwards."""
    work = arguments.work.resolve()
    if arguments.keep < 1:
        raise InputError(f"--keep {arguments.keep}: must be at least 1; to remove everything, delete {shorten(work)}")
    if not work.is_dir():
        raise InputError(f"--work {arguments.work}: no such folder; `rlready run` creates it")
    with storage.claim_lock(work):
        found = storage.find_leftovers(work, arguments.keep)
        for run in found.kept:
            print_result("keeps", f"{run.name} and everything it needs")
        if found.others:
            print_result("keeps", f"reports, records and logs of {count(len(found.others), 'other run')}")
        print_result("keeps", "MLflow's store and evaluations")
        removed = f"{count(len(found.outputs), 'output')} and {count(len(found.entries), 'cached result')}"
        would = "would go" if arguments.dry_run else "removes"
        print_result(would, f"{removed}, {show_bytes(found.size)}; a run that needs them computes them again")
        if not arguments.dry_run:
            found.remove()
        print_result("work", f"{shorten(work)} holds {show_bytes(storage.measure(work))}")
