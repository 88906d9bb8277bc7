"""MLflow's file store: created atomically, with one writer at a time; and what is wrong with one that does not open."""

import contextlib
import fcntl
import glob
import os
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

PREFIX = "sqlite:///"
# What MLflow's migrations leave behind, or fail with, if an earlier process was stopped between two of their statements.
LEFT, STUMBLED = "_alembic_tmp_", ("already exists", "duplicate column name", "no such table")


def find_file(uri: str) -> Path | None:
    """Returns the file of a file store; None for a server or another database."""
    path = unquote(uri.removeprefix(PREFIX))
    return Path(path) if uri.startswith(PREFIX) and path and path != ":memory:" else None


@contextlib.contextmanager
def hold_lock(database: Path) -> Iterator[None]:
    """Holds the lock of the file, so that one process at a time creates or writes it."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{database}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make(database: Path) -> None:
    """Creates the store, with its lock held, if there is none: elsewhere, then moved, as half a store cannot be repaired."""
    if database.exists() and database.stat().st_size:
        return
    from mlflow import MlflowClient

    for left in database.parent.glob(f"{glob.escape(database.name)}.new-*"):  # of a process that was stopped
        shutil.rmtree(left, ignore_errors=True)
    # Never the same name twice, because MLflow caches connections by it.
    scratch = Path(tempfile.mkdtemp(dir=database.parent.absolute(), prefix=f"{database.name}.new-"))
    try:
        MlflowClient(f"{PREFIX}{scratch / database.name}").search_experiments()
        (scratch / database.name).chmod(0o600)
        os.replace(scratch / database.name, database)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read(database: Path, query: str) -> list[tuple]:
    """Returns the rows of a query on the file, opened read-only; raises sqlite3.DatabaseError if that fails."""
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(database.absolute()))}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def describe_fault(database: Path, error: Exception) -> str | None:
    """Returns what is wrong with a file that MLflow failed to open, and what to do; None if the file is not the cause."""
    said = str(error)
    name = shlex.quote(str(database))
    away = f"move it away (mv {name} {name}.broken), and the next run creates a new one"
    if "disk is full" in said or "No space left" in said:
        return f"{database}: its disk is full; free some space"
    if "out-of-date database schema" in said:
        return f"{database} was created by an older MLflow; run: mlflow db upgrade {shlex.quote(f'{PREFIX}{database}')}"
    if "Can't locate revision" in said:
        return f"{database} was created by a newer MLflow than the installed one; upgrade MLflow, or {away}"
    if not database.is_file():
        return None
    try:
        tables = [table for (table,) in read(database, "select name from sqlite_master where type = 'table'")]
    except sqlite3.OperationalError:  # locked, or not readable by this user
        return None
    except sqlite3.DatabaseError as fault:
        return f"{database} is not an MLflow store ({fault}); {away}"
    if any(table.startswith(LEFT) for table in tables) or any(words in said for words in STUMBLED):
        return f"{database} is an incomplete MLflow store, because its creation was stopped; {away}"
    return None
