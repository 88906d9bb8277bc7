"""rlready record."""

import dataclasses
import math
import os
from collections.abc import Collection
from pathlib import Path

from rlready.analysis.comparison import read_rows as compare_rows
from rlready.analysis.format import show_pass_at_1
from rlready.analysis.saving import weigh_gate
from rlready.analysis.sweep_result import SweepResult, read_sweep, record_elsewhere, write_sweep
from rlready.cli.command import PAST_RUN, REPEATED, Arguments, Command, locate_run, print_result
from rlready.cli.rank import add_arguments, print_logs, read_logs, split_name
from rlready.cli.result import print_outcomes, print_places
from rlready.errors import InputError, suggest
from rlready.gate.lead import SCORE, measure_gain, measure_lead
from rlready.measured.curve import read_curve
from rlready.measured.records import read_rows
from rlready.measured.sweep import measure_results
from rlready.records.outcome import ElsewhereRecord, Outcome
from rlready.records.serialization import write_atomically
from rlready.run.local import storage
from rlready.stages.report.report import FILES, write_files
from rlready.tracking import client, log, runs, store

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
COLUMNS = ("candidate", "score", "standard_error", "cost")
KNOWN_COLUMNS = (*COLUMNS, "device")
MOST_FAULTS = 20  # lines shown; if every row is wrong, the cause is the same
COMMAND = Command("record", EXAMPLE, *PAST_RUN, epilog=CLUSTER)
COMMAND.add_argument("--results", type=Path, metavar="FILE", help="CSV: candidate,score,standard_error,cost[,device]")
COMMAND.add_argument("--log", **REPEATED, metavar="NAME=PATH", help="log of samples after RL, as rank reads them; repeatable")
CURVE = "rewards of RL by step: trainer_state.json, verl's metrics, or rows with step and reward; repeatable"
COMMAND.add_argument("--curve", **REPEATED, metavar="NAME=PATH", help=CURVE)
add_arguments(COMMAND)


def execute(arguments: Arguments) -> None:
    """Adds external results to a past run, in MLflow too, and prints its new result; with a wrong file nothing changes."""
    folder = _find_run(arguments)
    work, kept = folder.parent, folder / storage.RESULT
    read_sweep(kept)  # without a run there is nothing to lock
    with store.hold_lock(kept):
        past = read_sweep(kept)
        results = _collect_results(arguments, past)
        sweep = record_elsewhere(past, results)
        write_sweep(sweep, kept)
        write_files(sweep, folder)
    given = [arguments.results, *arguments.log, *arguments.curve]
    print(f"{', '.join(str(one) for one in given if one)}: recorded with {folder.name} as external results")
    for before, outcome in zip(past.outcomes, sweep.outcomes, strict=True):
        name = outcome.candidate.candidate_id
        if name in results:
            print(f"  {name}: {_describe(outcome, before)}{_describe_gain(outcome, sweep.baseline)}")
    storage.choose_store(work)
    for outcome in sweep.outcomes:
        if outcome.candidate.candidate_id in results:
            log.log_outcome(outcome, folder.name)
    saving = weigh_gate(*compare_rows(sweep)[:2])
    known = (saving.list_figures(), saving.list_tags()) if saving else ()
    tracked = runs.finish_run(folder.name, {}, {name: folder / name for name in FILES.values()}, "", *known)
    if not tracked:
        print("MLflow did not take the results, so forecasts ignore them; rerun the command when MLflow is available")
    print_outcomes(sweep)
    print_places(folder, work, tracked)


def _collect_results(arguments: Arguments, past: SweepResult) -> dict[str, ElsewhereRecord]:
    """Returns the results by candidate, of the CSV file and of logs, with the curves."""
    before = {outcome.candidate.candidate_id: outcome.elsewhere for outcome in past.outcomes}
    results = read_results(arguments.results, before) if arguments.results else {}
    logs = read_logs(arguments.log, arguments)
    curves = {}
    for text in arguments.curve:
        name, path = split_name(text)
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


