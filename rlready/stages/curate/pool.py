"""The rows of a training source: texts on disk in a seeded order, and in memory only the numbers that splits need."""

import hashlib
import itertools
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from rlready.data.references import are_contrary
from rlready.stages.curate.card import EXAMPLES_OF_A_REASON, Dropped, Tally
from rlready.stages.curate.duplicates.near_duplicates import Signatures
from rlready.verifier.equivalence.decide import read_plain

BUCKETS = 256
BYTES_IN_MEMORY = 64 << 20
PROMPT = ["problem_id", "question", "answer", "format", "prompt"]  # an RL prompt
EXAMPLE = [*PROMPT, "solution"]
NAMES = ("place", *EXAMPLE)
CONTRARY = "a question that has different reference answers"
MOST_COMPARED = 20_000  # rows, in memory
NUMBERS = ("problems", "places", "keys", "versions", "lengths", "tokens", "plain")
ORDER = [("key", "ascending"), ("row", "ascending")]


def hash_place(seed: int, purpose: str, problem_id: str, solution: str = "") -> str:
    """Returns the place of a row in a seeded order, which depends on its contents only."""
    return hashlib.sha256(f"{seed}/{purpose}/{problem_id}/{solution}".encode()).hexdigest()


def order_by_hash(rows: Iterable[dict], seed: int, purpose: str) -> list[dict]:
    """Returns rows sorted by `hash_place`."""
    return sorted(rows, key=lambda row: hash_place(seed, purpose, row["problem_id"], row.get("solution", "")))


class Spool:
    """Sorts more rows than fit into memory: files by the first bits of the keys, each sorted when it is read."""

    def __init__(self, folder: Path):
        self.folder, self.size, self.rows = folder, 0, 0
        self.waiting: list[pa.Table] = []
        self.writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}

    def add(self, keys: np.ndarray, texts: pa.RecordBatch) -> None:
        """Adds rows, which are numbered as they are added."""
        numbers = np.arange(self.rows, self.rows + len(keys))
        columns = [pa.array(keys, pa.uint64()), pa.array(numbers, pa.int64()), *texts.columns]
        self.waiting.append(pa.Table.from_arrays(columns, ["key", "row", *texts.schema.names]))
        self.rows += len(keys)
        self.size += texts.nbytes
        if self.size > BYTES_IN_MEMORY:
            self._flush()

    def _flush(self) -> None:
        table = pa.concat_tables(self.waiting).sort_by(ORDER)
        buckets = table["key"].to_numpy() // (2**64 // BUCKETS)
        for number, start in zip(*np.unique(buckets, return_index=True), strict=True):
            if number not in self.writers:
                self.writers[number] = pa.ipc.new_stream(self.folder / f"{number}.arrow", table.schema)
            rows = np.searchsorted(buckets, number, "right") - start
            self.writers[number].write_table(table.slice(start, rows).combine_chunks())
        self.waiting, self.size = [], 0

    def scan(self) -> Iterator[pa.Table]:
        """Yields tables of the rows, in no particular order; columns that are not used are not read."""
        if not self.writers:
            yield from filter(len, self.waiting)
            return
        if self.waiting:
            self._flush()
        for writer in self.writers.values():
            writer.close()  # may be closed already
        for number in sorted(self.writers):
            with pa.memory_map(str(self.folder / f"{number}.arrow")) as file:
                yield pa.ipc.open_stream(file).read_all()

    def read(self) -> Iterator[pa.Table]:
        """Yields tables of the rows, sorted by key, then number."""
        for table in self.scan() if self.writers else [pa.concat_tables(self.waiting)]:
            yield table.sort_by(ORDER)


def measure(seed: int, drawing: str, writing: str, row: dict, tokens: int) -> tuple[int, ...]:
    """Returns what splits need to know of a row, in the order of NUMBERS.

    These are the problem; its places in the orders of drawing and of writing; a hash that distinguishes rows that differ in
    spacing or case only; characters of the solution, or else of the question; tokens of the solution, if they were counted;
    whether the reference answer is a plain number, surely readable.
    """
    solution = row.get("solution", "")
    drawn = key = int(hash_place(seed, drawing, row["problem_id"], solution)[:16], 16)
    if writing != drawing:
        key = int(hash_place(seed, writing, row["problem_id"], solution)[:16], 16)
    version = hashlib.blake2b(f"{row['question']}\0{row['answer']}".encode(), digest_size=8).digest()
    length = len(solution or row["question"])
    answer = row["answer"]
    plain = int(row["format"] == "boxed" and (answer.isdecimal() or read_plain(answer) is not None))
    return int(row["problem_id"], 16), drawn, key, int.from_bytes(version), length, tokens, plain


