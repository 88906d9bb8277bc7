"""Rows of files that are read whole: JSON that is one list, as Alpaca and ShareGPT come, and CSV with a header."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from rlready.data.files import find_form
from rlready.errors import InputError

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars"}  # of CSV, beside commas
BETWEEN_ROWS = re.compile(r"[\s,]*")
WHOLE_FLOAT = re.compile(r"-?\d+\.0")
LONGEST_HEADER = 1 << 16
LARGEST = 256 << 20  # bytes; a larger file takes several times as many while it is parsed


def read_whole_file(file: io.BufferedIOBase, name: str, note: Callable[[str], None] = lambda what: None) -> list[dict]:
    """Returns the rows of a JSON or CSV file; the cells of a CSV file are texts.

    Args:
        file: Opened for reading, at its beginning.
        name: Of the file; its suffix says which form it has.
        note: Called with a remark on how it was read.

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
    return [*(_read_json(text, name) if find_form(name) == ".json" else _read_csv(text, name, note))]


def find_repeated(names: Iterable[str]) -> str | None:
    """Returns the first name that occurs twice."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def make_row(pairs: list[tuple[str, object]]) -> dict:
    """Returns an object of JSON from its pairs; raises InputError if it has a key twice."""
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
            f"{name}: expected a list of objects, got {type(rows).__name__}; write one row per line into a .jsonl file"
        )
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(f"{name} row {number}: expected an object, got {type(row).__name__}")
        yield row


def _count_before_doubled(text: str) -> int:
    """Returns how many rows of a list precede the first that has a key twice."""
    decoder, place, number = json.JSONDecoder(object_pairs_hook=make_row), text.index("[") + 1, 0
    try:
        while True:
            _, place = decoder.raw_decode(text, next(BETWEEN_ROWS.finditer(text, place)).end())
            number += 1
    except ValueError:
        return number


def _read_csv(text: str, name: str, note: Callable[[str], None]) -> list[dict]:
    csv.field_size_limit(LARGEST)
    separator = _find_separator(text)
    kind = SEPARATORS.get(separator, "commas")
    if separator != "," and find_form(name) == ".csv":
        note(f"cells are separated by {kind}, as in the header")
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[dict[str, str]] = []
    try:
        header = lines.fieldnames = [name.strip() for name in lines.fieldnames or ()]
        if doubled := find_repeated(header):
            raise InputError(f"{name} line 1: the header names {doubled!r} twice; rename one of the columns")
        for number, row in enumerate(lines):
            if None in row or None in row.values():
                cells = sum(len(cell) if isinstance(cell, list) else cell is not None for cell in row.values())
                raise InputError(f"{name} row {number}: {cells} cells, the header has {len(header)}; quote cells with {kind}")
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{name} line {lines.line_num}: not CSV ({error}); quotes in a cell are doubled") from error
    for column in header:  # pandas writes whole numbers as floats if a cell is empty
        cells = [row[column] for row in rows if row[column]]
        if cells and all(WHOLE_FLOAT.fullmatch(cell) for cell in cells):
            rows = [row | {column: row[column].removesuffix(".0")} for row in rows]
    return rows


def _find_separator(text: str) -> str:
    """Returns the separator that the header has the most of, outside of quotes."""
    header = re.sub(r'"[^"]*"', "", text[:LONGEST_HEADER]).partition("\n")[0]
    return max(",", *SEPARATORS, key=header.count)
