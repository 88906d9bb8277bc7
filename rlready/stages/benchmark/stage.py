"""The benchmark stage: scores one model."""

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
    """Scores one model, by default the base model before RL, writes samples and outcome, and returns its headline figures."""
    chosen, given = from_json(Candidate, candidate), read_settings(settings)
    so_far = read_record(Outcome, before) if before else Outcome(chosen)
    if not given.benchmark.samples:  # without RL there is nothing to compare with the base model
        write_record(so_far, outcome)
        write_atomically(Path(samples) / "none.json", '{"samples": 0}')  # to KFP a missing output is a lost one
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
