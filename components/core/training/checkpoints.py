"""Training checkpoints that outlive a killed stage: kept under the identity of the work, removed when it is done."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from rlready.components.core.training.processes import is_main

ROOT = "RLREADY_CHECKPOINTS"
A_RUN = 10  # checkpoints a training run, so a kill loses a tenth of it at most


def open_folder(stage: str, identity: list[str], beside: str | Path) -> Path:
    """Returns the folder for the checkpoints of one piece of work.

    Args:
        stage: Name of the stage.
        identity: Everything that the result depends on; the same work finds its checkpoints again.
        beside: Output path; the folder stands beside it where RLREADY_CHECKPOINTS names no root.

    Returns:
        The folder, created, without half-written checkpoints.
    """
    digest = hashlib.sha256(json.dumps([stage, *identity]).encode()).hexdigest()[:16]
    folder = Path(os.environ.get(ROOT) or Path(beside).parent / "checkpoints") / f"{stage}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    for checkpoint in folder.glob("checkpoint-*") if is_main() else ():
        # The Trainer writes this file last.
        if not (checkpoint / "trainer_state.json").exists():
            shutil.rmtree(checkpoint)
    return folder


def find_last(folder: Path) -> str | None:
    """Returns the newest checkpoint in a folder, or None."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return str(checkpoints[-1]) if checkpoints else None


def choose_interval(steps: int) -> int:
    """Returns after how many steps to save."""
    return max(1, steps // A_RUN)
