"""The warm worker of a run on this machine: python -m rlready.run.worker SOCKET. See launch.py."""

import json
import os
import signal
import socket
import sys
import time

from rlready.run.launch import run_stage


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
    """In a fork: runs one stage in another fork, and kills it if the client ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.settimeout(None)
    _, files, _, _ = socket.recv_fds(connection, 1, 2)
    stage, arguments = json.loads(connection.makefile("rb").readline())
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
