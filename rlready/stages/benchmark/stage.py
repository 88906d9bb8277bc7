"""The stage itself: reads its inputs, works, writes its outcome."""

import dataclasses
import tempfile
from pathlib import Path

from rlready.config import read_settings
from rlready.evaluation.samples import FILE
from rlready.models.load import write_pointer
from rlready.records.candidate import BaseModel, Candidate
from rlready.records.outcome import Outcome
from rlready.records.serialization import from_json, read_record, write_atomically, write_record
from rlready.stages.benchmark.score import score
from rlready.tracking.log import log_outcome, log_samples

FIGURES = ("pass_at_1", "standard_error", "greedy_pass_at_1", "chance")


def run(
    candidate: str,
    settings: str,
    data: str,
    samples: str,
    samples_uri: str,
    outcome: str,
    model: str | None = None,
    before: str | None = None,
) -> dict[str, float | None]:
    """Scores one model, writes its samples and its outcome and returns its headline figures.

    Without a model it is the base model, before any RL.
    """
    chosen, given = from_json(Candidate, candidate), read_settings(settings)
    so_far = read_record(Outcome, before) if before else Outcome(chosen)
    if not given.benchmark.samples:  # there is no RL, so there is no result to compare with the base model's
        write_record(so_far, outcome)
        write_atomically(Path(samples) / "none.json", '{"samples": 0}')  # KFP takes an output that is not there for lost
        return {}
    with tempfile.TemporaryDirectory() as folder:
        if model is None:
            write_pointer(Path(folder), BaseModel(**given.base_model))
        count, out = given.benchmark.samples, Path(samples)
        scored = score(chosen, count, given.sampling, given.samples, Path(data), model or folder, out)
    links = so_far.links | {"benchmark_samples": samples_uri}
    reached = dataclasses.replace(so_far, benchmark=scored, links=links)
    write_record(reached, outcome)
    if before:
        log_outcome(reached)
    log_samples(chosen, "benchmark", out / FILE, baseline=not before)
    return {name: getattr(scored, name) for name in FIGURES}
