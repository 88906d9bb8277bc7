"""The RL stage: trains one checkpoint with TRL's GRPOTrainer and the verifier as the reward."""

import dataclasses
import functools
import os
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
from datasets import Dataset
from trl import GRPOConfig

from rlready.config import read_settings
from rlready.errors import InputError
from rlready.models.load import digest_folder, load_tokenizer
from rlready.models.prompts import choose_prompt, find_eos_token_id, list_eos_token_ids, write_messages
from rlready.records.candidate import Candidate
from rlready.records.outcome import Outcome, RlRecord
from rlready.records.serialization import from_json, identify_work, read_record, write_record
from rlready.rewards import reward
from rlready.runtime import events
from rlready.runtime.devices import describe_device
from rlready.sampling.choose import choose_for
from rlready.stages.rl.grpo import SamplerCheck, ThriftyGRPOTrainer, roll_out
from rlready.stages.rl.zero_signal import StopWithoutSignal
from rlready.stats.plateau import average_blocks
from rlready.tracking.log import log_outcome
from rlready.tracking.stream import stream_training
from rlready.training.checkpoints import identify_data
from rlready.training.processes import count_ranks, divide_batch, is_main
from rlready.training.trainer import build_arguments, load_trainable, train_resumably

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # TRL warns that rollout_func may change; its version is pinned


def run(
    candidate: str,
    settings: str,
    data: str,
    model: str,
    before: str,
    measured_digest: str,
    trained: str,
    model_uri: str,
    outcome: str,
) -> dict[str, float | None]:
    """Trains one checkpoint, writes model folder and outcome, and returns its headline figures.

    Raises InputError if the weights are not those that the predictors measured.
    """
    chosen, given, so_far = from_json(Candidate, candidate), read_settings(settings), read_record(Outcome, before)
    digest = so_far.sft.model_digest if so_far.sft else None
    if digest != measured_digest:
        raise InputError(
            f"{chosen.candidate_id}: SFT ran again and gave other weights ({digest}) than those that the gate judged"
            f" ({measured_digest}); enable caching for this run, so that RL gets the measured checkpoint"
        )
    record = train(chosen, given, Path(data), model, Path(trained))
    if record is None:  # in every process but the main one
        return {}
    reached = dataclasses.replace(so_far, rl=record, links=so_far.links | {"rl_model": model_uri})
    write_record(reached, outcome)
    log_outcome(reached)
    last = record.rewards[-1][1] if record.rewards else None
    return {"reward": last, "steps": record.steps, "seconds": record.seconds}


def train(candidate: Candidate, settings: SimpleNamespace, data: Path, model: str, out: Path) -> RlRecord | None:
    """Trains a checkpoint with GRPO: on-policy, temperature 1, no KL term, rewards scaled within a prompt's group.

    A killed run resumes from its last checkpoint. Returns None in processes other than the main one. Raises InputError if an
    override is unknown, or the prompts or completions of a step do not divide.
    """
    zero_signal = StopWithoutSignal(settings.rl.steps)
    work = [identify_work(candidate), repr(settings), digest_folder(Path(model)), *identify_data(data, "rl")]
    build = functools.partial(_build_trainer, candidate, settings, data, model, zero_signal)
    state, seconds = train_resumably("rl", candidate, work, build, model, out)
    if not is_main():
        return None
    stopped = zero_signal.explain(state.log_history)
    if stopped:
        events.tell(stopped)
        events.emit("rl", candidate.candidate_id, "stopped", message=stopped)
    return RlRecord(list_rewards(state.log_history), state.global_step, seconds=seconds, **describe_device(), stopped=stopped)


def _build_trainer(candidate, settings, data, model, zero_signal, folder, shared) -> ThriftyGRPOTrainer:
    rl, sampling, tokenizer = settings.rl, settings.sampling, load_tokenizer(model)
    size, accumulation = _divide_step(rl)
    engine, reason = choose_for(model, sampling)
    if is_main():
        print(f"rollouts by {engine}: {reason}", flush=True)
    colocated = engine == "vllm"
    arguments = build_arguments(
        GRPOConfig,
        settings.training,
        rl.trainer_overrides,
        folder,
        rl.steps,
        max_steps=rl.steps,
        learning_rate=rl.learning_rate,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=accumulation,
        num_generations=rl.num_generations,
        num_iterations=1,
        max_completion_length=sampling.max_tokens,
        temperature=1.0,
        beta=0.0,
        loss_type="dapo",
        scale_rewards="group",
        logging_steps=1,
        seed=candidate.seed,
        **(_place_vllm(settings, tokenizer) if colocated else {}),
    )
    policy = load_trainable(model, settings.training, candidate.seed)
    rows = [
        {"prompt": write_messages(row["question"], choose_prompt(row)), "answer": row["answer"], "format": row["format"]}
        for row in pq.read_table(data / "rl.parquet").to_pylist()
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
        rollout_func=None if colocated else functools.partial(roll_out, sampling.max_tokens, candidate.seed, sampling.stop),
        callbacks=[SamplerCheck(), *shared, zero_signal, stream_training("rl", candidate)],
    )


def _divide_step(rl) -> tuple[int, int]:
    """Returns completions per micro-batch and gradient accumulation steps."""
    processes = count_ranks()
    if rl.prompts_per_step % processes:
        # One process samples a whole group, so that its samples do not depend on the number of processes.
        raise InputError(f"rl_prompts_per_step: {rl.prompts_per_step} prompts do not divide among {processes} processes")
    batch = rl.prompts_per_step * rl.num_generations
    return divide_batch("rl_prompts_per_step", batch, rl.per_device_batch_size, processes)


def _place_vllm(settings, tokenizer) -> dict:
    """Returns TRL's arguments for vLLM on the trainer's GPUs, which gets the new weights before every step."""
    end = find_eos_token_id(tokenizer)  # in addition to those of the model's generation_config
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": settings.rl.gpu_memory_utilization,
        "vllm_tensor_parallel_size": settings.sampling.tensor_parallel,
        "generation_kwargs": {"stop": list(settings.sampling.stop), "stop_token_ids": [end]},
    }


def list_rewards(history: list[dict]) -> list[list]:
    """Returns [last step, mean reward] of blocks of steps of the log; None if no completion was judged."""
    return average_blocks([(entry["step"], entry["reward"]) for entry in history if "reward" in entry])
