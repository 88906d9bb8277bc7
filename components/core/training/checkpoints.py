"""Training checkpoints that outlive a killed stage: kept under the identity of the work, removed when it is done."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from rlready.components.core.runtime.source import digest_source
from rlready.components.core.training.processes import is_main

ROOT = "RLREADY_CHECKPOINTS"
A_RUN = 10  # checkpoints a training run, so a kill loses a tenth of it at most; fewer where saving takes long
PAUSE = 1.0  # seconds between two looks at a lock


@contextlib.contextmanager
def open_folder(stage: str, identity: list[str], beside: str | Path) -> Iterator[Path]:
    """Opens the folder for the checkpoints of one piece of work, which is removed when the work is done.

    One run at a time has it: another one that does the same work waits. A run whose source or libraries are others does not
    find it.

    Args:
        stage: Name of the stage.
        identity: Everything that the result depends on; the same work finds its checkpoints again.
        beside: Output path; the folder stands beside it where RLREADY_CHECKPOINTS names no root.

    Yields:
        The folder, without half-written checkpoints. It stays where an error ends the work.
    """
    digest = hashlib.sha256(json.dumps([stage, digest_source(stage), *identity]).encode()).hexdigest()[:16]
    folder = Path(os.environ.get(ROOT) or Path(beside).parent / "checkpoints") / f"{stage}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not is_main():
        yield folder
        return
    with _lock(folder.with_suffix(".lock"), f"{stage}: another run does the same work in {folder}"):
        folder.mkdir(exist_ok=True)
        for checkpoint in folder.glob("checkpoint-*"):
            # The Trainer writes this file last.
            if not (checkpoint / "trainer_state.json").exists():
                shutil.rmtree(checkpoint)
        yield folder
        shutil.rmtree(folder)


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
        except OSError as error:
            print(f"{path}: this file system has no locks ({error}); start no second run here", flush=True)
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # whoever had it has just removed it
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def find_last(folder: Path) -> str | None:
    """Returns the newest checkpoint in a folder, or None."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return str(checkpoints[-1]) if checkpoints else None


def choose_interval(steps: int) -> int:
    """Returns after how many steps to save."""
    return max(1, steps // A_RUN)