class RowPool:
    """The usable rows of a training source, `sft` or `rl`."""

    def __init__(self, folder: Path, use: str, dropped: Dropped, questions: Signatures):
        folder.mkdir(parents=True)
        self.use, self.dropped = use, dropped
        self.spool = Spool(folder)
        self.questions, self.first = questions, len(questions)  # signatures of all questions, and the number of its first
        self.examples = Signatures(folder / "examples")  # of questions with their solutions
        self.left = np.zeros(0, bool)
        # (tally, set, reason, row) of some rows, whose places `read` looks up
        self.shown: list[tuple[Tally, str, str, int]] = []
        self.pairs: list[tuple[int, int]] = []  # some near-duplicates, each with the row that is kept instead
        self.columns = {name: array("Q") for name in NUMBERS}

    def __len__(self) -> int:
        return self.spool.rows

    def add(self, texts: pa.RecordBatch, numbers: np.ndarray) -> None:
        """Adds rows: their texts, columns NAMES, and what `measure` returned for each, one row per name of NUMBERS."""
        for column, values in zip(self.columns.values(), numbers, strict=True):
            column.frombytes(values.tobytes())
        self.spool.add(numbers[NUMBERS.index("keys")], texts)

    def get(self, name: str) -> np.ndarray:
        """Returns a column of NUMBERS."""
        return np.frombuffer(self.columns[name], np.uint64)

    def remove_duplicates(self, threshold: float) -> None:
        """Leaves out duplicates and, above a threshold of 0, near-duplicates; the order of rows does not decide which."""
        order = np.lexsort((self.get("versions"), self.get("places")))
        places = self.get("places")[order]
        self.leave_out(order[1:][places[1:] == places[:-1]], "duplicate")
        if threshold:
            signatures, first = (self.examples, 0) if self.use == "sft" else (self.questions, self.first)
            found = signatures.find(self.order() + first, threshold)
            near = {row - first: stays - first for row, stays in found.items()}
            self.leave_out(np.array(list(near), np.int64), "near-duplicate")
            self.pairs = list(near.items())[:EXAMPLES_OF_A_REASON]

    def leave_out(self, rows: np.ndarray, reason: str, use: str = "") -> None:
        """Leaves out rows of the pool, or counts rows left out of another set; `read` looks up their places."""
        self._count(self.dropped, use or self.use, reason, rows)
        if use in ("", self.use):
            self.left = ~self.alive
            self.left[rows] = True

    def _count(self, tally: Tally, use: str, reason: str, rows: np.ndarray) -> None:
        if len(rows):
            tally.counts[use, reason] += len(rows)
            first = rows[np.argsort(self.get("keys")[rows], kind="stable")[:EXAMPLES_OF_A_REASON]]
            self.shown += [(tally, use, reason, row) for row in first.tolist()]

    def note_contrary(self) -> None:
        """Counts the rows of questions that have different reference answers in this pool."""
        problems = self.get("problems")
        # Of questions with several versions, which differ in the answer or only in spacing, one row per version.
        _, versions = np.unique(self.get("versions"), return_index=True)
        asked, counts = np.unique(problems[versions], return_counts=True)
        several = versions[np.isin(problems[versions], asked[counts > 1])]
        known: dict[str, dict] = {}
        contrary = set()
        for row in self.fetch(several[:MOST_COMPARED]):
            if are_contrary(known.setdefault(row["problem_id"], row), row):
                contrary.add(int(row["problem_id"], 16))
        rows = np.flatnonzero(np.isin(problems, np.array(list(contrary), np.uint64)))
        self._count(self.dropped.parts, self.use, CONTRARY, rows)

    @property
    def alive(self) -> np.ndarray:
        """Whether each row is still in the pool."""
        return ~np.pad(self.left, (0, len(self) - len(self.left)))

    def order(self, alive: np.ndarray | None = None) -> np.ndarray:
        """Returns the numbers of these rows, or of all in the pool, in the order of drawing."""
        rows = np.flatnonzero(self.alive if alive is None else alive)
        return rows[np.argsort(self.get("places")[rows], kind="stable")]

    def list_problems(self, alive: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Returns the first row of each problem of these rows, or of all in the pool, and the ids of the problems."""
        drawn = self.order(alive)
        problems, firsts = np.unique(self.get("problems")[drawn], return_index=True)
        return drawn[firsts], problems

    def fetch(self, rows: np.ndarray) -> list[dict]:
        """Returns the problems of some rows, in their order."""
        asked = np.zeros(len(self), bool)
        problems: dict[int, dict] = {}
        asked[rows] = True
        for table in self.spool.scan():
            some = table.select(["row", *PROMPT]).filter(asked[table["row"].to_numpy()]).to_pylist()
            problems |= {row.pop("row"): row for row in some}
        return [problems[row] for row in rows.tolist()]

    def list_questions(self, rows: np.ndarray) -> Iterator[tuple[int, str, str]]:
        """Yields (place in `rows`, problem_id, question) of rows, in no particular order."""
        places = np.full(len(self), -1)
        places[rows] = np.arange(len(rows))
        for table in self.spool.scan():
            found = places[table["row"].to_numpy()]
            some = table.select(["problem_id", "question"]).filter(found >= 0)
            yield from zip(found[found >= 0].tolist(), *(column.to_pylist() for column in some.columns), strict=True)

    def read(self) -> Iterator[pa.Table]:
        """Yields rows with their numbers in the order of writing, and looks up the places of those that were left out."""
        asked: dict[int, dict] = {number: {} for number in [*itertools.chain(*self.pairs), *(row for *_, row in self.shown)]}
        for table in self.spool.read():
            numbers = table["row"].to_numpy()
            for place in np.flatnonzero(np.isin(numbers, list(asked))).tolist():
                asked[numbers[place]] = table.slice(place, 1).to_pylist()[0]
            yield table
        for tally, use, reason, row in self.shown:
            tally.locate(use, reason, asked[row]["place"])
        for row, stays in self.pairs:
            texts = (asked[row]["question"], asked[stays]["question"])
            self.dropped.show(self.use, "near-duplicate", asked[row]["place"], *texts)
