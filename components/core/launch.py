"""Where a stage's work runs: in this process, or in a warm worker that has torch, transformers and TRL imported already.

A laptop run has some twenty stages that each need ten seconds of imports. `rlready run` starts one warm worker; a stage
sends it its arguments over a Unix socket, and the worker forks a child that does the work with the stage's own standard
output. On a cluster a stage is a pod of its own and runs in its own process. Training may take several processes
(processes.py), also in several pods (train_job.py).
"""

import array
import importlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from typing import Any

from rlready.components.config import STAGE_SECTIONS, InputError, read_settings
from rlready.components.core.runtime import events
from rlready.components.core.training import processes, train_job

SOCKET = "RLREADY_WARM_WORKER"


HEAVY = ("sft", "predictors", "rl", "benchmark")  # worth waiting for the worker's imports


def launch(stage: str, **arguments) -> Any:
    """Runs a stage: calls `run(**arguments)` of `rlready.components.<stage>.__main__`.

    Args:
        stage: Name of the stage's folder.
        **arguments: JSON values; paths as strings.

    Returns:
        What `run` returned, a JSON value.

    Raises:
        SystemExit: With one line, if the stage failed; its traceback is in the output already.
    """
    path = os.environ.get(SOCKET)
    if path and (os.path.exists(path) or (stage in HEAVY and _wait_for(path))):
        state, value = _ask(path, stage, arguments)
    else:
        state, value = _run(stage, arguments)
    if state == "failed":
        raise SystemExit(value)
    return value


def _run(stage: str, arguments: dict) -> tuple[str, Any]:
    """Runs a stage in this process and returns (finished, result) or (failed, message)."""
    candidate_id = _find_candidate_id(arguments)
    begun = time.time()
    events.emit(stage, candidate_id, "started")
    try:
        value = _call(stage, candidate_id, arguments)
    except Exception as error:
        message = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, InputError):
            traceback.print_exc()
        events.emit(stage, candidate_id, "failed", message=message)
        return "failed", f"{stage}{f' of {candidate_id}' if candidate_id else ''}: {message}"
    events.emit(stage, candidate_id, "finished", seconds=time.time() - begun)
    return "finished", value


def _call(stage: str, candidate_id: str | None, arguments: dict) -> Any:
    if train_job.MANIFEST in os.environ:
        return train_job.run(stage, candidate_id, arguments)
    if "training" in STAGE_SECTIONS.get(stage, ()):
        training = read_settings(arguments["settings"]).training
        if processes.needs_processes(training):
            return processes.run_processes(stage, arguments, processes.count_processes(training))
    return importlib.import_module(f"rlready.components.{stage}.__main__").run(**arguments)


def _find_candidate_id(arguments: dict) -> str | None:
    if "candidate" in arguments:
        return json.loads(arguments["candidate"])["candidate_id"]
    return json.loads(arguments["outcome"])["candidate"]["candidate_id"] if "outcome" in arguments else None


def run_from_command_line(stage: str) -> None:
    """The container face of a stage: `python -m rlready.components.<stage> --config run.json`.

    The JSON file holds the arguments of the stage's `run`; a result is printed.
    """
    import argparse

    parser = argparse.ArgumentParser(prog=f"python -m rlready.components.{stage}")
    parser.add_argument("--config", required=True, help="JSON file with the arguments of the stage's run()")
    with open(parser.parse_args().config) as file:
        state, value = _run(stage, json.load(file))
    if state == "failed":
        sys.exit(value)
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
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        # The child writes to this process's standard output and error.
        files = array.array("i", [1, 2])
        connection.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        connection.sendall(json.dumps([stage, arguments]).encode() + b"\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    if not answer:
        message = "its process was killed (out of memory?); run the same command to go on"
        events.emit(stage, _find_candidate_id(arguments), "failed", message=message)
        return "failed", f"{stage}: {message}"
    state, value = json.loads(answer)
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
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        try:
            gone = connection.recv(1) == b""
        except BlockingIOError:
            gone = False
        if gone:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.02)
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
