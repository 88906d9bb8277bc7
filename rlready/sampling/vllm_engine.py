"""vLLM as an engine: paged and shared key-value caches, and several GPUs for one copy of the model."""

import hashlib
from collections.abc import Sequence

import psutil
import torch
from vllm import LLM, SamplingParams
from vllm.sampling_params import RequestOutputKind

from rlready.config import Sampling
from rlready.errors import InputError
from rlready.models.load import choose_precision, fetch_weights, load_tokenizer, locate
from rlready.models.prompts import find_eos_token_id
from rlready.models.weights import read_headers
from rlready.sampling.engine import Completion, Draw, Engine, OnSampled, ignore_progress

CPU_CACHE_SHARE = 0.25  # of the free memory


class VllmEngine(Engine):
    """Samples with vLLM 0.22 to 0.31, the versions that TRL 1.16 accepts."""

    name = "vllm"

    def __init__(self, llm: LLM, tokenizer):
        self.llm, self.precision, self.tokenizer = llm, choose_precision(), tokenizer

    @classmethod
    def load(cls, model: str, sampling: Sampling) -> "VllmEngine":
        """Loads a model, in the embedded engine's precision; raises InputError if it holds NaN or cannot be served."""
        where = locate(model)
        read_headers(fetch_weights(model), whole=True)  # vLLM would sample from NaN
        on_gpu = torch.cuda.is_available()
        memory = {"gpu_memory_utilization": sampling.gpu_memory_utilization}
        if not on_gpu:
            memory = {"kv_cache_memory_bytes": int(CPU_CACHE_SHARE * psutil.virtual_memory().available)}
            # For a prompt that is read in chunks vLLM rewinds the random numbers, which a CPU generator cannot do.
            memory["enable_chunked_prefill"] = False
        try:
            llm = LLM(
                where["pretrained_model_name_or_path"],
                revision=where.get("revision"),
                dtype=choose_precision(),
                tensor_parallel_size=sampling.tensor_parallel,
                enable_prefix_caching=True,
                max_model_len=-1,  # the model's own, or as long as the memory holds
                generation_config="vllm",  # a hub model's top_p would change what Pass@k means
                logprobs_mode="processed_logprobs",  # at the sampling temperature
                trust_remote_code=False,
                **memory,
            )
        except (ValueError, RuntimeError, NotImplementedError) as error:
            raise InputError(
                f"sampling_engine: vllm cannot load {model}: {error}; its log above says why; change"
                " sampling_gpu_memory_utilization, or set sampling_engine to transformers"
            ) from error
        return cls(llm, load_tokenizer(model))

    def close(self) -> None:
        """Ends vLLM's processes, which frees the memory."""
        self.llm.llm_engine.engine_core.shutdown()

    def sample(
        self, prompts: Sequence[list[int]], keys: Sequence[str], draw: Draw, progress: OnSampled = ignore_progress
    ) -> list[list[Completion]]:
        """Samples completions; see `Engine.sample`.

        vLLM draws sample i of a prompt with the prompt's seed + i, so more samples extend fewer. In bfloat16 the rounding of a
        batch can change a token and all that follow it. Raises InputError if the longest prompt and completion exceed what the
        model or the memory holds.
        """
        engine = self.llm.llm_engine
        longest, room = max(map(len, prompts)) + draw.max_tokens, engine.model_config.max_model_len
        if longest > room:
            raise InputError(
                f"sampling_max_tokens: the longest prompt and {draw.max_tokens} tokens are {longest}, and vllm has room for"
                f" {room} (limited by the model or its memory); lower it, or raise sampling_gpu_memory_utilization"
            )
        for number, (prompt, key) in enumerate(zip(prompts, keys, strict=True)):
            name = hashlib.sha256(f"{draw.seed}/{key}".encode())
            parameters = SamplingParams(
                n=draw.samples,
                max_tokens=draw.max_tokens,
                temperature=draw.temperature,
                seed=int.from_bytes(name.digest()[:7], "big"),  # of the first sample, with room for those of the others
                stop=list(draw.stop),
                stop_token_ids=[find_eos_token_id(self.tokenizer)],  # besides those of the model's generation_config
                logprobs=0 if draw.temperature else None,  # of the token drawn only
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            engine.add_request(str(number), {"prompt_token_ids": list(prompt)}, parameters)
        results: list[list[Completion]] = [[] for _ in prompts]
        done = tokens = 0
        while engine.has_unfinished_requests():
            for output in engine.step():
                drawn = [
                    Completion(o.text, list(o.token_ids), o.finish_reason == "stop", o.cumulative_logprob or 0.0)
                    for o in sorted(output.outputs, key=lambda o: o.index)
                ]
                results[int(output.request_id)] = drawn
                done, tokens = done + len(drawn), tokens + sum(len(completion.ids) for completion in drawn)
                progress(done, tokens)
        return results
