"""Recomputes the verdicts of a past run from its stored counts, as they were or with other thresholds."""

import json
from dataclasses import dataclass
from pathlib import Path

from rlready.components.config import InputError, list_parameters, parse_parameters
from rlready.components.core.records import Outcome, Verdict, from_json
from rlready.components.gate.decide import decide
from rlready.components.plan.checks import check_values

COMPARED = ("decision", "proceed", "reason", "propensity", "audited", "numbers")


@dataclass(frozen=True)
class PastRun:
    """A finished run as its records tell it."""

    outcomes: list[Outcome]
    reference: Outcome
    parameters: dict


def read_run(records: Path) -> PastRun:
    """Reads the records of a run.

    Args:
        records: The file outcomes.json of a run's folder, or the report's `records` artifact.

    Raises:
        InputError: If the file is not there, is damaged, or was written by another version.
    """
    try:
        values = json.loads(records.read_text())
        outcomes, reference, parameters = values["outcomes"], values["reference"], values["parameters"]
    except FileNotFoundError as error:
        raise InputError(f"{records}: no finished run here; rlready run makes one") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{records}: not the records of a run of this version ({error!r})") from error
    try:
        read = [from_json(Outcome, json.dumps(entry)) for entry in (*outcomes, reference)]
    except InputError as error:
        raise InputError(f"{records}: {error}") from error
    return PastRun(read[:-1], read[-1], parameters)


@dataclass(frozen=True)
class Replayed:
    """One candidate's verdict, as it was and as it is now.

    Attributes:
        outcome: The candidate.
        before: The stored verdict.
        after: The recomputed one.
        differs: Names of the fields that differ.
    """

    outcome: Outcome
    before: Verdict
    after: Verdict
    differs: list[str]


def replay(run: PastRun, changes: list[str]) -> list[Replayed]:
    """Recomputes every verdict.

    Args:
        run: The past run.
        changes: Texts such as `gate_min_pass_at_k=0.6`; without any, the verdicts must come out as they were.

    Raises:
        InputError: If a change is not one of the gate's parameters.
    """
    given = dict(run.parameters)
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or key not in list_parameters() or not key.startswith("gate_"):
            gate = ", ".join(name for name in list_parameters() if name.startswith("gate_"))
            raise InputError(f"--set {change}: expected key=value with a key of {gate}")
        given[key] = value
    experiment = parse_parameters(given)
    wrong = check_values(experiment)
    if wrong:
        raise InputError("\n".join(wrong))
    replayed = []
    for outcome, after in zip(run.outcomes, decide(run.outcomes, run.reference, experiment.gate), strict=True):
        before = Verdict(**outcome.verdict)
        differs = [name for name in COMPARED if getattr(before, name) != getattr(after, name)]
        replayed.append(Replayed(outcome, before, after, differs))
    return replayed
