"""rlready report."""

import argparse

from rlready.cli.arguments import add_past_run, find_past_run
from rlready.cli.result import print_outcomes, print_places

TEXT = "Show the result of a past run again, and write its report anew."
EXAMPLE = "rlready report"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_past_run(command)


def execute(arguments: argparse.Namespace) -> None:
    """Writes a past run's report again from its records and prints it.

    Raises:
        InputError: If there is no such run.
    """
    from rlready.analysis.sweep_result import read_sweep
    from rlready.records.serialization import write_atomically
    from rlready.stages.report.report import write_report
    from rlready.stages.report.verdicts import write_verdicts

    folder = find_past_run(arguments)
    past = read_sweep(folder / "outcomes.json")
    write_report(past, folder / "report.html", folder / "report.md")
    write_atomically(folder / "verdicts.json", write_verdicts(past))
    print_outcomes(past)
    print_places(folder, arguments.work.resolve())
