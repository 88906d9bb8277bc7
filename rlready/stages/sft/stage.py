"""The stage itself: trains one candidate, adopts its checkpoint, or passes on one of which only a log is known."""

from pathlib import Path

from rlready.config import read_settings
from rlready.records.candidate import BaseModel, Candidate
from rlready.records.outcome import Outcome
from rlready.records.serialization import from_json, write_atomically, write_record, write_records
from rlready.stages.sft.adopt import adopt
from rlready.tracking.log import log_outcome
from rlready.training.epochs import cut, locate
from rlready.training.processes import is_main


def run(candidate: str, settings: str, data: str, model: str, model_uri: str, outcome: str) -> dict[str, float | None]:
    """Writes the model folder and the outcome of one candidate, or of all checkpoints of a training; returns its figures."""
    chosen, given = from_json(Candidate, candidate), read_settings(settings)
    base = getattr(given, "base_model", None)
    finished, stored = chosen.checkpoint, model_uri
    if chosen.log and chosen.is_base and base:
        finished = BaseModel(**base)
    if finished:
        record = adopt(finished, chosen.adapter_base, Path(model)) if is_main() else None
        stored = model_uri if chosen.adapter_base else finished.location
    elif chosen.log:
        write_record(Outcome(chosen), outcome)
        write_atomically(Path(model) / "none.json", '{"weights": "only a log is known of this candidate"}')
        return {}
    else:
        from rlready.stages.sft.train import train  # loads torch and TRL

        record = train(chosen, BaseModel(**given.base_model), given, Path(data), Path(model))
    if record is None:  # in every process but the main one
        return {}
    links = ({"base_model": base} if base else {}) | {"sft_model": stored}
    outcomes = [Outcome(chosen, sft=record, links=links)]
    if chosen.kept_epochs:
        outcomes = [
            Outcome(one, sft=cut(record, one, Path(model)), links=links | {"sft_model": locate(stored, one)})
            for one in map(chosen.at, chosen.kept_epochs)
        ]
    write_records(outcomes, outcome)
    for reached in outcomes:
        log_outcome(reached)
    return {"heldout_loss": record.trajectory[-1][1] if record.trajectory else None, "seconds": record.seconds}
