"""Records as JSON: written atomically, read whole or not at all."""

import dataclasses
import functools
import json
import math
import os
import sys
import tempfile
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rlready.errors import InputError

SCHEMA = 3
READABLE = (2, SCHEMA)  # what 3 added has defaults
ADDED = ("kept_epochs",)  # fields that are left out if unknown: the JSON that cache keys hold was written before they existed
LONGEST_SHOWN = 60  # characters of a wrong value in an error
R = TypeVar("R", bound="Record")


@dataclasses.dataclass(frozen=True)
class Record:
    """The base of every record. Numbers that are not finite become None: unknown."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, _drop_infinite(getattr(self, item.name)))

    def find_fault(self) -> str:
        """Returns how its values contradict each other, of a record that is read; empty if they do not."""
        low, high = (getattr(self, name, None) for name in ("low", "high"))
        return f"low ({low}) lies above high ({high})" if low is not None and high is not None and low > high else ""


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


def parse_record(kind: type[R], values: Any, key: str = "") -> R:
    """Returns the record of parsed JSON, each value checked against its declared type; see `from_json`.

    Errors name the key of the wrong value, which begins with `key`, that of the record.
    """
    where, fields = key or kind.__name__, _list_fields(kind)  # type: ignore[arg-type]
    if not isinstance(values, dict):
        raise InputError(f"{where}: not a {kind.__name__}: expected an object, found {_show(values)}")
    if "schema" in fields and values.get("schema", SCHEMA) not in READABLE:
        raise InputError(f"{where}: has schema {_show(values['schema'])}, this version of rlready reads {SCHEMA}")
    faults = [f"{_show(name)} is unknown" for name in values if name not in fields]
    faults += [f"{name!r} is missing" for name, (_, needed) in fields.items() if needed and name not in values]
    if faults:
        raise InputError(f"{where}: not a {kind.__name__} of this version of rlready: {', '.join(faults)}")
    prefix = f"{key}." if key else ""
    read = {name: _parse(fields[name][0], value, f"{prefix}{name}") for name, value in values.items()}
    record = kind(**read | ({"schema": SCHEMA} if "schema" in fields else {}))
    if fault := record.find_fault():
        raise InputError(f"{where}: {fault}")
    return record


@functools.cache
def _list_fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Returns the declared type of each field, and whether it has no default."""
    declared, fields = typing.get_type_hints(kind, include_extras=True), dataclasses.fields(kind)
    return {item.name: (declared[item.name], item.default is item.default_factory is dataclasses.MISSING) for item in fields}


def _parse(declared: Any, value: Any, key: str) -> Any:
    """Returns a value of the declared type; raises InputError, which begins with `key`, if it is of another."""
    kind, inner = typing.get_origin(declared) or declared, typing.get_args(declared)
    if kind in (types.UnionType, typing.Union):  # of one type and None
        return None if value is None else _parse(inner[0], value, key)
    if kind is typing.Annotated:
        parsed = _parse(inner[0], value, key)
        _check(inner[1].holds(parsed), inner[1].expected, value, key)
        return parsed
    if isinstance(kind, type) and issubclass(kind, Record):
        return parse_record(kind, value, key)
    if kind is tuple:
        _check(isinstance(value, list) and len(value) == len(inner), f"a list of {len(inner)}", value, key)
        return [_parse(one, item, f"{key}[{place}]") for place, (one, item) in enumerate(zip(inner, value, strict=True))]
    if kind in (list, Sequence):
        _check(isinstance(value, list), "a list", value, key)
        return [_parse(inner[0], item, f"{key}[{place}]") for place, item in enumerate(value)] if inner else value
    if kind is dict:
        _check(isinstance(value, dict), "an object", value, key)
        return {name: _parse(inner[1], item, f"{key}.{name}") for name, item in value.items()} if inner else value
    if kind is not Any:
        expected, holds = PLAIN[kind]
        _check(holds(value), expected, value, key)
    return value


# A bool is no number, although Python counts it as an int, and what does not fit into 64 bits is no count.
PLAIN: dict[type, tuple[str, Callable[[Any], bool]]] = {
    str: ("a text", lambda value: isinstance(value, str)),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: type(value) is int and abs(value) < 2**64),
    float: ("a finite number", lambda value: type(value) in (int, float) and abs(value) <= sys.float_info.max),
}


def _check(holds: bool, expected: str, value: Any, key: str) -> None:
    if not holds:
        raise InputError(f"{key}: expected {expected}, found {_show(value)}")


def _show(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


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
    except (OSError, ValueError, RecursionError) as error:  # not there, not UTF-8, not JSON or not the record
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
