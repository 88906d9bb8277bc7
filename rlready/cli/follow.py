"""rlready follow, and what submit --follow does."""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from rlready.cli.arguments import add_server
from rlready.cli.result import end_with, print_outcomes
from rlready.cli.style import print_progress, print_result
from rlready.errors import InputError

if TYPE_CHECKING:
    from rlready.run.kfp.server import Server

TEXT = "Say what happens in a run on a KFP server, until it ends."
EXAMPLE = "rlready follow     (the newest run; KFP_HOST is set)"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    command.add_argument("run", nargs="?", help="id of the run, or its address in the UI; the newest one if left out")
    add_server(command)


def execute(arguments: argparse.Namespace) -> None:
    """Follows a run and prints its result.

    Raises:
        InputError: If there is no such run, it fails, or the server is lost.
    """
    from rlready.run.kfp import runs, server

    kfp = server.connect(arguments.host, arguments.namespace)
    run = (arguments.run or runs.find_newest_run(kfp)).rsplit("/", 1)[-1]
    if not run:
        raise InputError(f"{kfp.host}: has no run to follow")
    print(kfp.locate(f"runs/details/{run}"), flush=True)
    follow_to_the_end(kfp, run)


def follow_to_the_end(kfp: "Server", run: str) -> None:
    """Prints what happens in a run, then its result; ends with the status that `rlready run` would have.

    Args:
        kfp: Where it runs.
        run: Its id.

    Raises:
        InputError: If the run does not succeed, or the server is lost.
    """
    from rlready.run.kfp import follow

    begun = time.time()
    try:
        for text in follow.follow(kfp, run):
            print_progress(begun, text)
    except KeyboardInterrupt:
        print(f"\nthe run goes on; follow it again with: rlready follow {run}", flush=True)
        sys.exit(130)
    sweep = follow.read_result(kfp, run)
    if sweep:
        print_outcomes(sweep)
    print_result("report", f"{kfp.locate(f'runs/details/{run}')} (the node Report)")
    if sweep:
        end_with(sweep)
