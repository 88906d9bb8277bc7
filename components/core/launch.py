"""Where a stage's work runs: in this process, or in a warm worker that has torch, transformers and TRL imported already.

A laptop run has some twenty stages that each need ten seconds of imports. `rlready run` starts one warm worker; a stage
sends it its arguments over a Unix socket, and the worker forks a child that does the work with the stage's own standard
output. On a cluster a stage is a pod of its own, and what is done for one candidate runs in a child of the pod's process.
Training may take several processes (processes.py), also in several pods (train_job.py).
"""

import array
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

from rlready.components.config import STAGE_READS, InputError, read_settings
from rlready.components.core.records import BEFORE_RL, CANDIDATE_STAGES, Candidate, Failure, Outcome
from rlready.components.core.runtime import events, failures
from rlready.components.core.serialization import from_json, read_record, write_atomically, write_record
from rlready.components.core.tracking.log import log_outcome
from rlready.components.core.tracking.runs import fail_run, start_stage, stop_stage
from rlready.components.core.training import checkpoints, processes, train_job

SOCKET = "RLREADY_WARM_WORKER"
RETRIES = "RLREADY_RETRIES"  # tries of a stage after one that died or raised, in the same container

# The argument that names the folder that a stage writes beside its outcome.
FOLDERS = {"sft": "model", "predictors": "samples", "rl": "trained", "benchmark": "samples"}


def launch(stage: str, **arguments) -> Any:
    """Runs a stage: calls `run(**arguments)` of `rlready.components.<stage>.__main__`.

    What fails for one candidate is that candidate's outcome and not the end of the run: it is written to the path `outcome`,
    and the stages after it pass it on. Of the base model, which all are compared with, it is the end.

    Args:
        stage: Name of the stage's folder.
        **arguments: JSON values; paths as strings.

    Returns:
        What `run` returned, a JSON value; for a stage of one candidate an object with figures and a `display_name`.

    Raises:
        SystemExit: With the reason in marked lines, if the stage failed; its traceback is in the output already.
    """
    candidate = from_json(Candidate, arguments["candidate"]) if stage in CANDIDATE_STAGES else None
    before = read_record(Outcome, arguments["before"]) if arguments.get("before") else None
    about = {"display_name": f"{candidate.candidate_id}: {stage}"} if candidate else {}
    failure = before and before.failure
    if failure:
        events.emit(stage, candidate.candidate_id, "skipped")
        events.tell(f"{events.SKIPPED}{failure.stage} failed: {failure.reason}")
    else:
        begun = time.time()
        state, value, tries = _repeat(stage, candidate, arguments)
        if state == "finished":
            return about | (value or {}) if candidate else value
        if candidate is None or is_baseline(stage, candidate, before):
            fail_run()
            sys.stdout.flush()  # the reason comes last, as near to the end of the log as this process can bring it
            raise SystemExit(_mark_failure(stage, candidate, value))
        print(_mark_failure(stage, candidate, value), flush=True)
        failure = Failure(stage, "; ".join(value.splitlines()), time.time() - begun, tries)
    outcome = dataclasses.replace(before or Outcome(candidate), failure=failure)
    write_record(outcome, arguments["outcome"])
    # KFP takes an output that is not there for lost.
    write_record(failure, Path(arguments[FOLDERS[stage]]) / "failure.json")
    log_outcome(outcome)
    return about | {"failed": f"{failure.stage}: {failure.reason}"}


def _mark_failure(stage: str, candidate: Candidate | None, message: str) -> str:
    where = f"{stage} of {candidate.candidate_id}" if candidate else stage
    return events.mark("\n".join(f"{events.FAILED}{where}: {line}" for line in message.splitlines()))


def is_baseline(stage: str, candidate: Candidate, before: Any) -> bool:
    """Says whether the work is done for the base model as it is, with which every candidate is compared."""
    return candidate.is_base and (stage in BEFORE_RL or (stage == "benchmark" and before is None))


