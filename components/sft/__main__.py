"""Container face of SFT: python -m rlready.components.sft --config run.json."""

import json
from pathlib import Path

from rlready.components.config import read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import BaseModel, Candidate, Outcome, from_json, write_record
from rlready.components.core.tracking import log_outcome
from rlready.components.sft.train import train


def run(candidate: str, base: str, settings: str, data: str, model: str, model_uri: str, record: str) -> None:
    """Trains one candidate and writes its model folder and record."""
    chosen, start = from_json(Candidate, candidate), from_json(BaseModel, base)
    trained = train(chosen, start, read_settings(settings).sft, Path(data), Path(model))
    write_record(trained, record)
    sft = json.loads(Path(record).read_text())
    del sft["candidate"]
    log_outcome(Outcome(chosen, sft=sft, links={"base_model": json.loads(base), "sft_model": model_uri}))


if __name__ == "__main__":
    run_from_command_line("sft")
