"""Rollouts for GRPO from the same engine as predictors and benchmark, with the current weights."""

import contextlib
import functools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from transformers import TrainerCallback

from rlready.sampling.engine import Draw
from rlready.sampling.transformers_engine import TransformersEngine


def make_rollouts(max_tokens: int, seed: int, stop: Sequence[str] = ()) -> Callable[[list, object], dict[str, list | None]]:
    """Returns TRL's `rollout_func`, which samples from the policy itself, so no copy of the weights can be stale.

    Args:
        max_tokens: Maximum completion length.
        seed: Seeds the rollouts, together with the step.
        stop: Texts that end a completion; the tokens up to and including them are trained.

    Returns:
        A function of the prompts (each repeated for every completion) and the trainer.
    """

    def roll_out(prompts: list, trainer) -> dict[str, list | None]:
        rows = defaultdict(list)
        for row, prompt in enumerate(prompts):
            rows[prompt[-1]["content"]].append(row)
        encode = functools.partial(trainer.processing_class.apply_chat_template, add_generation_prompt=True, return_dict=True)
        unique = [encode(prompts[same[0]])["input_ids"] for same in rows.values()]
        draw = Draw(max(map(len, rows.values())), max_tokens, seed=seed, stop=stop)
        keys = [f"step {trainer.state.global_step}: {question}" for question in rows]
        with _open_policy(trainer) as policy:
            sampled = TransformersEngine(policy, trainer.processing_class).sample(unique, keys, draw)
        drawn: dict[int, tuple[list[int], list[int]]] = {}
        for same, ids, completions in zip(rows.values(), unique, sampled, strict=True):
            drawn |= {row: (ids, completion.ids) for row, completion in zip(same, completions, strict=False)}
        prompt_ids, completion_ids = zip(*(drawn[row] for row in range(len(prompts))), strict=True)
        # Sampled by the policy itself, so there is nothing to correct for.
        return {"prompt_ids": list(prompt_ids), "completion_ids": list(completion_ids), "logprobs": None}

    return roll_out


@contextlib.contextmanager
def _open_policy(trainer):
    from trl.models import unwrap_model_for_generation

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
        # TRL logs None for a mean over nothing but NaN.
        difference, ratio = (
            math.nan if (value := (logs or {}).get(f"sampling/{name}/mean", same)) is None else value
            for name, same in (("sampling_logp_difference", 0.0), ("importance_sampling_ratio", 1.0))
        )
        follows = difference <= self.MOST_DIFFERENCE and self.RATIO[0] <= ratio <= self.RATIO[1]
        if not (follows and math.isfinite(difference)):
            raise RuntimeError(
                f"step {state.global_step}: the sampler's weights do not follow the policy (log-probabilities differ by"
                f" {difference:.3f} nats per token, maximum {self.MOST_DIFFERENCE}; mean importance ratio {ratio:.3f},"
                f" allowed {self.RATIO[0]} to {self.RATIO[1]}); set sampling_engine to transformers"
            )
