"""rlready follow."""

import argparse
import time

from rlready.pipelines.cli.arguments import add_server
from rlready.pipelines.cli.style import print_progress

TEXT = "Say what happens in a run on a KFP server, until it ends."
EXAMPLE = "rlready follow 3f0c4be2-6d26-4a53-a4b7-6ac1e9ad5d0e"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    command.add_argument("run", help="id of the run, which submit prints")
    add_server(command)


def execute(arguments: argparse.Namespace) -> None:
    """Follows a run and prints its result.

    Raises:
        InputError: If there is no such run, it fails, or the server is lost.
    """
    from rlready.pipelines.cluster import follow, server

    kfp, begun = server.connect(arguments.host, arguments.namespace), time.time()
    for line in follow.follow(kfp, arguments.run):
        print_progress(begun, line)
