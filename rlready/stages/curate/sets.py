"""The sets as Parquet files, with an entry of the card and a digest of the rows for each."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROWS_AT_ONCE = 8192
TABLES_AHEAD = 2


def write_set(path: Path, tables: Iterable[pa.Table]) -> dict | None:
    """Writes a set, unless it is empty, and returns its entry: rows, problems, digest, quantiles of lengths in characters."""
    digest, problems, lengths = RowsDigest(), [], []
    writer: pq.ParquetWriter | None = None
    waiting: deque[Future[None]] = deque()

    def append(writer: pq.ParquetWriter, table: pa.Table) -> None:
        digest.update(table)
        writer.write_table(table)
        problems.append(np.frombuffer(bytes.fromhex("".join(table["problem_id"].to_pylist())), ">u8"))
        lengths.append(pc.utf8_length(table["solution" if "solution" in table.column_names else "question"]))

    # Tables are written while the next ones are read.
    with ThreadPoolExecutor(1) as thread:
        for table in _split_tables(tables, ROWS_AT_ONCE):
            writer = writer or pq.ParquetWriter(path, table.schema)
            waiting.append(thread.submit(append, writer, table))
            if len(waiting) > TABLES_AHEAD:
                waiting.popleft().result()
        for written in waiting:
            written.result()
    if writer is None:
        return None
    writer.close()
    quantiles = np.quantile(np.concatenate(lengths), (0.1, 0.5, 0.9)).tolist()
    return {
        "rows": sum(map(len, problems)),
        "problems": len(np.unique(np.concatenate(problems))),
        "digest": digest.hexdigest()[:16],
        "characters": dict(zip(("p10", "p50", "p90"), quantiles, strict=True)),
    }


def make_table(rows: Iterable[dict]) -> list[pa.Table]:
    """Returns a table of rows, some of which may lack a column such as the number of options."""
    rows = list(rows)
    kinds = {name: pa.string() if isinstance(value, str) else pa.int64() for row in rows for name, value in row.items()}
    return [pa.Table.from_pylist(rows, pa.schema(list(kinds.items())))]


def _split_tables(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= size:
            table, full = pa.concat_tables(waiting), rows - rows % size
            yield from (table.slice(start, size) for start in range(0, full, size))
            waiting, rows = [table.slice(full)], rows - full
    if rows:
        yield pa.concat_tables(waiting)


class RowsDigest:
    """SHA-256 of rows, however they are split into tables; the bytes of a file would change with the library that writes it.

    Each column has two digests: of its lengths in bytes (64 bits each, -1 for null) and of its contents.
    """

    def __init__(self):
        self._columns: dict[str, tuple[hashlib._Hash, hashlib._Hash]] = {}

    def update(self, table: pa.Table) -> None:
        """Adds rows; columns are texts and integers, in any order, the same in every table."""
        for name, column in zip(table.column_names, table.columns, strict=True):
            lengths, contents = self._columns.setdefault(name, (hashlib.sha256(), hashlib.sha256()))
            if pa.types.is_string(column.type):
                lengths.update(pc.binary_length(column).fill_null(-1).to_numpy().astype("<i8").tobytes())
                for texts in column.fill_null("").chunks:
                    contents.update(_get_bytes(texts))
            else:
                lengths.update(np.where(column.is_null().to_numpy(), -1, 8).astype("<i8").tobytes())
                contents.update(column.fill_null(0).to_numpy().astype("<i8").tobytes())

    def hexdigest(self) -> str:
        """Returns the digest of all rows so far."""
        columns = sorted((name, *(part.hexdigest() for part in parts)) for name, parts in self._columns.items())
        return hashlib.sha256(repr(columns).encode()).hexdigest()


def _get_bytes(texts: pa.StringArray) -> memoryview | bytes:
    _, offsets, contents = texts.buffers()
    if contents is None or not len(texts):
        return b""
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(contents)[ends[0] : ends[-1]]
