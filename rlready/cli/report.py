"""rlready report."""

from rlready.cli.command import PAST_RUN, Arguments, Command, read_past_run
from rlready.cli.result import print_outcomes, print_places
from rlready.stages.report.report import write_files

COMMAND = Command("report", "rlready report", *PAST_RUN)


def execute(arguments: Arguments) -> None:
    """Writes a past run's report again from its records, and prints the result."""
    folder, past = read_past_run(arguments)
    write_files(past, folder)
    print_outcomes(past)
    print_places(folder, folder.parent)
