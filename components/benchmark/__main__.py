"""Container face of the benchmark: python -m rlready.components.benchmark --config run.json."""

import dataclasses
import tempfile
from pathlib import Path

from rlready.components.benchmark.score import score
from rlready.components.config import read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.models import write_pointer
from rlready.components.core.records import BaseModel, Candidate, Outcome
from rlready.components.core.serialization import from_json, read_record, write_record
from rlready.components.core.tracking.log import log_outcome

FIGURES = ("pass_at_1", "standard_error", "greedy_pass_at_1", "chance")


def run(
    candidate: str, settings: str, data: str, outcome: str, model: str | None = None, before: str | None = None
) -> dict[str, float | None]:
    """Scores one model, writes its outcome and returns its headline figures.

    Without a model it is the base model, before any RL.
    """
    chosen, given = from_json(Candidate, candidate), read_settings(settings)
    so_far = read_record(Outcome, before) if before else Outcome(chosen)
    with tempfile.TemporaryDirectory() as folder:
        if model is None:
            write_pointer(Path(folder), BaseModel(**given.base_model))
        scored = score(chosen, given.benchmark.samples, given.sampling, Path(data), model or folder)
    reached = dataclasses.replace(so_far, benchmark=scored)
    write_record(reached, outcome)
    if before:
        log_outcome(reached)
    return {name: getattr(scored, name) for name in FIGURES}


if __name__ == "__main__":
    run_from_command_line("benchmark")
