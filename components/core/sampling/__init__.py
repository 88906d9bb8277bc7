"""Drawing completions: one interface, several engines."""

import importlib.util
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from rlready.components.config import InputError, Sampling
from rlready.components.core.prompts import choose_prompt, encode_prompt

VLLM_FROM = 100e6  # parameters; see choose_engine


@dataclass(frozen=True)
class Completion:
    """One sampled answer.

    Attributes:
        text: Decoded, without special tokens, up to the stop string where one ended it.
        ids: Token ids, the end token or those that complete the stop string included.
        finished: Whether the model or a stop string ended it; False where the length limit did.
        logprob: Natural logarithm of its probability at the temperature it was drawn at; 0 where decoding was greedy. Not
            compared: its last bits depend on the batch.
    """

    text: str
    ids: list[int]
    finished: bool
    logprob: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Draw:
    """How to sample.

    Attributes:
        samples: Completions a prompt.
        max_tokens: Longest completion.
        temperature: 0 decodes greedily (and needs one sample).
        seed: The same seed gives the same samples, whatever the batch size; more samples extend fewer.
        stop: Texts that end a completion.
    """

    samples: int
    max_tokens: int
    temperature: float = 1.0
    seed: int = 0
    stop: Sequence[str] = ()


def ignore_progress(done: int, tokens: int) -> None:
    """Takes completions and tokens so far and does nothing."""


class Engine(AbstractContextManager):
    """What draws completions from one model; leaving its context frees the model's memory.

    Attributes:
        name: transformers or vllm. Their samples differ, seed by seed, so records say which one drew them.
        tokenizer: The model's.
    """

    name: str

    def encode(self, row: dict) -> list[int]:
        """Returns the prompt of a problem, as `sample` takes it."""
        return encode_prompt(self.tokenizer, row["question"], choose_prompt(row))

    def show(self, row: dict) -> str:
        """Returns the prompt of a problem as text, with special tokens."""
        return self.tokenizer.decode(self.encode(row))

    @abstractmethod
    def sample(
        self,
        prompts: Sequence[list[int]],
        keys: Sequence[str],
        draw: Draw,
        progress: Callable[[int, int], None] = ignore_progress,
    ) -> list[list[Completion]]:
        """Draws completions.

        Args:
            prompts: Token ids of each prompt.
            keys: A name for each prompt; its samples depend on it and the seed, not on its neighbours.
            draw: How to sample.
            progress: Called with the completions done and tokens drawn so far.

        Returns:
            For each prompt its completions, in a fixed order.
        """

    def close(self) -> None:
        """Frees what the engine holds; it cannot be used afterwards."""

    def __exit__(self, *error) -> None:
        self.close()


def choose_engine(sampling: Sampling, parameters: float) -> tuple[str, str]:
    """Decides which engine samples on this machine.

    auto takes vllm on a GPU from VLLM_FROM parameters: its start takes longer than a small model's whole stage (270 s on two
    busy cores, most of it compilation). The size is a judgement, not measured on a GPU.

    Args:
        sampling: Engine, replicas and tensor parallel size asked for.
        parameters: Size of the model.

    Returns:
        (transformers or vllm, why).

    Raises:
        InputError: If what is asked for is not there: vllm, or a GPU for every process.
    """
    import torch

    gpus = torch.cuda.device_count()
    installed = importlib.util.find_spec("vllm") is not None
    if sampling.engine == "vllm" and not installed:
        raise InputError(
            "sampling_engine: vllm is asked for and not installed; pip install 'rlready[gpu]', or set it to transformers"
        )
    if sampling.tensor_parallel > max(1, gpus):
        raise InputError(
            f"sampling_tensor_parallel: {sampling.tensor_parallel} GPUs for one copy of the model, this machine has {gpus}"
        )
    needed = sampling.replicas * sampling.tensor_parallel
    if gpus and needed > gpus:
        raise InputError(
            f"sampling_replicas: {sampling.replicas} copies on {sampling.tensor_parallel} GPUs each are {needed}, this"
            f" machine has {gpus}; two processes on one device are refused: set it to {gpus // sampling.tensor_parallel}"
        )
    if sampling.engine != "auto":
        return sampling.engine, "sampling_engine says so"
    if sampling.tensor_parallel > 1:
        if not installed:
            raise InputError(
                "sampling_tensor_parallel: only vllm spreads a model over GPUs and it is not installed; pip install"
                " 'rlready[gpu]', or set it to 1"
            )
        return "vllm", f"sampling_tensor_parallel is {sampling.tensor_parallel}"
    size = f"{parameters / 1e6:,.1f}M parameters"
    if not gpus:
        return "transformers", "no GPU"
    if parameters < VLLM_FROM:
        return "transformers", f"{size}: a model below {VLLM_FROM / 1e6:,.0f}M is done before vllm has started"
    if not installed:
        return "transformers", f"vllm is not installed (it would suit {size} on a GPU: pip install 'rlready[gpu]')"
    return "vllm", f"{size} on a GPU"


def count_replicas(sampling: Sampling) -> int:
    """Returns how many copies of the model share the prompts: as asked for, else one for every GPU (or group of them)."""
    import torch

    return sampling.replicas or max(1, torch.cuda.device_count() // sampling.tensor_parallel)


def open_engine(model: str, sampling: Sampling, embedded: Engine | None = None) -> Engine:
    """Returns an engine for a model folder, and prints which and why.

    Args:
        model: Model folder.
        sampling: Engine, replicas, tensor parallel size and memory fraction.
        embedded: An embedded engine of this model that is open already. It is returned where sampling asks for just that;
            otherwise it is closed before the other starts, so that the model is never in memory twice.

    Returns:
        The engine, to be closed after use.

    Raises:
        InputError: If what is asked for is not there.
    """
    from rlready.components.core.models import count_parameters

    name, reason = choose_engine(sampling, count_parameters(model))
    replicas = count_replicas(sampling)
    print(f"sampling with {name} ({reason}){f', {replicas} processes' if replicas > 1 else ''}", flush=True)
    if name == "transformers" and replicas == 1:
        from rlready.components.core.sampling.transformers_engine import TransformersEngine

        return embedded or TransformersEngine.load(model)
    if embedded:
        embedded.close()
    if replicas > 1:
        from rlready.components.core.sampling.sharded_engine import ShardedEngine

        return ShardedEngine(model, sampling, name, replicas)
    from rlready.components.core.sampling.vllm_engine import VllmEngine

    return VllmEngine.load(model, sampling)


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Returns the text before the stop string that is complete first, and whether there is one."""
    ends = [(start + len(s), start) for s in stop if (start := text.find(s)) >= 0]
    return (text[: min(ends)[1]], True) if ends else (text, False)
