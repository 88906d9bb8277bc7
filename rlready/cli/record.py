"""rlready record."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rlready.cli.arguments import add_past_run, find_past_run
from rlready.cli.result import print_outcomes, print_places
from rlready.errors import InputError

if TYPE_CHECKING:
    from rlready.analysis.sweep_result import SweepResult
    from rlready.records.external import ElsewhereRecord

TEXT = "Hand back results of RL that ran in another system."
EXAMPLE = """\
rlready record --results results.csv

  candidate,score,standard_error,cost
  longest-256x4-lr0.001-s0,0.322,0.018,6.5
  random-256x4-lr0.001-s0,0.231,,

  score: Pass@1 on the evaluation problems, between 0 and 1; cost: device-hours; an empty cell is unknown.
  A column device names the kind of device that the cost is of."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_past_run(command)
    command.add_argument(
        "--results", type=Path, required=True, metavar="FILE", help="CSV: candidate,score,standard_error,cost[,device]"
    )
    command.epilog = "A run on a cluster is named by its id in KFP or MLflow, and read from MLFLOW_TRACKING_URI."


def execute(arguments: argparse.Namespace) -> None:
    """Records results from elsewhere with a past run, in MLflow too, and prints what the run comes to with them.

    Raises:
        InputError: If there is no such run, or anything is wrong in the file; then nothing is changed.
    """
    from rlready.analysis.sweep_result import read_sweep, record_elsewhere, write_sweep
    from rlready.records.external import read_results
    from rlready.stages.report.report import write_report
    from rlready.tracking.store import hold_lock

    folder = _find_run(arguments)
    kept = folder / "outcomes.json"
    read_sweep(kept)  # without a run there is nothing to lock
    with hold_lock(kept):
        past = read_sweep(kept)
        results = read_results(arguments.results, [outcome.candidate.candidate_id for outcome in past.outcomes])
        sweep = record_elsewhere(past, results)
        write_sweep(sweep, kept)
        write_report(sweep, folder / "report.html", folder / "report.md")
    print(f"{arguments.results}: recorded with {folder.name}, as results from elsewhere")
    print("\n".join(_describe_changes(past, results)))
    tracked = _log(sweep, results, folder, arguments.work.resolve())
    print_outcomes(sweep)
    print_places(folder, arguments.work.resolve(), tracked)


def _find_run(arguments: argparse.Namespace) -> Path:
    """Returns the folder of the run, which is made from MLflow for a run of a cluster.

    Raises:
        InputError: If the run is neither here nor in MLflow.
    """
    from rlready.records.serialization import write_atomically
    from rlready.tracking.client import show_address
    from rlready.tracking.find import find_outcomes
    from rlready.tracking.origin import is_kfp

    folder = find_past_run(arguments)
    server = os.environ.get("MLFLOW_TRACKING_URI")
    # What others recorded with a run of a cluster stands in MLflow, and not here.
    if not arguments.run or not server or ((folder / "outcomes.json").exists() and not is_kfp(folder.name)):
        return folder
    found = find_outcomes(arguments.run)
    if found is None:
        raise InputError(
            f"{arguments.run}: neither a finished run in {folder.parent} nor one in MLflow ({show_address(server)})"
        )
    run_id, text = found
    write_atomically(folder.parent / run_id / "outcomes.json", text)
    return folder.parent / run_id


def _describe_changes(past: "SweepResult", results: dict[str, "ElsewhereRecord"]) -> list[str]:
    """Returns a line for each result that says what it replaces."""
    before = {outcome.candidate.candidate_id: outcome.elsewhere for outcome in past.outcomes}
    return [f"  {name}: {_describe(result, before[name])}" for name, result in results.items()]


def _describe(result: "ElsewhereRecord", before: "ElsewhereRecord | None") -> str:
    from rlready.analysis.format import show_with_error

    def show(one: "ElsewhereRecord") -> str:
        cost = "cost unknown" if one.device_hours is None else f"{one.device_hours:g} device-hours {one.device}".strip()
        return f"{show_with_error(one.pass_at_1, one.standard_error)}, {cost}"

    if before is None:
        return show(result)
    return f"{show(result)}, as it was" if before == result else f"{show(result)}; replaces {show(before)}"


def _log(sweep: "SweepResult", results: dict[str, "ElsewhereRecord"], folder: Path, work: Path) -> bool:
    """Logs the results to their candidates and the report to the pipeline's run; returns whether MLflow took it."""
    from rlready.analysis.comparison import read_rows
    from rlready.run.local import run_locks
    from rlready.analysis.saving import weigh_gate
    from rlready.tracking.log import log_outcome
    from rlready.tracking.runs import replace_report

    run_locks.choose_store(work)
    for outcome in sweep.outcomes:
        if outcome.candidate.candidate_id in results:
            log_outcome(outcome, folder.name)
    report = {name: folder / name for name in ("report.html", "report.md", "outcomes.json")}
    saving = weigh_gate(*read_rows(sweep)[:2])
    known = (saving.list_figures(), saving.list_tags()) if saving else ()
    tracked = replace_report(folder.name, report, *known)
    if not tracked:
        print("MLflow does not have them, so forecasts will not know them: run the same command again when it is back")
    return tracked
