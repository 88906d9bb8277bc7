"""rlready replay."""

import argparse

from rlready.cli.arguments import add_past_run, find_past_run
from rlready.errors import InputError

TEXT = "Say what the gate would decide with other thresholds."
EXAMPLE = "rlready replay --set gate_min_pass_at_k=0.6"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_past_run(command)
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="gate_KEY=VALUE",
        help="change a threshold; none: check the stored",
    )


def execute(arguments: argparse.Namespace) -> None:
    """Prints every verdict of a past run as it comes out now.

    Raises:
        InputError: If there is no such run, or, without changes, a verdict comes out another way than it was stored.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rlready.analysis.sweep_result import read_sweep
    from rlready.run.local.replay import replay

    folder = find_past_run(arguments)
    replayed = replay(read_sweep(folder / "outcomes.json"), arguments.set)
    table = Table(box=None, pad_edge=False)
    for name in ("candidate", "was", "is", "RL Pass@1", "reason"):
        table.add_column(name, overflow="fold")
    for entry in replayed:
        scored = entry.outcome.benchmark or entry.outcome.elsewhere
        score = scored and scored.pass_at_1
        cells = [entry.after.candidate_id, entry.before.decision, entry.after.decision]
        cells += [
            "-" if score is None else f"{score:.3f}" + " (elsewhere)" * (scored is entry.outcome.elsewhere),
            entry.after.reason,
        ]
        table.add_row(*map(Text, cells), style="bold" if entry.before.decision != entry.after.decision else "")
    Console(width=max(Console().width, 100)).print(table)
    differing = [f"{entry.after.candidate_id}: {', '.join(entry.differs)}" for entry in replayed if entry.differs]
    if arguments.set:
        changed = sum(entry.before.decision != entry.after.decision for entry in replayed)
        trained = sum(entry.outcome.rl is not None for entry in replayed)
        ran = f"for {trained} of {len(replayed)}, and what it came to stays" if trained else "for none"
        print(f"\n{changed} of {len(replayed)} verdicts change; RL ran {ran}.")
    elif differing:
        raise InputError("\n".join(["these verdicts do not come out as they were stored:", *differing]))
    else:
        print(f"\nall {len(replayed)} verdicts of {folder.name} come out as they were, to the last digit.")
