"""Recomputes the verdicts of a past run from its stored counts, as they were or with other thresholds."""

import dataclasses
from dataclasses import dataclass

from rlready.analysis.sweep_result import SweepResult
from rlready.config import list_parameters, parse_parameters
from rlready.config.recipes import parse_overrides
from rlready.errors import InputError
from rlready.gate.decide import decide
from rlready.records.outcome import AFTER_RL, Outcome
from rlready.records.verdicts import GateNumbers, Verdict
from rlready.stages.plan.checks import check_values

COMPARED = ("decision", "proceed", "propensity", "audited", "numbers")  # not the reason: its wording may change


@dataclass(frozen=True)
class Replayed:
    """One candidate's verdict, as stored and as recomputed, with the names of the fields that differ."""

    outcome: Outcome
    before: Verdict
    after: Verdict
    differs: list[str]


def replay(run: SweepResult, changes: list[str]) -> list[Replayed]:
    """Recomputes every verdict, with changes such as `gate_min_pass_at_k=0.6`; without any, the verdicts must stay the same.

    Raises InputError if a change is not one of the gate's parameters.
    """
    given = {name: value for name, value in run.parameters.items() if name in list_parameters()}  # older runs have others
    gate = [name for name in list_parameters() if name.startswith("gate_")]
    for change in changes:
        if change.partition("=")[0] not in gate:
            raise InputError(f"--set {change}: expected key=value with a key of {', '.join(gate)}")
    experiment = parse_parameters(given | parse_overrides(changes))
    if wrong := check_values(experiment):
        raise InputError("\n".join(wrong))
    replayed = []
    settings = experiment.gate
    if changes and not any(change.startswith("gate_audit_fraction=") for change in changes):
        settings = dataclasses.replace(settings, audit_fraction=0.0)  # RL has run for those that were drawn, and for no others
    drawn_by = next((o.verdict.drawn_by for o in run.outcomes if o.verdict and o.verdict.drawn_by), None)
    decided = decide([strip(o) for o in run.outcomes], run.baseline, settings, run.trains, drawn_by)
    for outcome, after in zip(run.outcomes, decided, strict=True):
        before = outcome.verdict
        if before is None:
            raise InputError(f"{outcome.candidate.candidate_id}: has no verdict in this run")
        after_then = dataclasses.replace(after, numbers=_keep_stored(after.numbers, before.numbers))
        differs = [name for name in COMPARED if getattr(before, name) != getattr(after_then, name)]
        replayed.append(Replayed(outcome, before, after, differs))
    return replayed


def _keep_stored(numbers: GateNumbers, stored: GateNumbers) -> GateNumbers:
    """Returns the numbers without those that an older version did not compute yet."""
    unknown = {item.name: None for item in dataclasses.fields(stored) if getattr(stored, item.name) is None}
    return dataclasses.replace(numbers, **unknown)


def strip(outcome: Outcome) -> Outcome:
    """Returns the outcome as the gate saw it: without a later failure."""
    later = outcome.failure and outcome.failure.stage in AFTER_RL
    return dataclasses.replace(outcome, failure=None) if later else outcome
