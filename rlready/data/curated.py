"""The sets in a folder that curate wrote."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from rlready.models.prompts import encode_example


def read_set(data: Path, name: str) -> list[dict]:
    """Returns the rows of a set, none if there is no such set."""
    path = data / f"{name}.parquet"
    return pq.read_table(path).to_pylist() if path.exists() else []


def identify_data(data: Path, *names: str) -> list[str]:
    """Returns the digests of some sets; empty ones have none."""
    card = json.loads((data / "card.json").read_text())
    return [card["sets"][name]["digest"] for name in names if name in card["sets"]]


def encode_heldout(data: Path, tokenizer) -> list[dict[str, list[int]]]:
    """Returns input_ids and labels of the held-out examples, none if there is no SFT data."""
    return [encode_example(tokenizer, row) for row in read_set(data, "heldout")]


def digest_completions(examples: Sequence[dict[str, list[int]]]) -> str:
    """Returns a digest of the tokens that the loss is over, without end tokens: it differs between tokenizers."""
    tokens = [[token for token in example["labels"] if token >= 0][:-1] for example in examples]
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()[:16]
