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


class Pool:
    """The well-formed rows of a source.

    Attributes:
        problems: Of each row, the id of its problem.
        places: Where it stands in the order by which problems and examples are drawn.
        keys: Where it stands in the order in which rows are written.
        versions: Tells apart rows that are the same but for spacing and case.
        lengths: Characters of the solution, or of the question where there is none.
        tokens: Tokens of the same, where they were counted.
        readable: Whether the verifier can read the answer.
        questions: Signatures of the questions.
        examples: Signatures of questions with their solutions.
        reasons: Of rows that were left out, (set, reason).
        pairs: Some near-duplicates, each with the row that stays instead.
    """

    NAMES = ("place", "problem_id", "question", "answer", "format", "solution")

    def __init__(self, folder: Path, seed: int, drawing: str, writing: str):
        self.seed, self.drawing, self.writing = seed, drawing, writing
        folder.mkdir(parents=True)
        self.questions, self.examples = Signatures(folder / "questions"), Signatures(folder / "examples")
        self.reasons: dict[int, tuple[str, str]] = {}
        self.pairs: list[tuple[int, int]] = []
        self.spool = Spool(folder, self.NAMES)
        columns = ("problems", "places", "keys", "versions", "lengths", "tokens", "readable")
        self.columns = {name: array("B" if name == "readable" else "Q") for name in columns}

    def __len__(self) -> int:
        return self.spool.rows

    def add(self, place: str, row: dict, readable: bool, tokens: int) -> None:
        """Adds a row."""
        solution = row.get("solution", "")
        drawn = int(hash_place(self.seed, self.drawing, row["problem_id"], solution)[:16], 16)
        key = drawn
        if self.writing != self.drawing:
            key = int(hash_place(self.seed, self.writing, row["problem_id"], solution)[:16], 16)
        version = hashlib.blake2b(f"{row['question']}\0{row['answer']}".encode(), digest_size=8).digest()
        values = (
            int(row["problem_id"], 16),
            drawn,
            key,
            int.from_bytes(version),
            len(solution or row["question"]),
            tokens,
            readable,
        )
        for column, value in zip(self.columns.values(), values, strict=True):
            column.append(value)
        self.spool.add(key, place, row["problem_id"], row["question"], row["answer"], row["format"], solution)

    def get(self, name: str) -> np.ndarray:
        """Returns a column of numbers."""
        column = self.columns[name]
        return np.frombuffer(column, np.uint8 if column.typecode == "B" else np.uint64)

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
            columns = [table[name].to_pylist() for name in ("row", *self.NAMES)]
            for number, *texts in zip(*columns, strict=True):
                yield number, dict(zip(self.NAMES, texts, strict=True))

    def order(self, alive: np.ndarray) -> np.ndarray:
        """Returns the numbers of these rows in the order of drawing."""
        rows = np.flatnonzero(alive)
        return rows[np.argsort(self.get("places")[rows], kind="stable")]


def split_at(items: Iterator, size: int) -> Iterator[list]:
    """Yields lists of so many items."""
    while some := list(itertools.islice(items, size)):
        yield some
