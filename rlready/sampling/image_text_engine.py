"""The engine for image-text models, as `rlready evaluate` needs it: transformers' own `generate`, one problem at a time."""

import hashlib
from collections.abc import Sequence

import torch
from transformers import GenerationConfig

from rlready.config import Sampling
from rlready.data.pictures import open_picture
from rlready.errors import InputError
from rlready.models.load import load_image_text_model
from rlready.models.prompts import choose_prompt, fill_prompt, list_eos_token_ids
from rlready.sampling.engine import Completion, Draw, Engine, OnSampled, ignore_progress, read_completion

ROWS_AT_ONCE = 8  # samples drawn from one seed; a fixed number, so that more samples extend fewer


class ImageTextEngine(Engine):
    """Samples from an image-text model in evaluation mode, without log-probabilities."""

    name = "transformers"

    def __init__(self, model, processor):
        self.model, self.processor, self.tokenizer = model, processor, processor.tokenizer
        self.precision = str(model.dtype).removeprefix("torch.")
        self.tokenizer.chat_template = self.tokenizer.chat_template or processor.chat_template
        self.ends = list_eos_token_ids(self.tokenizer, model.generation_config)
        # Without the model's own, such as a minimum length or n-grams not to repeat, which change what Pass@k means.
        model.generation_config = GenerationConfig(eos_token_id=self.ends, pad_token_id=self.ends[0])

    @classmethod
    def load(cls, model: str, sampling: Sampling) -> "ImageTextEngine":
        """Loads a model folder on the best device; raises InputError if another engine or several processes are configured."""
        if sampling.engine == "vllm" or sampling.replicas > 1 or sampling.tensor_parallel > 1:
            raise InputError(
                "sampling_engine: an image-text model is sampled by transformers in one process; leave out sampling_engine,"
                " sampling_replicas and sampling_tensor_parallel"
            )
        print("sampling with transformers (an image-text model)", flush=True)
        return cls(*load_image_text_model(model))

    def encode(self, row: dict) -> dict[str, torch.Tensor]:
        """Returns the model's inputs for a problem and its picture, up to where the answer begins."""
        picture = open_picture(row["image"]) if "image" in row else None
        return self._render(row, picture, tokenize=True, return_dict=True, return_tensors="pt")

    def show(self, row: dict) -> str:
        """Returns the prompt as text, with a placeholder for the picture."""
        return self._render(row, row.get("image"))

    def _render(self, row: dict, picture, **options):
        content = [] if picture is None else [{"type": "image", "image": picture}]
        content.append({"type": "text", "text": fill_prompt(row["question"], choose_prompt(row))})
        messages = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(messages, add_generation_prompt=True, **options)

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[dict[str, torch.Tensor]], keys: Sequence[str], draw: Draw, progress: OnSampled = ignore_progress
    ) -> list[list[Completion]]:
        """Samples completions; see `Engine.sample`."""
        results: list[list[Completion]] = []
        tokens = 0
        for prompt, key in zip(prompts, keys, strict=True):
            firsts = range(0, draw.samples, ROWS_AT_ONCE)
            sampled = [c for first in firsts for c in self._generate(prompt, f"{draw.seed}/{key}/{first}", draw)]
            results.append(sampled[: draw.samples])
            tokens += sum(len(completion.ids) for completion in results[-1])
            progress(len(results) * draw.samples, tokens)
        return results

    def _generate(self, prompt: dict[str, torch.Tensor], name: str, draw: Draw) -> list[Completion]:
        torch.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1)
        greedy = draw.temperature == 0
        drawn = self.model.generate(
            **{name: value.to(self.model.device) for name, value in prompt.items()},
            **({"do_sample": False} if greedy else {"do_sample": True, "temperature": draw.temperature, "top_k": 0}),
            num_return_sequences=1 if greedy else ROWS_AT_ONCE,
            max_new_tokens=draw.max_tokens,
            stop_strings=list(draw.stop) or None,
            tokenizer=self.tokenizer,  # finds these
        )
        completions = []
        for ids in drawn[:, prompt["input_ids"].shape[1] :].tolist():
            ends = [place for place, token in enumerate(ids, 1) if token in self.ends]
            ids = ids[: ends[0]] if ends else ids  # without the padding after its end
            if draw.stop and read_completion(self.tokenizer, ids[:-1], (), draw.stop)[1]:
                ids = ids[:-1]  # padding is an end token, which a stop string does not need
            text, finished = read_completion(self.tokenizer, ids, self.ends, draw.stop)
            completions.append(Completion(text, ids, finished))
        return completions
