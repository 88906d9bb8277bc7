"""Container face of SFT: python -m rlready.components.sft --config run.json."""

import dataclasses
from pathlib import Path

from rlready.components.config import read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import BaseModel, Candidate, Outcome
from rlready.components.core.serialization import from_json, write_record
from rlready.components.core.tracking.log import log_outcome
from rlready.components.core.training.processes import is_main
from rlready.components.sft.train import train


def run(candidate: str, settings: str, data: str, model: str, model_uri: str, outcome: str) -> dict[str, float | None]:
    """Trains one candidate, writes its model folder and outcome, and returns its headline figures."""
    chosen, given = from_json(Candidate, candidate), read_settings(settings)
    base = BaseModel(**given.base_model)
    trained = train(chosen, base, given, Path(data), Path(model))
    if not is_main():
        return {}
    reached = Outcome(chosen, sft=trained, links={"base_model": dataclasses.asdict(base), "sft_model": model_uri})
    write_record(reached, outcome)
    log_outcome(reached)
    return {"heldout_loss": trained.trajectory[-1][1], "seconds": trained.seconds}


if __name__ == "__main__":
    run_from_command_line("sft")
