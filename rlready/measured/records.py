"""Rows of log files, each with where it is, so that every refusal can name it."""

import contextlib
import csv
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rlready.data.columns import find_repeated
from rlready.data.files import COMPRESSED, LINES
from rlready.data.references import split_answer
from rlready.data.sources import LARGEST, make_row
from rlready.errors import InputError
from rlready.models.remote import copy_all, is_url

SUFFIXES = (*LINES, ".json", ".csv", ".parquet", ".eval")
Row = dict[str, Any]


def find_suffix(path: Path) -> str:
    """Returns the suffix that tells the form of a file, without that of its compression."""
    return (path.with_suffix("") if path.suffix in COMPRESSED else path).suffix.lower()


def read_rows(*paths: Path) -> Iterator[tuple[str, Row]]:
    """Yields (where, row) for every row of JSONL, JSON, CSV or Parquet files, compressed or not.

    Raises InputError if the file or one of its rows cannot be read, or a name is there twice.
    """
    readers = dict.fromkeys(LINES, _read_lines) | {".json": _read_json, ".csv": _read_csv}
    for path in paths:
        suffix = find_suffix(path)
        if suffix == ".parquet":
            yield from _read_parquet(path)
        elif suffix in readers:
            with open_text(path) as file:
                yield from readers[suffix](path, file)
        else:
            raise InputError(f"{path}: {path.suffix or 'no suffix'} is not one of {', '.join(SUFFIXES)}")


@contextlib.contextmanager
def fetch(location: str | Path) -> Iterator[Path]:
    """Yields the path of a file or folder; of a URL, that of a copy, which the messages of errors call by its URL.

    Raises InputError if the URL cannot be read.
    """
    if not is_url(str(location)):
        yield Path(location).expanduser()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = copy_all(str(location), Path(folder))
        try:
            yield path
        except InputError as error:
            raise InputError(str(error).replace(str(path), str(location))) from error


def open_text(path: Path) -> IO[str]:
    """Opens a text file, compressed or not."""
    import fsspec

    try:
        return fsspec.open(str(path), "rt", encoding="utf-8-sig", compression="infer", newline="").open()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be opened ({error})") from error


def parse_json(text: str, where: str) -> Any:
    """Returns the value of a JSON text; raises InputError if it is no JSON, or an object has a key twice."""

    try:
        return json.loads(text, object_pairs_hook=make_row)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error})") from error


def _read_lines(path: Path, file: IO[str]) -> Iterator[tuple[str, Row]]:
    try:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{path} line {number}"
                yield where, _check_row(parse_json(line, where), where)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged, truncated or not UTF-8 ({error})") from error


def _read_json(path: Path, file: IO[str]) -> Iterator[tuple[str, Row]]:
    found = parse_json(file.read(), str(path))
    for number, row in enumerate(found if isinstance(found, list) else [found], 1):
        yield f"{path} row {number}", _check_row(row, f"{path} row {number}")


def _check_row(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise InputError(f"{where}: not an object with names")
    return row


def _read_csv(path: Path, file: IO[str]) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(LARGEST)  # a completion may be longer than the 128 KB that csv allows
    rows = csv.reader(file, strict=True)
    try:
        header = next(rows, [])
        if twice := find_repeated(header):
            raise InputError(f"{path}: the column {twice!r} occurs twice")
        for cells in rows:
            where = f"{path} line {rows.line_num}"
            if cells and len(cells) != len(header):
                raise InputError(f"{where}: {len(cells)} cells, the header has {len(header)}")
            if cells:
                yield where, dict(zip(header, cells, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from error


def _read_parquet(path: Path) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(256):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", row
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file, or truncated ({error})") from error


def read_target(text: str) -> str:
    """Returns the reference answer of a tool's target, which may be a worked solution with the answer inside."""
    parted = split_answer(text)
    return parted[1] if parted else text


RIGHT, WRONG = {"1", "1.0", "true", "c", "correct", "right"}, {"0", "0.0", "false", "i", "incorrect", "wrong"}
UNKNOWN = {"", "nan", "null", "none", "n", "unknown"}


def read_score(value: Any, where: str) -> bool | None:
    """Returns whether a score says right; None if it is missing or not a number, which is unknown and never wrong.

    Raises InputError if it says neither: a share of points, a reward with a bonus.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    said = str(value).strip().lower()
    if said in UNKNOWN:
        return None
    if said in RIGHT or said in WRONG:
        return said in RIGHT
    raise InputError(f"{where}: the score {value!r} is neither right (1) nor wrong (0); name another one with --score")
