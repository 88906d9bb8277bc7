"""rlready open."""

import webbrowser

from rlready.cli.common import PAST_RUN, Arguments, Command, find_past_run, print_result

COMMAND = Command("open", "rlready open", *PAST_RUN)


def execute(arguments: Arguments) -> None:
    """Opens the report of a past run, and prints its path, because a machine may have no browser."""
    report = find_past_run(arguments) / "report.html"
    print_result("report", report)
    webbrowser.open(report.as_uri())
