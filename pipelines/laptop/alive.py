"""Which runs in a work folder are alive: each holds a lock in its folder, which the system takes from a process that dies.

A run that was killed could not end its runs in MLflow; the next one, or `rlready run` that was interrupted, does it.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from rlready.components.core.tracking.runs import close_dead_runs

LOCK = "running"  # in the folder of a run that has not ended by itself


def choose_store(work: Path) -> None:
    """Has MLflow log to a file in the work folder, unless the user named another place."""
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{work / 'mlflow.db'}")


@contextlib.contextmanager
def hold(run: Path) -> Iterator[None]:
    """Says that a run is alive until the end of the block, however the block ends."""
    path, new = run / LOCK, run / f".{LOCK}"
    with open(new, "w") as file:
        with contextlib.suppress(OSError):  # a file system without locks; then no run is taken for dead either
            fcntl.flock(file, fcntl.LOCK_EX)
        new.rename(path)  # nobody sees it before it is held
        try:
            yield
        finally:
            path.unlink()


def close_dead(work: Path) -> None:
    """Ends in MLflow the runs of this work folder whose process was killed; those of living ones stay."""
    choose_store(work)
    dead = [path for path in work.glob(f"*/{LOCK}") if _is_free(path)]
    if dead and close_dead_runs({path.parent.name: "CANCELED" for path in dead}):
        for path in dead:
            path.unlink(missing_ok=True)


def _is_free(path: Path) -> bool:
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False
