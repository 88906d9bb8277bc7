"""Sampling: the embedded engine beside transformers' `generate`, its continuous batching, and CTranslate2 if installed."""

import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pairs
import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from rlready.list_machine.problems import generate_rows
from rlready.measured.records import read_rows
from rlready.models.load import BUILTIN, find_model, load_model, load_tokenizer
from rlready.models.prompts import encode_prompt
from rlready.sampling.engine import Draw
from rlready.sampling.transformers_engine import TransformersEngine

BLOCK = 32  # tokens of a block of continuous batching's cache; prompts share whole ones


def list_prompts(tokenizer, problems: Path | None, count: int) -> list[list[int]]:
    """Returns the prompts of the first problems of a file, or of the list machine."""
    rows = (row for _, row in read_rows(problems)) if problems else generate_rows("evaluation", 0)
    style = "boxed" if problems else "word"
    return [encode_prompt(tokenizer, row["question"], style) for row in itertools.islice(rows, count)]


class Engines:
    """The same prompts, samples and maximum length for every engine; each method returns the tokens that it generated."""

    def __init__(self, path: str, problems: Path | None, prompts: int, samples: int, tokens: int):
        base = find_model(path, "")
        self.path, self.samples, self.tokens = path, samples, tokens
        self.tokenizer = load_tokenizer(base)
        # The engine sets its own attention, so the other two have a model of their own.
        self.engine, self.plain = TransformersEngine(load_model(base), self.tokenizer), load_model(base)
        self.prompts = list_prompts(self.tokenizer, problems, prompts)
        self.ends = self.engine.ends.tolist()
        self.settings = dict(do_sample=True, top_k=0, top_p=1.0, temperature=1.0, max_new_tokens=tokens)
        self.settings |= dict(eos_token_id=self.ends, pad_token_id=self.tokenizer.pad_token_id)

    def count(self, ids: list[int]) -> int:
        """Returns the tokens of a completion up to its end token."""
        return next((place + 1 for place, token in enumerate(ids) if token in self.ends), len(ids))

    def sample(self) -> int:
        """Samples with the embedded engine."""
        found = self.engine.sample(self.prompts, list(map(str, self.prompts)), Draw(self.samples, self.tokens))
        return sum(len(completion.ids) for row in found for completion in row)

    def generate(self) -> int:
        """Samples with `generate(num_return_sequences=...)`, one prompt at a time."""
        done = 0
        for prompt in self.prompts:
            with torch.inference_mode():
                ids = torch.tensor([prompt])
                settings = GenerationConfig(**self.settings, num_return_sequences=self.samples)
                found = self.plain.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
            done += sum(self.count(row[len(prompt) :]) for row in found.tolist())
        return done

    def batch_continuously(self) -> int:
        """Samples with `generate_batch`; its cache is as large as all requests need, and is made outside of it once."""
        requests = [prompt for prompt in self.prompts for _ in range(self.samples)]
        longest = max(map(len, self.prompts)) + self.tokens
        config = ContinuousBatchingConfig(
            block_size=BLOCK, num_blocks=len(requests) * (-(-longest // BLOCK) + 1), max_batch_tokens=1024
        )
        found = self.plain.generate_batch(requests, GenerationConfig(**self.settings), continuous_batching_config=config)
        if len(found) != len(requests):
            raise RuntimeError(f"continuous batching returned {len(found)} of {len(requests)} completions")
        return sum(self.count(one.generated_tokens) for one in found.values())

    def load_ctranslate2(self, folder: Path, threads: int) -> Callable[[], int]:
        """Converts the model to CTranslate2, in float32 as the others have it, and returns what samples with it."""
        import ctranslate2
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(self.path).convert(str(folder / "model"))
        generator = ctranslate2.Generator(str(folder / "model"), device="cpu", compute_type="float32", intra_threads=threads)
        prompts = [self.tokenizer.convert_ids_to_tokens(prompt) for prompt in self.prompts]

        def sample() -> int:
            done = 0
            for prompt in prompts:
                (found,) = generator.generate_batch(
                    [prompt],
                    num_hypotheses=self.samples,
                    sampling_topk=0,
                    sampling_temperature=1.0,
                    max_length=self.tokens,
                    include_prompt_in_result=False,
                    end_token=self.ends,
                    return_end_token=True,
                )
                done += sum(map(self.count, found.sequences_ids))
            return done

        return sample


def run(given) -> None:
    """Prints a row for each other engine."""
    engines = Engines(given.model, given.problems, given.prompts, given.samples, given.tokens)
    works = {
        "embedded engine": engines.sample,
        "generate": engines.generate,
        "continuous batching": engines.batch_continuously,
    }
    with TemporaryDirectory() as folder:
        if importlib.util.find_spec("ctranslate2") and given.model not in BUILTIN:  # whose tokenizer it cannot convert
            works["CTranslate2"] = engines.load_ctranslate2(Path(folder), torch.get_num_threads())
        costs = pairs.take_turns({name: lambda work=work: pairs.measure(work) for name, work in works.items()}, given.rounds)
    length = sum(map(len, engines.prompts)) / given.prompts
    what = (
        f"completion tokens: {given.prompts} prompts of {length:.0f} tokens, {given.samples} samples of at most {given.tokens}"
    )
    pairs.print_pairs(what, costs)
