"""TRL's GRPOTrainer with the verifier as the reward."""

import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq

from rlready.components.config import InputError
from rlready.components.core.records import Candidate, RlRecord
from rlready.components.core.runtime.devices import describe_device
from rlready.components.core.serialization import identify_work
from rlready.components.core.training import checkpoints
from rlready.components.core.training.batch import divide_batch
from rlready.components.core.training.processes import count_ranks, is_main
from rlready.components.core.verifier import verify


def reward(completions: list, answer: list[str], format: list[str], **kwargs) -> list[float]:
    """Returns 1 for a right completion and 0 for any other; TRL passes the columns of the dataset as lists."""
    return [
        float(verify(completion[0]["content"], gold, answer_format))
        for completion, gold, answer_format in zip(completions, answer, format, strict=True)
    ]


def train(candidate: Candidate, settings: SimpleNamespace, data: Path, model: str, out: Path) -> RlRecord | None:
    """Trains a checkpoint with GRPO: on-policy, temperature 1, no KL term, rewards scaled within a prompt's group.

    A killed run goes on from its last checkpoint.

    Args:
        candidate: Whose checkpoint; its seed is used.
        settings: The sections rl, training and sampling.
        data: Folder that curate wrote; its RL prompts are used.
        model: Model folder to start from.
        out: Model folder to write.

    Returns:
        The record, with the mean reward of the rollouts; None in a process that is not the main one.

    Raises:
        InputError: If an override is unknown, or the prompts or completions of a step do not divide.
    """
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from rlready.components.core.models import load_tokenizer
    from rlready.components.core.prompts import find_end, write_messages
    from rlready.components.core.sampling.choose import choose_for
    from rlready.components.core.tracking.stream import stream_training
    from rlready.components.core.training.trainer import (
        ProgressCallback,
        StopWhereDiverged,
        build_arguments,
        load_trainable,
        save_trained,
    )
    from rlready.components.rl.rollouts import SamplerCheck, make_rollouts

    rl, sampling, processes = settings.rl, settings.sampling, count_ranks()
    if rl.prompts_per_step % processes:
        # A group is sampled by one process, so that its samples do not depend on how many there are.
        raise InputError(
            f"rl_prompts_per_step: {rl.prompts_per_step} prompts do not divide among {processes} processes"
        )
    batch = rl.prompts_per_step * rl.num_generations
    size, accumulation = divide_batch("rl_prompts_per_step", batch, rl.per_device_batch_size, processes)
    engine, reason = choose_for(model, sampling)
    if is_main():
        print(f"rollouts by {engine}: {reason}", flush=True)
    colocated = engine == "vllm"
    begun = time.time()
    tokenizer = load_tokenizer(model)
    rows = [
        {"prompt": write_messages(row["question"], row["format"]), "answer": row["answer"], "format": row["format"]}
        for row in pq.read_table(data / "rl.parquet").to_pylist()
    ]
    folder = checkpoints.open_folder("rl", [identify_work(candidate), repr(settings), str(data), model], out)
    arguments = build_arguments(
        GRPOConfig,
        settings.training,
        rl.trainer_overrides,
        output_dir=str(folder),
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
        save_strategy="steps",
        save_steps=checkpoints.choose_interval(rl.steps),
        seed=candidate.seed,
        **(place_vllm(settings, find_end(tokenizer)) if colocated else {}),
    )
    trainer = GRPOTrainer(
        model=load_trainable(model, settings.training, candidate.seed),
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        rollout_func=None if colocated else make_rollouts(sampling.max_tokens, candidate.seed, sampling.stop),
        callbacks=[
            SamplerCheck(),
            StopWhereDiverged("rl_learning_rate"),
            ProgressCallback("rl", candidate.candidate_id),
            stream_training("rl", candidate),
        ],
    )
    trainer.accelerator.wait_for_everyone()  # until the main one has removed half-written checkpoints
    trainer.train(resume_from_checkpoint=checkpoints.find_last(folder))
    save_trained(trainer, tokenizer, model, out)
    if not is_main():
        return None
    shutil.rmtree(folder)
    rewards = [[entry["step"], round(entry["reward"], 5)] for entry in trainer.state.log_history if "reward" in entry]
    steps, seconds = trainer.state.global_step, time.time() - begun
    return RlRecord(thin_out(rewards), steps, seconds, **describe_device())


def place_vllm(settings: SimpleNamespace, end: int) -> dict:
    """Returns TRL's arguments for vLLM on the same GPUs as the trainer, which pushes its weights before every step.

    Args:
        settings: The sections rl and sampling.
        end: Token that ends an answer, besides those of the model's generation_config.
    """
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": settings.rl.gpu_memory_utilization,
        "vllm_tensor_parallel_size": settings.sampling.tensor_parallel,
        "generation_kwargs": {"stop": list(settings.sampling.stop), "stop_token_ids": [end]},
    }


def thin_out(series: list, most: int = 20) -> list:
    """Returns about `most` evenly spaced points of a series, the last among them."""
    stride = -(-len(series) // most) or 1
    return series[::-1][::stride][::-1]
