"""Container face of the gate: python -m rlready.components.gate --config run.json."""

import dataclasses

from rlready.components.config import read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import Judged, Outcome, read_record, to_json, write_atomically
from rlready.components.core.runtime import events
from rlready.components.core.tracking import log_outcome
from rlready.components.gate.decide import decide
from rlready.components.gate.forecast import forecast


def run(settings: str, experiment: str, measured: list[str], reference: str, verdicts: str) -> list[str]:
    """Judges the sweep, writes the verdicts as a table and returns them as JSON, one a candidate."""
    outcomes = [read_record(Outcome, path) for path in measured]
    decided = decide(outcomes, read_record(Outcome, reference), read_settings(settings).gate)
    expected = forecast(decided, experiment)
    decided = [dataclasses.replace(v, forecast=f) for v, f in zip(decided, expected, strict=True)]
    rows = ["| candidate | verdict | RL | reason |", "|---|---|---|---|"]
    for outcome, verdict in zip(outcomes, decided, strict=True):
        events.emit(
            "gate", verdict.candidate_id, "decided",
            decision=verdict.decision, reason=verdict.reason, proceed=verdict.proceed,
        )  # fmt: skip
        runs = "yes" if verdict.proceed else "no"
        rows.append(f"| {verdict.candidate_id} | {verdict.decision} | {runs} | {verdict.reason} |")
        print(f"{verdict.candidate_id}: {verdict.decision} - {verdict.reason}")
        links = outcome.links | {"experiment": experiment}
        log_outcome(dataclasses.replace(outcome, verdict=dataclasses.asdict(verdict), links=links))
    write_atomically(verdicts, "\n".join(rows) + "\n")
    return [
        to_json(Judged(outcome.candidate, outcome.sft["model_digest"], dataclasses.asdict(verdict)))
        for outcome, verdict in zip(outcomes, decided, strict=True)
    ]


if __name__ == "__main__":
    run_from_command_line("gate")
