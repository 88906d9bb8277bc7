"""rlready doctor."""

import argparse
import sys

from rlready.cli.arguments import IMAGE, RECIPE, SERVER, WORK, Command, choose_image, choose_server, read_parameters
from rlready.placement.placement import load_placement
from rlready.run.kfp.doctor import examine

COMMAND = Command("doctor", "rlready doctor --recipe laptop", *RECIPE, WORK, *IMAGE, *SERVER)


def execute(arguments: argparse.Namespace) -> None:
    """Prints what the doctor finds; exit status 2 if anything fails."""
    parameters, placement = read_parameters(arguments), load_placement(arguments.recipe)
    failed = False
    for finding in examine(parameters, placement, choose_image(arguments), *choose_server(arguments), arguments.work):
        print(f"{finding.level:8} {finding.subject:10} {finding.text}", flush=True)
        failed = failed or finding.level == "failure"
    sys.exit(2 if failed else 0)