def _find_run(arguments: Arguments) -> Path:
    """Returns the folder of the run, created from MLflow for a run on a cluster."""
    folder, run, server = locate_run(arguments), arguments.run, os.environ.get("MLFLOW_TRACKING_URI")
    # Results that others recorded with a run on a cluster are in MLflow only.
    if not run or not server or ((folder / storage.RESULT).exists() and not runs.is_kfp(folder.name)):
        return folder
    found = runs.find_outcomes(run)
    if found is None:
        raise InputError(f"{run}: neither a finished run in {folder.parent} nor one in MLflow ({client.show_address(server)})")
    folder = folder.parent / found[0]
    write_atomically(folder / storage.RESULT, found[1])
    return folder


def _describe(outcome: Outcome, before: Outcome) -> str:
    def show(one: Outcome) -> str:
        scored, theirs = one.scored, one.elsewhere or ElsewhereRecord(0.0)
        size = f", {scored.problems} problems x {scored.samples} samples" if scored.problems else ""
        hours = theirs.device_hours
        cost = "cost unknown" if hours is None else f"{hours:g} device-hours {theirs.device}".strip()
        return f"{show_pass_at_1(scored)}{size}, {cost}"

    if before.elsewhere in (None, outcome.elsewhere):
        return f"{show(outcome)}{', unchanged' if before.elsewhere else ''}"
    return f"{show(outcome)}; replaces {show(before)}"


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


def read_results(path: Path, candidates: Collection[str]) -> dict[str, ElsewhereRecord]:
    """Reads a CSV file of results with the columns candidate, score, standard_error, cost and, optionally, device.

    Score and standard error are shares between 0 and 1, the cost is in device-hours. Error and cost may be empty: unknown.
    Returns the results by candidate, at least one; all of them are among `candidates`.
    """
    results: dict[str, ElsewhereRecord] = {}
    faults: list[str] = []
    for where, cells in read_rows(path):
        if other := [name for name in cells if name not in KNOWN_COLUMNS]:
            raise InputError(f"{path}: the column {other[0]!r} is not one of {', '.join(KNOWN_COLUMNS)}")
        if missing := [name for name in COLUMNS if name not in cells]:
            raise InputError(f"{path}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)} (cells may be empty)")
        row = {name: "" if cell is None else str(cell).strip() for name, cell in cells.items()}
        if found := [f"{where}, {fault}" for fault in _find_faults(row, candidates, results)]:
            faults += found
            continue
        deviation, hours = (float(row[name]) if row[name] else None for name in ("standard_error", "cost"))
        device = " ".join(row.get("device", "").split())
        results[row["candidate"]] = ElsewhereRecord(float(row["score"]), deviation, hours, device)
    if len(faults) > MOST_FAULTS:
        faults[MOST_FAULTS:] = [f"and {len(faults) - MOST_FAULTS} more"]
    if faults:
        raise InputError("\n".join(faults))
    if not results:
        raise InputError(f"{path}: no rows; expected the columns {', '.join(COLUMNS)} and a row per candidate")
    return results


def explain_unknown(name: str, candidates: Collection[str]) -> str:
    """Returns that a name is no candidate's, and which one may be meant."""
    known = suggest(name, candidates, f"the run has {', '.join(candidates)}")
    return f"{name!r} is not a candidate of this run; {known}"


def _find_faults(row: dict[str, str], candidates: Collection[str], earlier: Collection[str]) -> list[str]:
    """Returns what is wrong in a row, each beginning with its column."""
    name, faults = row["candidate"], []
    if name in earlier:
        faults.append(f"candidate: {name} already has a row; one result per candidate")
    elif name not in candidates:
        faults.append(f"candidate: {explain_unknown(name, candidates)}")
    for column, most in (("score", 1.0), ("standard_error", 1.0), ("cost", math.inf)):
        text = row[column]
        try:
            value = float(text) if text or column == "score" else 0.0
        except ValueError:
            fault = f"{text!r} is not a number" if text else "empty; leave out candidates without a result"
            faults.append(f"{column}: {fault}")
            continue
        if not (math.isfinite(value) and 0 <= value <= most):
            bounds = "between 0 and 1 (0.44 for 44%)" if most == 1 else "0 or more device-hours"
            faults.append(f"{column}: {text}, expected a finite number, {bounds}")
    return faults
