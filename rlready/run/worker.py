"""The warm worker of runs on this machine: python -m rlready.run.worker SOCKET. See launch.py."""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading

from rlready.run.launch import run_stage

HEAVY = ("sft.train", "predictors.measure", "rl.stage", "benchmark.stage")  # what loads models in each stage


def serve(path: str) -> None:
    """Imports what the heavy stages need, then forks a child, which dies with its client, for every stage that connects."""
    # What is imported here, no child imports again; a child takes 1.5 seconds less with MLflow's store among it.
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    from sqlalchemy.orm import configure_mappers
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401
    from trl import GRPOTrainer, SFTTrainer  # noqa: F401

    for module in HEAVY:
        importlib.import_module(f"rlready.stages.{module}")
    configure_mappers()
    gc.freeze()  # so that collections in the children neither visit nor copy what they share
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
    """In a fork: runs one stage in another, with the folder, variables and threads of the client, and kills it with it."""
    import torch

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.settimeout(None)
    _, files, _, _ = socket.recv_fds(connection, 1, 2)
    stage, arguments, folder, environment = json.loads(connection.makefile("rb").readline())
    child = os.fork()
    if child == 0:
        os.dup2(files[0], 1)
        os.dup2(files[1], 2)
        os.chdir(folder)
        os.environ.clear()
        os.environ |= environment
        tempfile.tempdir = None
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
        answer = json.dumps(run_stage(stage, arguments)).encode()
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(answer)
        os._exit(0)
    threading.Thread(target=_end_with_client, args=(connection, child), daemon=True).start()
    _, status = os.waitpid(child, 0)
    if status:  # without an answer
        with contextlib.suppress(OSError):  # the client is gone, too
            connection.sendall(json.dumps(["died", os.waitstatus_to_exitcode(status)]).encode())
    os._exit(0)


def _end_with_client(connection: socket.socket, child: int) -> None:
    with contextlib.suppress(ConnectionError):
        connection.recv(1)  # the client sends nothing more: this returns when it closes the connection
    with contextlib.suppress(ProcessLookupError):  # both ended at once
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1])
