"""Runs a stage: in this process, in a child, or in a warm worker that has imported torch, transformers and TRL.

A run on a laptop has about twenty stages, each with ten seconds of imports. `rlready run` starts one warm worker once a heavy
stage is not in the cache; a stage sends it its arguments over a Unix socket, and the worker forks a child that writes to the
stage's standard output. On a cluster each stage is a pod, and each stage of a candidate runs in a child of the pod's process.
Training may take several processes (training/processes.py) or several pods (training/train_job.py).
"""

import argparse
import dataclasses
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from rlready.config import STAGE_READS, read_settings
from rlready.errors import InputError, StageFailed, Unreachable
from rlready.records.candidate import Candidate
from rlready.records.outcome import BEFORE_RL, CANDIDATE_STAGES, STAGES, Failure, Outcome, is_baseline
from rlready.records.serialization import from_json, read_record, write_atomically, write_record, write_records
from rlready.runtime import events, failures
from rlready.tracking.log import log_outcome
from rlready.tracking.runs import fail_run, set_status
from rlready.training import checkpoints, epochs, processes, train_job

SOCKET = "RLREADY_WARM_WORKER"  # where worker.py serves; a run starts one of its own unless this is set

INPUTS = ("data", "before", "measured", "baseline", "results", "probed", "probe", "model")
OUTPUTS = (("curate", "data"), ("sft", "model"))  # inputs of all stages but the one that makes them
# The argument that names the folder that a stage writes beside its outcome.
FOLDERS = {"sft": "model", "predictors": "samples", "rl": "trained", "benchmark": "samples"}


def launch(stage: str, **arguments) -> Any:
    """Runs a stage: returns what `run(**arguments)` of `rlready.stages.<stage>.stage` does, a JSON value.

    The arguments are JSON values, and artifacts of KFP, of which the stage gets the path.

    A stage of one candidate returns an object with figures and a `display_name`. If such a stage fails, the run goes on: the
    failure is written to the path `outcome`, and later stages pass it on. If any other stage fails, or one of the base model,
    with which all candidates are compared, SystemExit is raised with the reason in marked lines.
    """
    arguments = {name: _locate(value) for name, value in arguments.items()}
    if missing := _find_missing(stage, arguments):
        gone = "does not exist: this output of an earlier stage was deleted, but the cache still holds its name"
        _tell_failure(stage, f"{missing} {gone}; with another curate_seed all stages run again", ends_run=True)
    if stage not in CANDIDATE_STAGES:
        state, value, _ = _retry(stage, None, arguments)
        if state != "finished":
            _tell_failure(stage, value, ends_run=True)
        return value
    if stage == "sft" or not from_json(Candidate, arguments["candidate"]).kept_epochs:
        return _launch_candidate(stage, arguments)
    if stage == "predictors":
        return epochs.launch_predictors(arguments, _launch_candidate)
    return epochs.launch_chosen(stage, arguments, _launch_candidate)


def _locate(value: Any) -> Any:
    """Returns the path of an artifact, the paths of a list of artifacts, and any other value as it is."""
    return [_locate(item) for item in value] if isinstance(value, list) else getattr(value, "path", value)


def _find_missing(stage: str, arguments: dict) -> str | None:
    """Returns the first input that is not where the backend should have put it."""
    given = [arguments.get(name) or [] for name in INPUTS if (stage, name) not in OUTPUTS]
    paths = [path for one in given for path in (one if isinstance(one, list) else [one])]
    return next((path for path in paths if not Path(path).exists()), None)


def _launch_candidate(stage: str, arguments: dict) -> dict[str, Any]:
    candidate = from_json(Candidate, arguments["candidate"])
    before = read_record(Outcome, arguments["before"]) if arguments.get("before") else None
    metadata = {"display_name": f"{candidate.candidate_id}: {stage}"}
    if failure := before and before.failure:
        events.emit(stage, candidate.candidate_id, "skipped")
        events.tell(f"{events.SKIPPED}{failure.stage} failed: {failure.reason}")
    else:
        begun = time.time()
        state, value, tries = _retry(stage, candidate, arguments)
        if state == "finished":
            return metadata | (value or {})
        _tell_failure(f"{stage} of {candidate.candidate_id}", value, ends_run=is_baseline(stage, candidate, before))
        failure = Failure(stage, "; ".join(value.splitlines()), time.time() - begun, tries)
    outcomes = [dataclasses.replace(before or Outcome(candidate), failure=failure)]
    if stage == "sft" and candidate.kept_epochs:  # with a training all its checkpoints fail; its time counts once
        early = [candidate.at(number) for number in candidate.kept_epochs[:-1]]
        outcomes = [*(Outcome(one, failure=dataclasses.replace(failure, seconds=None)) for one in early), *outcomes]
    write_records(outcomes, arguments["outcome"])
    # KFP treats a missing output as lost.
    write_record(failure, Path(arguments[FOLDERS[stage]]) / "failure.json")
    for outcome in outcomes:
        log_outcome(outcome)
    return metadata | {"failed": f"{failure.stage}: {failure.reason}"}


def _tell_failure(where: str, message: str, ends_run: bool) -> None:
    marked = events.mark("\n".join(f"{events.FAILED}{where}: {line}" for line in message.splitlines()))
    if ends_run:
        fail_run()
        sys.stdout.flush()  # so that the reason is the last line of the log
        raise SystemExit(marked)
    print(marked, flush=True)


