"""What every engine is: prompts go in, completions come out."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from rlready.config import Sampling
from rlready.models.prompts import choose_prompt, encode_prompt


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

    @classmethod
    def at_random(cls, sampling: Sampling, samples: int, candidate: str = "") -> "Draw":
        """Returns how to draw this many samples at temperature 1, at which Pass@k is defined.

        Args:
            sampling: Its seed, longest completion and stop strings.
            samples: Completions a prompt.
            candidate: Who draws, where estimates multiply the samples of two models, as coverage kept does: random numbers
                that both share would be taken for what both have learnt. Without, all models draw with the same ones.
        """
        own = hashlib.sha256(f"{sampling.seed}/{candidate}".encode()).digest()[:6]  # a whole number in JSON, too
        seed = int.from_bytes(own, "big") if candidate else sampling.seed
        return cls(samples, sampling.max_tokens, seed=seed, stop=sampling.stop)

    @classmethod
    def greedily(cls, sampling: Sampling) -> "Draw":
        """Returns how to decode greedily."""
        return cls(1, sampling.max_tokens, temperature=0.0, stop=sampling.stop)


FILL = 1024  # completions that keep a GPU busy: the embedded engine's largest batch, four times what vLLM decodes at once
# On a CPU each step reads all weights, which takes as long as computing some 14 completions (measured with 135M parameters);
# with more of them at once a completion costs less, and a part that is lost costs more.
FILL_CPU = 24


def ignore_progress(done: int, tokens: int) -> None:
    """Takes completions and tokens so far and does nothing."""


class Engine(AbstractContextManager):
    """What draws completions from one model; leaving its context frees the model's memory.

    Attributes:
        name: transformers or vllm.
        precision: Of the weights, e.g. float32.
        tokenizer: The model's.
    """

    name: str
    precision: str

    @property
    def identity(self) -> str:
        """What records say drew the samples: with another engine or in another precision they differ, seed by seed."""
        return f"{self.name} {self.precision}"

    def encode(self, row: dict) -> list[int]:
        """Returns the prompt of a problem, as `sample` takes it."""
        return encode_prompt(self.tokenizer, row["question"], choose_prompt(row))

    def show(self, row: dict) -> str:
        """Returns the prompt of a problem as text, with special tokens."""
        return self.tokenizer.decode(self.encode(row))

    def count_fill(self, samples: int) -> int:
        """Returns how many problems keep it busy with so many samples each: fewer would take nearly as long."""
        import torch

        return -(-(FILL if torch.cuda.is_available() else FILL_CPU) // samples)

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


def read_completion(tokenizer, ids: list[int], ends: Iterable[int], stop: Sequence[str]) -> tuple[str, bool]:
    """Returns what is judged of a completion, in evaluation as in RL, and whether it ended by itself.

    Args:
        tokenizer: The model's.
        ids: Of the completion.
        ends: Tokens that end a completion.
        stop: Texts that do.
    """
    text, stopped = cut_at_stop(tokenizer.decode(ids, skip_special_tokens=True), stop)
    return text, stopped or (bool(ids) and ids[-1] in ends)


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Returns the text before the stop string that is complete first, and whether there is one."""
    ends = [(start + len(s), start) for s in stop if (start := text.find(s)) >= 0]
    return (text[: min(ends)[1]], True) if ends else (text, False)
