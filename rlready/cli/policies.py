"""rlready policies."""

from rlready.analysis.curves import read_curves
from rlready.analysis.format import count, show_estimate
from rlready.analysis.policy_table import score_policies
from rlready.cli.command import Arguments, Command, print_table

COMMAND = Command("policies", "rlready policies curves.parquet --add my_policy.py")
COMMAND.add_argument("curves", help="Parquet file with the curves of runs with RL for all")
COMMAND.add_argument("--add", action="append", default=[], metavar="FILE", help="Python file with a policy; repeatable")
COMMAND.add_argument("--take", type=int, default=0, help="candidates that each policy takes; 0: a third (0)")


def execute(arguments: Arguments) -> None:
    """Prints what each policy costs and loses, the cheapest first."""
    sweeps = read_curves(arguments.curves)
    scores = score_policies(sweeps, arguments.add, arguments.take)
    rows = [
        [
            score.label,
            show_estimate(score.share, score.share_interval),
            show_estimate(score.regret, score.regret_interval, 3),
            show_estimate(score.gain, score.gain_interval, 3),
        ]
        for score in sorted(scores, key=lambda score: score.share)
    ]
    print_table(("policy", "cost", "regret", "less than the gate's by"), rows, 140, ["policy"])
    draws = len({sweep.parameters.get("curate_seed") for sweep in sweeps})
    print(f"\nMeans over {count(draws, 'draw')} of data, with 95% intervals; the cost is a share of that of RL for all.")
