"""The engine for models that read a picture and a text: transformers' own `generate`, one question after the other."""

import gc
import hashlib
from collections.abc import Callable, Sequence

import torch

from rlready.config import Sampling
from rlready.data.pictures import open_picture
from rlready.errors import InputError
from rlready.models.load import load_image_text_model
from rlready.models.prompts import choose_prompt, list_eos_token_ids, write_messages
from rlready.sampling.engine import Completion, Draw, Engine, ignore_progress, read_completion

ROWS_AT_ONCE = 8  # samples drawn from one seed; always as many, so that more samples extend fewer


class ImageTextEngine(Engine[dict[str, torch.Tensor]]):
    """Samples from an image-text model. It does not keep log-probabilities.

    Args:
        model: The model in evaluation mode.
        processor: Its processor, with a chat template.
    """

    name = "transformers"

    def __init__(self, model, processor):
        self.model, self.processor, self.tokenizer = model, processor, processor.tokenizer
        self.precision = str(model.dtype).removeprefix("torch.")
        self.tokenizer.chat_template = self.tokenizer.chat_template or processor.chat_template
        self.ends = list_eos_token_ids(self.tokenizer, model.generation_config)

    @classmethod
    def load(cls, model: str, sampling: Sampling) -> "ImageTextEngine":
        """Loads a model folder on the best device.

        Raises:
            InputError: If another engine, or more than one process or device is asked for.
        """
        if sampling.engine == "vllm" or sampling.replicas > 1 or sampling.tensor_parallel > 1:
            raise InputError(
                "sampling_engine: an image-text model is sampled by transformers in one process; leave out sampling_engine,"
                " sampling_replicas and sampling_tensor_parallel"
            )
        print("sampling with transformers (an image-text model)", flush=True)
        return cls(*load_image_text_model(model))

    def close(self) -> None:
        """Frees the model."""
        self.model = None
        gc.collect()
        torch.cuda.empty_cache()

    def encode(self, row: dict) -> dict[str, torch.Tensor]:
        """Returns the model's inputs for a problem and its picture, ending where the answer begins."""
        return self.processor.apply_chat_template(
            self._write(row, open_picture(row["image"]) if "image" in row else None),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )

    def show(self, row: dict) -> str:
        """Returns the prompt as text, in which a mark stands for the picture."""
        return self.processor.apply_chat_template(self._write(row, row.get("image")), add_generation_prompt=True)

    @staticmethod
    def _write(row: dict, picture) -> list[dict]:
        (message,) = write_messages(row["question"], choose_prompt(row))
        shown = [] if picture is None else [{"type": "image", "image": picture}]
        return [message | {"content": [*shown, {"type": "text", "text": message["content"]}]}]

    @torch.inference_mode()
    def sample(
        self,
        prompts: Sequence[dict[str, torch.Tensor]],
        keys: Sequence[str],
        draw: Draw,
        progress: Callable[[int, int], None] = ignore_progress,
    ) -> list[list[Completion]]:
        """Draws completions; see `Engine.sample`. A prompt is what `encode` returns."""
        results, tokens = [], 0
        for prompt, key in zip(prompts, keys, strict=True):
            sampled = []
            for first in range(0, draw.samples, ROWS_AT_ONCE):
                sampled += self._generate(prompt, f"{draw.seed}/{key}/{first}", draw)
            results.append(sampled[: draw.samples])
            tokens += sum(len(completion.ids) for completion in results[-1])
            progress(len(results) * draw.samples, tokens)
        return results

    def _generate(self, prompt: dict[str, torch.Tensor], name: str, draw: Draw) -> list[Completion]:
        torch.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1)
        greedy = draw.temperature == 0
        how = {"do_sample": False} if greedy else {"do_sample": True, "temperature": draw.temperature, "top_k": 0}
        drawn = self.model.generate(
            **{name: value.to(self.model.device) for name, value in prompt.items()},
            **how,
            top_p=1.0,
            repetition_penalty=1.0,
            num_return_sequences=1 if greedy else ROWS_AT_ONCE,
            max_new_tokens=draw.max_tokens,
            eos_token_id=self.ends,
            pad_token_id=self.ends[0],
        )
        completions = []
        for ids in drawn[:, prompt["input_ids"].shape[1] :].tolist():
            ids = ids[: next((place for place, token in enumerate(ids, 1) if token in self.ends), len(ids))]
            text, finished = read_completion(self.tokenizer, ids, self.ends, draw.stop)
            completions.append(Completion(text, ids, finished))
        return completions
