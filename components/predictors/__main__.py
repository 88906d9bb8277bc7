"""Container face of the predictors: python -m rlready.components.predictors --config run.json."""

import dataclasses
import json
from pathlib import Path

from rlready.components.config import read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import (
    Candidate,
    Outcome,
    SftRecord,
    from_json,
    read_record,
    summarize_predictors,
    to_json,
    write_record,
)
from rlready.components.core.tracking import log_outcome
from rlready.components.predictors.measure import measure


def run(
    candidate: str, base: str, settings: str, data: str, model: str, model_uri: str, sft_record: str, record: str
) -> str:
    """Measures one checkpoint, writes its record and returns the outcome so far as JSON."""
    chosen, chosen_settings = from_json(Candidate, candidate), read_settings(settings)
    sampling = chosen_settings.sampling
    measured = measure(
        chosen, chosen_settings.predictors.samples, sampling.max_tokens, sampling.seed, Path(data), model
    )
    write_record(measured, record)
    sft = dataclasses.asdict(read_record(SftRecord, sft_record))
    del sft["candidate"]
    card = json.loads((Path(data) / "card.json").read_text())
    sets = {name: {"rows": entry["rows"], "digest": entry["digest"]} for name, entry in card["sets"].items()}
    links = {"base_model": json.loads(base), "sft_model": model_uri, "data": sets}
    outcome = Outcome(chosen, sft=sft, predictors=summarize_predictors(measured), links=links)
    log_outcome(outcome)
    return to_json(outcome)


if __name__ == "__main__":
    run_from_command_line("predictors")
