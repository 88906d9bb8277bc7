"""The interface of every engine: prompts go in, completions come out."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlready.config import Sampling
from rlready.models.prompts import choose_prompt, encode_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OnSampled = Callable[[int, int], None]  # called with the number of completions and tokens so far


@dataclass(frozen=True)
class Completion:
    """One sampled completion."""

    text: str  # without special tokens, up to the stop string that ended it, if any
    ids: list[int]  # including the end token or those that complete the stop string
    finished: bool  # whether the model or a stop string ended it; False if the length limit did
    # In nats, at the sampling temperature; 0 for greedy decoding. Not compared: its last bits depend on the batch.
    logprob: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Draw:
    """How to sample. The same seed gives the same samples, whatever the batch size; more samples extend fewer."""

    samples: int  # completions per prompt
    max_tokens: int  # maximum completion length
    temperature: float = 1.0  # 0 decodes greedily
    seed: int = 0
    stop: Sequence[str] = ()  # texts that end a completion

    @classmethod
    def at_random(cls, sampling: Sampling, samples: int, candidate: str = "") -> "Draw":
        """Returns how to sample at temperature 1, at which Pass@k is defined.

        A candidate's name gives its model random numbers of its own, as estimates that multiply the samples of two models, such
        as coverage kept, need: shared ones would look like shared skill. Without a name all models share them.
        """
        own = hashlib.sha256(f"{sampling.seed}/{candidate}".encode()).digest()[:6]  # exact as a number in JSON
        seed = int.from_bytes(own, "big") if candidate else sampling.seed
        return cls(samples, sampling.max_tokens, seed=seed, stop=sampling.stop)

    @classmethod
    def greedily(cls, sampling: Sampling) -> "Draw":
        """Returns how to decode greedily."""
        return cls(1, sampling.max_tokens, temperature=0.0, stop=sampling.stop)


FILL = 1024  # completions that keep a GPU busy: the embedded engine's largest batch, four times what vLLM decodes at once
# On a CPU each step reads all weights, which takes as long as computing some 14 completions (measured with 135M parameters):
# larger batches cost less per completion, but a kill loses more.
FILL_CPU = 24


def ignore_progress(done: int, tokens: int) -> None:
    """Ignores the number of completions and tokens so far."""


class Engine(AbstractContextManager):
    """Samples completions from one model; leaving its context frees the model's memory. Prompts are token ids by default."""

    name: str  # transformers or vllm
    precision: str  # of the weights, e.g. float32
    tokenizer: "PreTrainedTokenizerBase"

    @property
    def identity(self) -> str:
        """The source of samples in records: another engine or precision gives other samples for the same seed."""
        return f"{self.name} {self.precision}"

    def encode(self, row: dict) -> Any:
        """Returns the prompt of a problem, as `sample` takes it."""
        return encode_prompt(self.tokenizer, row["question"], choose_prompt(row))

    def show(self, row: dict) -> str:
        """Returns the prompt of a problem as text, with special tokens."""
        return str(self.tokenizer.decode(self.encode(row)))

    def count_fill(self, samples: int) -> int:
        """Returns how many problems with this many samples keep the engine busy: fewer would take nearly as long."""
        import torch

        return -(-(FILL if torch.cuda.is_available() else FILL_CPU) // samples)

    @abstractmethod
    def sample(
        self, prompts: Sequence[Any], keys: Sequence[str], draw: Draw, progress: OnSampled = ignore_progress
    ) -> list[list[Completion]]:
        """Returns the completions of each prompt, in a fixed order.

        Each prompt has a key: its samples depend on that and the seed, not on the other prompts. `progress` is called with the
        number of completions and tokens so far.
        """

    def close(self) -> None:
        """Frees what the engine holds; it cannot be used afterwards."""

    def __exit__(self, *error) -> None:
        self.close()


def read_completion(tokenizer, ids: list[int], ends: Iterable[int], stop: Sequence[str]) -> tuple[str, bool]:
    """Returns the text of a completion, as evaluation and RL judge it, and whether an end token or a stop string ended it."""
    text, stopped = cut_at_stop(tokenizer.decode(ids, skip_special_tokens=True), stop)
    return text, stopped or (bool(ids) and ids[-1] in ends)


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Returns the text before the stop string that is complete first, and whether there is one."""
    ends = [(start + len(s), start) for s in stop if (start := text.find(s)) >= 0]
    return (text[: min(ends)[1]], True) if ends else (text, False)
