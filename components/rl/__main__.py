"""Container face of RL: python -m rlready.components.rl --config run.json."""

from pathlib import Path

from rlready.components.config import InputError, read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import Candidate, SftRecord, from_json, read_record, write_record
from rlready.components.core.training.processes import is_main
from rlready.components.rl.train import train


def run(
    candidate: str,
    settings: str,
    data: str,
    model: str,
    sft_record: str,
    measured_digest: str,
    trained: str,
    record: str,
) -> None:
    """Trains one checkpoint and writes its model folder and record.

    Raises:
        InputError: If the checkpoint is not the one that the predictors measured.
    """
    chosen, given = from_json(Candidate, candidate), read_settings(settings)
    digest = read_record(SftRecord, sft_record).model_digest
    if digest != measured_digest:
        raise InputError(
            f"{chosen.candidate_id}: SFT ran again and gave other weights ({digest}) than those that the gate judged"
            f" ({measured_digest}); turn caching on for this run, so that RL gets the measured checkpoint"
        )
    outcome = train(chosen, given, Path(data), model, Path(trained))
    if is_main():
        write_record(outcome, record)


if __name__ == "__main__":
    run_from_command_line("rl")
