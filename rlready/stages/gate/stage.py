"""The stage itself: reads its inputs, works, writes its outcome."""

import dataclasses
import json
import os
from types import SimpleNamespace

from rlready.analysis.forecast import forecast
from rlready.analysis.sweep_result import list_items
from rlready.config import read_settings
from rlready.errors import InputError
from rlready.gate.decide import decide, rank
from rlready.records.candidate import Candidate
from rlready.records.outcome import Outcome
from rlready.records.serialization import parse_record, read_records, write_atomically
from rlready.runtime import events
from rlready.runtime.outputs import hand_on
from rlready.tracking.log import log_outcome


def run(settings: str, measured: list[str], judged: str, verdicts: str) -> list[dict[str, str]]:
    """Judges the sweep, writes the verdicts, and returns for each candidate for RL its JSON and its checkpoint's digest."""
    given = read_settings(settings)
    baseline, outcomes = arrange([outcome for path in measured for outcome in read_records(Outcome, path)], given)
    # The run is no setting: a gate from the cache keeps its verdicts and its draw.
    decided = decide(outcomes, baseline, given.gate, given.trains, os.environ.get("RLREADY_RUN_ID"))
    decided = rank(decided, outcomes, given.gate)
    if given.trains:
        expected = forecast(decided, given.experiment)
        decided = [dataclasses.replace(v, forecast=f) for v, f in zip(decided, expected, strict=True)]
    rows = ["| candidate | verdict | RL | reason |", "|---|---|---|---|"]
    whole = []
    for outcome, verdict in zip(outcomes, decided, strict=True):
        name, decision, reason, proceed = verdict.candidate_id, verdict.decision, verdict.reason, verdict.proceed
        events.emit("gate", name, "decided", decision=decision, reason=reason, proceed=proceed)
        rows.append(f"| {name} | {decision} | {'yes' if proceed else 'no'} | {reason} |")
        events.tell(f"{name}: {decision}: {reason}")
        links = outcome.links | {"experiment": given.experiment}
        whole.append(dataclasses.replace(outcome, verdict=verdict, links=links))
        log_outcome(whole[-1])
    if given.trains:
        chosen = [verdict.candidate_id for verdict in decided if verdict.proceed]
        events.tell(events.TRAINED + (", ".join(chosen) or "none"))
    write_atomically(verdicts, "\n".join(rows) + "\n")
    base = baseline and dataclasses.asdict(baseline)
    write_atomically(judged, json.dumps({"baseline": base, "outcomes": [*map(dataclasses.asdict, whole)]}))
    approved = list_items(outcome for outcome, verdict in zip(whole, decided, strict=True) if verdict.proceed)
    return hand_on(approved=approved)[0]


def arrange(measured: list[Outcome], settings: SimpleNamespace) -> tuple[Outcome | None, list[Outcome]]:
    """Returns the base model's outcome, if any, and the candidates' in the order of the plan; raises InputError without one.

    Candidates with the same checkpoint, which differ by the seed of their RL, share one measurement.
    """
    found = {outcome.candidate.candidate_id: outcome for outcome in measured}
    baseline = next((outcome for outcome in measured if outcome.candidate.is_base), None)
    if baseline is None and settings.compares_base:
        raise InputError("the base model was not measured; the orchestrator skipped it")
    for values, other in settings.shared:
        candidate = parse_record(Candidate, values)
        if other in found:
            found[candidate.candidate_id] = dataclasses.replace(found[other], candidate=candidate)
    if lost := [name for name in settings.candidates if name not in found]:
        raise InputError(f"{', '.join(lost)}: planned, but not measured; the orchestrator skipped it")
    return baseline, [found[name] for name in settings.candidates]
