"""The raw rows of a source, and a look at it without parsing them."""

import contextlib
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlready.data import hub
from rlready.data.cells import WHOLE_FLOAT, shorten_whole
from rlready.data.chat_messages import is_chat
from rlready.data.columns import USUAL, find_repeated, list_columns
from rlready.data.files import (
    LINES,
    ROWS_AT_ONCE,
    WHOLE,
    cast_texts,
    count_rows,
    find_form,
    list_files,
    open_arrow,
    open_file,
    read_lines,
)
from rlready.data.registry import BUILTIN, Source
from rlready.errors import InputError, one_line

if TYPE_CHECKING:
    import pyarrow as pa

BYTES_AT_ONCE = 16 << 20
SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars"}  # of CSV, beside commas
USUAL_NAMES = {*USUAL["question"], *USUAL["messages"], "instruction"}
BETWEEN_ROWS = re.compile(r"[\s,]*")
DECIMAL_COMMA = re.compile(r"-?\d+(?:,\d+)?")
LONGEST_HEADER = 1 << 16
LONGEST_NAME = 80  # characters of a column's name
MOST_WORDS = 8  # of a column's name; a cell of prose has more
LARGEST = 256 << 20  # bytes; a larger file takes several times as many while it is parsed


@dataclass(frozen=True)
class Contents:
    """What a source holds."""

    digest: str  # of its files, or its hub commit
    rows: int | None = None  # None if they cannot be counted
    notes: list[str] = field(default_factory=list)  # how its files were read, if that is not obvious


def examine(source: Source, seed: int, parse: bool = True) -> Contents:
    """Checks a source; files are read to their end, so that damaged ones are found.

    `seed` is that of a builtin source. Without `parse`, for a caller that parses all of them next, lines of JSON are not
    parsed. Raises InputError if it is absent, gated, damaged, or differs from its registry entry.
    """
    if source.name in BUILTIN:
        return Contents(f"seed-{seed}")
    contents = _examine_files(source, parse) if source.path else Contents(hub.find_commit(source))
    if source.digest and contents.digest != source.digest:
        raise InputError(
            f"{source.name}: has changed: its digest is {contents.digest}, the registry's {source.digest}; if you trust the"
            " new contents, change the entry"
        )
    check_rows(source, contents.rows)
    return contents


def check_rows(source: Source, rows: int | None) -> None:
    """Raises InputError if a source does not have the number of rows of its registry entry."""
    expected = source.expected_rows
    if rows is not None and expected and rows not in expected:
        raise InputError(
            f"{source.name}: {rows:,} rows, the registry expects {' or '.join(f'{n:,}' for n in expected)}; take the whole"
            " dataset, or give an entry of your own under curate_sources (like: with rows: null)"
        )


def _examine_files(source: Source, parse: bool) -> Contents:
    listing = list_files(source.path, source.folders, source.split)
    digest, rows, notes = hashlib.sha256(), 0, dict.fromkeys(listing.notes)
    for name in listing.names:
        with open_file(listing.system, name) as file:
            if find_form(name) in LINES:
                for number, line in read_lines(file, name):
                    digest.update(line)
                    if not line.isspace():
                        rows += 1
                        if parse:
                            _parse_line(name, number, line)
                continue
            while block := file.read(1 << 20):
                digest.update(block)
        with open_file(listing.system, name) as file:
            if find_form(name) in WHOLE:
                rows += len(read_whole_file(file, name, notes.setdefault))
            else:
                rows += count_rows(file, name)
    return Contents(digest.hexdigest()[:16], rows, list(notes))


@dataclass(frozen=True)
class Chunk:
    """Some unparsed rows of a source, cheap to pass to another process."""

    where: str  # the file or dataset
    name: str  # its short name
    first: int  # number of the first row
    rows: "list[dict] | list[tuple[int, bytes]] | pa.RecordBatch"  # rows, lines of JSON with their numbers, or a batch

    def __len__(self) -> int:
        return len(self.rows)

    def read(self) -> Iterator[tuple[str, dict]]:
        """Yields (place such as `train.jsonl line 17`, row); raises InputError if a line is not JSON."""
        if isinstance(self.rows, list):
            for number, row in enumerate(self.rows, self.first):
                if isinstance(row, dict):
                    yield f"{self.name} row {number}", row
                else:
                    yield f"{self.name} line {row[0]}", _parse_line(self.where, *row)
            return
        try:
            rows = cast_texts(self.rows).to_pylist(maps_as_pydicts="lossy")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.where} row {self.first} or later: not UTF-8 ({error.reason})") from error
        for number, row in enumerate(rows, self.first):
            yield f"{self.name} row {number}", row


def _parse_line(where: str, number: int, line: bytes) -> Any:
    try:
        row = json.loads(line.decode("utf-8-sig"), object_pairs_hook=make_row)
    except InputError as error:
        raise InputError(f"{where} line {number}: {error}; remove one") from error
    except UnicodeDecodeError as error:
        fault = f"not UTF-8 ({error.reason} at byte {error.start}); convert the file"
        raise InputError(f"{where} line {number}: {fault}") from error
    except (ValueError, RecursionError) as error:
        advice = "if objects are not one per line, name the file .json" if number == 1 else "repair or remove the line"
        if line.startswith(b"{'"):
            advice = "this is Python's notation; write each row with json.dumps"
        raise InputError(f"{where} line {number}: not JSON ({error}); {advice}") from error
    row = _wrap_list(row)
    if number == 1 and isinstance(row, list):
        raise InputError(f"{where} line 1: a list, not an object; if the file is one list, name it .json")
    return row


