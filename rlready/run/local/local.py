"""Runs the pipeline through kfp.local in a process of its own.

    python -m rlready.run.local.local WORK RUN SIDE_BY_SIDE [IMAGE]

`rlready run` starts it with its output in a log file and shows what the events say. It ends when its parent does.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlready.config import fold_parameters
from rlready.placement import images
from rlready.placement.placement import SIDE_BY_SIDE
from rlready.run import launch
from rlready.run.local import containers, run_locks, storage
from rlready.runtime import events
from rlready.tracking.runs import fail_run
from rlready.training import checkpoints


def prepare_environment(work: Path, run: Path, side_by_side: int, image: str | None = None) -> None:
    """Sets what pipeline and stages read from their environment.

    Args:
        work: Folder for runs, cache, checkpoints and tracking.
        run: Folder of this run, where events go.
        side_by_side: Candidates at a time, which share the threads.
        image: Of the stages, if they run in containers.
    """
    os.environ.pop(images.IMAGE, None)  # without containers it would hide a change of the source from the cache
    if image:
        os.environ[images.IMAGE] = image
    threads = str(max(1, (os.cpu_count() or 1) // side_by_side))
    os.environ |= {
        events.FILE: str(run / "events.jsonl"),
        checkpoints.ROOT: str(work / "checkpoints"),
        "RLREADY_RUN_ID": run.name,
        SIDE_BY_SIDE: str(side_by_side),
        "OMP_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    run_locks.choose_store(work)


def main(work: Path, run: Path, side_by_side: int, image: str | None = None) -> None:
    """Runs the experiment of `run/parameters.json`, in containers of an image if one is given."""
    prepare_environment(work, run, side_by_side, image)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    parameters = json.loads((run / "parameters.json").read_text())
    with run_locks.share(work), run_locks.hold(run):
        try:
            with containers.removed_at_end(run) if image else _warm_worker():
                run_locks.close_dead(work)
                _execute(work, run, parameters, image)
        except Exception:
            fail_run()
            raise


def _execute(work: Path, run: Path, parameters: dict, image: str | None) -> None:
    from kfp import local

    from rlready.pipelines.experiment import experiment

    share_cache(run / storage.TAKEN)
    local.init(
        containers.make_runner(work, run, parameters) if image else local.SubprocessRunner(use_venv=False),
        pipeline_root=str(work / "artifacts"),
        enable_caching=True,
        cache_root=str(work / "cache"),
    )
    experiment(**fold_parameters(parameters))


@contextlib.contextmanager
def _warm_worker() -> Iterator[None]:
    os.environ[launch.SOCKET] = socket = str(Path(tempfile.mkdtemp(prefix="rlready-")) / "worker")
    worker = subprocess.Popen([sys.executable, "-m", "rlready.run.worker", socket])
    try:
        yield
    finally:
        worker.kill()


def share_cache(taken: Path) -> None:
    """Makes kfp.local's cache keys those of the backend, which do not hold the name that a component got when compiled.

    A component that is used in several places is compiled under several names (comp-sft, comp-sft-2): with them in the key,
    the second loop would not find the SFT of the first. Image, command and arguments tell the work apart by themselves.

    Args:
        taken: File that gets every key the run asks for, a line each: what `rlready clean` must keep for it.
    """
    from kfp.local.cache import LocalCache

    compute = LocalCache.compute_key

    def compute_key(self: LocalCache, component_name: str, **rest: Any) -> str:
        key = compute(self, component_name="", **rest)
        with taken.open("a") as file:  # candidates run side by side; a line this short is written whole
            file.write(f"{key}\n")
        return key

    LocalCache.compute_key = compute_key


def _end_with_parent() -> None:
    """Kills this process and all it started when the parent closes its end of standard input."""
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
