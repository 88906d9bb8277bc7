"""Rows that say nearly the same: MinHash signatures, banded, with the numbers as part of what must agree.

MinHash (Broder 1997) estimates the Jaccard similarity of two texts' sets of 5-word shingles; rensa computes it, fifty times as
fast as datasketch (measured on texts of 2 KB). Texts with other digits or signs are never near-duplicates: in mathematics they
are other problems. Everything follows from the texts alone, so the order of the rows changes nothing.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlready.data.identity import unify_characters
from rlready.stages.curate.duplicates.contamination import ALIKE, OPERATORS, compile_eraser, list_grams

HASHES = 128
# Four hashes of 16 bits make a band of 64: texts of similarity 0.8 meet in one of the 32 bands all but once in 10 million.
BANDS = HASHES // 4
SHINGLE = 5  # words
erase_all_but_symbols = compile_eraser(r"[^\d+*/^=<>-]")
SPACE = re.compile(r"\s+")
# The row numbers and signatures of this many pairs are compared at once.
PAIRS_AT_ONCE = 1 << 16
KEY_BITS = 20


def sign(texts: list[str], words: list[list[str]], answers: list[str]) -> tuple[bytes, bytes, bytes]:
    """Returns MinHash signatures of texts, and digests of what near-duplicates have in common, as `Signatures` keeps them.

    These are one row of 16-bit hashes per text, and 64 bits per text for its digits and signs, and for its answer.
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
    # The lower half of a hash is enough: two that differ agree in it once in 65,536 times.
    signatures = hashes.astype(np.uint16).tobytes()
    told = (SPACE.sub("", unify_characters(answer)) for answer in answers)
    return signatures, _digest(map(list_symbols, texts, words)), _digest(told)


def list_symbols(text: str, words: list[str]) -> str:
    r"""Returns the digits, signs and operators of a text, and behind them the operators among its words (`\div`, `minus`)."""
    spelled = " ".join(filter(OPERATORS.__contains__, words))
    return f"{erase_all_but_symbols(text if text.isascii() else unify_characters(text).translate(ALIKE))} {spelled}"


def _digest(texts: Iterable[str]) -> bytes:
    return b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)


class Signatures:
    """Signatures of texts, on disk, and digests of what near-duplicates share, in memory; texts are numbered as they are added.

    A threshold is the minimum estimated Jaccard similarity of near-duplicates; at 0 there are none.
    """

    def __init__(self, path: Path):
        self.path = path
        self.symbols: list[np.ndarray] = []
        self.answers: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(map(len, self.symbols))

    def add(self, signatures: bytes, symbols: bytes, answers: bytes) -> None:
        """Adds what `sign` returned."""
        self.symbols.append(np.frombuffer(symbols, np.uint64))
        self.answers.append(np.frombuffer(answers, np.uint64))
        with self.path.open("ab") as file:
            file.write(signatures)

    def find(self, order: np.ndarray, threshold: float) -> dict[int, int]:
        """Returns the texts to leave out so that no two of the rest are near-duplicates with one answer, each with its leader.

        Of two near-duplicates the first one in the order stays, unless it is left out itself.
        """
        if not self.symbols:
            return {}
        same = np.concatenate(self.symbols) ^ np.concatenate(self.answers)
        leaders = _Comparison(self._open(), same, threshold).group(order)
        return {int(order[place]): int(order[leaders[place]]) for place in np.flatnonzero(leaders != np.arange(len(order)))}

    def group(self, rows: np.ndarray, threshold: float) -> np.ndarray:
        """Returns for each of these texts the place among them of the first of its group, whatever their answers.

        Each is a near-duplicate of the first of its group, and no two first ones are near. Groups of all that is linked would
        be chains, in which the last has nothing in common with the first.
        """
        if not threshold or not len(rows):
            return np.arange(len(rows))
        return _Comparison(self._open(), np.concatenate(self.symbols), threshold).group(rows)

    def find_copies(self, ones: np.ndarray, others: np.ndarray, threshold: float) -> np.ndarray:
        """Returns for each of other texts the place in `ones` of one that it is a near-duplicate of, or -1."""
        if not threshold or not len(ones) or not len(others):
            return np.full(len(others), -1)
        return _Comparison(self._open(), np.concatenate(self.symbols), threshold).find_copies(ones, others)

    def _open(self) -> np.ndarray:
        return np.memmap(self.path, np.uint16, "r", shape=(len(self), HASHES))


