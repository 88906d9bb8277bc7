"""rlready record."""

import argparse
import os
from pathlib import Path

from rlready.analysis.comparison import read_rows
from rlready.analysis.format import show_with_error
from rlready.analysis.saving import weigh_gate
from rlready.analysis.sweep_result import SweepResult, read_sweep, record_elsewhere, write_sweep
from rlready.cli.arguments import PAST_RUN, Command, locate_run
from rlready.cli.result import print_outcomes, print_places
from rlready.errors import InputError
from rlready.records.external import ElsewhereRecord, read_results
from rlready.records.serialization import write_atomically
from rlready.run.local import run_locks
from rlready.run.local.storage import RESULT
from rlready.stages.report.report import write_report
from rlready.tracking.client import show_address
from rlready.tracking.find import find_outcomes
from rlready.tracking.log import log_outcome
from rlready.tracking.runs import finish_run, is_kfp
from rlready.tracking.store import hold_lock

EXAMPLE = """\
rlready record --results results.csv

  candidate,score,standard_error,cost
  longest-256x4-lr0.001-s0,0.322,0.018,6.5
  random-256x4-lr0.001-s0,0.231,,

score is Pass@1 on the evaluation problems, between 0 and 1; cost is in device-hours. An empty cell means unknown.
An optional column device names the kind of device that the cost refers to."""
CLUSTER = "For a run on a cluster, give its KFP or MLflow id; MLFLOW_TRACKING_URI must be set."
COMMAND = Command("record", EXAMPLE, *PAST_RUN, epilog=CLUSTER)
COMMAND.add_argument(
    "--results", type=Path, required=True, metavar="FILE", help="CSV: candidate,score,standard_error,cost[,device]"
)


def execute(arguments: argparse.Namespace) -> None:
    """Adds external results to a past run, in MLflow too, and prints its new result; with a wrong file nothing changes."""
    folder = _find_run(arguments)
    work = folder.parent
    kept = folder / RESULT
    read_sweep(kept)  # without a run there is nothing to lock
    with hold_lock(kept):
        past = read_sweep(kept)
        results = read_results(arguments.results, [outcome.candidate.candidate_id for outcome in past.outcomes])
        sweep = record_elsewhere(past, results)
        write_sweep(sweep, kept)
        write_report(sweep, folder / "report.html", folder / "report.md")
    print(f"{arguments.results}: recorded with {folder.name} as external results")
    before = {outcome.candidate.candidate_id: outcome.elsewhere for outcome in past.outcomes}
    for name, result in results.items():
        print(f"  {name}: {_describe(result, before[name])}")
    tracked = _log(sweep, results, folder, work)
    print_outcomes(sweep)
    print_places(folder, work, tracked)


def _find_run(arguments: argparse.Namespace) -> Path:
    """Returns the folder of the run, created from MLflow for a run on a cluster."""
    folder = locate_run(arguments)
    server = os.environ.get("MLFLOW_TRACKING_URI")
    # Results that others recorded with a run on a cluster are in MLflow only.
    if not arguments.run or not server or ((folder / RESULT).exists() and not is_kfp(folder.name)):
        return folder
    found = find_outcomes(arguments.run)
    if found is None:
        raise InputError(
            f"{arguments.run}: neither a finished run in {folder.parent} nor one in MLflow ({show_address(server)})"
        )
    run_id, text = found
    write_atomically(folder.parent / run_id / RESULT, text)
    return folder.parent / run_id


def _describe(result: ElsewhereRecord, before: ElsewhereRecord | None) -> str:
    def show(one: ElsewhereRecord) -> str:
        cost = "cost unknown" if one.device_hours is None else f"{one.device_hours:g} device-hours {one.device}".strip()
        return f"{show_with_error(one.pass_at_1, one.standard_error)}, {cost}"

    if before is None:
        return show(result)
    return f"{show(result)}, unchanged" if before == result else f"{show(result)}; replaces {show(before)}"


def _log(sweep: SweepResult, results: dict[str, ElsewhereRecord], folder: Path, work: Path) -> bool:
    """Logs the results to their candidates and the report to the pipeline's run; returns whether MLflow took it."""
    run_locks.choose_store(work)
    for outcome in sweep.outcomes:
        if outcome.candidate.candidate_id in results:
            log_outcome(outcome, folder.name)
    report = {name: folder / name for name in ("report.html", "report.md", RESULT)}
    saving = weigh_gate(*read_rows(sweep)[:2])
    known = (saving.list_figures(), saving.list_tags()) if saving else ()
    tracked = finish_run(folder.name, {}, report, "", *known)
    if not tracked:
        print("MLflow did not take the results, so forecasts ignore them; rerun the command when MLflow is available")
    return tracked
