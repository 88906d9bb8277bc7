"""A work folder: its contents, their size and cleanup, and the locks of its runs.

Each run holds a lock in its own folder, which the system releases if its process dies. A run that is killed cannot end its runs
in MLflow; the next run, or the interrupted `rlready run`, does. All runs share the lock of the work folder, which
`rlready clean` takes exclusively.

A run records the keys that it looks up in kfp.local's cache. Entries that no kept run looked up, and outputs that only these
entries name, can be removed: if needed again, they are computed again.
"""

import contextlib
import datetime
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rlready.errors import InputError

CACHE, ARTIFACTS, CHECKPOINTS = "cache", "artifacts", "checkpoints"  # folders in a work folder
FOLDERS = (CACHE, ARTIFACTS, CHECKPOINTS)
TAKEN = "cache_keys.txt"  # in the folder of a run: the keys that it looked up
PARAMETERS, RESULT = "parameters.json", "outcomes.json"  # in it from the start, and once the run has finished
LOCK = "running"  # in it until the run has ended by itself
SHARED = ".in-use"  # in the work folder


@dataclass(frozen=True)
class Leftovers:
    """What can be removed from a work folder: entries and outputs."""

    kept: list[Path]  # folders of the runs to keep, newest first
    others: list[Path]  # folders of the other runs, whose reports and logs stay
    entries: list[Path]  # files of the cache
    outputs: list[Path]  # files and folders that only those name, and checkpoints of abandoned trainings
    size: int  # bytes of entries and outputs

    def remove(self) -> None:
        """Removes everything, entries first: an entry without its outputs would be a hit without a result."""
        for path in self.entries:
            path.unlink(missing_ok=True)
        for path in self.outputs:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def make_private(*folders: Path) -> None:
    """Creates folders that no other user may enter; existing ones keep their modes. Raises InputError if that fails."""
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: this folder cannot be created ({error.strerror})") from error


def make_run(work: Path, name: str) -> Path:
    """Creates a run's folder, named after `name` and the second; waits for the next second if another run has just begun."""
    make_private(work)
    while True:
        folder = work / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            return folder
        time.sleep(0.1)


def measure(folder: Path) -> int:
    """Returns the bytes of a file, or of all files below a folder; what disappears meanwhile counts 0."""
    try:
        if not folder.is_dir() or folder.is_symlink():
            return folder.lstat().st_size
        return sum(map(measure, folder.iterdir()))
    except FileNotFoundError:
        return 0


def find_leftovers(work: Path, keep: int) -> Leftovers:
    """Returns what can be removed from a work folder if the last `keep` finished runs, and later unfinished ones, are kept."""
    begun = sorted(work.glob(f"*/{PARAMETERS}"), key=lambda path: path.stat().st_mtime, reverse=True)
    if not begun:
        raise InputError(f"{work}: no run here; --work is the folder of `rlready run`")
    runs = [path.parent for path in begun]
    finished = [number for number, run in enumerate(runs, 1) if (run / RESULT).exists()]
    count = finished[keep - 1] if len(finished) >= keep else len(runs)
    keys: set[str] = set()
    for run in runs[:count]:
        if (run / TAKEN).exists():
            keys |= {*(run / TAKEN).read_text().split()}
        elif (run / RESULT).exists():  # otherwise it was stopped before it looked anything up
            unknown = "run by an earlier version, so it is not known what it needs"
            raise InputError(f"{run.name}: {unknown}; run it again to keep it")
    entries = [path for path in sorted((work / CACHE).glob("*")) if path.stem not in keys]
    outputs = [*_find_unneeded(work / ARTIFACTS, {uri for key in keys for uri in _list_outputs(work / CACHE / f"{key}.json")})]
    since = begun[count - 1].stat().st_mtime  # later checkpoints may still be resumed
    for path in sorted((work / CHECKPOINTS).glob("*")):
        if max(p.stat().st_mtime for p in (path, *path.glob("*"))) < since:
            outputs.append(path)
    return Leftovers(runs[:count], runs[count:], entries, outputs, sum(map(measure, entries + outputs)))


def _list_outputs(entry: Path) -> Iterator[Path]:
    """Yields the paths of the outputs that an entry of the cache names."""
    try:
        held = [*json.loads(entry.read_text()).values()]
    except (OSError, ValueError):  # gone or incomplete, which is a miss for kfp
        return
    while held:
        value = held.pop()
        if isinstance(value, list):
            held += value
        elif isinstance(value, dict):
            held += value.get("artifacts", [])
            if "://" not in (uri := value.get("uri", "")) and uri:
                yield Path(uri)


def _find_unneeded(folder: Path, needed: set[Path]) -> Iterator[Path]:
    """Yields what is in a folder and neither is needed, nor contains, nor is part of anything needed."""
    above = {parent for path in needed for parent in path.parents}
    for path in sorted(folder.glob("*")):
        if path in above:
            yield from _find_unneeded(path, needed)
        elif path not in needed:
            yield path


def choose_store(work: Path) -> None:
    """Has MLflow log to a file in the work folder, unless MLFLOW_TRACKING_URI is set."""
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{work / 'mlflow.db'}")


@contextlib.contextmanager
def lock_run(run: Path) -> Iterator[None]:
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
def share_lock(work: Path) -> Iterator[None]:
    """Holds the shared lock of a work folder; waits while `claim_lock` holds it."""
    with open(work / SHARED, "a+") as file:
        with contextlib.suppress(OSError):  # a file system without locks, where `claim_lock` refuses
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def claim_lock(work: Path) -> Iterator[None]:
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
    from rlready.tracking.runs import close_dead_runs  # slow to import, and every command imports this file

    choose_store(work)
    dead = [path for path in work.glob(f"*/{LOCK}") if _is_free(path)]
    if dead and close_dead_runs({path.parent.name: "CANCELED" for path in dead}):
        for path in dead:
            path.unlink(missing_ok=True)


def _is_free(path: Path) -> bool:
    with contextlib.suppress(OSError), open(path) as file:  # the run may have ended meanwhile
        return try_lock(file) is None
    return False
