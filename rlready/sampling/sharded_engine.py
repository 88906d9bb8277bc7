"""Several copies of a model, each in a process and on devices of its own, that share the prompts.

Samples are seeded by prompt, so which process draws them changes nothing. Parent and process speak JSON lines over pipes.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from rlready.config import Sampling
from rlready.errors import InputError
from rlready.models.load import choose_precision, load_tokenizer
from rlready.sampling.engine import Completion, Draw, Engine, ignore_progress


class ShardedEngine(Engine):
    """Deals prompts out to processes and puts their completions together again, in order.

    Args:
        model: Model folder.
        sampling: Tensor parallel size and memory fraction of each copy.
        name: Engine of each copy, transformers or vllm.
        replicas: Number of copies.
    """

    def __init__(self, model: str, sampling: Sampling, name: str, replicas: int):
        self.name, self.precision, self.tokenizer = name, choose_precision(), load_tokenizer(model)
        self.replicas = []
        arguments = {"model": model, "sampling": asdict(sampling), "engine": name, "replicas": replicas}
        for environment in divide_devices(sampling.tensor_parallel, replicas):
            self.replicas.append(Replica(arguments, environment))

    def count_fill(self, samples: int) -> int:
        """Returns how many problems keep all copies busy with so many samples each."""
        return len(self.replicas) * super().count_fill(samples)

    def sample(
        self,
        prompts: Sequence[list[int]],
        keys: Sequence[str],
        draw: Draw,
        progress: Callable[[int, int], None] = ignore_progress,
    ) -> list[list[Completion]]:
        """Draws completions; see `Engine.sample`.

        Raises:
            InputError: If a process fails or is killed.
        """
        results: list[list[Completion]] = [[] for _ in prompts]
        counts = {}
        shards = {}
        with selectors.DefaultSelector() as answers:
            for number, replica in enumerate(self.replicas):
                shard = range(number, len(prompts), len(self.replicas))
                if shard:
                    shards[number] = shard
                    replica.ask([prompts[i] for i in shard], [keys[i] for i in shard], draw)
                    answers.register(replica.answers, selectors.EVENT_READ, number)
            while shards:
                for ready, _ in answers.select():
                    for answer in self.replicas[ready.data].read():
                        if "error" in answer:
                            self.close()
                            place = f"process {ready.data + 1} of {len(self.replicas)}"
                            raise InputError(f"sampling: {place} {answer['error']}")
                        if "done" in answer:
                            counts[ready.data] = answer["done"]
                            progress(*map(sum, zip(*counts.values(), strict=True)))
                            continue
                        for index, drawn in zip(shards.pop(ready.data), answer["completions"], strict=True):
                            results[index] = [Completion(*values) for values in drawn]
                        answers.unregister(ready.fileobj)
        return results

    def close(self) -> None:
        """Ends the processes."""
        for replica in self.replicas:
            replica.end()


class Replica:
    """A process that holds one copy of the model.

    Args:
        arguments: What `serve` needs to open its engine.
        environment: Variables that say which devices are its own.
    """

    def __init__(self, arguments: dict, environment: dict[str, str]):
        read, write = os.pipe()
        command = [sys.executable, "-m", __spec__.name, str(os.getpid()), str(write)]
        # A session of its own, so that ending it also ends what vLLM starts.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, pass_fds=[write], env=os.environ | environment, start_new_session=True
        )
        os.close(write)
        self.answers = os.fdopen(read, "rb", buffering=0)
        self.unread: list[bytes] = []
        self._send(arguments)

    def ask(self, prompts: list[list[int]], keys: list[str], draw: Draw) -> None:
        """Sends prompts; the answers come as lines, the last of which holds the completions."""
        self._send({"prompts": [list(map(int, prompt)) for prompt in prompts], "keys": keys, "draw": asdict(draw)})

    def _send(self, message: dict) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died, which reading will tell
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def read(self) -> list[dict]:
        """Waits and returns the lines that are whole; the end of them is an error that says how the process ended."""
        part = b""
        while b"\n" not in part:
            part = self.answers.read(1 << 20)
            if not part:
                code = self.process.wait()
                how = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"ended with status {code}"
                return [{"error": f"{how}; run the same command again, with fewer sampling_replicas if it recurs"}]
            self.unread.append(part)
        *lines, rest = b"".join(self.unread).split(b"\n")
        self.unread = [rest]
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """Kills the process and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.answers.close()


def divide_devices(tensor_parallel: int, replicas: int) -> list[dict[str, str]]:
    """Returns for each copy the environment that gives it GPUs of its own, or its part of the threads where there are none."""
    import torch

    count = torch.cuda.device_count()
    if not count:
        return [{"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // replicas))}] * replicas
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
    groups = [visible[i * tensor_parallel : (i + 1) * tensor_parallel] for i in range(replicas)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups]


def serve(parent: int, out: int) -> None:
    """The process: opens its engine and answers, until its parent is gone.

    Args:
        parent: Process id of the parent.
        out: File descriptor for the answers; standard output is for logs.
    """
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    given = json.loads(sys.stdin.buffer.readline())
    with os.fdopen(out, "w") as answers:

        def answer(**message) -> None:
            answers.write(json.dumps(message) + "\n")
            answers.flush()

        try:
            with _open(given) as engine:
                for line in sys.stdin.buffer:
                    asked = json.loads(line)
                    draw = Draw(**asked["draw"])
                    sampled = engine.sample(
                        asked["prompts"], asked["keys"], draw, lambda done, tokens: answer(done=[done, tokens])
                    )
                    answer(completions=[[list(vars(c).values()) for c in completions] for completions in sampled])
        except InputError as error:
            answer(error=f"could not start: {error}")
        except Exception as error:
            answer(error=f"failed: {type(error).__name__}: {error}")
            raise


def _open(given: dict) -> Engine:
    if given["engine"] == "vllm":
        from rlready.sampling.vllm_engine import VllmEngine

        return VllmEngine.load(given["model"], Sampling(**given["sampling"]))
    import torch

    from rlready.sampling.transformers_engine import MEMORY_SHARE, TransformersEngine

    # On the CPU the copies share the memory.
    share = MEMORY_SHARE if torch.cuda.is_available() else MEMORY_SHARE / given["replicas"]
    return TransformersEngine.load(given["model"], share)


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
