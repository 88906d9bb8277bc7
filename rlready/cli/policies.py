"""rlready policies."""

import argparse

from rich.console import Console
from rich.table import Table

from rlready.analysis.curves import read_curves
from rlready.analysis.format import count, show_estimate
from rlready.analysis.policy_table import score_policies
from rlready.cli.arguments import Command

COMMAND = Command("policies", "rlready policies curves.parquet --add my_policy.py")
COMMAND.add_argument("curves", help="Parquet file with the curves of runs with RL for all")
COMMAND.add_argument("--add", action="append", default=[], metavar="FILE", help="Python file with a policy; repeatable")
COMMAND.add_argument("--take", type=int, default=0, help="candidates that each policy takes; 0: a third (0)")


def execute(arguments: argparse.Namespace) -> None:
    """Prints what each policy costs and loses, the cheapest first."""
    sweeps = read_curves(arguments.curves)
    scores = score_policies(sweeps, arguments.add, arguments.take)
    table = Table(box=None, pad_edge=False)
    for column in ("policy", "cost", "regret", "less than the gate's by"):
        table.add_column(column, justify="left" if column == "policy" else "right", no_wrap=True)
    for score in sorted(scores, key=lambda score: score.share):
        cost, regret = show_estimate(score.share, score.share_interval), show_estimate(score.regret, score.regret_interval, 3)
        table.add_row(score.label, cost, regret, show_estimate(score.gain, score.gain_interval, 3))
    Console(width=max(Console().width, 140)).print(table)
    draws = len({sweep.parameters.get("curate_seed") for sweep in sweeps})
    print(f"\nMeans over {count(draws, 'draw')} of data, with 95% intervals; the cost is a share of that of RL for all.")
