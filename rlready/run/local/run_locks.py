"""Locks of the runs in a work folder: each run holds one in its own folder, which the system releases if its process dies.

A run that is killed cannot end its runs in MLflow; the next run, or the interrupted `rlready run`, does. All runs also share
the lock of the work folder, which `rlready clean` takes exclusively.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rlready.errors import InputError
from rlready.tracking.runs import close_dead_runs

LOCK = "running"  # in the folder of a run that has not ended by itself
SHARED = ".in-use"  # in the work folder


def choose_store(work: Path) -> None:
    """Has MLflow log to a file in the work folder, unless MLFLOW_TRACKING_URI is set."""
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{work / 'mlflow.db'}")


@contextlib.contextmanager
def hold(run: Path) -> Iterator[None]:
    """Holds the lock of a run until the block ends."""
    path, new = run / LOCK, run / f".{LOCK}"
    with open(new, "w") as file:
        try_lock(file)  # on a file system without locks, no run counts as dead
        new.rename(path)  # visible only once it is held
        try:
            yield
        finally:
            path.unlink()


def try_lock(file: IO) -> OSError | None:
    """Locks an open file; returns why not: a BlockingIOError if another process holds its lock, others without locks here."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error
    return None


@contextlib.contextmanager
def share(work: Path) -> Iterator[None]:
    """Holds the shared lock of a work folder; waits while `claim` holds it."""
    with open(work / SHARED, "a+") as file:
        with contextlib.suppress(OSError):  # a file system without locks, where `claim` refuses
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def claim(work: Path) -> Iterator[None]:
    """Holds a work folder's lock exclusively; raises InputError if a run is alive in it, or the file system has no locks."""
    with open(work / SHARED, "a+") as file:
        error = try_lock(file)
        if isinstance(error, BlockingIOError):
            running = ", ".join(sorted(path.parent.name for path in work.glob(f"*/{LOCK}") if not _is_free(path)))
            raise InputError(f"{running or 'a run'} is running in {work}; wait until it ends, or stop it")
        if error:
            unknown = "so it cannot be known whether a run is running in it"
            raise InputError(f"{work}: this file system has no locks ({error}), {unknown}")
        yield


def close_dead(work: Path) -> None:
    """Ends in MLflow the runs of this work folder whose process was killed."""
    choose_store(work)
    dead = [path for path in work.glob(f"*/{LOCK}") if _is_free(path)]
    if dead and close_dead_runs({path.parent.name: "CANCELED" for path in dead}):
        for path in dead:
            path.unlink(missing_ok=True)


def _is_free(path: Path) -> bool:
    with contextlib.suppress(OSError), open(path) as file:  # the run may have ended meanwhile
        return try_lock(file) is None
    return False
