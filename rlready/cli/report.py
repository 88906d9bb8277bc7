"""rlready report."""

import argparse

from rlready.analysis.sweep_result import read_sweep
from rlready.cli.arguments import PAST_RUN, Command, find_past_run
from rlready.cli.result import print_outcomes, print_places
from rlready.run.local.storage import RESULT
from rlready.stages.report.report import write_files

COMMAND = Command("report", "rlready report", *PAST_RUN)


def execute(arguments: argparse.Namespace) -> None:
    """Writes a past run's report again from its records, and prints the result."""
    folder = find_past_run(arguments)
    past = read_sweep(folder / RESULT)
    write_files(past, folder)
    print_outcomes(past)
    print_places(folder, folder.parent)
