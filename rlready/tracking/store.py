"""MLflow's store where it is a file: made whole or not at all, one writer at a time, and told apart from half of one."""

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
from urllib.parse import quote

PREFIX = "sqlite:///"
# What MLflow's migrations leave, or stumble over, where an earlier process was stopped between two of their statements.
LEFT, STUMBLED = "_alembic_tmp_", ("already exists", "duplicate column name", "no such table")


def find_file(uri: str) -> Path | None:
    """Returns the file of a store in one; None where a server or another database keeps it."""
    path = uri.removeprefix(PREFIX)
    return Path(path) if uri.startswith(PREFIX) and path and path != ":memory:" else None


@contextlib.contextmanager
def hold_lock(database: Path) -> Iterator[None]:
    """Keeps other processes from the file while it is made or written."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{database}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make(database: Path) -> None:
    """Makes the store if there is none: beside its place, and moved there whole, because a stop in between cannot be undone.

    Call it with the lock held.
    """
    if database.exists() and database.stat().st_size:
        return
    from mlflow import MlflowClient

    for left in database.parent.glob(f"{glob.escape(database.name)}.new-*"):  # by a process that was stopped
        shutil.rmtree(left, ignore_errors=True)
    # Never the same name twice: MLflow keeps connections by it.
    scratch = Path(tempfile.mkdtemp(dir=database.parent.absolute(), prefix=f"{database.name}.new-"))
    try:
        MlflowClient(f"{PREFIX}{scratch / database.name}").search_experiments()
        (scratch / database.name).chmod(0o600)
        os.replace(scratch / database.name, database)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read(database: Path, query: str) -> list[tuple]:
    """Returns the rows that a query finds in the file, which is not changed.

    Raises:
        sqlite3.DatabaseError: If it is no database, or has no such table.
    """
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(database.absolute()))}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def describe_fault(database: Path, error: Exception) -> str | None:
    """Returns what is wrong with the file that MLflow did not open, and what to do; None where it is not the file.

    Args:
        database: The file.
        error: What MLflow raised.
    """
    said = str(error)
    name = shlex.quote(str(database))
    away = f"move it away (mv {name} {name}.broken), and the next run makes a new one"
    if "disk is full" in said or "No space left" in said:
        return f"{database}: no space is left on its disk; free some"
    if "out-of-date database schema" in said:
        address = shlex.quote(f"{PREFIX}{database}")
        return f"{database} is of an older MLflow: mlflow db upgrade {address}"
    if "Can't locate revision" in said:
        return f"{database} is of a newer MLflow than the one installed; install that one, or {away}"
    if not database.is_file():
        return None
    try:
        tables = [table for (table,) in read(database, "select name from sqlite_master where type = 'table'")]
    except sqlite3.OperationalError:  # locked, or not to be read by this user
        return None
    except sqlite3.DatabaseError as fault:
        return f"{database} is no MLflow store ({fault}); {away}"
    if any(table.startswith(LEFT) for table in tables) or any(words in said for words in STUMBLED):
        return f"{database} is half an MLflow store, because what made it was stopped; {away}"
    return None