def _wrap_list(row: Any) -> Any:
    """Returns a row that is a list of turns as one with a column of messages, and another list with its places as names."""
    if is_chat(row):
        return {"messages": row}
    cells = isinstance(row, list) and not (row and isinstance(row[0], dict))  # else it is a list of rows
    return {str(place): value for place, value in enumerate(row)} if cells else row


def read_chunks(source: Source, split: str, seed: int, revision: str) -> Iterator[Chunk]:
    """Yields the raw rows of a source in order; a builtin source, with its split (sft, rl or evaluation) and seed, is endless.

    `revision` is the commit of a hub dataset. Raises InputError if a column is missing, or the file or dataset cannot be read.
    """
    if source.name in BUILTIN:
        generate, form = BUILTIN[source.name]
        for number, row in enumerate(generate(split, seed)):
            yield Chunk(source.name, f"{source.name} {split}", number, [row | {"format": form}])
    elif source.path:
        listing = list_files(source.path, source.folders, source.split)
        for name in listing.names:
            with open_file(listing.system, name) as file:
                yield from read_file(file, name, source)
    else:
        for config, first, table in hub.read_tables(source, revision, lambda names: list_columns(source, names, source.name)):
            yield Chunk(source.name, f"{source.name} {config}" if config else source.name, first, table)


def read_rows(source: Source, split: str, seed: int, revision: str = "") -> Iterator[tuple[str, dict]]:
    """Yields (place, raw row) of a source; see `read_chunks`."""
    for chunk in read_chunks(source, split, seed, revision):
        yield from chunk.read()


def read_file(file, name: str, source: Source) -> Iterator[Chunk]:
    """Yields the raw rows of an open file of a source, whose name says its form; raises InputError if it cannot be read."""
    import pyarrow as pa

    short, form = Path(name).name, find_form(name)
    if form in WHOLE:
        rows = read_whole_file(file, name)
        for first in range(0, len(rows), ROWS_AT_ONCE):
            yield Chunk(name, short, first, rows[first : first + ROWS_AT_ONCE])
    elif form in LINES:
        lines, size = [], 0
        for number, line in read_lines(file, name):
            if not line.isspace():
                lines.append((number, line))
                size += len(line)
            if len(lines) == ROWS_AT_ONCE or size > BYTES_AT_ONCE:
                yield Chunk(name, short, 0, lines)
                lines, size = [], 0
        if lines:
            yield Chunk(name, short, 0, lines)
    else:
        batches, schema, _ = open_arrow(file, name)
        names, first = list_columns(source, schema.names, name), 0
        try:
            for batch in batches(names):
                yield Chunk(name, short, first, batch)
                first += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{name} row {first} or later: damaged ({one_line(error)}); fetch it again") from error


def read_whole_file(file: io.BufferedIOBase, name: str, note: Callable[[str], None] = lambda what: None) -> list[dict]:
    """Returns the rows of a JSON or CSV file, as the suffix of its name says; the cells of a CSV file are texts.

    `note` is called with a remark on how it was read. Raises InputError if it is too large, not UTF-8, or holds anything but
    rows.
    """
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise InputError(f"{name}: larger than {LARGEST >> 20} MB; convert it to .jsonl or .parquet, which are read in parts")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 ({error.reason} at byte {error.start}); convert the file") from error
    return [*(_read_json(text, name, note) if find_form(name) == ".json" else _read_csv(text, name, note))]