def _repeat(stage: str, candidate: Candidate | None, arguments: dict) -> tuple[str, Any, int]:
    """Tries a stage until it finishes, is refused, or has used up its tries; training goes on from its last checkpoint.

    Returns:
        (finished, result, tries), (failed, message, tries), or (refused, message, tries) where another try would end alike.
    """
    most = 1 + int(os.environ.get(RETRIES) or 0)
    for tries in range(1, most + 1):
        state, value = _try(stage, candidate, arguments)
        if state != "failed":
            break
        if tries < most:
            events.tell(f"attempt {tries} of {most} failed: {value}")
    return state, value, tries


def _try(stage: str, candidate: Candidate | None, arguments: dict) -> tuple[str, Any]:
    path = os.environ.get(SOCKET)
    if path and (os.path.exists(path) or (candidate and _wait_for(path))):
        return _ask(path, stage, arguments)
    # What a TrainJob runs is in pods of its own.
    alone = candidate and train_job.MANIFEST not in os.environ
    return _spawn(stage, candidate, arguments) if alone else _run(stage, arguments)


def _run(stage: str, arguments: dict) -> tuple[str, Any]:
    """Runs a stage in this process and returns (finished, result), (failed, message) or (refused, message)."""
    candidate_id = _find_candidate_id(arguments)
    begun = time.time()
    events.emit(stage, candidate_id, "started")
    try:
        value = _call(stage, candidate_id, arguments)
    except Exception as error:
        message = failures.describe_error(stage, error, _list_places(arguments))
        if not isinstance(error, (InputError, failures.StageFailed)):
            traceback.print_exc()
        events.emit(stage, candidate_id, "failed", message=message)
        return "refused" if isinstance(error, InputError) else "failed", message
    events.emit(stage, candidate_id, "finished", seconds=time.time() - begun)
    return "finished", value


def _call(stage: str, candidate_id: str | None, arguments: dict) -> Any:
    if train_job.MANIFEST in os.environ:
        return train_job.run(stage, candidate_id, arguments)
    if "training" in STAGE_READS.get(stage, ()):
        training = read_settings(arguments["settings"]).training
        if processes.needs_processes(training):
            return processes.run_processes(stage, arguments, processes.count_processes(training))
    return importlib.import_module(f"rlready.components.{stage}.__main__").run(**arguments)


def _find_candidate_id(arguments: dict) -> str | None:
    return json.loads(arguments["candidate"])["candidate_id"] if "candidate" in arguments else None


def _find_tracked(stage: str, arguments: dict) -> Candidate | None:
    """Returns whose run in MLflow a stage is part of; None of the base model, which may turn out to be no candidate."""
    candidate = from_json(Candidate, arguments["candidate"])
    return None if is_baseline(stage, candidate, arguments.get("before")) else candidate


def _spawn(stage: str, candidate: Candidate, arguments: dict) -> tuple[str, Any]:
    """Runs a stage in a child, so that what kills it, such as a lack of memory, leaves somebody to say so and to go on."""
    with tempfile.TemporaryDirectory(prefix="rlready-") as folder:
        given, answer = Path(folder) / "arguments.json", Path(folder) / "answer.json"
        given.write_text(json.dumps(arguments))
        killed = failures.count_kills()
        child = subprocess.Popen([sys.executable, "-m", "rlready.components.core.launch", stage, given, answer])

        def stop(signum, frame):
            child.terminate()
            stop_stage(_find_tracked(stage, arguments))
            child.kill()
            os._exit(128 + signum)

        before = signal.signal(signal.SIGTERM, stop)
        try:
            code = child.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
        if answer.exists():
            return tuple(json.loads(answer.read_text()))
    return _report_death(stage, arguments, code, failures.count_kills() > killed)


def _report_death(stage: str, arguments: dict, code: int, starved: bool) -> tuple[str, str]:
    message = failures.describe_death(stage, code, starved, _list_places(arguments))
    events.emit(stage, _find_candidate_id(arguments), "failed", message=message)
    return "failed", message


