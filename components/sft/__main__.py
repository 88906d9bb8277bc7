"""Container face of SFT: python -m rlready.components.sft --config run.json."""

import json
from pathlib import Path

from rlready.components.config import read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import BaseModel, Candidate, Outcome, drop_candidate, from_json, write_record
from rlready.components.core.tracking import log_outcome
from rlready.components.core.training.processes import is_main
from rlready.components.sft.train import train


def run(candidate: str, base: str, settings: str, data: str, model: str, model_uri: str, record: str) -> None:
    """Trains one candidate and writes its model folder and record."""
    chosen, start = from_json(Candidate, candidate), from_json(BaseModel, base)
    trained = train(chosen, start, read_settings(settings), Path(data), Path(model))
    if not is_main():
        return
    write_record(trained, record)
    links = {"base_model": json.loads(base), "sft_model": model_uri}
    if chosen.epochs:  # whether the base model is a candidate or the reference, only the gate and the report know
        log_outcome(Outcome(chosen, sft=drop_candidate(trained), links=links))


if __name__ == "__main__":
    run_from_command_line("sft")
