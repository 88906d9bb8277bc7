"""Rows that say nearly the same: MinHash signatures, banded, with the numbers as part of what must agree.

MinHash (Broder 1997) estimates the Jaccard similarity of two texts' sets of 5-word shingles; rensa computes it, fifty times as
fast as datasketch (measured on texts of 2 KB). Texts with other digits, signs or answers are never near-duplicates: in
mathematics they are other problems. Everything follows from the texts alone, so the order of the rows changes nothing.
"""

import hashlib
import itertools
import re
from pathlib import Path

import numpy as np

from rlready.components.curate.contamination import Text

HASHES = 128
SHINGLE = 5  # words
NOT_SYMBOL = re.compile(r"[^\d+*/^=<>-]+")
SPACE = re.compile(r"\s+")
# The row numbers and signatures of so many pairs are held against each other at once.
PAIRS_AT_ONCE = 1 << 16


class Signatures:
    """Signatures of texts, on disk, and digests of what must be the same, in memory; a text's number is the count before it."""

    def __init__(self, path: Path):
        self.path, self.same = path, []

    def add(self, texts: list[str], answers: list[str]) -> None:
        """Adds texts, each with the answer to its problem."""
        from rensa import RMinHash

        read = [Text(text) for text in texts]
        # A text shorter than a shingle is near to no other; the same text is an exact duplicate.
        shingles = [words.list_grams(SHINGLE) or [text] for words, text in zip(read, texts, strict=True)]
        hashes = np.array(RMinHash.digests_from_token_sets(shingles, HASHES, 0), np.uint32)
        same = [NOT_SYMBOL.sub("", text) + SPACE.sub("", answer) for text, answer in zip(texts, answers, strict=True)]
        digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in same)
        self.same.append(np.frombuffer(digests, np.uint64))
        with self.path.open("ab") as file:
            # The lower half of a hash tells as well as the whole: two that differ agree in it once in 65,536 times.
            file.write(hashes.astype(np.uint16).tobytes())

    def find(self, order: np.ndarray, threshold: float) -> dict[int, int]:
        """Returns what `find_near` does for these texts."""
        if not self.same:
            return {}
        same = np.concatenate(self.same)
        return find_near(np.memmap(self.path, np.uint16, "r", shape=(len(same), HASHES)), same, order, threshold)


def find_near(signatures: np.ndarray, same: np.ndarray, order: np.ndarray, threshold: float) -> dict[int, int]:
    """Finds the rows to leave out so that no two of the rest are near-duplicates.

    Args:
        signatures: MinHash signatures, one row a text.
        same: Of each text, a digest of what must not differ.
        order: Row numbers; of two near-duplicates the one that comes first here stays.
        threshold: Least estimated Jaccard similarity of near-duplicates.

    Returns:
        For each row to leave out, the row that stays instead, in the order of `order`.
    """
    if len(order) < 2:
        return {}
    # Four hashes of 16 bits make a band of 64: texts of similarity 0.8 meet in one of the 32 bands all but once in 10 million.
    bands = signatures.view(np.uint64)
    pairs = set()
    for band in range(bands.shape[1]):
        key = bands[order, band] ^ same[order]
        sorting = np.argsort(key, kind="stable")
        key = key[sorting]
        first = np.r_[True, key[1:] != key[:-1]]
        if first.all():
            continue
        leaders = order[sorting[np.maximum.accumulate(np.where(first, np.arange(len(key)), 0))]]
        leaders, others = leaders[~first], order[sorting[~first]]
        for start in range(0, len(others), PAIRS_AT_ONCE):
            one, other = leaders[start : start + PAIRS_AT_ONCE], others[start : start + PAIRS_AT_ONCE]
            similar = (signatures[one] == signatures[other]).mean(1) >= threshold
            near = similar & (same[one] == same[other])
            pairs.update(zip(other[near].tolist(), one[near].tolist(), strict=True))
    kept_instead: dict[int, int] = {}
    # What stays is decided from the front, so that no row leaves in favour of one that leaves itself.
    rank = dict(zip(order.tolist(), range(len(order)), strict=True)) if pairs else {}
    pairs = sorted(pairs, key=lambda pair: (rank[pair[0]], rank[pair[1]]))
    for row, group in itertools.groupby(pairs, lambda pair: pair[0]):
        stays = next((kept for _, kept in group if kept not in kept_instead), None)
        if stays is not None:
            kept_instead[row] = stays
    return kept_instead
