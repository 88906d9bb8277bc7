"""How an entry of the registry names the columns of a row: `column`, `column[key]`, `column[*]`, or a text with {column}."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from rlready.data.references import is_absent, restore_integer
from rlready.data.registry import Source
from rlready.data.whole_files import find_repeated
from rlready.errors import InputError


def list_columns(source: Source, present: list[str], where: str) -> list[str] | None:
    """Returns the columns that an entry needs, so that pictures and the like are not read; None for all."""
    if doubled := find_repeated(present):
        raise InputError(f"{where}: two columns are called {doubled!r}; rename one")
    if not source.columns:
        return None
    needed: dict[str, None] = {}
    columns = {name: path for name, path in source.columns.items() if name != "image" or source.pictures}
    optional = {columns.get(name, "").partition("[")[0] for name in ("subject", "image", "group")}
    for path in (*columns.values(), *source.keep, *source.drop):
        for column in re.findall(r"\{([^{}]+)\}", path) if "{" in path else [path]:
            needed[column.partition("[")[0]] = None
    for column in needed.copy():
        if column in optional and column not in present:
            del needed[column]
        elif column not in present:
            raise InputError(_describe_missing(where, column, present))
    return list(needed)


def _describe_missing(where: str, column: str, present: list[str]) -> str:
    return f"{where}: no column {column!r} (there is {', '.join(present)}); say under columns: in curate_sources which to take"


def _write(value: object) -> str:
    if is_absent(value) and value != "":
        raise InputError(f"a column of a text with {{column}} or [*] holds {value}")
    return str(restore_integer(value))


@lru_cache
def compile_column(path: str) -> Callable[[dict], object]:
    """Returns what gets `column`, `column[key][0]`, `column[*]` (joined) or a text with {column} out of a row."""
    if "{" in path:
        first, *parts = re.split(r"\{([^{}]+)\}", path)
        pieces = [(compile_column(name), text) for name, text in zip(parts[::2], parts[1::2], strict=True)]
        return lambda row: first + "".join(_write(read(row)) + text for read, text in pieces)
    column, *keys = re.split(r"\]?\[|\]$", path)

    def get(row: dict) -> Any:
        if column not in row:
            raise InputError(f"no column {column!r}")
        value = row[column]
        for key in filter(None, keys):
            try:
                value = ", ".join(map(_write, value)) if key == "*" else value[int(key) if key.isdigit() else key]
            except (LookupError, TypeError):
                raise InputError(f"{column!r} has no {key!r}") from None
        return value

    return get
