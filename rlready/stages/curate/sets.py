"""The sets as files of Parquet, with what the card says of each."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rlready.stages.curate.digest import RowsDigest

ROWS_AT_ONCE = 8192
TABLES_AHEAD = 2


def write_set(path: Path, tables: Iterable[pa.Table]) -> dict | None:
    """Writes a set and returns its entry of the card: rows, problems, digest and quantiles of its lengths in characters.

    Of a set without rows there is neither a file nor an entry.
    """
    digest, problems, lengths, writer, waiting = RowsDigest(), [], [], None, deque()

    def append(table: pa.Table) -> None:
        digest.update(table)
        writer.write_table(table)
        problems.append(np.frombuffer(bytes.fromhex("".join(table["problem_id"].to_pylist())), ">u8"))
        lengths.append(pc.utf8_length(table["solution" if "solution" in table.column_names else "question"]))

    # Tables are written while the next ones are read and sorted.
    with ThreadPoolExecutor(1) as thread:
        for table in _split_tables(tables, ROWS_AT_ONCE):
            writer = writer or pq.ParquetWriter(path, table.schema)
            waiting.append(thread.submit(append, table))
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
    """Returns a table of rows of which some may lack a column, such as the number of options."""
    rows = list(rows)
    kinds = {name: pa.string() if isinstance(value, str) else pa.int64() for row in rows for name, value in row.items()}
    return [pa.Table.from_pylist(rows, pa.schema(list(kinds.items())))]


def _split_tables(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Yields tables of so many rows, the last of what is left."""
    waiting, rows = [], 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= size:
            whole, full = pa.concat_tables(waiting), rows - rows % size
            yield from (whole.slice(start, size) for start in range(0, full, size))
            waiting, rows = [whole.slice(full)], rows - full
    if rows:
        yield pa.concat_tables(waiting)
