"""Container face of the gate: python -m rlready.components.gate --config run.json."""

import dataclasses

from rlready.components.config import read_settings
from rlready.components.core import events
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import Outcome, PredictorsRecord, from_json, read_record, to_json, write_atomically
from rlready.components.core.tracking import log_outcome
from rlready.components.gate.decide import decide


def run(settings: str, outcome: str, record: str, base_record: str, verdict: str) -> tuple[str, str]:
    """Judges one candidate, writes the verdict and returns (proceed, outcome)."""
    so_far = from_json(Outcome, outcome)
    decided = decide(
        read_record(PredictorsRecord, record),
        read_record(PredictorsRecord, base_record),
        (so_far.sft or {}).get("trajectory", []),
        read_settings(settings).gate,
    )
    line = f"{decided.candidate_id}: {decided.decision} - {decided.reason}"
    events.emit(
        "gate", decided.candidate_id, "decided",
        decision=decided.decision, reason=decided.reason, proceed=decided.proceed,
    )  # fmt: skip
    write_atomically(verdict, line + "\n")
    print(line)
    judged = dataclasses.replace(so_far, verdict=dataclasses.asdict(decided))
    log_outcome(judged)
    return "yes" if decided.proceed else "no", to_json(judged)


if __name__ == "__main__":
    run_from_command_line("gate")
