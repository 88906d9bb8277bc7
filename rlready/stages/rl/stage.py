"""The RL stage: trains one checkpoint with GRPO."""

import dataclasses
from pathlib import Path

from rlready.config import read_settings
from rlready.errors import InputError
from rlready.records.candidate import Candidate
from rlready.records.outcome import Outcome
from rlready.records.serialization import from_json, read_record, write_record
from rlready.stages.rl.train import train
from rlready.tracking.log import log_outcome


def run(
    candidate: str,
    settings: str,
    data: str,
    model: str,
    before: str,
    measured_digest: str,
    trained: str,
    model_uri: str,
    outcome: str,
) -> dict[str, float | None]:
    """Trains one checkpoint, writes model folder and outcome, and returns its headline figures.

    Raises:
        InputError: If the weights are not those that the predictors measured.
    """
    chosen, given, so_far = from_json(Candidate, candidate), read_settings(settings), read_record(Outcome, before)
    digest = so_far.sft.model_digest if so_far.sft else None
    if digest != measured_digest:
        raise InputError(
            f"{chosen.candidate_id}: SFT ran again and gave other weights ({digest}) than those that the gate judged"
            f" ({measured_digest}); enable caching for this run, so that RL gets the measured checkpoint"
        )
    record = train(chosen, given, Path(data), model, Path(trained))
    if record is None:  # in every process but the main one
        return {}
    reached = dataclasses.replace(so_far, rl=record, links=so_far.links | {"rl_model": model_uri})
    write_record(reached, outcome)
    log_outcome(reached)
    reward = record.rewards[-1][1] if record.rewards else None
    return {"reward": reward, "steps": record.steps, "seconds": record.seconds}
