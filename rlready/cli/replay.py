"""rlready replay."""

import argparse

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlready.analysis.sweep_result import read_sweep
from rlready.cli.arguments import PAST_RUN, Command, find_past_run
from rlready.errors import InputError
from rlready.run.local.replay import Replayed, replay
from rlready.run.local.storage import RESULT

COMMAND = Command("replay", "rlready replay --set gate_min_pass_at_k=0.6", *PAST_RUN)
COMMAND.add_argument(
    "--set",
    action="append",
    default=[],
    metavar="gate_KEY=VALUE",
    help="change a threshold; without it, check that the stored verdicts can be reproduced",
)


def execute(arguments: argparse.Namespace) -> None:
    """Prints every verdict of a past run with other thresholds, or fails if a stored verdict is not reproduced."""
    folder = find_past_run(arguments)
    replayed = replay(read_sweep(folder / RESULT), arguments.set)
    table = Table(box=None, pad_edge=False)
    for name in ("candidate", "was", "is", "RL Pass@1", "reason"):
        table.add_column(name, overflow="fold")
    for entry in replayed:
        cells = [entry.after.candidate_id, entry.before.decision, entry.after.decision, _show_score(entry), entry.after.reason]
        table.add_row(*map(Text, cells), style="bold" if entry.before.decision != entry.after.decision else "")
    Console(width=max(Console().width, 100)).print(table)
    differing = [f"{entry.after.candidate_id}: {', '.join(entry.differs)}" for entry in replayed if entry.differs]
    if arguments.set:
        changed = sum(entry.before.decision != entry.after.decision for entry in replayed)
        trained = sum(entry.outcome.rl is not None for entry in replayed)
        ran = f"for {trained} of {len(replayed)}; their results stay" if trained else "for none"
        print(f"\n{changed} of {len(replayed)} verdicts change; RL ran {ran}.")
    elif differing:
        raise InputError("\n".join(["these verdicts differ from the stored ones:", *differing]))
    else:
        print(f"\nevery verdict of {folder.name} is reproduced to the last digit ({len(replayed)} in all).")


def _show_score(entry: Replayed) -> str:
    if entry.outcome.benchmark:
        score = entry.outcome.benchmark.pass_at_1
        return "-" if score is None else f"{score:.3f}"
    return f"{entry.outcome.elsewhere.pass_at_1:.3f} (external)" if entry.outcome.elsewhere else "-"