def _list_places(arguments: dict) -> list[Path]:
    """Returns the folders to which a stage writes: those of its outputs, of checkpoints, and of temporary files."""
    given = [Path(value).parent for value in arguments.values() if isinstance(value, str) and value.startswith("/")]
    return [*map(Path, filter(None, [os.environ.get(checkpoints.ROOT)])), *given, Path(tempfile.gettempdir())]


def run_from_command_line(stage: str) -> None:
    """The container face of a stage: `python -m rlready.components.<stage> --config run.json`.

    The JSON file holds the arguments of the stage's `run`; a result is printed.
    """
    import argparse

    parser = argparse.ArgumentParser(prog=f"python -m rlready.components.{stage}")
    parser.add_argument("--config", required=True, help="JSON file with the arguments of the stage's run()")
    with open(parser.parse_args().config) as file:
        state, value = _run(stage, json.load(file))
    if state != "finished":
        sys.exit(f"{stage}: {value}")
    if value is not None:
        print(value if isinstance(value, str) else json.dumps(value))


def _wait_for(path: str, seconds: float = 60) -> bool:
    """Waits for the worker's imports; False if it never comes up, and the stage then pays for its own."""
    deadline = time.time() + seconds
    while not os.path.exists(path):
        if time.time() > deadline:
            return False
        time.sleep(0.1)
    return True


def _ask(path: str, stage: str, arguments: dict) -> tuple[str, Any]:
    killed = failures.count_kills()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        # The child writes to this process's standard output and error.
        files = array.array("i", [1, 2])
        connection.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        connection.sendall(json.dumps([stage, arguments]).encode() + b"\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    if not answer:
        answer = json.dumps(["died", -signal.SIGKILL])  # the process that would have told is dead itself
    state, value = json.loads(answer)
    if state == "died":
        return _report_death(stage, arguments, value, failures.count_kills() > killed)
    return state, value


def serve(path: str) -> None:
    """Imports what the heavy stages need, then forks a child for every stage that connects.

    The child dies with its client: when the stage's own process is killed, its work stops too.
    """
    import mlflow  # noqa: F401
    import torch
    import transformers  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401
    from trl import GRPOTrainer, SFTTrainer  # noqa: F401

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as listener:
        # Bound under another name first: the path exists only once it accepts connections.
        listener.bind(path + ".new")
        listener.listen()
        os.rename(path + ".new", path)
        listener.settimeout(1.0)
        while os.getppid() == parent:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                listener.close()
                _attend(connection)
            connection.close()


def _attend(connection: socket.socket) -> None:
    """In a fork: runs one stage in a further fork, and kills it if the client goes away."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.settimeout(None)
    files = array.array("i")
    _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_LEN(2 * files.itemsize))
    files.frombytes(ancillary[0][2])
    stage, arguments = json.loads(connection.makefile("rb").readline())
    child = os.fork()
    if child == 0:
        os.dup2(files[0], 1)
        os.dup2(files[1], 2)
        answer = json.dumps(_run(stage, arguments)).encode()
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(answer)
        os._exit(0)
    connection.setblocking(False)
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        try:
            gone = connection.recv(1) == b""
        except BlockingIOError:
            gone = False
        if gone:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.02)
    if ended[1]:  # without an answer
        connection.sendall(json.dumps(["died", os.waitstatus_to_exitcode(ended[1])]).encode())
    os._exit(0)


def main() -> None:
    """Serves as the warm worker (SOCKET), or runs one stage as the child of its own process (STAGE ARGUMENTS ANSWER)."""
    if len(sys.argv) == 2:
        serve(sys.argv[1])
        return
    stage, given, answer = sys.argv[1:]
    arguments = json.loads(Path(given).read_text())
    start_stage(_find_tracked(stage, arguments))
    write_atomically(answer, json.dumps(_run(stage, arguments)))


if __name__ == "__main__":
    main()
