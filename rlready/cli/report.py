"""rlready report."""

import argparse

from rlready.analysis.sweep_result import read_sweep
from rlready.cli.arguments import PAST_RUN, Command, find_past_run
from rlready.cli.result import print_outcomes, print_places
from rlready.records.serialization import write_atomically
from rlready.run.local.storage import RESULT
from rlready.stages.report.report import write_report
from rlready.stages.report.verdicts import write_verdicts

COMMAND = Command("report", "rlready report", *PAST_RUN)


def execute(arguments: argparse.Namespace) -> None:
    """Writes a past run's report again from its records, and prints the result."""
    folder = find_past_run(arguments)
    past = read_sweep(folder / RESULT)
    write_report(past, folder / "report.html", folder / "report.md")
    write_atomically(folder / "verdicts.json", write_verdicts(past))
    print_outcomes(past)
    print_places(folder, folder.parent)
