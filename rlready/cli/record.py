"""rlready record."""

import argparse
import dataclasses
import os
from pathlib import Path

from rlready.analysis.comparison import read_rows
from rlready.analysis.format import show_pass_at_1
from rlready.analysis.saving import weigh_gate
from rlready.analysis.sweep_result import SweepResult, read_sweep, record_elsewhere, write_sweep
from rlready.cli.arguments import PAST_RUN, Command, locate_run
from rlready.cli.rank import add_arguments, print_logs, read_logs
from rlready.cli.result import print_outcomes, print_places
from rlready.cli.style import print_result
from rlready.errors import InputError
from rlready.gate.lead import SCORE, measure_gain, measure_lead
from rlready.measured.curve import read_curve
from rlready.measured.sweep import measure_results
from rlready.records.external import explain_unknown, read_results
from rlready.records.outcome import ElsewhereRecord, Outcome
from rlready.records.serialization import write_atomically
from rlready.run.local import run_locks
from rlready.run.local.storage import RESULT
from rlready.stages.report.report import FILES, write_files
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
An optional column device names the kind of device that the cost refers to.

  rlready record --log longest-256x4-lr0.001-s0=logs/after.jsonl

A log gives Pass@1 with its interval, and the gain over the same problems before RL."""
CLUSTER = "For a run on a cluster, give its KFP or MLflow id; MLFLOW_TRACKING_URI must be set."
COMMAND = Command("record", EXAMPLE, *PAST_RUN, epilog=CLUSTER)
COMMAND.add_argument("--results", type=Path, metavar="FILE", help="CSV: candidate,score,standard_error,cost[,device]")
COMMAND.add_argument(
    "--log", action="append", default=[], metavar="NAME=PATH", help="log of samples after RL, as rank reads them; repeatable"
)
COMMAND.add_argument(
    "--curve",
    action="append",
    default=[],
    metavar="NAME=PATH",
    help="rewards of RL by step: trainer_state.json, verl's metrics, or rows with step and reward; repeatable",
)
add_arguments(COMMAND)


def execute(arguments: argparse.Namespace) -> None:
    """Adds external results to a past run, in MLflow too, and prints its new result; with a wrong file nothing changes."""
    folder = _find_run(arguments)
    work = folder.parent
    kept = folder / RESULT
    read_sweep(kept)  # without a run there is nothing to lock
    with hold_lock(kept):
        past = read_sweep(kept)
        results = _read_results(arguments, past)
        sweep = record_elsewhere(past, results)
        write_sweep(sweep, kept)
        write_files(sweep, folder)
    given = [arguments.results, *arguments.log, *arguments.curve]
    print(f"{', '.join(str(one) for one in given if one)}: recorded with {folder.name} as external results")
    for before, outcome in zip(past.outcomes, sweep.outcomes, strict=True):
        name = outcome.candidate.candidate_id
        if name in results:
            print(f"  {name}: {_describe(outcome, before)}{_describe_gain(outcome, sweep.baseline)}")
    tracked = _log(sweep, results, folder, work)
    print_outcomes(sweep)
    print_places(folder, work, tracked)


def _read_results(arguments: argparse.Namespace, past: SweepResult) -> dict[str, ElsewhereRecord]:
    """Returns the results by candidate, of the CSV file and of logs, with the curves."""
    before = {outcome.candidate.candidate_id: outcome.elsewhere for outcome in past.outcomes}
    results = read_results(arguments.results, before) if arguments.results else {}
    logs = read_logs(arguments.log, arguments)
    curves = {}
    for text in arguments.curve:
        name, _, path = text.rpartition("=")
        key, curves[name] = read_curve(Path(path).expanduser())
        print_result(name, f"curve of {key}")
    faults = [explain_unknown(name, before) for name in dict.fromkeys((*logs, *curves)) if name not in before]
    faults += [f"{name}: has both a row in {arguments.results} and a log; leave one out" for name in logs if name in results]
    if faults or not (results or logs or curves):
        raise InputError("\n".join(faults) or "nothing to record: give --results, --log or --curve")
    if logs:
        print_logs(logs)
    results |= measure_results(past, logs)
    for name in dict.fromkeys((*results, *curves)):
        earlier = before[name]
        known = results.get(name, earlier)
        if known is None:
            raise InputError(f"{name}: a curve without a result; give its --log or --results too")
        rewards = curves.get(name) or (earlier.rewards if earlier else [])
        results[name] = dataclasses.replace(known, rewards=rewards)
    return results


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


def _describe(outcome: Outcome, before: Outcome) -> str:
    def show(one: Outcome) -> str:
        scored, theirs = one.scored, one.elsewhere or ElsewhereRecord(0.0)
        size = f", {scored.problems} problems x {scored.samples} samples" if scored.problems else ""
        hours = theirs.device_hours
        cost = "cost unknown" if hours is None else f"{hours:g} device-hours {theirs.device}".strip()
        return f"{show_pass_at_1(scored)}{size}, {cost}"

    if before.elsewhere is None:
        return show(outcome)
    unchanged = before.elsewhere == outcome.elsewhere
    return f"{show(outcome)}, unchanged" if unchanged else f"{show(outcome)}; replaces {show(before)}"


def _describe_gain(outcome: Outcome, base: Outcome | None) -> str:
    """Returns the gain on the same problems: over the candidate before RL, or else over the base model."""
    if outcome.scored.problem_ids is None:
        return ""
    gain, over = measure_gain(outcome), "the candidate before RL"
    if gain.ahead is None and base and base.benchmark and base.benchmark.problem_ids == outcome.scored.problem_ids:
        gain, over = measure_lead(outcome, base, SCORE), "the base model"
    if gain.ahead is None:
        return "; not on the problems measured before RL, so the gain is unknown"
    return f"; gain over {over}, on the same problems: {gain.describe()}"


def _log(sweep: SweepResult, results: dict[str, ElsewhereRecord], folder: Path, work: Path) -> bool:
    """Logs the results to their candidates and the report to the pipeline's run; returns whether MLflow took it."""
    run_locks.choose_store(work)
    for outcome in sweep.outcomes:
        if outcome.candidate.candidate_id in results:
            log_outcome(outcome, folder.name)
    report = {name: folder / name for name in FILES.values()}
    saving = weigh_gate(*read_rows(sweep)[:2])
    known = (saving.list_figures(), saving.list_tags()) if saving else ()
    tracked = finish_run(folder.name, {}, report, "", *known)
    if not tracked:
        print("MLflow did not take the results, so forecasts ignore them; rerun the command when MLflow is available")
    return tracked
