"""The outcomes of a sweep, put together from its stages' records and checked against the gate's verdicts."""

import dataclasses
import datetime
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rlready.config import coerce, list_parameters
from rlready.errors import InputError
from rlready.escape import show_controls
from rlready.records.outcome import BEFORE_RL, STAGE_NAMES, ElsewhereRecord, Failure, Outcome
from rlready.records.serialization import Record, parse_record, to_json, write_atomically

# What to do about a file that is not as rlready wrote it.
RESTORE = "restore the file if it was changed; a run of another version of rlready is read by that version"
LONGEST_REASON = 300  # characters


@dataclass(frozen=True)
class SweepResult(Record):
    """Everything known about a sweep."""

    outcomes: list[Outcome]  # the candidates, in the order of the plan
    baseline: Outcome | None  # the base model; None if there is none
    parameters: dict[str, Any]  # the pipeline's, by their flat names
    # the run's name, its date, the version and the command, as far as they are known
    origin: dict[str, str] = dataclasses.field(default_factory=dict)

    def find_fault(self) -> str:
        """Returns how its values contradict each other."""
        names = [outcome.candidate.candidate_id for outcome in self.outcomes]
        twice = next((name for name in names if names.count(name) > 1), None)
        return f"outcomes: {twice} is there twice" if twice else ""

    @property
    def trains(self) -> bool:
        """Whether RL was requested; if not, the run ends with the gate's verdicts."""
        return self.parameters.get("rl_steps") != 0

    @property
    def shows_rl(self) -> bool:
        """Whether there may be results of RL: it was requested, or there are external results."""
        return self.trains or any(outcome.elsewhere for outcome in self.outcomes)


def describe_origin(run: str, command: str) -> dict[str, str]:
    """Returns `SweepResult.origin` of a run that ends today; only what started it knows its command."""
    return {"run": run, "date": f"{datetime.date.today()}", "version": metadata.version("rlready"), "command": command}


