"""The held-out examples as a model reads them."""

from pathlib import Path

import pyarrow.parquet as pq

from rlready.components.core.prompts import encode_example


def encode_heldout(data: Path, tokenizer) -> list[dict[str, list[int]]]:
    """Returns input_ids and labels of the held-out examples; none where there is no SFT data.

    Args:
        data: Folder that curate wrote.
        tokenizer: The model's.
    """
    path = data / "heldout.parquet"
    rows = pq.read_table(path).to_pylist() if path.exists() else []
    return [encode_example(tokenizer, row) for row in rows]
