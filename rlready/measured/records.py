"""Rows of log files, each with where it is, so that every refusal can name it."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlready.data.cells import is_absent
from rlready.data.chat_messages import is_chat
from rlready.data.files import FORMS, find_form, open_file
from rlready.data.references import name_kind, split_answer
from rlready.data.registry import Source
from rlready.data.sources import decode_values, read_file
from rlready.errors import InputError, one_line
from rlready.models.remote import copy_all, is_url

SUFFIXES = (*FORMS, ".eval")
RIGHT = {"1", "true", "t", "c", "correct", "right", "yes", "y", "pass", "passed"}
WRONG = {"0", "false", "f", "i", "incorrect", "wrong", "no", "n", "fail", "failed"}  # n is Inspect's mark of no answer
Row = dict[str, Any]


def read_rows(*paths: Path) -> Iterator[tuple[str, Row]]:
    """Yields (where, row) for every row of JSONL, JSON, CSV or Parquet files; raises InputError if one cannot be read."""
    for path in paths:
        if not find_form(str(path)):
            raise InputError(f"{path}: {path.suffix or 'no suffix'} is not one of {', '.join(SUFFIXES)}")
        for place, row in _read_json(path) if find_form(str(path)) == ".json" else _read_table(path):
            where = str(path.with_name(place))
            if not isinstance(row, dict):
                raise InputError(f'{where}: {name_kind(row)}, not an object; write each row as {{"name": value, ...}}')
            yield where, row


def _read_table(path: Path) -> Iterator[tuple[str, Any]]:
    with open_file(None, str(path)) as file:
        for chunk in read_file(file, str(path), Source(str(path))):
            yield from chunk.read()


def _read_json(path: Path) -> Iterator[tuple[str, Any]]:
    with open_file(None, str(path)) as file:
        try:
            found = list(decode_values(file.read().decode("utf-8-sig")))
        except (ValueError, RecursionError) as error:  # also a key that occurs twice
            raise InputError(f"{path}: not JSON ({error}); repair it, or fetch it again if it is truncated") from error
    rows = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    yield from ((f"{path.name} row {number}", row) for number, row in enumerate(rows))


@contextlib.contextmanager
def name_faults(where: object) -> Iterator[None]:
    """Raises InputError, with the place, for a row or header in which a tool's reader does not find what it looks for."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        fault = "has no" if isinstance(error, KeyError) else "holds something else than the tool writes:"
        raise InputError(f"{where}: {fault} {one_line(error)}; the log may be cut off, or of another version") from error


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


def read_target(value: Any) -> str:
    """Returns the reference answer of a tool's target, which may be a worked solution, or a list of which any is right."""
    if isinstance(value, list) and value:
        accepted = list(dict.fromkeys(map(read_target, value)))
        return json.dumps(accepted) if len(accepted) > 1 else accepted[0]
    parted = split_answer(str(value))
    return parted[1] if parted else str(value)


def is_message(value: list[Any]) -> bool:
    """Returns True if a list is one message: a chat, or a content in parts."""
    return is_chat(value) or all(isinstance(part, dict) and "type" in part for part in value or [None])


def read_text(value: Any) -> str:
    """Returns the text of a completion or content: a text, an object or parts with one, or a chat, whose last turn counts."""
    parts = [value] if isinstance(value, dict) else value
    if isinstance(parts, list) and parts and isinstance(parts[-1], dict):
        said = parts[-1:] if is_chat(parts) else parts
        return "".join(read_text(part.get("content", part.get("value", part.get("text")))) for part in said)
    return "" if value is None else str(value)


def read_score(value: Any, where: str) -> bool | None:
    """Returns whether a score says right; None if it is missing or not a number, which is unknown and never wrong.

    Raises InputError if it says neither: a share of points, a reward with a bonus.
    """
    said = str(value).strip().lower()
    if is_absent(value) or said == "unknown":
        return None
    with contextlib.suppress(ValueError):
        said = f"{float(said):g}"  # 1.00 is 1
    if said in RIGHT or said in WRONG:
        return said in RIGHT
    raise InputError(
        f"{where}: the score {one_line(repr(value), 80)} is neither right (1) nor wrong (0); name another one with --score"
    )
