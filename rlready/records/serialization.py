"""Records as JSON: written atomically, read whole or not at all."""

import dataclasses
import json
import math
import os
import tempfile
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from rlready.errors import InputError

SCHEMA = 3
READABLE = (2, SCHEMA)  # what 3 added has defaults
ADDED = ("kept_epochs",)  # fields that are left out if unknown: the JSON that cache keys hold was written before they existed
R = TypeVar("R", bound="Record")


@dataclasses.dataclass(frozen=True)
class Record:
    """The base of every record. Numbers that are not finite become None: unknown."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, _drop_infinite(getattr(self, item.name)))


def _drop_infinite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _drop_infinite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_drop_infinite(item) for item in value]
    return value


def to_json(record: Record) -> str:
    """Returns a record as JSON."""
    return json.dumps(to_values(record), sort_keys=True, allow_nan=False)


def to_values(record: Record) -> dict[str, Any]:
    """Returns a record as an object of JSON."""
    return dataclasses.asdict(record, dict_factory=lambda items: {k: v for k, v in items if v is not None or k not in ADDED})


def from_json(kind: type[R], text: str) -> R:
    """Returns the record in a JSON text, where fields with a default may be missing; raises InputError if it is not one."""
    try:
        return parse_record(kind, json.loads(text))
    except json.JSONDecodeError as error:
        raise InputError(f"not a {kind.__name__}: {error}") from error


def parse_record(kind: type[R], values: Any) -> R:
    """Returns the record of parsed JSON; see `from_json`."""
    fields = {item.name: item for item in dataclasses.fields(kind)}
    needed = {name for name, item in fields.items() if item.default is item.default_factory is dataclasses.MISSING}
    if not isinstance(values, dict) or not needed <= values.keys() <= fields.keys():
        found = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise InputError(f"not a {kind.__name__} of this version: expected the fields {sorted(fields)}, found {found}")
    if values.get("schema", SCHEMA) not in READABLE:
        raise InputError(f"{kind.__name__} has schema {values['schema']}, this version reads {SCHEMA}")
    declared = typing.get_type_hints(kind)
    read = {name: _parse(declared[name], value) for name, value in values.items()}
    return kind(**read | ({"schema": SCHEMA} if "schema" in fields else {}))


def _parse(declared: Any, value: Any) -> Any:
    """Returns a field's value, with the record or the list of records that its type declares."""
    if isinstance(declared, types.UnionType):  # of one type and None
        return None if value is None else _parse(typing.get_args(declared)[0], value)
    several = typing.get_origin(declared) is list
    kind = typing.get_args(declared)[0] if several else declared
    if not (isinstance(kind, type) and issubclass(kind, Record)):
        return value
    # Older versions wrote an empty object for what was missing.
    return [parse_record(kind, item) for item in value or []] if several else parse_record(kind, value or {})


def identify_work(candidate: Any) -> str:
    """Returns the key of a candidate's training checkpoints: its JSON, the same for all attempts."""
    return to_json(dataclasses.replace(candidate, attempt=1))


def read_record(kind: type[R], path: str | Path) -> R:
    """Returns the record in a file; errors name the file."""
    (record,) = read_records(kind, path)
    return record


def read_records(kind: type[R], path: str | Path) -> list[R]:
    """Returns the records in a file, which holds one or a list; errors name the file."""
    try:
        values = json.loads(Path(path).read_text())
        return [parse_record(kind, value) for value in (values if isinstance(values, list) else [values])]
    except (OSError, json.JSONDecodeError, InputError) as error:
        raise InputError(f"{path}: {error}") from error


def write_record(record: Record, path: str | Path) -> None:
    """Writes a record atomically."""
    write_atomically(path, to_json(record))


def write_records(records: Sequence[Record], path: str | Path) -> None:
    """Writes one record, or a list of several, atomically."""
    texts = [*map(to_json, records)]
    write_atomically(path, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def write_atomically(path: str | Path, text: str) -> None:
    """Writes a text so that readers see all of it or nothing, even after a kill or on a full disk."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
