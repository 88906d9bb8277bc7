"""The held-out examples as a model reads them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from rlready.models.prompts import encode_example


def encode_heldout(data: Path, tokenizer) -> list[dict[str, list[int]]]:
    """Returns input_ids and labels of the held-out examples in a folder that curate wrote; none if there is no SFT data."""
    path = data / "heldout.parquet"
    rows = pq.read_table(path).to_pylist() if path.exists() else []
    return [encode_example(tokenizer, row) for row in rows]


def digest_completions(examples: Sequence[dict[str, list[int]]]) -> str:
    """Returns a digest of the tokens that the loss is over, without end tokens: it differs between tokenizers."""
    tokens = [[token for token in example["labels"] if token >= 0][:-1] for example in examples]
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()[:16]