def _retry(stage: str, candidate: Candidate | None, arguments: dict) -> tuple[str, Any, int]:
    """Tries a stage until it finishes, is refused, or has no tries left; returns what `run_stage` does, and the tries."""
    most, path, deadline = 1 + int(os.environ.get(failures.RETRIES) or 0), os.environ.get(SOCKET, ""), time.time() + 60
    while candidate and path and not os.path.exists(path) and time.time() < deadline:
        time.sleep(0.1)  # until the worker has imported its libraries
    for tries in range(1, most + 1):
        kills = failures.count_kills()
        if os.path.exists(path):
            state, value = _send(path, stage, arguments)
        elif candidate and train_job.MANIFEST not in os.environ:  # a TrainJob runs in pods of its own
            state, value = _spawn(stage, arguments)
        else:
            state, value = run_stage(stage, arguments)
        if state == "died":
            message = failures.describe_death(stage, value, failures.count_kills() > kills, _list_places(arguments))
            events.emit(stage, candidate.candidate_id if candidate else None, "failed", message=message)
            state, value = "failed", message
        if state != "failed":
            break
        if tries < most:
            events.tell(f"attempt {tries} of {most} failed: {value}")
    return state, value, tries


def run_stage(stage: str, arguments: dict) -> tuple[str, Any]:
    """Runs a stage in this process: (finished, result), (failed, message), or (refused, message) if a retry would fail too."""
    candidate = from_json(Candidate, arguments["candidate"]) if "candidate" in arguments else None
    candidate_id, begun = candidate.candidate_id if candidate else None, time.time()
    events.emit(stage, candidate_id, "started")
    try:
        value = _call(stage, candidate, arguments)
    except Exception as error:
        message = failures.describe_error(stage, error, _list_places(arguments))
        if not isinstance(error, (InputError, StageFailed)):
            traceback.print_exc()
        events.emit(stage, candidate_id, "failed", message=message)
        refused = isinstance(error, InputError) and not isinstance(error, Unreachable)  # which may answer the next time
        return "refused" if refused else "failed", message
    events.emit(stage, candidate_id, "finished", seconds=time.time() - begun)
    return "finished", value


def _call(stage: str, candidate: Candidate | None, arguments: dict) -> Any:
    passed_on = candidate and candidate.log and not candidate.checkpoint and stage in BEFORE_RL
    if candidate and train_job.MANIFEST in os.environ and not passed_on:
        return train_job.run(stage, candidate.candidate_id, arguments)
    if "training" in STAGE_READS.get(stage, ()) and not passed_on:
        training = read_settings(arguments["settings"]).training
        if processes.needs_processes(training):
            return processes.run_processes(stage, arguments, processes.count_processes(training))
    return importlib.import_module(f"rlready.stages.{stage}.stage").run(**arguments)


def _find_tracked(stage: str, arguments: dict) -> Candidate | None:
    """Returns the candidate whose MLflow run a stage belongs to; None for the base model, which need not be a candidate."""
    candidate = from_json(Candidate, arguments["candidate"])
    return None if is_baseline(stage, candidate, arguments.get("before")) else candidate


def _spawn(stage: str, arguments: dict) -> tuple[str, Any]:
    """Runs a stage in a child, which may be killed; returns as `run_stage` does, or (died, exit code) without an answer."""
    with tempfile.TemporaryDirectory(prefix="rlready-") as folder:
        given, answer = Path(folder) / "arguments.json", Path(folder) / "answer.json"
        given.write_text(json.dumps(arguments))
        child = subprocess.Popen([sys.executable, "-m", "rlready.run.launch", stage, f"--config={given}", f"--answer={answer}"])

        def stop(signum, frame):
            child.terminate()
            set_status(_find_tracked(stage, arguments), "KILLED")
            child.kill()
            os._exit(128 + signum)

        before = signal.signal(signal.SIGTERM, stop)
        try:
            code = child.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
        return tuple(json.loads(answer.read_text())) if answer.exists() else ("died", code)


def _list_places(arguments: dict) -> list[Path]:
    """Returns the folders that a stage writes to: of its outputs, of checkpoints, and of temporary files."""
    given = [Path(value).parent for value in arguments.values() if isinstance(value, str) and value.startswith("/")]
    return [*map(Path, filter(None, [os.environ.get(checkpoints.ROOT)])), *given, Path(tempfile.gettempdir())]


def _send(path: str, stage: str, arguments: dict) -> tuple[str, Any]:
    """Runs a stage in the warm worker; returns as `_spawn` does."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except ConnectionRefusedError:  # the worker was killed
            return _spawn(stage, arguments)
        socket.send_fds(connection, [b"."], [1, 2])  # the child writes to this process's standard output and error
        connection.sendall(json.dumps([stage, arguments, os.getcwd(), dict(os.environ)]).encode() + b"\n")
        answer = connection.makefile("rb").read()
    # Without an answer, the process that sends it is dead.
    return tuple(json.loads(answer)) if answer else ("died", -signal.SIGKILL)


def main() -> None:
    """Runs one stage in a process of its own: `python -m rlready.run.launch STAGE --config run.json`."""
    parser = argparse.ArgumentParser(prog="python -m rlready.run.launch")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--config", required=True, help="JSON file with the arguments of the stage's run()")
    parser.add_argument("--answer", help="JSON file for the result; if left out, the result is printed")
    given = parser.parse_args()
    arguments = json.loads(Path(given.config).read_text())
    if given.answer:
        set_status(_find_tracked(given.stage, arguments), "RUNNING")
    state, value = run_stage(given.stage, arguments)
    if given.answer:
        write_atomically(given.answer, json.dumps([state, value]))
    elif state != "finished":
        sys.exit(f"{given.stage}: {value}")
    elif value is not None:
        print(value if isinstance(value, str) else json.dumps(value))


if __name__ == "__main__":
    main()
