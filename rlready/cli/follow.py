"""rlready follow, and what submit --follow does."""

import sys
import time

from rlready.cli.command import SERVER, Arguments, Command, choose_server, print_progress, print_result
from rlready.cli.result import end_with, print_outcomes
from rlready.errors import InputError
from rlready.run.kfp import follow, runs, server

COMMAND = Command("follow", "rlready follow     (the newest run; KFP_HOST is set)", *SERVER)
COMMAND.add_argument("run", nargs="?", help="id of the run, or its address in the UI (the newest run)")


def execute(arguments: Arguments) -> None:
    """Follows a run and prints its result."""
    kfp = server.connect(*choose_server(arguments))
    run = (arguments.run or runs.find_newest_run(kfp)).rsplit("/", 1)[-1]
    if not run:
        raise InputError(f"{kfp.host}: no run to follow")
    print(kfp.locate(f"runs/details/{run}"), flush=True)
    follow_to_the_end(kfp, run)


def follow_to_the_end(kfp: server.Server, run: str) -> None:
    """Prints the progress of a run and its result, and ends as `rlready run` would; raises InputError if the run fails."""
    begun = time.time()
    try:
        for text in follow.follow(kfp, run):
            print_progress(begun, text)
    except KeyboardInterrupt:
        print(f"\nthe run continues; to follow it again: rlready follow {run}", flush=True)
        sys.exit(130)
    sweep = follow.read_result(kfp, run)
    if sweep:
        print_outcomes(sweep)
    else:
        print_result("result", f"only in the report, because {kfp.host} does not serve it; the address of KFP's UI does")
    print_result("report", f"{kfp.locate(f'runs/details/{run}')} (in its graph: the artifact report)")
    if sweep:
        end_with(sweep)
