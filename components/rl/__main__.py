"""Container face of RL: python -m rlready.components.rl --config run.json."""

from pathlib import Path

from rlready.components.config import read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.records import Candidate, from_json, write_record
from rlready.components.rl.train import train


def run(candidate: str, settings: str, data: str, model: str, trained: str, record: str) -> None:
    """Trains one checkpoint and writes its model folder and record."""
    chosen = read_settings(settings)
    write_record(
        train(from_json(Candidate, candidate), chosen.rl, chosen.sampling.max_tokens, Path(data), model, Path(trained)),
        record,
    )


if __name__ == "__main__":
    run_from_command_line("rl")
