"""Rows of files that are read whole: JSON that is one list, as Alpaca and ShareGPT come, and CSV with a heading."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from rlready.errors import InputError

SUFFIXES = (".json", ".csv")
BETWEEN_ROWS = re.compile(r"[\s,]*")
LARGEST = 256 << 20  # bytes; a larger file takes several times as many while it is parsed


def read_whole_file(file: io.BufferedIOBase, name: str) -> list[dict]:
    """Returns the rows of a JSON or CSV file; the cells of a CSV file are texts.

    Args:
        file: Opened for reading, at its beginning.
        name: Of the file, for messages; its end says which form it has.

    Raises:
        InputError: If it is too large, not UTF-8, or holds anything but rows.
    """
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise InputError(f"{name}: larger than {LARGEST >> 20} MB; convert it to .jsonl or .parquet, which are read in parts")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 ({error.reason} at byte {error.start}); convert the file") from error
    return [*(_read_json if name.endswith(".json") else _read_csv)(text, name)]


def find_repeated(names: Iterable[str]) -> str | None:
    """Returns the first of some names that is there twice."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def make_row(pairs: list[tuple[str, object]]) -> dict:
    """Returns an object of JSON from its pairs.

    Raises:
        InputError: If it has a key twice, of which one would be lost.
    """
    row = dict(pairs)
    if len(row) < len(pairs):
        raise InputError(f"the key {find_repeated(key for key, _ in pairs)!r} is there twice in one object")
    return row


def _read_json(text: str, name: str) -> Iterator[dict]:
    try:
        rows = json.loads(text, object_pairs_hook=make_row)
    except InputError as error:
        raise InputError(f"{name} row {_count_before_doubled(text)}: {error}; remove one") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not JSON ({error}); if every line is an object, name it .jsonl") from error
    if not isinstance(rows, list):
        raise InputError(
            f"{name}: expected a list of objects, got {type(rows).__name__}; write one row a line into a .jsonl file"
        )
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(f"{name} row {number}: expected an object, got {type(row).__name__}")
        yield row


def _count_before_doubled(text: str) -> int:
    """Returns how many rows of a list stand before the first that has a key twice."""
    decoder, place, number = json.JSONDecoder(object_pairs_hook=make_row), text.index("[") + 1, 0
    try:
        while True:
            _, place = decoder.raw_decode(text, next(BETWEEN_ROWS.finditer(text, place)).end())
            number += 1
    except ValueError:
        return number


def _read_csv(text: str, name: str) -> Iterator[dict]:
    csv.field_size_limit(LARGEST)
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = lines.fieldnames or ()
        if doubled := find_repeated(heading):
            raise InputError(f"{name} line 1: the heading names {doubled!r} twice; rename one of the columns")
        for number, row in enumerate(lines):
            if None in row or None in row.values():
                cells = sum(len(cell) if isinstance(cell, list) else cell is not None for cell in row.values())
                raise InputError(f"{name} row {number}: {cells} cells, the heading has {len(heading)}; quote cells with commas")
            yield row
    except csv.Error as error:
        raise InputError(f"{name} line {lines.line_num}: not CSV ({error}); quotes in a cell are doubled") from error
