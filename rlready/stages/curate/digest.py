"""The digest of a set: of its rows, and not of its file, whose bytes change with the library that writes it."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class RowsDigest:
    """SHA-256 of rows that come some at a time, however many at once.

    Every column has two digests of its own: of its lengths in bytes (64 bits each, -1 for null) and of its contents.
    """

    def __init__(self):
        self._columns = {}

    def update(self, table: pa.Table) -> None:
        """Adds rows.

        Args:
            table: Columns of texts and whole numbers, in any order, the same in every table.
        """
        for name, column in zip(table.column_names, table.columns, strict=True):
            lengths, contents = self._columns.setdefault(name, (hashlib.sha256(), hashlib.sha256()))
            if pa.types.is_string(column.type):
                lengths.update(pc.binary_length(column).fill_null(-1).to_numpy().astype("<i8"))
                for texts in column.fill_null("").chunks:
                    contents.update(_get_bytes(texts))
            else:
                lengths.update(np.where(column.is_null().to_numpy(), -1, 8).astype("<i8"))
                contents.update(column.fill_null(0).to_numpy().astype("<i8"))

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
