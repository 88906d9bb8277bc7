"""How the commands print: progress as `m:ss line`, results as `label       value`, errors as `rlready: line`."""

import sys
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TextIO

from rlready.errors import InputError
from rlready.escape import show_controls
from rlready.runtime.events import show_clock


def print_progress(begun: float, line: str, file: TextIO | None = None) -> None:
    """Prints a line of progress with the time since `begun`, in seconds since the epoch."""
    print(f"{show_clock(time.time() - begun):>5} {line}", file=file, flush=True)


def print_result(label: str, value: str | Path) -> None:
    """Prints a labelled line, a path as `shorten` shows it, safe for a terminal: the value may be of another's file."""
    print(f"{label:<11} {show_controls(shorten(value) if isinstance(value, Path) else value)}", flush=True)


def print_error(error: InputError | str) -> None:
    """Prints the lines of an error or a warning to standard error."""
    for line in str(error).splitlines():
        print(f"rlready: {show_controls(line)}", file=sys.stderr)


def print_table(columns: Iterable[str], rows: Iterable[Sequence[str]], width: int, left: Collection[str] = ()) -> None:
    """Prints a table, aligned to the right except the columns of `left`; a terminal narrower than `width` wraps its lines."""
    from rich.console import Console  # slow to import, and few commands print a table
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    for cells in rows:
        table.add_row(*(Text(show_controls(cell)) for cell in cells))
    Console(width=max(Console().width, width)).print(table)


def shorten(path: Path) -> str:
    """Returns a path, relative to the current folder if it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
