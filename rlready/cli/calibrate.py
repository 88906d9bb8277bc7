"""rlready calibrate."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rlready.cli.arguments import add_work, find_past_run
from rlready.errors import InputError

if TYPE_CHECKING:
    from rlready.analysis.calibration import FrontierPoint
    from rlready.analysis.sweep_result import SweepResult

TEXT = "Learn thresholds for the gate from runs with RL for all."
EXAMPLE = "rlready calibrate study-20261103-101500 ./other/outcomes.json"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    command.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="a run here, a file outcomes.json, or the id of a run in MLflow; the last run here if left out",
    )
    command.add_argument("--regret", type=float, default=0.01, help="Pass@1 that may be lost on average by choosing (0.01)")
    add_work(command)


def execute(arguments: argparse.Namespace) -> None:
    """Prints the frontier, what to expect of the thresholds, and the lines for a recipe.

    Raises:
        InputError: If a run is not there or RL did not run for all of it, or there are fewer than 8 settings.
    """
    from rlready.analysis.calibration import TOLERATED, calibrate, set_up
    from rlready.analysis.format import count

    if arguments.regret not in TOLERATED:
        raise InputError(f"--regret: one of {', '.join(f'{value:g}' for value in TOLERATED)}; got {arguments.regret:g}")
    benches, candidates = [], 0
    for name in arguments.runs or [""]:
        sweep = _read_run(name, arguments)
        benches.append(set_up(sweep, name or "the last run"))
        candidates = max(candidates, len(sweep.outcomes))
    steps = calibrate(benches)
    settings = {name for bench in benches for name in bench.names}
    learned = f"{count(len(settings), 'setting')} of {count(len(benches), 'run')}"
    print(f"{learned}; each is judged by thresholds that were chosen without it.\n")
    _print_frontier(steps)
    chosen = next(step for step in steps if step.tolerated == arguments.regret)
    print(f"\n{describe(chosen)}\n\nparameters:")
    for line in chosen.rule.write_recipe(candidates):
        print(f"  {line}")


def _read_run(name: str, arguments: argparse.Namespace) -> "SweepResult":
    """Returns the outcomes of a run: from a file, from a run on this machine, or else from MLflow.

    Raises:
        InputError: If it is in none of them, or its file is damaged.
    """
    from rlready.analysis.sweep_result import read_sweep
    from rlready.records.serialization import write_atomically
    from rlready.tracking.find import OUTCOMES, find_outcomes

    path = Path(name)
    if not path.is_file():
        path = find_past_run(argparse.Namespace(run=name, work=arguments.work)) / OUTCOMES
    if name and not path.exists():
        found = find_outcomes(name)
        if found is None:
            raise InputError(
                f"{name}: no file, no finished run in {arguments.work}, and no run of this id in MLflow (MLFLOW_TRACKING_URI)"
            )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / OUTCOMES
            write_atomically(path, found[1])
            return read_sweep(path)
    return read_sweep(path)


def _print_frontier(steps: "list[FrontierPoint]") -> None:
    from rich.console import Console
    from rich.table import Table

    from rlready.analysis.calibration import MOST_RISE
    from rlready.analysis.format import show_estimate

    table = Table(box=None, pad_edge=False)
    for name in ("regret allowed", "cost", "regret", "at random for that", "over base", "rise", "budget", "by"):
        table.add_column(name, justify="right", no_wrap=True)
    for step in steps:
        rule = step.rule
        budget = ["-", "-"] if rule.budget == 1 else [f"{rule.budget:g}", rule.rank_by]
        rise = "-" if rule.rise == MOST_RISE else f"{rule.rise:.3f}"
        table.add_row(
            f"{step.tolerated:g}",
            show_estimate(step.share, step.share_interval),
            show_estimate(step.regret, step.regret_interval, 3),
            f"{step.drawn:.3f}",
            "-" if rule.lead == -1 else f"{rule.lead:+.3f}",
            rise,
            *budget,
        )
    Console(width=max(Console().width, 140)).print(table)


def describe(step: "FrontierPoint") -> str:
    """Returns in words what to expect of the thresholds, and how sure that is."""
    from rlready.analysis.format import show_estimate

    expected = (
        f"Expect {show_estimate(step.share, step.share_interval)} of the cost of RL for all, predictors included, at a regret"
        f" of {show_estimate(step.regret, step.regret_interval, 3)} in Pass@1 (as much RL at random: {step.drawn:.3f})."
    )
    if step.regret_interval is None:
        sure = "How sure that is cannot be said: hardly any other draw of these settings loses anything."
    elif step.regret_interval[1] <= step.tolerated:
        sure = f"Over settings like these it loses less than {step.tolerated:g}."
    else:
        sure = f"It may lose more than {step.tolerated:g}: up to {step.regret_interval[1]:.3f} would not surprise."
    worse = " RL at random does no worse: do without thresholds." if step.drawn <= step.regret else ""
    return f"{expected} {sure}{worse}"
