"""rlready open."""

import argparse
import webbrowser

from rlready.cli.arguments import PAST_RUN, Command, find_past_run
from rlready.cli.style import print_result

COMMAND = Command("open", "rlready open", *PAST_RUN)


def execute(arguments: argparse.Namespace) -> None:
    """Opens the report of a past run, and prints its path, because a machine may have no browser."""
    report = find_past_run(arguments) / "report.html"
    print_result("report", report)
    webbrowser.open(report.as_uri())
