"""Training checkpoints that outlive a killed stage or its pod: kept under the identity of the work, removed when it is done."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from rlready.errors import InputError, StageFailed
from rlready.records.serialization import write_atomically
from rlready.runtime import events
from rlready.runtime.failures import lacks_space
from rlready.runtime.source import digest_source
from rlready.training.processes import count_ranks, is_main

ROOT = "RLREADY_CHECKPOINTS"
RUN = "RLREADY_RUN_ID"
A_RUN = 10  # checkpoints a training run, so a kill loses a tenth of it at most; fewer where saving takes long
PAUSE = 1.0  # seconds between two looks at a lock
WHOLE = "whole"  # the file that says that a checkpoint is on the disk to its last byte
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what a file system without locks answers


@contextlib.contextmanager
def open_folder(stage: str, identity: list[str], beside: str | Path) -> Iterator[Path]:
    """Opens the folder for the checkpoints of one piece of work, which is removed when the work is done.

    One run at a time has it: another one that does the same work waits. A run whose source or libraries are others, or that
    trains in another number of processes, does not find it.

    Args:
        stage: Name of the stage.
        identity: Everything that the result depends on; the same work finds its checkpoints again.
        beside: Output path; the folder stands beside it where RLREADY_CHECKPOINTS names no root.

    Yields:
        The folder, without half-written checkpoints. It stays where an error ends the work.

    Raises:
        InputError: If nothing can be written there.
        StageFailed: If the disk is full; what was whole before stays.
    """
    parts = [stage, digest_source(stage), str(count_ranks()), *identity]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    root = Path(os.environ.get(ROOT) or Path(beside).parent / "checkpoints")
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = root / (f"{stage}-{digest}" if _has_locks(root) else f"{stage}-{digest}-{os.environ.get(RUN, 'run')}")
    except OSError as error:
        raise explain(root, error) from error
    if not is_main():
        yield folder
        return
    with _lock(folder.with_suffix(".lock"), f"{stage}: another run does the same work in {folder}"):
        folder.mkdir(exist_ok=True)
        drop_halves(folder)
        if last := find_last(folder):
            events.tell(f"resumed from step {_read_step(Path(last))} after an interruption")
        yield folder
        shutil.rmtree(folder)


def identify_data(data: Path, *sets: str) -> list[str]:
    """Returns the digests of sets in a folder that curate wrote: they are the same wherever it lies."""
    card = json.loads((data / "card.json").read_text())
    return [card["sets"][name]["digest"] for name in sets]


def keep_last(folder: Path, seconds: float) -> None:
    """Makes the newest checkpoint safe against the loss of the machine, and only then removes those before it.

    Args:
        folder: What `open_folder` gave.
        seconds: How long the training has taken so far, interruptions aside.
    """
    newest = max(folder.glob("checkpoint-*"), key=_read_step)
    _sync(newest.rglob("*"))
    write_atomically(newest / WHOLE, str(seconds))
    _sync([newest, folder])
    for checkpoint in folder.glob("checkpoint-*"):
        if checkpoint != newest:
            shutil.rmtree(checkpoint)


def find_last(folder: Path) -> str | None:
    """Returns the newest whole checkpoint in a folder, or None."""
    whole = [checkpoint for checkpoint in folder.glob("checkpoint-*") if (checkpoint / WHOLE).exists()]
    return str(max(whole, key=_read_step)) if whole else None


def count_seconds(folder: Path) -> float:
    """Returns how long the training took until its last checkpoint; 0 without one, and in a process that tells nobody."""
    last = find_last(folder) if is_main() else None
    return float(Path(last, WHOLE).read_text()) if last else 0.0


def choose_interval(steps: int) -> int:
    """Returns after how many steps to save."""
    return max(1, steps // A_RUN)


def check_room(folder: Path, size: int) -> None:
    """Raises InputError if the checkpoints to come are larger than what is free, before anything is trained.

    Args:
        folder: What `open_folder` gave.
        size: Bytes of a checkpoint; the old one goes only when the new one is whole.
    """
    needed = size * (1 if find_last(folder) else 2)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder.parent}: {free / 2**30:.1f} GiB are free, and the checkpoints of this training need"
            f" {needed / 2**30:.1f}; make room, or train fewer candidates side by side"
        )


def drop_halves(folder: Path) -> None:
    """Removes checkpoints that were not written to the end."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / WHOLE).exists():
            shutil.rmtree(checkpoint)


def explain(place: Path, error: Exception) -> Exception:
    """Returns what ends the stage because nothing can be written to a place."""
    said = " ".join(str(error).split())[:200]
    if lacks_space(error):
        return StageFailed(
            f"no space is left for checkpoints in {place} ({said}); the last whole one stays there: make room, and the"
            " same training goes on from it"
        )
    return InputError(f"checkpoints cannot be written to {place} ({said}); it must be writable for user {os.getuid()}")


def _read_step(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1])


def _sync(paths: Iterable[Path]) -> None:
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _has_locks(root: Path) -> bool:
    """Says whether the file system has locks; where it has none, a run may only find what it wrote itself."""
    with tempfile.TemporaryFile(dir=root) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            if is_main():
                print(f"{root}: this file system has no locks ({error}), so no other run goes on from here", flush=True)
            return False
    return True


@contextlib.contextmanager
def _lock(path: Path, held: str) -> Iterator[None]:
    """Holds a lock that the system takes away from a process that dies, and waits for it where another process has it."""
    told = False
    while True:
        file = path.open("a")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.close()
            if not told:
                print(f"{held}; waiting for it to end", flush=True)
            told = True
            time.sleep(PAUSE)
            continue
        except OSError as error:  # told already, where the folder got its name
            if error.errno not in NO_LOCKS:
                raise
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # whoever had it has just removed it
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
