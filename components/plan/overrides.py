"""Overrides of TRL's trainers: those that TRL does not know, that rlready decides itself, or that change the step's batch."""

import dataclasses
import math
from collections.abc import Iterator

from rlready.components.config import Experiment

CHECKPOINTS = "a killed run goes on from its checkpoints, which are kept for that"
ALONE = "samples are drawn at temperature 1 from all tokens, as they are measured"
# Fields that are not to be overridden, each with the parameter or the reason that decides it.
DECIDED = {
    "output_dir": "the pipeline says where a stage writes",
    "save_strategy": CHECKPOINTS,
    "save_steps": CHECKPOINTS,
    "save_total_limit": CHECKPOINTS,
    "resume_from_checkpoint": CHECKPOINTS,
    "report_to": "every run is logged to MLflow already",
    "seed": "sweep_seeds",
    "use_cpu": "the device decides",
    "gradient_checkpointing": "training_gradient_checkpointing",
    "deepspeed": "training_zero_stage",
}
DECIDED_FOR = {
    "sft": {
        "num_train_epochs": "sweep_epochs",
        "max_steps": "sweep_epochs",
        "learning_rate": "sweep_learning_rates",
        "packing": "sft_packing",
        "packing_strategy": "sft_packing",
        "max_length": "curate_max_tokens; no example is cut",
    },
    "rl": {
        "num_train_epochs": "rl_steps",
        "max_steps": "rl_steps",
        "learning_rate": "rl_learning_rate",
        "num_generations": "rl_num_generations",
        "generation_batch_size": "rl_prompts_per_step",
        "steps_per_generation": "rl_prompts_per_step; every step samples anew",
        "max_completion_length": "sampling_max_tokens",
        "temperature": ALONE,
        "top_p": ALONE,
        "top_k": ALONE,
        "min_p": ALONE,
        "repetition_penalty": ALONE,
        "generation_kwargs": ALONE,
        "use_vllm": "sampling_engine",
        "vllm_mode": "sampling_engine",
        "vllm_gpu_memory_utilization": "rl_gpu_memory_utilization",
        "vllm_tensor_parallel_size": "sampling_tensor_parallel",
    },
}


def check_overrides(experiment: Experiment) -> Iterator[tuple[bool, str]]:
    """Yields (whether it is fine, what is wrong otherwise) for every override."""
    batches = {
        "sft": experiment.sft.batch_size,
        "rl": experiment.rl.prompts_per_step * experiment.rl.num_generations,
    }
    for stage, batch in batches.items():
        settings = getattr(experiment, stage)
        overrides, name = settings.trainer_overrides, f"{stage}_trainer_overrides"
        if not overrides:
            continue
        kind = _find_config(stage)
        unknown = sorted(overrides.keys() - {field.name for field in dataclasses.fields(kind)})
        yield not unknown, f"{name}: {kind.__name__} has no {', '.join(unknown)}"
        decided = DECIDED | DECIDED_FOR[stage]
        for field in overrides.keys() & decided.keys():
            yield False, f"{name}: {field} is not to be overridden: {decided[field]}"
        yield from _check_step(name, overrides, batch, experiment.training.processes, settings.per_device_batch_size)


def _find_config(stage: str) -> type:
    """Returns TRL's config of a stage's trainer; imported here, since it brings torch along."""
    from trl import GRPOConfig, SFTConfig

    return {"sft": SFTConfig, "rl": GRPOConfig}[stage]


def _check_step(name: str, overrides: dict, batch: int, processes: int, per_device: int) -> Iterator[tuple[bool, str]]:
    """Checks that a step keeps its batch; where the processes are not known yet, that some number of them makes it."""
    step = ("per_device_train_batch_size", "gradient_accumulation_steps")
    given = {field: overrides[field] for field in step if field in overrides}
    if not given:
        return
    wrong = [field for field, value in given.items() if type(value) is not int or value < 1]
    yield not wrong, f"{name}: {', '.join(wrong)} must be a whole number of at least 1"
    if wrong:
        return
    share = batch // (processes or 1)
    size = per_device or share
    made = math.prod({step[0]: size, step[1]: max(1, share // size), **given}.values())
    fits = made * processes == batch if processes else batch % made == 0
    yield (
        fits,
        f"{name}: {' x '.join(f'{field} {value}' for field, value in given.items())} does not divide the step of {batch}"
        f"{f' among {processes} processes' if processes else ''}; {name.split('_')[0]}_per_device_batch_size does",
    )
