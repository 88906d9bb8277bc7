"""GRPO with TRL's GRPOTrainer: rollouts by the embedded engine, rewards for the text that evaluation judges, less idle work."""

import contextlib
import functools
import math
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import RepeatSampler

from rlready.data.curated import read_set
from rlready.models.load import load_tokenizer
from rlready.models.prompts import choose_prompt, find_eos_token_id, list_eos_token_ids, write_messages
from rlready.rewards.reward import reward
from rlready.sampling.choose import choose_for
from rlready.sampling.engine import Draw, read_completion
from rlready.sampling.transformers_engine import TransformersEngine
from rlready.tracking.log import stream_training
from rlready.training.processes import is_main
from rlready.training.trainer import build_arguments, load_trainable

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # TRL warns that rollout_func may change; its version is pinned

# Inputs of a step with one row per completion; the last three if vLLM samples.
ROWS = {"prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages"}
ROWS |= {"old_per_token_logps", "sampling_per_token_logps", "importance_sampling_ratio"}
PARTS, LEAST = 8, 16  # completions of similar length share a forward pass: at most 8 parts of at least 16 completions


class ThriftyGRPOTrainer(GRPOTrainer):
    """GRPO with the gradient of GRPOTrainer, up to rounding, in less time.

    A group of equal rewards has advantages of 0 and adds nothing to DAPO's sum over tokens, whose divisor counts the tokens of
    all completions. Entropy and clip ratios are logged over the remaining completions.
    """

    def __init__(self, *args, stop: Sequence[str] = (), **kwargs):
        super().__init__(*args, **kwargs)
        self.stop = stop

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        # TRL would apply the tokenizer's response template and ignore stop strings.
        read = [read_completion(self._tokenizer, ids, self.eos_token_ids, self.stop) for ids in completion_ids_list]
        truncated = torch.tensor([not ended for _, ended in read], device=self.accelerator.device)  # (completions,)
        share = self.accelerator.gather(truncated).float().mean().item()
        self._metrics["train"]["completions/clipped_ratio"][-1] = share  # there is no other mode: evaluation is a stage
        completions = [[{"role": "assistant", "content": text}] for text, _ in read]
        return super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)

    def _run_epoch(self, *args, **kwargs):
        if not self.control.should_training_stop:  # a run killed after its last step would take one more
            super()._run_epoch(*args, **kwargs)

    def _get_train_sampler(self, dataset=None):
        sampler = super()._get_train_sampler(dataset)

        def set_epoch(epoch: int) -> None:
            # A resumed run draws the orders of the epochs before, or it would repeat the order of the first one.
            if isinstance(sampler, RepeatSampler) and sampler.shuffle and sampler.seed is not None:
                sampler.generator.manual_seed(sampler.seed)
                for _ in range(epoch):
                    torch.randperm(sampler.num_samples, generator=sampler.generator)

        sampler.set_epoch = set_epoch  # type: ignore[attr-defined]  # accelerate calls it if a sampler has it
        return sampler

    def _compute_loss(self, model, inputs):
        return super()._compute_loss(model, self._select_teaching(inputs) if self._sums_tokens(inputs) else inputs)

    def _sums_tokens(self, inputs: dict) -> bool:
        """Returns True if a completion without advantage adds nothing to the loss, given the user's overrides."""
        plain = self.beta == 0 and self.top_entropy_quantile == 1 and self.off_policy_mask_threshold is None
        more = self._entropy_bonus_enabled or self.aux_loss_enabled
        return self.loss_type == "dapo" and plain and not more and inputs.keys() <= ROWS | {"num_items_in_batch"}

    def _select_teaching(self, inputs: dict) -> dict:
        """Returns the rows with an advantage, padded with others so that all processes have the same number, at least one."""
        idle = inputs["advantages"] == 0  # (rows,)
        count = self.accelerator.gather((~idle).sum().reshape(1)).max().clamp(min=1)
        rows = idle.int().argsort(stable=True)[:count].sort().values
        return {name: value[rows] if name in ROWS else value for name, value in inputs.items()}

    def _get_per_token_logps_and_entropies(self, model, input_ids, attention_mask, logits_to_keep, **arguments):
        """Computes completions of similar length together, without the columns that are padding for all of them."""
        if any(torch.is_tensor(value) for value in arguments.values()) or arguments.get("compute_aux_loss"):
            return super()._get_per_token_logps_and_entropies(model, input_ids, attention_mask, logits_to_keep, **arguments)
        order = attention_mask[:, -logits_to_keep:].sum(1).argsort()  # (rows,), shortest completion first
        parts = 1 if self.accelerator.num_processes > 1 else max(1, min(PARTS, len(order) // LEAST))
        found = []
        for rows in order.chunk(parts):
            used = attention_mask[rows].any(0).nonzero().flatten()
            start, cut = int(used[0]), min(input_ids.size(1) - int(used[-1]) - 1, logits_to_keep - 1)
            columns = slice(start, input_ids.size(1) - cut)
            logps, entropies, _ = super()._get_per_token_logps_and_entropies(
                model, input_ids[rows, columns], attention_mask[rows, columns], logits_to_keep - cut, **arguments
            )
            found.append([None if kept is None else torch.nn.functional.pad(kept, (0, cut)) for kept in (logps, entropies)])
        back = order.argsort()
        logps, entropies = (None if kept[0] is None else torch.cat(kept)[back] for kept in zip(*found, strict=True))
        return logps, entropies, None


def roll_out(max_tokens: int, seed: int, stop: Sequence[str], prompts: list, trainer) -> dict[str, list | None]:
    """Samples a step's completions, by step and seed, from the policy itself, so no copy of the weights can be stale.

    With the first three arguments bound it is TRL's `rollout_func`, which gets each prompt once per completion. The tokens up
    to and including a stop string are trained.
    """
    questions = [prompt[-1]["content"] for prompt in prompts]
    encode = functools.partial(trainer.processing_class.apply_chat_template, add_generation_prompt=True, return_dict=True)
    by_question = dict(zip(questions, prompts, strict=True))
    unique = {question: encode(prompt)["input_ids"] for question, prompt in by_question.items()}
    draw = Draw(max(Counter(questions).values()), max_tokens, seed=seed, stop=stop)
    keys = [f"step {trainer.state.global_step}: {question}" for question in unique]
    with open_policy(trainer) as policy:
        sampled = TransformersEngine(policy, trainer.processing_class).sample([*unique.values()], keys, draw)
    drawn = dict(zip(unique, map(iter, sampled), strict=True))
    completion_ids = [next(drawn[question]).ids for question in questions]
    # Sampled by the policy itself, so there is nothing to correct for.
    return {"prompt_ids": [unique[question] for question in questions], "completion_ids": completion_ids, "logprobs": None}


@contextlib.contextmanager
def open_policy(trainer):
    """Opens the policy to sample from it: in evaluation mode, with its weights gathered."""
    # ZeRO-3's weights are gathered; adapters and the wrapper of several processes need unwrapping only.
    sharded = trainer.is_deepspeed_enabled and trainer.args.hf_deepspeed_config.is_zero3()
    policy = trainer.accelerator.unwrap_model(trainer.model)
    gathered = unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) if sharded else None
    with gathered or contextlib.nullcontext(policy) as policy, trainer.accelerator.autocast():
        policy.eval()
        yield policy
        policy.train()


class SamplerCheck(TrainerCallback):
    """Stops RL if the sampler's weights do not follow the policy, by what TRL logs if another engine samples.

    Engines differ by rounding: some hundredths of a nat per token in bfloat16, while other weights differ by tenths. The mean
    importance ratio is 1 in expectation for any two policies, so it shows broken probabilities rather than stale weights.
    """

    MOST_DIFFERENCE = 0.1  # mean absolute difference of log-probabilities, nats per token
    RATIO = (0.5, 2.0)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Raises RuntimeError for a difference or ratio out of bounds, or not finite."""
        difference = (logs or {}).get("sampling/sampling_logp_difference/mean", 0.0)
        ratio = (logs or {}).get("sampling/importance_sampling_ratio/mean", 1.0)
        difference, ratio = (math.nan if value is None else value for value in (difference, ratio))  # a mean over NaN only
        if not (0 <= difference <= self.MOST_DIFFERENCE and self.RATIO[0] <= ratio <= self.RATIO[1]):
            raise RuntimeError(
                f"step {state.global_step}: the sampler's weights do not follow the policy (log-probabilities differ by"
                f" {difference:.3f} nats per token, maximum {self.MOST_DIFFERENCE}; mean importance ratio {ratio:.3f},"
                f" allowed {self.RATIO[0]} to {self.RATIO[1]}); set sampling_engine to transformers"
            )


def build_trainer(candidate, settings, data, model, callbacks, folder, shared) -> ThriftyGRPOTrainer:
    """Returns the trainer of one candidate, with all that is configured of GRPO; its callbacks come after the shared ones."""
    rl, sampling, tokenizer = settings.rl, settings.sampling, load_tokenizer(model)
    engine, reason = choose_for(model, sampling)
    if is_main():
        print(f"rollouts by {engine}: {reason}", flush=True)
    vllm: dict[str, Any] = {}
    if engine == "vllm":  # on the trainer's GPUs, with the new weights before every step
        vllm = {
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_gpu_memory_utilization": rl.gpu_memory_utilization,
            "vllm_tensor_parallel_size": sampling.tensor_parallel,
            # Besides the end tokens of the model's generation_config.
            "generation_kwargs": {"stop": list(sampling.stop), "stop_token_ids": [find_eos_token_id(tokenizer)]},
        }
    arguments = build_arguments(
        GRPOConfig,
        "rl",
        settings,
        folder,
        rl.steps,
        max_steps=rl.steps,
        learning_rate=rl.learning_rate,
        num_generations=rl.num_generations,
        num_iterations=1,
        max_completion_length=sampling.max_tokens,
        temperature=1.0,
        beta=0.0,
        loss_type="dapo",
        scale_rewards="group",
        logging_steps=1,
        seed=candidate.seed,
        **vllm,
    )
    policy = load_trainable(model, settings.training, candidate.seed)
    rows = [
        {"prompt": write_messages(row["question"], choose_prompt(row)), "answer": row["answer"], "format": row["format"]}
        for row in read_set(data, "rl")
    ]
    # TRL, too, decides by these which completions ended; its own list lacks the chat template's end token.
    policy.generation_config.eos_token_id = list_eos_token_ids(tokenizer, policy.generation_config)
    return ThriftyGRPOTrainer(
        model=policy,
        stop=sampling.stop,
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        rollout_func=None if vllm else functools.partial(roll_out, sampling.max_tokens, candidate.seed, sampling.stop),
        callbacks=[SamplerCheck(), *shared, *callbacks, stream_training("rl", candidate)],
    )
