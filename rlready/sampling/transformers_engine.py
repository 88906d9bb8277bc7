"""The embedded engine: transformers' forward pass in a decoding loop for many samples of few prompts.

Unlike `generate`, it reads a prompt once for all its samples, drops finished rows from the batch, and writes keys and values
in place instead of copying the cache for every token (not for models whose layers keep a state). `make bench` prints what each
saves.
"""

import gc
import hashlib
import inspect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers.decoders import DecodeStream
from transformers import AttentionInterface
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask

from rlready.models.architecture import check_length, check_recurrence, count_positions, is_recurrent
from rlready.models.load import load_model, load_tokenizer
from rlready.models.prompts import check_tokens, list_eos_token_ids
from rlready.runtime.events import tell_once
from rlready.sampling.engine import Completion, Draw, Engine, OnSampled, cut_at_stop, ignore_progress, read_completion

MEMORY_SHARE = 0.25  # of the free memory, for the cache and the logits of one batch
LARGEST_BATCH = 1024  # rows; more gained no throughput on the list machine
# Share of running rows below which the finished ones are removed; 0.5 to 0.9 took the same time on the list machine.
SHRINK_BELOW = 0.8
GROUPED = "rlready_grouped"  # transformers' name for `attend_grouped`


def attend_grouped(module, query, key, value, attention_mask, scaling=None, **kwargs):
    """Attention with grouped queries, without the copies of the cache that transformers 5.17 makes for every query head.

    On the CPU these took most of the time of sampling from SmolLM2-135M. One new token needs no causal mask, so the query heads
    that share a key are treated as the tokens of one attention. As `sdpa_attention_forward`, it takes the shape (rows, heads,
    tokens, size) and returns (rows, tokens, heads, size), without weights.
    """
    rows, heads, tokens, size = query.shape
    shared = key.shape[1]
    if tokens > 1 or heads == shared:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    side_by_side = query.reshape(rows, shared, heads // shared, size)  # the heads that share a key as tokens
    attended = torch.nn.functional.scaled_dot_product_attention(
        side_by_side, key, value, attn_mask=attention_mask, scale=scaling
    )
    return attended.reshape(rows, 1, heads, size), None


AttentionInterface.register(GROUPED, attend_grouped)
ALL_MASK_ATTENTION_FUNCTIONS.register(GROUPED, sdpa_mask)


class PreallocatedLayer(DynamicLayer):
    """A cache layer allocated for the whole completion: new tokens are written in place."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, capacity: int):
        super().__init__()
        self.capacity, self.length = capacity, 0

    def update(self, key_states, value_states, *args, **kwargs):
        """Appends keys and values of shape (rows, heads, tokens, size) and returns views of all so far."""
        end = self.length + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            rows, heads, _, _ = key_states.shape
            self.keys = key_states.new_empty(rows, heads, self.capacity, key_states.shape[-1])
            self.values = value_states.new_empty(rows, heads, self.capacity, value_states.shape[-1])
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Returns the number of tokens held."""
        return self.length

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Keeps only these rows, repeating repeated ones."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_empty(len(beam_idx), *old.shape[1:])
            new[:, :, : self.length] = old[:, :, : self.length].index_select(0, beam_idx)
            setattr(self, name, new)


@dataclass
class Rows:
    """The sequences being decoded, one per row."""

    cache: Cache
    logits: torch.Tensor  # (rows, vocabulary), of the next token
    lengths: torch.Tensor  # (rows,), tokens of each row's prompt
    mask: torch.Tensor | None  # (rows, tokens so far), 0 at padding; None without padding, since attention is then fastest

    def select(self, rows: torch.Tensor) -> None:
        """Keeps only these rows, repeating repeated ones: expands prompts to samples, or drops finished rows."""
        self.cache.reorder_cache(rows)  # type: ignore[arg-type]  # it is of integers
        self.logits, self.lengths = self.logits[rows], self.lengths[rows]
        self.mask = None if self.mask is None else self.mask[rows]


class StopWatch:
    """Finds stop strings in the completions of a batch of this many rows, token by token."""

    def __init__(self, tokenizer, stop: Sequence[str], rows: int):
        self.backend, self.stop = tokenizer.backend_tokenizer, stop
        self.streams = [DecodeStream(skip_special_tokens=True) for _ in range(rows)] if stop else []
        self.tails = [""] * rows
        self.kept = max(map(len, stop), default=1) - 1  # characters in which a stop string may have begun

    def step(self, row: int, token: int) -> bool:
        """Reads the next token of a completion and returns True if a stop string is now complete."""
        text = self.tails[row] + (self.streams[row].step(self.backend, token) or "")
        self.tails[row] = text[len(text) - self.kept :] if len(text) > self.kept else text
        return cut_at_stop(text, self.stop)[1]


class TransformersEngine(Engine):
    """Samples from a causal language model in evaluation mode; a batch takes at most a share of the free memory."""

    name = "transformers"

    def __init__(self, model, tokenizer, memory_share: float = MEMORY_SHARE):
        self.model, self.tokenizer, self.memory_share = model, tokenizer, memory_share
        self.precision = str(model.dtype).removeprefix("torch.")
        self.stateful = is_recurrent(model.config, model)
        # Mamba's argument has a name of its own; adapters hide the signature of their model.
        arguments = inspect.signature(getattr(model, "get_base_model", lambda: model)().forward).parameters
        self.cache_name = "cache_params" if "cache_params" in arguments else "past_key_values"
        if model.config._attn_implementation == "sdpa":
            model.set_attn_implementation(GROUPED)
        self.ends = torch.tensor(list_eos_token_ids(tokenizer, model.generation_config), device=model.device)

    @classmethod
    def load(cls, model: str, memory_share: float = MEMORY_SHARE) -> "TransformersEngine":
        """Loads a model folder on the best device; raises InputError if weights, architecture or tokens do not allow it."""
        engine = cls(load_model(model), load_tokenizer(model), memory_share)
        tell_once(check_recurrence(engine.model.config.model_type, engine.stateful))
        check_tokens(engine.tokenizer, engine.ends.tolist(), engine.model.get_input_embeddings().weight.shape[0])
        return engine

    def close(self) -> None:
        """Frees the model, unless something else still holds it."""
        self.model = None
        gc.collect()
        torch.cuda.empty_cache()

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[list[int]], keys: Sequence[str], draw: Draw, progress: OnSampled = ignore_progress
    ) -> list[list[Completion]]:
        """See `Engine.sample`; raises InputError if the longest prompt and completion exceed the model's learned positions."""
        longest = max(map(len, prompts)) + draw.max_tokens
        what = f"sampling_max_tokens: the longest prompt and {draw.max_tokens} tokens are {longest}"
        tell_once(check_length(count_positions(self.model.config), longest, what, "lower it"))
        results: dict[tuple[int, int], Completion] = {}
        rows = [(p, s) for p in range(len(prompts)) for s in range(draw.samples)]
        # Prompts of similar length make batches with little padding.
        rows.sort(key=lambda row: (len(prompts[row[0]]), row))
        done = tokens = 0
        size = self._fit_batch(longest)
        batches: list[list[tuple[int, int]]] = []
        # Padding may change a state, so a batch of such a model has prompts of one length.
        for _, group in itertools.groupby(rows, key=lambda row: self.stateful and len(prompts[row[0]])):
            some = list(group)
            batches += [some[start : start + size] for start in range(0, len(some), size)]
        for batch in batches:
            decoded = self._decode(prompts, keys, batch, draw)
            for row, (ids, logprob) in zip(batch, decoded, strict=True):
                text, finished = read_completion(self.tokenizer, ids, self.ends, draw.stop)
                results[row] = Completion(text, ids, finished, logprob)
                tokens += len(ids)
            done += len(batch)
            progress(done, tokens)
        return [[results[p, s] for s in range(draw.samples)] for p in range(len(prompts))]

    def _fit_batch(self, length: int) -> int:
        """Returns how many rows of this many tokens fit in the memory set aside."""
        cache = 0  # bytes
        for layer in self._prefill([[self.tokenizer.pad_token_id]], 0).cache.layers:
            state = [*getattr(layer, "conv_states", {}).values(), *getattr(layer, "recurrent_states", {}).values()]
            token = [getattr(layer, "keys", None), getattr(layer, "values", None)]
            cache += sum(part.nbytes for part in state + length * token if part is not None)
        # Logits, probabilities and their running sums in double precision, and a copy of the cache when it shrinks.
        row = 2 * cache + 24 * self.model.config.get_text_config().vocab_size
        if self.model.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.model.device)[0]
        else:
            import psutil

            free = psutil.virtual_memory().available
        return max(1, min(LARGEST_BATCH, int(self.memory_share * free / row)))

    def _decode(self, prompts, keys, batch: list[tuple[int, int]], draw: Draw) -> list[tuple[list[int], float]]:
        """Returns the ids and the log-probability of each completion of a batch of (prompt, sample)."""
        device = self.model.device
        unique = sorted({prompt for prompt, _ in batch})
        rows = self._prefill([prompts[p] for p in unique], draw.max_tokens)
        expand = torch.tensor([unique.index(prompt) for prompt, _ in batch], device=device)  # (batch,): row of its prompt
        rows.select(expand)
        numbers = np.empty((len(batch), draw.max_tokens))  # (batch, max_tokens), each row from a generator of its own
        for row, (prompt, sample) in enumerate(batch):
            seed = hashlib.sha256(f"{draw.seed}/{keys[prompt]}/{sample}".encode()).digest()
            numbers[row] = np.random.Generator(np.random.Philox(key=int.from_bytes(seed[:16], "big"))).random(draw.max_tokens)
        uniform = torch.from_numpy(numbers).to(device)
        drawn = torch.full((len(batch), draw.max_tokens), -1, dtype=torch.long)  # (batch, max_tokens)
        logprobs = torch.zeros(len(batch), dtype=torch.double, device=device)  # (batch,)
        alive = torch.arange(len(batch), device=device)  # (rows,): row of the cache -> row of the batch
        running = torch.ones(len(batch), dtype=torch.bool, device=device)  # (rows,)
        watch = StopWatch(self.tokenizer, draw.stop, len(batch))
        for step in range(draw.max_tokens):
            token, logprob = self._pick(rows.logits, uniform[alive, step], draw.temperature)  # (rows,), (rows,)
            drawn[alive[running].cpu(), step] = token[running].cpu()
            logprobs[alive] += logprob * running
            running &= ~torch.isin(token, self.ends)
            if draw.stop:
                for row in running.nonzero().squeeze(1).tolist():
                    running[row] = not watch.step(int(alive[row]), int(token[row]))
            left = int(running.sum())
            if left == 0 or step == draw.max_tokens - 1:
                break
            if left < SHRINK_BELOW * len(alive):
                keep = running.nonzero().squeeze(1)  # (rows left,)
                rows.select(keep)
                alive, running, token = alive[keep], running[keep], token[keep]
            if rows.mask is not None:
                rows.mask = torch.cat([rows.mask, rows.mask.new_ones(len(rows.mask), 1)], dim=1)  # (rows, tokens + 1)
            rows.logits = self._forward(token[:, None], rows.mask, (rows.lengths + step)[:, None], rows.cache)
        return [(row[row >= 0].tolist(), logprob) for row, logprob in zip(drawn, logprobs.tolist(), strict=True)]

    def _prefill(self, prompts: list[Sequence[int]], max_tokens: int) -> Rows:
        """Reads each prompt once, one per row, with room in the cache for its completion."""
        device, count = self.model.device, self.model.config.get_text_config().num_hidden_layers
        width = max(map(len, prompts))
        pad = [[self.tokenizer.pad_token_id] * (width - len(prompt)) for prompt in prompts]
        padded = [left + list(prompt) for left, prompt in zip(pad, prompts, strict=True)]
        ids = torch.tensor(padded, device=device)  # (prompts, width)
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)  # (prompts,)
        places = torch.arange(width, device=device) - (width - lengths)[:, None]  # (prompts, width); padding below 0
        mask = (places >= 0).long() if int(lengths.min()) < width else None  # (prompts, width)
        cache: Cache = DynamicCache(config=self.model.config)
        if not self.stateful:
            cache = Cache(layers=[PreallocatedLayer(width + max_tokens) for _ in range(count)])
        return Rows(cache, self._forward(ids, mask, places.clamp(min=0), cache), lengths, mask)

    def _forward(self, ids, mask, positions, cache) -> torch.Tensor:
        """Extends the cache by tokens and their positions, (rows, new); returns the next token's logits, (rows, vocabulary)."""
        options = {self.cache_name: cache, "use_cache": True, "logits_to_keep": 1}
        return self.model(input_ids=ids, attention_mask=mask, position_ids=positions, **options).logits[:, -1]

    @staticmethod
    def _pick(logits: torch.Tensor, uniform: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns each row's next token, the inverse CDF at `uniform`, in [0, 1), and its log-probability; all are (rows,)."""
        if temperature == 0:  # greedily
            return logits.argmax(-1), uniform.new_zeros(len(uniform))
        probabilities = torch.softmax(logits.float() / temperature, -1)  # (rows, vocabulary)
        cdf = probabilities.cumsum(-1, dtype=torch.double)  # (rows, vocabulary)
        token = torch.searchsorted(cdf, (uniform * cdf[:, -1])[:, None], right=True)  # (rows, 1)
        token = token.squeeze(1).clamp(max=logits.shape[-1] - 1)  # (rows,)
        return token, probabilities.gather(1, token[:, None]).squeeze(1).log().double()
