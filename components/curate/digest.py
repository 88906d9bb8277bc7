"""The digest of a set: SHA-256 of its rows as one JSON list, written column by column instead of row by row."""

import hashlib
import json

import pyarrow as pa
import pyarrow.compute as pc

# What a JSON text of Python's escapes, besides these three.
ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"))
UNUSUAL = r"[\x00-\x09\x0b-\x1f\x7f]"


class RowsDigest:
    """The digest of rows that come some at a time."""

    def __init__(self):
        self._digest, self._separator = hashlib.sha256(b"["), b""

    def update(self, text: memoryview | bytes) -> None:
        """Adds rows as `write_json` writes them."""
        if len(text):
            self._digest.update(self._separator)
            self._digest.update(text)
            self._separator = b", "

    def hexdigest(self) -> str:
        """Returns the digest of all rows so far."""
        whole = self._digest.copy()
        whole.update(b"]")
        return whole.hexdigest()


def write_json(table: pa.Table) -> memoryview | bytes:
    """Returns what `json.dumps(rows, sort_keys=True)` says between its brackets; a null is a key that the row lacks.

    Args:
        table: Columns of texts and numbers, in any order.
    """
    names = sorted(table.column_names)
    if not len(table):
        return b""
    if any(table[name].null_count for name in names):
        rows = ({name: value for name, value in row.items() if value is not None} for row in table.to_pylist())
        return ", ".join(json.dumps(row, sort_keys=True) for row in rows).encode()
    parts, text = [], "{"
    for name in names:
        column = table[name].combine_chunks()
        is_text = pa.types.is_string(column.type)
        parts += [text + f"{json.dumps(name)}: " + '"' * is_text, _escape(column) if is_text else column]
        text = '"' * is_text + ", "
    parts.append(text.removesuffix(", ") + "}, ")
    joined = pc.binary_join_element_wise(*(_widen(part) for part in parts), _widen(""))
    return memoryview(joined.buffers()[2])[: -len(", ")]


def _widen(part: str | pa.Array) -> pa.Scalar | pa.Array:
    """Returns texts with offsets of 64 bits, since some thousand long traces can be more than 2 GB."""
    return pa.scalar(part, pa.large_string()) if isinstance(part, str) else part.cast(pa.large_string())


def _escape(column: pa.Array) -> pa.Array:
    escaped = column.cast(pa.large_string())
    unusual = pc.or_(pc.invert(pc.string_is_ascii(column)), pc.match_substring_regex(column, UNUSUAL))
    for character, written in ESCAPES:
        escaped = pc.replace_substring(escaped, character, written)
    if pc.any(unusual).as_py():
        texts = [json.dumps(text)[1:-1] for text in column.filter(unusual).to_pylist()]
        escaped = pc.replace_with_mask(escaped, unusual, pa.array(texts, pa.large_string()))
    return escaped
