"""Container face of curate: python -m rlready.components.curate --config run.json."""

import json
from pathlib import Path

from rlready.components.config import read_settings
from rlready.components.core.launch import run_from_command_line
from rlready.components.core.models import load_token_counter
from rlready.components.core.records import write_atomically
from rlready.components.curate.curate import curate, describe_card


def run(settings: str, revisions: str, data: str, card: str) -> dict[str, int]:
    """Splits the data, writes it with its card and returns the rows of each set."""
    read = read_settings(settings)
    count = load_token_counter(read.base.model, read.base.revision) if hasattr(read, "base") else None
    described = curate(read.curate, json.loads(revisions), Path(data), count)
    write_atomically(card, describe_card(described))
    print(describe_card(described))
    return {name: entry["rows"] for name, entry in described["sets"].items()}


if __name__ == "__main__":
    run_from_command_line("curate")
