"""Rows of log files, each with where it is, so that every refusal can name it."""

import contextlib
import csv
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rlready.data.columns import find_repeated
from rlready.data.files import COMPRESSED, LINES
from rlready.data.references import split_answer
from rlready.data.sources import LARGEST, find_separator, make_row
from rlready.errors import InputError, one_line
from rlready.models.remote import copy_all, is_url

SUFFIXES = (*LINES, ".json", ".csv", ".tsv", ".parquet", ".eval")
RIGHT, WRONG = {"1", "1.0", "true", "c", "correct", "right"}, {"0", "0.0", "false", "i", "incorrect", "wrong"}
UNKNOWN = {"", "nan", "null", "none", "n", "unknown"}
Row = dict[str, Any]


def find_suffix(path: Path) -> str:
    """Returns the suffix that tells the form of a file, without that of its compression."""
    return (path.with_suffix("") if path.suffix in COMPRESSED else path).suffix.lower()


def read_rows(*paths: Path) -> Iterator[tuple[str, Row]]:
    """Yields (where, row) for every row of JSONL, JSON, CSV or Parquet files; raises InputError if one cannot be read."""
    readers = dict.fromkeys(LINES, ("JSONL", _read_lines)) | dict.fromkeys((".csv", ".tsv"), ("CSV", _read_csv))
    readers |= {".json": ("JSON", _read_json), ".parquet": ("Parquet", _read_parquet)}
    for path in paths:
        form, read = readers.get(find_suffix(path), ("", None))
        if read is None:
            raise InputError(f"{path}: {path.suffix or 'no suffix'} is not one of {', '.join(SUFFIXES)}")
        try:
            for where, row in read(path):
                if not isinstance(row, dict):
                    raise InputError(f"{where}: not an object with names")
                yield where, row
        except InputError:
            raise
        except Exception as error:  # of the disk, the compression, csv or pyarrow
            said = one_line(error)
            raise InputError(f"{path}: not a readable {form} file: damaged, truncated or not UTF-8 ({said})") from error


@contextlib.contextmanager
def name_faults(where: object) -> Iterator[None]:
    """Raises InputError, with the place, for a row or header in which a tool's reader does not find what it looks for."""
    try:
        yield
    except InputError:
        raise
    except KeyError as error:
        raise InputError(
            f"{where}: has no {error}, which the tool writes; the log may be cut off, or of another version"
        ) from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{where}: holds something else than the tool writes ({one_line(error)})") from error


@contextlib.contextmanager
def fetch(location: str | Path) -> Iterator[Path]:
    """Yields the path of a file or folder; of a URL, that of a copy, which messages call by its URL."""
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


def _read_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{path} line {number}"
                yield where, parse_json(line, where)


def _read_json(path: Path) -> Iterator[tuple[str, Any]]:
    with open_text(path) as file:
        found = parse_json(file.read(), str(path))
    for number, row in enumerate(found if isinstance(found, list) else [found], 1):
        yield f"{path} row {number}", row


def _read_csv(path: Path) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(LARGEST)  # a completion may be longer than the 128 KB that csv allows
    with open_text(path) as file:
        first = file.readline()
        rows = csv.reader(itertools.chain([first], file), delimiter=find_separator(first), strict=True)
        header = next(rows, [])
        if twice := find_repeated(header):
            raise InputError(f"{path}: the column {twice!r} occurs twice")
        for cells in filter(None, rows):
            where = f"{path} line {rows.line_num}"
            if len(cells) != len(header):
                raise InputError(f"{where}: {len(cells)} cells, the header has {len(header)}")
            yield where, dict(zip(header, cells, strict=True))


def _read_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:
        rows = (row for batch in file.iter_batches(256) for row in batch.to_pylist())
        yield from ((f"{path} row {number}", row) for number, row in enumerate(rows, 1))


def read_target(text: str) -> str:
    """Returns the reference answer of a tool's target, which may be a worked solution with the answer inside."""
    parted = split_answer(text)
    return parted[1] if parted else text


def read_score(value: Any, where: str) -> bool | None:
    """Returns whether a score says right; None if it is missing or not a number, which is unknown and never wrong.

    Raises InputError if it says neither: a share of points, a reward with a bonus.
    """
    said = "" if value is None else str(value).strip().lower()
    if said in RIGHT or said in WRONG:
        return said in RIGHT
    if said in UNKNOWN:
        return None
    raise InputError(f"{where}: the score {value!r} is neither right (1) nor wrong (0); name another one with --score")
