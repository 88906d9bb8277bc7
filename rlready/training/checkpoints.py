"""Checkpoints that survive a killed stage or its pod: found by the identity of the work, removed when it is done."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from rlready.errors import InputError, StageFailed, one_line
from rlready.records.serialization import write_atomically
from rlready.runtime import events
from rlready.runtime.events import tell_once
from rlready.runtime.failures import lacks_space
from rlready.runtime.source import digest_source
from rlready.training.processes import count_ranks, is_main

ROOT = "RLREADY_CHECKPOINTS"
RUN = "RLREADY_RUN_ID"
PER_RUN = 10  # checkpoints per training run, so a kill loses a tenth of it at most; fewer if saving takes long
TRAINING = "training"  # in an output folder: the checkpoint of a training that another stage continues
WHOLE = "whole"  # the file that marks a checkpoint as completely written
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # errors of a file system without locks


@contextlib.contextmanager
def open_folder(stage: str, identity: list[str], beside: str | Path) -> Iterator[Path]:
    """Opens the folder for the checkpoints of a stage, without incomplete ones; it is removed unless an error ends the block.

    One run at a time holds it; another one that does the same work waits. Other inputs (`identity`), source or libraries, or
    another number of processes, have another folder. It is next to the output path `beside` unless RLREADY_CHECKPOINTS is set.
    Raises InputError if the folder cannot be written to, StageFailed if the disk is full.
    """
    parts = [stage, digest_source(stage), str(count_ranks()), *identity]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    root = Path(os.environ.get(ROOT) or Path(beside).parent / "checkpoints")
    try:
        root.mkdir(parents=True, exist_ok=True)
        locks = _has_locks(root)
        folder = root / (f"{stage}-{digest}" if locks else f"{stage}-{digest}-{os.environ.get(RUN, 'run')}")
    except OSError as error:
        raise explain(root, error) from error
    if not is_main():
        yield folder
        return
    waiting = f"{stage}: another run does the same work in {folder}; waiting for it to end"
    with _lock(folder.with_suffix(".lock"), waiting) if locks else contextlib.nullcontext():
        folder.mkdir(exist_ok=True)
        drop_halves(folder)
        if last := find_last(folder):
            events.tell(f"resumed from step {_read_step(Path(last))} after an interruption")
        yield folder
        remove(folder)


def remove(folder: Path) -> None:
    """Removes a folder of checkpoints, renamed first: a kill midway would leave an incomplete checkpoint marked complete."""
    gone = folder.with_name(f"{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)  # of an attempt that was killed
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def keep_last(folder: Path, seconds: float) -> None:
    """Syncs the newest checkpoint to disk, with the seconds of training so far, and only then removes those before it."""
    *older, newest = sorted(folder.glob("checkpoint-*"), key=_read_step)
    sync(newest.rglob("*"))
    write_atomically(newest / WHOLE, str(seconds))
    sync([newest, folder])
    for checkpoint in older:
        shutil.rmtree(checkpoint)


def find_last(folder: Path) -> str | None:
    """Returns the newest complete checkpoint in a folder, or None."""
    whole = [mark.parent for mark in folder.glob(f"checkpoint-*/{WHOLE}")]
    return str(max(whole, key=_read_step)) if whole else None


def count_seconds(folder: Path) -> float:
    """Returns how long training took until its last checkpoint; 0 without one or outside the main process."""
    last = find_last(folder) if is_main() else None
    return float(Path(last, WHOLE).read_text()) if last else 0.0


def hand_on(folder: Path, out: Path) -> None:
    """Copies the newest checkpoint, and kept weights, to the output of a training that another stage continues."""
    for path in (*folder.glob("checkpoint-*"), *folder.glob("kept-*")):
        shutil.copytree(path, out / TRAINING / path.name, dirs_exist_ok=True)  # a killed attempt may have copied a part


def take_over(out: Path, folder: Path) -> None:
    """Copies what `hand_on` wrote to a folder of checkpoints, the checkpoint last, unless the folder has one already."""
    if find_last(folder):
        return
    for path in sorted((out / TRAINING).iterdir(), reverse=True):
        new = folder / f"new-{path.name}"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(path, new)
        shutil.rmtree(folder / path.name, ignore_errors=True)
        new.rename(folder / path.name)
    events.tell(f"goes on from step {_read_step(Path(find_last(folder) or ''))}")


def check_room(folder: Path, size: int) -> None:
    """Raises InputError if checkpoints of this many bytes do not fit on the disk, before anything is trained."""
    needed = size * (1 if find_last(folder) else 2)  # the old checkpoint is removed only when the new one is complete
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder.parent}: {free / 2**30:.1f} GiB are free, and the checkpoints of this training need"
            f" {needed / 2**30:.1f}; make room, or train fewer candidates side by side"
        )


def drop_halves(folder: Path) -> None:
    """Removes incomplete checkpoints."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / WHOLE).exists():
            shutil.rmtree(checkpoint)


def explain(place: Path, error: Exception) -> Exception:
    """Returns the error to raise if checkpoints cannot be written to a place."""
    said = one_line(error)
    if not lacks_space(error):
        return InputError(f"checkpoints cannot be written to {place} ({said}); it must be writable for user {os.getuid()}")
    kept = "the last complete one is kept: make room, and training resumes from it"
    return StageFailed(f"no space is left for checkpoints in {place} ({said}); {kept}")


def _read_step(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1])


def sync(paths: Iterable[Path]) -> None:
    """Waits until files and folders are on the disk."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def _has_locks(root: Path) -> bool:
    """Returns True if the file system has locks; without them a run finds only its own checkpoints."""
    with tempfile.TemporaryFile(dir=root) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            if is_main():
                print(f"{root}: this file system has no locks ({error}), so no other run resumes from here", flush=True)
            return False
    return True


@contextlib.contextmanager
def _lock(path: Path, waiting: str) -> Iterator[None]:
    """Waits for a lock, with a line that says so, and holds it; the system releases it if the process dies."""
    while True:
        file = path.open("a")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            tell_once(waiting)
            fcntl.lockf(file, fcntl.LOCK_EX)
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # the process that held it has just removed it
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