@dataclass(frozen=True)
class _Comparison:
    signatures: np.ndarray  # (texts, HASHES)
    same: np.ndarray  # of each text, a digest of what must not differ
    threshold: float

    def find_copies(self, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        copied = np.full(len(others), -1)
        for band in range(BANDS):
            sorting, key = self._sort(band, ones)
            # Most rows meet none, which the last bits of their keys tell sooner than a search.
            known = np.zeros(1 << KEY_BITS, bool)
            known[key % len(known)] = True
            places = np.flatnonzero(copied < 0)
            keys = self._get_keys(band, others[places])
            places, keys = places[known[keys % len(known)]], keys[known[keys % len(known)]]
            at, end = np.searchsorted(key, keys), np.searchsorted(key, keys, "right")
            while (meets := at < end).any():
                places, at, end = places[meets], at[meets], end[meets]
                near = self._are_near(ones[sorting[at]], others[places])
                copied[places[near]] = sorting[at[near]]
                places, at, end = places[~near], at[~near] + 1, end[~near]
        return copied

    def group(self, rows: np.ndarray) -> np.ndarray:
        linked = np.arange(len(rows))
        members: dict[int, list[int]] = {}
        for band in range(BANDS):
            sorting, key = self._sort(band, rows)
            meets = key[1:] == key[:-1]
            inside = np.r_[False, meets] | np.r_[meets, False]
            self._join_near(rows, sorting[inside], key[inside], linked, members)
        leaders = np.arange(len(rows))
        places = np.flatnonzero(np.bincount(linked, minlength=len(rows))[linked] > 1)
        places = places[np.argsort(linked[places], kind="stable")]
        # The first of all that are linked leads those near to it, then the first of the rest, in all links at once.
        while len(places):
            starts = np.flatnonzero(np.r_[True, np.diff(linked[places]) != 0])
            first = np.repeat(places[starts], np.diff(np.r_[starts, len(places)]))
            near = self._are_near(rows[first], rows[places])
            leaders[places[near]] = first[near]
            places = places[~near]
        return leaders

    def _get_keys(self, band: int, rows: np.ndarray) -> np.ndarray:
        return self.signatures.view(np.uint64)[rows, band] ^ self.same[rows]

    def _sort(self, band: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys = self._get_keys(band, rows)
        sorting = np.argsort(keys, kind="stable")
        return sorting, keys[sorting]

    def _join_near(
        self, rows: np.ndarray, places: np.ndarray, key: np.ndarray, groups: np.ndarray, members: dict[int, list[int]]
    ) -> None:
        """Joins the groups of near rows that meet in a band: places in `rows`, sorted by bucket, and the key of each."""
        starts = np.flatnonzero(np.r_[len(key) > 0, key[1:] != key[:-1]])
        bucket = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(key)]))
        one = np.arange(len(key))
        # Every row is compared with the next in its bucket, then the next but one, until each bucket is one group or ends.
        for lag in itertools.count(1):
            one = one[one + lag < len(key)]
            one = one[key[one] == key[one + lag]]
            if not len(one):
                return
            found = groups[places]
            open_buckets = np.minimum.reduceat(found, starts) != np.maximum.reduceat(found, starts)
            one = one[open_buckets[bucket[one]]]
            apart = one[found[one] != found[one + lag]]
            some = apart[self._are_near(rows[places[apart]], rows[places[apart + lag]])]
            for left, right in zip(places[some].tolist(), places[some + lag].tolist(), strict=True):
                _join(groups, members, left, right)

    def _are_near(self, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        near = self.same[ones] == self.same[others]
        for start in range(0, len(ones), PAIRS_AT_ONCE):
            some = slice(start, start + PAIRS_AT_ONCE)
            near[some] &= (self.signatures[ones[some]] == self.signatures[others[some]]).mean(1) >= self.threshold
        return near


def _join(groups: np.ndarray, members: dict[int, list[int]], left: int, right: int) -> None:
    """Gives the smaller of two groups the number of the larger."""
    one, other = int(groups[left]), int(groups[right])
    if one == other:
        return
    one_members, others = members.pop(one, [one]), members.pop(other, [other])
    if len(one_members) < len(others):
        one, one_members, others = other, others, one_members
    groups[others] = one
    one_members.extend(others)
    members[one] = one_members
