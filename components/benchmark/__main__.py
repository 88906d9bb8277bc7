"""Container face of the benchmark: python -m rlready.components.benchmark --config run.json."""

import dataclasses
import json
from pathlib import Path

from rlready.components.benchmark.score import score
from rlready.components.config import read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import Candidate, Outcome, RlRecord, from_json, read_record, to_json, write_record
from rlready.components.core.tracking import log_outcome


def run(
    candidate: str,
    settings: str,
    outcome: str,
    data: str,
    model: str,
    model_uri: str,
    record: str,
    rl_record: str | None = None,
) -> str:
    """Scores one model, writes its record and returns the outcome with RL and benchmark filled in.

    Without an RL record the model is the base itself, before any RL.
    """
    chosen, chosen_settings = from_json(Candidate, candidate), read_settings(settings)
    sampling = chosen_settings.sampling
    scored = score(chosen, chosen_settings.benchmark.samples, sampling.max_tokens, sampling.seed, Path(data), model)
    write_record(scored, record)
    filled = dataclasses.replace(from_json(Outcome, outcome), benchmark=_without_candidate(record))
    if rl_record:
        read_record(RlRecord, rl_record)
        links = filled.links | {"rl_model": model_uri}
        filled = dataclasses.replace(filled, rl=_without_candidate(rl_record), links=links)
        log_outcome(filled)
    return to_json(filled)


def _without_candidate(record: str) -> dict:
    values = json.loads(Path(record).read_text())
    del values["candidate"]
    return values


if __name__ == "__main__":
    run_from_command_line("benchmark")
