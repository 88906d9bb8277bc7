"""Runs the pipeline through kfp.local in a process of its own.

    python -m rlready.run.local.local WORK RUN SIDE_BY_SIDE [IMAGE]

`rlready run` starts it with its output in a log file, and shows progress from its events. It ends when its parent does.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from kfp import local
from kfp.local import cache
from kfp.local.cache import LocalCache
from kfp.local.orchestrator import enhanced_dag_orchestrator
from kfp.local.orchestrator.enhanced_dag_orchestrator import _run_parallel_for_task

from rlready.config import RACE, fold_parameters, parse_parameters
from rlready.placement import images
from rlready.placement.placement import SIDE_BY_SIDE
from rlready.records.candidate import Candidate
from rlready.records.outcome import CANDIDATE_STAGES, Outcome
from rlready.records.serialization import parse_record, read_record
from rlready.run import launch
from rlready.run.local import containers, storage
from rlready.runtime import events
from rlready.stages.plan.sweep import needs_models
from rlready.tracking.runs import fail_run
from rlready.training import checkpoints


def main(work: Path, run: Path, side_by_side: int, image: str | None = None) -> None:
    """Runs the experiment of `run/parameters.json`, in containers of an image if one is given."""
    os.environ.pop(images.IMAGE, None)  # without containers, it would hide changes of the source from the cache
    if image:
        os.environ[images.IMAGE] = image
    threads = str(max(1, (os.cpu_count() or 1) // side_by_side))  # candidates at a time share them
    os.environ |= {
        events.FILE: str(run / "events.jsonl"),
        checkpoints.ROOT: str(work / storage.CHECKPOINTS),
        checkpoints.RUN: run.name,
        SIDE_BY_SIDE: str(side_by_side),
        "OMP_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    storage.choose_store(work)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    parameters = json.loads((run / storage.PARAMETERS).read_text())
    os.environ |= {RACE: "yes"} if parameters["race_steps"] else {}
    with storage.share_lock(work), storage.lock_run(run):
        try:
            run_pipeline(work, run, parameters, in_containers=bool(image))
        except Exception:
            fail_run()
            raise


def run_pipeline(work: Path, run: Path, parameters: dict[str, Any], in_containers: bool) -> None:
    """Runs the pipeline's tasks in containers, or in processes, of which the heavy ones fork from a warm worker."""
    from rlready.pipelines.experiment import experiment

    with contextlib.ExitStack() as stack:
        start_worker = None
        runner: Any = local.SubprocessRunner(use_venv=False)
        if in_containers:
            stack.enter_context(containers.removed_at_end(run))
            runner = containers.make_runner(work, run, parameters)
        elif needs_models(parse_parameters(parameters)):
            start_worker = stack.enter_context(warm_worker())
        storage.close_dead(work)
        # kfp.local has no public way to set these.
        cache.LocalCache = make_cache(run / storage.TAKEN, start_worker)
        enhanced_dag_orchestrator._run_parallel_for_task = run_loop
        roots = {"pipeline_root": str(work / storage.ARTIFACTS), "cache_root": str(work / storage.CACHE)}
        local.init(runner, **roots, enable_caching=True)
        experiment(**fold_parameters(parameters))


def run_loop(**given: Any) -> bool:
    """Runs a loop as kfp.local does, which leaves a loop without items without outputs: here they are empty lists."""
    for output in given["components"][given["task_spec"].component_ref.name].output_definitions.artifacts:
        given["io_store"].put_task_output(given["task_name"], output, [])
    return _run_parallel_for_task(**given)


@contextlib.contextmanager
def warm_worker() -> Iterator[Callable[[], None]]:
    """Yields what starts, once, the process that heavy stages fork from; none is started if launch.SOCKET names one already."""
    lock, processes = threading.Lock(), list[subprocess.Popen]()
    shared = os.path.exists(os.environ.get(launch.SOCKET, ""))
    if not shared:  # tells the stages where it will listen
        os.environ[launch.SOCKET] = str(Path(tempfile.mkdtemp(prefix="rlready-")) / "worker")

    def start() -> None:
        with lock:
            if not shared and not processes:
                processes.append(subprocess.Popen([sys.executable, "-m", "rlready.run.worker", os.environ[launch.SOCKET]]))

    try:
        yield start
    finally:
        for process in processes:
            process.kill()


def make_cache(taken: Path, start_worker: Callable[[], None] | None = None) -> type:
    """Returns kfp.local's cache with the keys of the backend, in which two runs do not compute the same result at a time.

    The keys leave out the name that a component got when compiled: one that is used twice is compiled as comp-sft and
    comp-sft-2, and the second loop would not find the SFT of the first. Image, command and arguments are enough.

    The file `taken` gets every key that the run looks up, one per line: what `rlready clean` must keep for it. `start_worker`
    is called for each heavy stage that is not in the cache.
    """

    class SharedCache(LocalCache):
        def __init__(self, cache_root: str):
            super().__init__(cache_root)
            self.tasks: dict[str, tuple[str, str | None]] = {}  # stage and candidate, by key
            self.asked: set[str] = set()  # keys looked up so far; a second loop looks up those of the first again
            self.locks: dict[str, IO] = {}  # of what this run computes; released with the result, or when the run ends

        def compute_key(self, component_name: str, image: str, full_command: list[str], arguments: dict, **rest) -> str:
            key = super().compute_key("", image, full_command, arguments, **rest)
            stage, values = component_name.split("-")[1], json.loads(arguments.get("candidate", "{}"))
            name = values.get("candidate_id")
            # RL and the benchmark get a training, for one of its checkpoints.
            if values.get("kept_epochs") and stage == "rl":
                name = parse_record(Candidate, values).at(int(arguments["measured_digest"].partition("/")[0])).candidate_id
            elif values.get("kept_epochs") and stage == "benchmark":
                name = read_record(Outcome, arguments["before"].path).candidate.candidate_id
            self.tasks[key] = stage, name
            with taken.open("a") as file:  # candidates run side by side; a line this short is written whole
                file.write(f"{key}\n")
            return key

        def get(self, key: str) -> dict[str, Any] | None:
            held, (stage, candidate) = super().get(key), self.tasks[key]
            if held is None and key not in self.locks:
                held = self.reserve(key)
            if held is None and start_worker and stage in ("curate", *CANDIDATE_STAGES):
                start_worker()
            if held is not None and key not in self.asked:
                events.emit(stage, candidate, "cached")
            self.asked.add(key)
            return held

        def reserve(self, key: str) -> dict[str, Any] | None:
            """Waits for the result if another run is computing it; if there is none then, this run computes it."""
            lock = open(Path(self.cache_root, f"{key}.lock"), "w")  # noqa: SIM115  closed by `release`
            if isinstance(storage.try_lock(lock), BlockingIOError):
                name = " of ".join(filter(None, self.tasks[key]))
                message = f"{name}: another run in this folder is computing it; waiting for its result"
                events.emit("cache", None, "waiting", message=message)
                fcntl.flock(lock, fcntl.LOCK_EX)
            self.locks[key] = lock
            if (held := super().get(key)) is not None:
                self.release(key)
            return held

        def put(self, key: str, outputs: dict[str, Any]) -> None:
            super().put(key, outputs)
            self.release(key)

        def release(self, key: str) -> None:
            lock = self.locks.pop(key)
            Path(lock.name).unlink(missing_ok=True)
            lock.close()

    return SharedCache


def _end_with_parent() -> None:
    """Kills this process and all it started when the parent closes its end of standard input."""
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
