"""The stage itself: reads its inputs, works, writes its outcome."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rlready.config import read_settings
from rlready.models.load import load_token_counter
from rlready.records.serialization import write_atomically
from rlready.stages.curate.card import describe_card
from rlready.stages.curate.curate import curate
from rlready.stages.curate.split import PassCounter, open_pass_counter


def run(settings: str, data: str, card: str) -> dict[str, int]:
    """Splits the data, writes it with its card and returns the rows of each set."""
    read = read_settings(settings)
    tokens = load_token_counter(read.base.model, read.base.revision) if read.curate.needs_tokens else None
    passes: AbstractContextManager[PassCounter | None] = nullcontext()
    if read.curate.needs_pass_rates:
        passes = open_pass_counter(read.base, read.sampling, read.curate.pass_rate_samples)
    with passes as count_passes:
        described = curate(read.curate, read.revisions, Path(data), tokens, count_passes)
    shown = describe_card(described)
    write_atomically(card, shown)
    print(shown)
    return {name: entry["rows"] for name, entry in described["sets"].items()}
