"""How a registry entry names columns: `column`, `column[key]`, `column[*]`, or a text with {column}."""

import itertools
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from rlready.data.guesses import CONTEXT, SYSTEM, USUAL
from rlready.data.references import is_absent, restore_integer
from rlready.data.registry import Source, list_paths
from rlready.data.whole_files import find_repeated
from rlready.errors import InputError


def list_columns(source: Source, present: list[str], where: str) -> list[str] | None:
    """Returns the columns that an entry may need, so that pictures and the like are not read; None for all."""
    if doubled := find_repeated(present):
        raise InputError(f"{where}: two columns are called {doubled!r}; rename one")
    if not source.columns:
        return None
    columns = {name: path for name, path in source.columns.items() if name != "image" or source.pictures}
    optional = {columns.get(name, "").partition("[")[0] for name in ("subject", "image", "group")}
    guessed = {name.partition("[")[0] for names in USUAL.values() for name in names} | {*CONTEXT, *SYSTEM, "history", "format"}
    needed: dict[str, None] = dict.fromkeys(name for name in present if name in guessed)
    for path in itertools.chain(*map(list_paths, columns.values()), source.keep, source.drop):
        for column in re.findall(r"\{([^{}]+)\}", path) if "{" in path else [path]:
            needed[column.partition("[")[0]] = None
    for column in needed.copy():
        if column in optional and column not in present:
            del needed[column]
        elif column not in present:
            raise InputError(
                f"{where}: no column {column!r} (there is {', '.join(present)}); say under columns: in curate_sources which to"
                " take"
            )
    return list(needed)


def _write(value: object) -> str:
    if is_absent(value) and value != "":
        raise InputError(f"a column of a text with {{column}} or [*] holds {value}")
    return str(restore_integer(value))


@lru_cache
def compile_column(path: str) -> Callable[[dict], object]:
    """Returns a function that reads `column`, `column[key][0]`, `column[*]` (joined) or a text with {column} from a row."""
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
