"""The rows of a source: texts on disk in a seeded order, and in memory only what decides what becomes of each."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from rlready.components.core.verifier.exact.decide import read_plain
from rlready.components.curate.card import EXAMPLES_OF_A_REASON, Dropped
from rlready.components.curate.near_duplicates import Signatures

BUCKETS = 256
BYTES_IN_MEMORY = 64 << 20
PROMPT = ["problem_id", "question", "answer", "format", "prompt"]  # what RL is asked
EXAMPLE = [*PROMPT, "solution"]
NAMES = ("place", *EXAMPLE)
NUMBERS = ("problems", "places", "keys", "versions", "lengths", "tokens", "plain")
ORDER = [("key", "ascending"), ("row", "ascending")]


def hash_place(seed: int, purpose: str, problem_id: str, solution: str = "") -> str:
    """Returns where a row stands in a seeded order: it depends on its contents only."""
    return hashlib.sha256(f"{seed}/{purpose}/{problem_id}/{solution}".encode()).hexdigest()


def order_by_hash(rows: Iterable[dict], seed: int, purpose: str) -> list[dict]:
    """Returns rows in a seeded order that depends on their contents only."""
    return sorted(rows, key=lambda row: hash_place(seed, purpose, row["problem_id"], row.get("solution", "")))


class Spool:
    """Rows on their way to a sorted order: spread over files by the first bits of their keys, so that each fits in memory."""

    def __init__(self, folder: Path):
        self.folder, self.waiting, self.size, self.rows = folder, [], 0, 0
        self.writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}

    def add(self, keys: np.ndarray, texts: pa.RecordBatch) -> None:
        """Adds rows; their numbers are the counts of rows before them."""
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

    def read(self) -> Iterator[pa.Table]:
        """Yields the rows in the order of their keys, then numbers, some at a time."""
        if not self.writers:
            yield pa.concat_tables(self.waiting).sort_by(ORDER)
            return
        if self.waiting:
            self._flush()
        for writer in self.writers.values():
            writer.close()  # no harm when it is closed already
        for number in sorted(self.writers):
            with pa.OSFile(str(self.folder / f"{number}.arrow")) as file:
                yield pa.ipc.open_stream(file).read_all().sort_by(ORDER)


def measure(seed: int, drawing: str, writing: str, row: dict, tokens: int) -> tuple[int, ...]:
    """Returns the numbers that decide what becomes of a row, in the order of NUMBERS.

    Args:
        seed: Of the split.
        drawing: Name of the order in which problems and examples are drawn.
        writing: Name of the order in which rows are written.
        row: A problem.
        tokens: Of its solution, where they were counted.

    Returns:
        Problem; its places in both orders; what tells apart rows that are the same but for spacing and case; characters of
        the solution, or of the question where there is none; tokens; whether the gold answer is
        a plain number, which the verifier can surely read.
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
    """The well-formed rows of a training source.

    Attributes:
        use: sft or rl.
        first: Number of its first row in the signatures of all questions.
        examples: Signatures of questions with their solutions.
        reasons: Of each row, a number of `told`: why it left, where that is still to be told with its place; 0 where not.
        told: (set, reason) by that number.
        pairs: Some near-duplicates, each with the row that stays instead.
    """

    def __init__(self, folder: Path, use: str, dropped: Dropped, questions: Signatures):
        folder.mkdir(parents=True)
        self.use, self.dropped = use, dropped
        self.spool = Spool(folder)
        self.questions, self.first = questions, len(questions)
        self.examples = Signatures(folder / "examples")
        self.reasons, self.told = np.zeros(0, np.uint8), [("", "")]
        self.pairs: list[tuple[int, int]] = []
        self.columns = {name: array("Q") for name in NUMBERS}

    def __len__(self) -> int:
        return self.spool.rows

    def add(self, texts: pa.RecordBatch, numbers: np.ndarray) -> None:
        """Adds rows: their texts, columns NAMES, and what `measure` returned of each, rows in the order of NUMBERS."""
        for column, values in zip(self.columns.values(), numbers, strict=True):
            column.frombytes(values.tobytes())
        self.spool.add(numbers[NUMBERS.index("keys")], texts)

    def get(self, name: str) -> np.ndarray:
        """Returns a column of NUMBERS."""
        return np.frombuffer(self.columns[name], np.uint64)

    def remove_duplicates(self, threshold: float) -> np.ndarray:
        """Leaves out what says the same, or nearly the same, as another row; which one stays does not depend on their order.

        Args:
            threshold: Least similarity of near-duplicates: of SFT examples with their solutions, of RL prompts alone; 0 keeps
                them.

        Returns:
            Whether each row stays.
        """
        order = np.lexsort((self.get("versions"), self.get("places")))
        places = self.get("places")[order]
        alive = np.ones(len(order), bool)
        alive[order[1:]] = places[1:] != places[:-1]
        self.leave_out(np.flatnonzero(~alive), "duplicate")
        if threshold:
            if self.use == "sft":
                near = self.examples.find(self.order(alive), threshold)
            else:
                found = self.questions.find(self.order(alive) + self.first, threshold)
                near = {row - self.first: stays - self.first for row, stays in found.items()}
            alive[list(near)] = False
            self.leave_out(np.array(list(near), np.int64), "near-duplicate")
            self.pairs = list(near.items())[:EXAMPLES_OF_A_REASON]
        return alive

    def leave_out(self, rows: np.ndarray, reason: str, use: str = "") -> None:
        """Counts rows that leave; where they stand is told when their texts are read again.

        Args:
            rows: Their numbers.
            reason: Why they leave.
            use: The set that they leave; the pool's own unless given.
        """
        if not len(rows):
            return
        self.dropped.counts[use or self.use, reason] += len(rows)
        self.reasons = np.pad(self.reasons, (0, len(self) - len(self.reasons)))
        self.told.append((use or self.use, reason))
        self.reasons[rows] = len(self.told) - 1

    def order(self, alive: np.ndarray) -> np.ndarray:
        """Returns the numbers of these rows in the order of drawing."""
        rows = np.flatnonzero(alive)
        return rows[np.argsort(self.get("places")[rows], kind="stable")]

    def fetch(self, rows: np.ndarray) -> list[dict]:
        """Returns the problems of some rows, in their order."""
        asked, problems = np.zeros(len(self), bool), {}
        asked[rows] = True
        for table in self.spool.read():
            some = table.filter(asked[table["row"].to_numpy()]).to_pylist()
            problems |= {row["row"]: {name: row[name] for name in PROMPT} for row in some}
        return [problems[row] for row in rows.tolist()]

    def read(self) -> Iterator[pa.Table]:
        """Yields rows with their numbers in the order of writing, and notes where those stand that were left out."""
        asked = {number: {} for pair in self.pairs for number in pair}
        for table in self.spool.read():
            numbers = table["row"].to_numpy()
            if len(self.reasons):
                for place in np.flatnonzero(self.reasons[numbers]).tolist():
                    self.dropped.locate(*self.told[self.reasons[numbers[place]]], table["place"][place].as_py())
            for place in np.flatnonzero(np.isin(numbers, list(asked))).tolist():
                asked[numbers[place]] = table.slice(place, 1).to_pylist()[0]
            yield table
        for row, stays in self.pairs:
            texts = (asked[row]["question"], asked[stays]["question"])
            self.dropped.show(self.use, "near-duplicate", asked[row]["place"], *texts)
