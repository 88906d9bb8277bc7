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

from rlready.components.core.data.problems import compile_eraser
from rlready.components.curate.contamination import list_grams

HASHES = 128
SHINGLE = 5  # words
erase_all_but_symbols = compile_eraser(r"[^\d+*/^=<>-]")
SPACE = re.compile(r"\s+")
# The row numbers and signatures of so many pairs are held against each other at once.
PAIRS_AT_ONCE = 1 << 16


def sign(texts: list[str], words: list[list[str]], answers: list[str]) -> tuple[bytes, bytes]:
    """Returns signatures and digests of what near-duplicates must have in common, as `Signatures` keeps them.

    Args:
        texts: What to sign.
        words: The words of each.
        answers: The answer to each problem.

    Returns:
        (MinHash signatures, one row of 16-bit hashes a text; digests of 64 bits).
    """
    from rensa import RMinHash

    # A text shorter than a shingle is near to no other; the same text is an exact duplicate.
    shingles = [list_grams(some, SHINGLE) or [text] for some, text in zip(words, texts, strict=True)]
    hashes = np.empty((len(texts), HASHES), np.uint32)
    # Text by text: the bulk form starts threads, which a fork does not have and would wait for.
    for row, some in zip(hashes, shingles, strict=True):
        minhash = RMinHash(HASHES, 0)
        minhash.update(some)
        row[:] = minhash.digest()
    same = [erase_all_but_symbols(text) + SPACE.sub("", answer) for text, answer in zip(texts, answers, strict=True)]
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in same)
    # The lower half of a hash tells as well as the whole: two that differ agree in it once in 65,536 times.
    return hashes.astype(np.uint16).tobytes(), b"".join(digests)


class Signatures:
    """Signatures of texts, on disk, and digests of what must be the same, in memory; a text's number is the count before it."""

    def __init__(self, path: Path):
        self.path, self.same = path, []

    def add(self, signatures: bytes, same: bytes) -> None:
        """Adds what `sign` returned."""
        self.same.append(np.frombuffer(same, np.uint64))
        with self.path.open("ab") as file:
            file.write(signatures)

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
