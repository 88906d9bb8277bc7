"""The warm worker of a run on this machine: python -m rlready.run.worker SOCKET.

For every stage that connects (launch.py) it forks a child, which finds torch, transformers and TRL imported.
"""

import array
import json
import os
import signal
import socket
import sys
import time

from rlready.records.outcome import CANDIDATE_STAGES
from rlready.run.launch import run_stage


def serve(path: str) -> None:
    """Forks a child for every stage that connects; from curate on the children find the heavy libraries imported.

    A run that comes from the cache has only light stages, and never pays for the imports. A child dies with its client: when
    the stage's own process is killed, its work stops too.
    """
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
            files = array.array("i")
            try:
                connection.settimeout(10)
                _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_LEN(2 * files.itemsize))
                files.frombytes(ancillary[0][2])
                stage, arguments = json.loads(connection.makefile("rb").readline())
                connection.settimeout(None)
            except (OSError, IndexError, ValueError):  # a client that was killed before it had said all
                connection.close()
                continue
            if stage in CANDIDATE_STAGES:
                _import_libraries()
            if os.fork() == 0:
                listener.close()
                _attend(connection, files, stage, arguments)
            connection.close()
            for file in files:
                os.close(file)
            if stage == "curate":
                _import_libraries()  # while it works


def _import_libraries() -> None:
    import mlflow  # noqa: F401
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401
    from trl import GRPOTrainer, SFTTrainer  # noqa: F401

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))


def _attend(connection: socket.socket, files: array.array, stage: str, arguments: dict) -> None:
    """In a fork: runs one stage in a further fork, and kills it if the client goes away."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        os.dup2(files[0], 1)
        os.dup2(files[1], 2)
        answer = json.dumps(run_stage(stage, arguments)).encode()
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


if __name__ == "__main__":
    serve(sys.argv[1])
