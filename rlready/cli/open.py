"""rlready open."""

import webbrowser

from rlready.cli.command import PAST_RUN, Arguments, Command, find_past_run, print_result
from rlready.errors import InputError

COMMAND = Command("open", "rlready open", *PAST_RUN)


def execute(arguments: Arguments) -> None:
    """Opens the report of a past run, and prints its path, because a machine may have no browser."""
    report = find_past_run(arguments) / "report.html"
    if not report.is_file():
        raise InputError(f"{report}: no report here; rlready report {report.parent} writes it again")
    print_result("report", report)
    webbrowser.open(report.as_uri())