def read_sweep(path: str | Path) -> SweepResult:
    """Reads what the gate (`judged`) or a report (`records`) wrote, or the file outcomes.json of a run's folder.

    Raises InputError if the file is not there, is damaged, or was written by another version.
    """
    try:
        return parse_sweep(str(path), Path(path).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no finished run here; start one with rlready run") from error


def parse_sweep(where: str, text: str | bytes) -> SweepResult:
    """Returns what `read_sweep` reads from the content of a file; errors begin with `where`."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not the records of a run ({error}); {RESTORE}") from error
    if not isinstance(values, dict) or "outcomes" not in values:
        raise InputError(f"{where}: not the records of a run; {RESTORE}")
    if "reference" in values:  # the name until schema 3
        values["baseline"] = values.pop("reference")
    try:
        sweep = parse_record(SweepResult, {"parameters": {}} | values)
        for name, parameter in list_parameters().items():
            if name not in sweep.parameters:
                continue
            # Only the type and the choices: bounds change between versions.
            value = coerce(parameter, sweep.parameters[name])
            if parameter.choices and (fault := parameter.find_fault(value)):
                raise InputError(fault)
    except InputError as error:
        raise InputError(f"{where}: {error}; {RESTORE}") from error
    return sweep


def write_sweep(sweep: SweepResult, path: Path) -> None:
    """Writes a sweep atomically, as `read_sweep` reads it."""
    write_atomically(path, json.dumps(dataclasses.asdict(sweep), indent=1))


def record_elsewhere(sweep: SweepResult, results: dict[str, ElsewhereRecord]) -> SweepResult:
    """Returns the sweep with external results of RL, which replace earlier ones.

    Raises InputError if a candidate has a result of this run, or failed before RL: then there is no checkpoint to train.
    """
    faults, outcomes = [], []
    for outcome in sweep.outcomes:
        name, failure = outcome.candidate.candidate_id, outcome.failure
        if name in results and outcome.benchmark:
            faults.append(f"{name}: this run already has a result of RL; leave it out")
        elif name in results and failure and failure.stage in BEFORE_RL:
            failed = f"{STAGE_NAMES[failure.stage]} failed"
            faults.append(f"{name}: {failed} in this run, so there is no checkpoint to train; leave it out")
        outcomes.append(dataclasses.replace(outcome, elsewhere=results.get(name, outcome.elsewhere)))
    if faults:
        raise InputError("\n".join(faults))
    return dataclasses.replace(sweep, outcomes=outcomes)


def list_items(outcomes: Iterable[Outcome]) -> list[dict[str, str]]:
    """Returns the items of a loop that runs RL: the JSON of each training, and the digest of the checkpoint that was judged.

    Raises InputError if one has no record of SFT.
    """
    items = []
    for outcome in outcomes:
        name = outcome.candidate.candidate_id
        if outcome.sft is None:
            raise InputError(f"{name}: goes on to RL, but has no record of SFT; the orchestrator lost it")
        # Of several checkpoints of one training the number of epochs says which.
        which = f"{outcome.candidate.epochs}/" if outcome.candidate.kept_epochs else ""
        items.append({"candidate": to_json(outcome.candidate.training), "digest": which + outcome.sft.model_digest})
    return items


def add_results(sweep: SweepResult, results: list[Outcome], scored: Outcome | None = None) -> SweepResult:
    """Returns the sweep, as gate or race judged it, with the results of RL and, at the end, the base model's benchmark.

    A result from another engine or precision than the base model's becomes a failure of its benchmark. Raises InputError if one
    belongs to no candidate.
    """
    found = {outcome.candidate.candidate_id: outcome for outcome in sweep.outcomes}
    for result in results:
        name = result.candidate.candidate_id
        if name not in found:
            raise InputError(f"{name}: has a result, but was not measured")
        engines = [outcome.benchmark.engine if outcome and outcome.benchmark else "" for outcome in (result, scored)]
        if all(engines) and engines[0] != engines[1]:
            reason = f"{engines[0]} scored it, and {engines[1]} the base model: scores of two engines are not comparable"
            result = dataclasses.replace(result, benchmark=None, failure=Failure("benchmark", reason))
        after = {part: getattr(result, part) for part in ("rl", "benchmark", "effect", "failure")}
        found[name] = dataclasses.replace(found[name], **after, links=found[name].links | result.links)
    baseline = sweep.baseline
    if baseline and scored:
        baseline = dataclasses.replace(baseline, benchmark=scored.benchmark, links=baseline.links | scored.links)
    return dataclasses.replace(sweep, outcomes=list(found.values()), baseline=baseline)


def check_ran(outcomes: list[Outcome]) -> None:
    """Checks that what ran is what the gate decided; an orchestrator can skip a branch silently.

    Raises InputError if a candidate has no verdict, or RL ran where the verdict says no, or did not although it says yes.
    """
    for outcome in outcomes:
        name, verdict = outcome.candidate.candidate_id, outcome.verdict
        if verdict is None:
            raise InputError(f"{name}: planned, but has no verdict; the orchestrator skipped it")
        proceeds = verdict.proceed and (outcome.race is None or outcome.race.goes_on or bool(outcome.failure))
        ran = (outcome.rl is not None and outcome.benchmark is not None) or (proceeds and bool(outcome.failure))
        if ran != proceeds:
            judge = "race" if verdict.proceed and outcome.race else "gate"
            raise InputError(
                f"{name}: the {judge} said {'run' if proceeds else 'do not run'} RL,"
                f" but RL {'ran' if ran else 'did not run'}; this report cannot be trusted"
            )


def list_failures(sweep: SweepResult) -> list[str]:
    """Returns what failed and why, one line per reason, and one that says how to retry."""
    failed = [(outcome.candidate, outcome.failure) for outcome in sweep.outcomes if outcome.failure]
    if not failed:
        return []
    named: dict[str, list[str]] = {}
    for candidate, failure in failed:
        reason = show_controls(failure.reason)  # of a library, about a file that may be hostile
        reason = reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + "…"
        named.setdefault(f"{STAGE_NAMES[failure.stage]} failed: {reason}", []).append(candidate.candidate_id)
    again = sweep.parameters.get("sweep_attempts") or {}
    again = again | {candidate.candidate_id: candidate.attempt + 1 for candidate, _ in failed}
    return [
        *(f"{', '.join(names)}: {reason}" for reason, names in named.items()),
        f"To retry: the same command, or form, with sweep_attempts set: --set sweep_attempts='{json.dumps(again)}'",
    ]