def make_row(pairs: list[tuple[str, object]]) -> dict:
    """Returns an object of JSON from its pairs; raises InputError if it has a key twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        raise InputError(f"the key {find_repeated(key for key, _ in pairs)!r} occurs twice in one object")
    return row


def _read_json(text: str, name: str, note: Callable[[str], None]) -> Iterator[dict]:
    try:
        found = list(decode_values(text))
    except InputError as error:
        raise InputError(f"{name} row {_count_before_doubled(text)}: {error}; remove one") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not JSON ({error}); repair it, or fetch it again if it is truncated") from error
    rows = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    if len(found) == 1 and isinstance(found[0], dict):
        rows = _find_rows(found[0], name, note)
    for number, row in enumerate(map(_wrap_list, rows)):
        if not isinstance(row, dict):
            what = f'expected an object, got {type(row).__name__}; write each row as {{"question": ...}}'
            raise InputError(f"{name} row {number}: {what}")
        yield row


def decode_values(text: str, place: int = 0) -> Iterator[Any]:
    """Yields the values of a text from a place on, which may be several: objects one after another."""
    decoder = json.JSONDecoder(object_pairs_hook=make_row)
    while (place := next(BETWEEN_ROWS.finditer(text, place)).end()) < len(text):
        value, place = decoder.raw_decode(text, place)
        yield value


def _find_rows(whole: dict, name: str, note: Callable[[str], None]) -> list:
    """Returns the rows of an object: a list under one of its keys, its columns, or itself."""
    lists = {key: some for key, some in whole.items() if isinstance(some, list) and isinstance((some or [0])[0], dict)}
    if "row" in lists.get("rows", [{}])[0]:  # of the hub's dataset viewer
        if cut := next((one for one in lists["rows"] if one.get("truncated_cells")), None):
            raise InputError(f"{name}: the viewer truncated cells of row {cut.get('row_idx')}; fetch the dataset's own files")
        note(f"{len(lists['rows'])} rows of the dataset viewer, of {whole.get('num_rows_total', 'an unknown number')}")
        return [one["row"] for one in lists["rows"]]
    lists = {key: some for key, some in lists.items() if not is_chat(some)}
    if len(lists) > 1:
        raise InputError(f"{name}: lists of objects under {', '.join(lists)}; write each into a .jsonl file of its own")
    if lists:
        note(f"rows are the list under {next(iter(lists))!r}")
        return next(iter(lists.values()))
    objects = [value for value in whole.values() if isinstance(value, dict)]
    # pandas numbers the rows within a column.
    alike = all(one.keys() == objects[0].keys() and "0" not in one and len(one) < len(objects) for one in objects)
    if len(objects) == len(whole) and (alike or all(USUAL_NAMES & one.keys() for one in objects)):
        note("every key is the name of a row")
        return list(whole.values())
    columns = [list(value.values()) if isinstance(value, dict) else value for value in whole.values()]
    if not all(isinstance(values, list) for values in columns) or is_chat(columns[0]):
        return [whole]
    if len({len(values) for values in columns}) > 1:
        raise InputError(f"{name}: expected rows, got an object of {', '.join(whole)}; write one row per line of a .jsonl")
    note("every key is a column")
    return [dict(zip(whole, values, strict=True)) for values in zip(*columns, strict=True)]


def _count_before_doubled(text: str) -> int:
    """Returns how many rows precede the first that has a key twice: of a list, or of objects one after another."""
    counts = [0, 0]
    for n, place in enumerate((0, text.find("[") + 1)):
        with contextlib.suppress(ValueError):
            for _ in decode_values(text, place):
                counts[n] += 1
    return counts[0] or counts[1]


def _read_csv(text: str, name: str, note: Callable[[str], None]) -> list[dict]:
    csv.field_size_limit(LARGEST)
    text = text.lstrip("\r\n")
    said = re.match(r"sep=(.)\r?\n", text)  # a line that Excel reads and writes
    if said:
        separator, text = said[1], text[said.end() :]
    else:  # what the header has the most of, outside of quotes
        header = re.sub(r'"[^"]*"', "", text[:LONGEST_HEADER]).partition("\n")[0]
        separator = max(",", *SEPARATORS, key=header.count)
    if '="' in text:  # by which spreadsheets keep the text of a number
        text = re.sub(rf'(^|{re.escape(separator)})="([^"\n]*)"', r'\1"\2"', text, flags=re.MULTILINE)
    kind = SEPARATORS.get(separator, "commas")
    if separator != "," and find_form(name) == ".csv":
        note(f"cells are separated by {kind}, as in the header")
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    rows: list[dict[str, str]] = []
    try:
        names = lines.fieldnames = [name.strip() for name in lines.fieldnames or ()]
        if prose := next((name for name in names if len(name) > LONGEST_NAME or name.count(" ") >= MOST_WORDS), None):
            raise InputError(f"{name} line 1: no header: {prose[:LONGEST_NAME]!r} is no name of a column; add a line of names")
        if len(names) > 1 and names[0] == names[-1] == "":
            raise InputError(f"{name} line 1: a table of Markdown; write it as CSV, without {kind} around it")
        if doubled := find_repeated(names):
            raise InputError(f"{name} line 1: the header names {doubled!r} twice; rename one of the columns")
        for number, row in enumerate(lines):
            if None in row or None in row.values():
                cells = sum(len(cell) if isinstance(cell, list) else cell is not None for cell in row.values())
                advice = f"quote cells with {kind}" if cells > len(names) > 1 else "remove lines before and after the table"
                raise InputError(f"{name} row {number}: {cells} cells, the header has {len(names)}; {advice}")
            if [*row.values()] == names:
                raise InputError(f"{name} row {number}: the header again, as if files were joined; remove it")
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{name} line {lines.reader.line_num}: not CSV ({error}); quotes in a cell are doubled") from error
    for column in names:  # pandas writes whole numbers as floats if a cell is empty
        texts = [row[column] for row in rows if row[column]]
        if all(map(WHOLE_FLOAT.fullmatch, texts)):
            rows = [row | {column: shorten_whole(row[column])} for row in rows]
        cell = next((text for text in texts if "," in text), None)
        if cell and separator == ";" and all(map(DECIMAL_COMMA.fullmatch, texts)):
            note(f"{column}: {cell} is read as two numbers; if its comma is a decimal comma, write a point")
    return rows
