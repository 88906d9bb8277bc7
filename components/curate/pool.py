"""The rows of a source: texts on disk in a seeded order, and in memory only what decides what becomes of each."""

import hashlib
import itertools
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from rlready.components.curate.near_duplicates import Signatures

BUCKETS = 64
BYTES_IN_MEMORY = 128 << 20


def hash_place(seed: int, purpose: str, problem_id: str, solution: str = "") -> str:
    """Returns where a row stands in a seeded order: it depends on its contents only."""
    return hashlib.sha256(f"{seed}/{purpose}/{problem_id}/{solution}".encode()).hexdigest()


class Spool:
    """Rows on their way to a sorted order: spread over files by the first bits of their keys, so that each fits in memory."""

    def __init__(self, folder: Path, names: tuple[str, ...]):
        self.folder, self.waiting, self.size, self.rows = folder, [[] for _ in range(BUCKETS)], 0, 0
        self.writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        self.schema = pa.schema([("key", pa.uint64()), ("row", pa.int64()), *((name, pa.string()) for name in names)])

    def add(self, key: int, *texts: str) -> None:
        """Adds a row of texts; its number is the count of rows before it."""
        self.waiting[key >> 58].append((key, self.rows, *texts))
        self.rows += 1
        self.size += sum(map(len, texts))
        if self.size > BYTES_IN_MEMORY:
            self._flush()

    def _flush(self) -> None:
        for number, rows in enumerate(self.waiting):
            if rows:
                if number not in self.writers:
                    self.writers[number] = pa.ipc.new_stream(self.folder / f"{number}.arrow", self.schema)
                self.writers[number].write_batch(self._to_batch(rows))
                rows.clear()
        self.size = 0

    def _to_batch(self, rows: list[tuple]) -> pa.RecordBatch:
        columns = [
            pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), self.schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def read(self) -> Iterator[pa.Table]:
        """Yields the rows in the order of their keys, then numbers, some at a time."""
        written = set(self.writers)
        while self.writers:
            self.writers.popitem()[1].close()
        for number, rows in enumerate(self.waiting):
            batches = [self._to_batch(rows)] if rows else []
            if number in written:
                with pa.memory_map(str(self.folder / f"{number}.arrow")) as file:
                    table = pa.ipc.open_stream(file).read_all()
                    yield pa.concat_tables([table, pa.Table.from_batches(batches, self.schema)]).sort_by(
                        [("key", "ascending"), ("row", "ascending")]
                    )
            elif batches:
                yield pa.Table.from_batches(batches).sort_by([("key", "ascending"), ("row", "ascending")])


NAMES = ("place", "problem_id", "question", "answer", "format", "solution")
NUMBERS = ("problems", "places", "keys", "versions", "lengths", "tokens", "readable")


def measure(seed: int, drawing: str, writing: str, row: dict, tokens: int, readable: bool) -> tuple[int, ...]:
    """Returns the numbers that decide what becomes of a row, in the order of NUMBERS.

    Args:
        seed: Of the split.
        drawing: Name of the order in which problems and examples are drawn.
        writing: Name of the order in which rows are written.
        row: A problem.
        tokens: Of its solution, where they were counted.
        readable: Whether the verifier can read the answer.

    Returns:
        Problem; its places in both orders; what tells apart rows that are the same but for spacing and case; characters of
        the solution, or of the question where there is none; tokens; whether it is readable.
    """
    solution = row.get("solution", "")
    drawn = key = int(hash_place(seed, drawing, row["problem_id"], solution)[:16], 16)
    if writing != drawing:
        key = int(hash_place(seed, writing, row["problem_id"], solution)[:16], 16)
    version = hashlib.blake2b(f"{row['question']}\0{row['answer']}".encode(), digest_size=8).digest()
    length = len(solution or row["question"])
    return int(row["problem_id"], 16), drawn, key, int.from_bytes(version), length, tokens, int(readable)


class Pool:
    """The well-formed rows of a source.

    Attributes:
        questions: Signatures of the questions.
        examples: Signatures of questions with their solutions.
        reasons: Of rows to tell of, (set, reason).
        pairs: Some near-duplicates, each with the row that stays instead.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True)
        self.spool = Spool(folder, NAMES)
        self.questions, self.examples = Signatures(folder / "questions"), Signatures(folder / "examples")
        self.reasons: dict[int, tuple[str, str]] = {}
        self.pairs: list[tuple[int, int]] = []
        self.columns = {name: array("Q") for name in NUMBERS}

    def __len__(self) -> int:
        return self.spool.rows

    def add(self, texts: tuple[str, ...], numbers: tuple[int, ...]) -> None:
        """Adds a row: its texts in the order of NAMES, and what `measure` returned."""
        for column, value in zip(self.columns.values(), numbers, strict=True):
            column.append(value)
        self.spool.add(numbers[NUMBERS.index("keys")], *texts)

    def get(self, name: str) -> np.ndarray:
        """Returns a column of NUMBERS."""
        return np.frombuffer(self.columns[name], np.uint64)

    def find_duplicates(self) -> np.ndarray:
        """Returns which rows say the same as another; the one that stays does not depend on the order of the rows."""
        order = np.lexsort((self.get("versions"), self.get("places")))
        places = self.get("places")[order]
        twice = np.zeros(len(order), bool)
        twice[order[1:]] = places[1:] == places[:-1]
        return twice

    def read(self) -> Iterator[tuple[int, dict]]:
        """Yields (number, row with its place) in the order of writing."""
        for table in self.spool.read():
            columns = [table[name].to_pylist() for name in ("row", *NAMES)]
            for number, *texts in zip(*columns, strict=True):
                yield number, dict(zip(NAMES, texts, strict=True))

    def order(self, alive: np.ndarray) -> np.ndarray:
        """Returns the numbers of these rows in the order of drawing."""
        rows = np.flatnonzero(alive)
        return rows[np.argsort(self.get("places")[rows], kind="stable")]


def split_at(items: Iterator, size: int) -> Iterator[list]:
    """Yields lists of so many items."""
    while some := list(itertools.islice(items, size)):
        yield some
