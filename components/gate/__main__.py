"""Container face of the gate: python -m rlready.components.gate --config run.json."""

import dataclasses
import json

from rlready.components.config import InputError, read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import Candidate, Outcome
from rlready.components.core.runtime import events
from rlready.components.core.serialization import read_record, to_json, write_atomically
from rlready.components.core.tracking.log import log_outcome
from rlready.components.gate.decide import decide
from rlready.components.gate.forecast import forecast


def run(settings: str, measured: list[str], judged: str, verdicts: str) -> list[dict[str, str]]:
    """Judges the sweep and writes the verdicts, as records and as a table.

    Returns:
        For each candidate that RL runs for: its JSON, and the digest of the checkpoint that was judged.
    """
    given = read_settings(settings)
    baseline, outcomes = arrange([read_record(Outcome, path) for path in measured], given)
    decided = decide(outcomes, baseline, given.gate)
    expected = forecast(decided, given.experiment)
    decided = [dataclasses.replace(v, forecast=f) for v, f in zip(decided, expected, strict=True)]
    rows = ["| candidate | verdict | RL | reason |", "|---|---|---|---|"]
    whole = []
    for outcome, verdict in zip(outcomes, decided, strict=True):
        said = dataclasses.asdict(verdict)
        events.emit("gate", verdict.candidate_id, "decided", **{k: said[k] for k in ("decision", "reason", "proceed")})
        runs = "yes" if verdict.proceed else "no"
        rows.append(f"| {verdict.candidate_id} | {verdict.decision} | {runs} | {verdict.reason} |")
        print(f"{verdict.candidate_id}: {verdict.decision} - {verdict.reason}")
        links = outcome.links | {"experiment": given.experiment}
        whole.append(dataclasses.replace(outcome, verdict=verdict, links=links))
        log_outcome(whole[-1])
    write_atomically(verdicts, "\n".join(rows) + "\n")
    held = {"baseline": dataclasses.asdict(baseline), "outcomes": [dataclasses.asdict(outcome) for outcome in whole]}
    write_atomically(judged, json.dumps(held))
    return [
        {"candidate": to_json(outcome.candidate), "digest": outcome.sft.model_digest}
        for outcome in whole
        if outcome.verdict.proceed
    ]


def arrange(measured: list[Outcome], settings) -> tuple[Outcome, list[Outcome]]:
    """Returns the base model's outcome and those of the candidates, in the order of the plan.

    Candidates without SFT are the base model, measured once; they differ by the seed of their RL.

    Raises:
        InputError: If one is missing: an orchestrator can skip a branch silently.
    """
    found = {outcome.candidate.candidate_id: outcome for outcome in measured if outcome.candidate.epochs}
    baseline = next((outcome for outcome in measured if not outcome.candidate.epochs), None)
    if baseline is None:
        raise InputError("the base model was not measured; the orchestrator skipped it")
    for values in settings.without_sft:
        candidate = Candidate(**values)
        found[candidate.candidate_id] = dataclasses.replace(baseline, candidate=candidate)
    if lost := [name for name in settings.candidates if name not in found]:
        raise InputError(f"{', '.join(lost)}: planned, but not measured; the orchestrator skipped it")
    return baseline, [found[name] for name in settings.candidates]


if __name__ == "__main__":
    run_from_command_line("gate")
