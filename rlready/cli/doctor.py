"""rlready doctor."""

import argparse
import sys

from rlready.cli.arguments import add_image, add_recipe, add_server, add_work, choose_image, read_parameters
from rlready.placement.placement import load_placement

TEXT = "Look at everything that a run needs, and say what to do."
EXAMPLE = "rlready doctor --recipe laptop"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_recipe(command)
    add_work(command)
    add_image(command)
    add_server(command)


def execute(arguments: argparse.Namespace) -> None:
    """Prints what the doctor finds; exit status 2 if anything fails."""
    from rlready.run.kfp.doctor import examine

    parameters, placement = read_parameters(arguments), load_placement(arguments.recipe)
    failed = False
    where = (arguments.host, arguments.namespace, arguments.work)
    for finding in examine(parameters, placement, choose_image(arguments), *where):
        print(f"{finding.level:8} {finding.subject:10} {finding.text}", flush=True)
        failed = failed or finding.level == "failure"
    sys.exit(2 if failed else 0)
