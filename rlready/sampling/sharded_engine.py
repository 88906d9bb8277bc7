"""Several copies of a model, each in its own process and on its own devices, that share the prompts.

Samples are seeded by prompt, so it does not matter which process draws them. Parent and processes exchange JSON: unpickling
what a process sends would run what it says, and it handles hostile text.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from rlready.config import Sampling
from rlready.errors import InputError
from rlready.models.load import choose_precision, load_tokenizer
from rlready.sampling.engine import Completion, Draw, Engine, OnSampled, ignore_progress


class ShardedEngine(Engine):
    """Distributes prompts among this many copies of an engine, transformers or vllm, and collects completions in order."""

    def __init__(self, model: str, sampling: Sampling, name: str, replicas: int):
        self.name, self.precision, self.tokenizer = name, choose_precision(), load_tokenizer(model)
        opening = {"model": model, "sampling": asdict(sampling), "name": name, "replicas": replicas}
        self.replicas = [Replica(opening, devices) for devices in divide_devices(sampling.tensor_parallel, replicas)]

    def count_fill(self, samples: int) -> int:
        """Returns how many problems keep all copies busy at this many samples each."""
        return len(self.replicas) * super().count_fill(samples)

    def sample(
        self, prompts: Sequence[list[int]], keys: Sequence[str], draw: Draw, progress: OnSampled = ignore_progress
    ) -> list[list[Completion]]:
        """Samples completions; see `Engine.sample`; raises InputError if a process fails or is killed."""
        results: list[list[Completion]] = [[] for _ in prompts]
        counts: dict[int, list[int]] = {}  # completions and tokens so far, by process
        shards = {n: range(n, len(prompts), len(self.replicas)) for n in range(min(len(prompts), len(self.replicas)))}
        for number, shard in shards.items():
            self.replicas[number].send([[list(map(int, prompts[i])) for i in shard], [keys[i] for i in shard], asdict(draw)])
        while shards:
            ready = wait([self.replicas[number].messages for number in shards])
            for number in [number for number in shards if self.replicas[number].messages in ready]:
                what, said = self.replicas[number].receive()
                if what == "error":
                    self.close()
                    raise InputError(f"sampling: process {number + 1} of {len(self.replicas)} {said}")
                if what == "progress":
                    counts[number] = said
                    progress(*map(sum, zip(*counts.values(), strict=True)))
                else:
                    for index, completions in zip(shards.pop(number), said, strict=True):
                        results[index] = [Completion(*values) for values in completions]
        return results

    def close(self) -> None:
        """Ends the processes."""
        for replica in self.replicas:
            replica.end()


class Replica:
    """A process that holds one copy of the model, given the arguments of `_open` and the variables of its devices."""

    def __init__(self, opening: dict[str, Any], environment: dict[str, str]):
        self.messages, other = Pipe()
        with other:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, str(os.getpid()), str(other.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                env=os.environ | environment,
                start_new_session=True,  # so that ending it also ends what vLLM starts
            )
        self.send(opening)

    def send(self, message: Any) -> None:
        """Sends a message; `receive` finds out if the process has died."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.messages.send_bytes(json.dumps(message).encode())

    def receive(self) -> tuple[str, Any]:
        """Waits for a message, (progress, completions or error; what it says); that the process has ended is an error."""
        try:
            what, said = json.loads(self.messages.recv_bytes())
            return what, said
        except (EOFError, OSError):  # OSError: it ended in the middle of a message
            code = self.process.wait()
            how = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"ended with status {code}"
            return "error", f"{how}; run the same command again, with fewer sampling_replicas if it recurs"

    def end(self) -> None:
        """Kills the process and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.messages.close()


def divide_devices(tensor_parallel: int, replicas: int) -> list[dict[str, str]]:
    """Returns the environment of each copy: its own GPUs, or its share of the CPU threads if there are none."""
    import torch

    count = torch.cuda.device_count()
    if not count:
        return [{"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // replicas))}] * replicas
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
    groups = [visible[i * tensor_parallel : (i + 1) * tensor_parallel] for i in range(replicas)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups]


def serve(parent: int, handle: int) -> None:
    """Opens an engine and samples what the parent process sends to a file descriptor, until the parent is gone."""

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=end_with_parent, daemon=True).start()
    with Connection(handle) as messages:

        def answer(what: str, said: Any) -> None:
            messages.send_bytes(json.dumps([what, said]).encode())

        try:
            with _open(**json.loads(messages.recv_bytes())) as engine:
                while True:
                    prompts, keys, draw = json.loads(messages.recv_bytes())
                    sampled = engine.sample(prompts, keys, Draw(**draw), lambda *counts: answer("progress", counts))
                    answer("completions", [[list(vars(one).values()) for one in some] for some in sampled])
        except EOFError:
            return
        except InputError as error:
            answer("error", f"could not start: {error}")
        except Exception as error:
            answer("error", f"failed: {type(error).__name__}: {error}")
            raise


def _open(model: str, sampling: dict[str, Any], name: str, replicas: int) -> Engine:
    if name == "vllm":
        from rlready.sampling.vllm_engine import VllmEngine

        return VllmEngine.load(model, Sampling(**sampling))
    import torch

    from rlready.sampling.transformers_engine import MEMORY_SHARE, TransformersEngine

    # On the CPU the copies share the memory.
    share = MEMORY_SHARE if torch.cuda.is_available() else MEMORY_SHARE / replicas
    return TransformersEngine.load(model, share)


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
