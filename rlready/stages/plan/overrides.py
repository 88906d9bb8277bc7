"""Overrides of TRL's trainers: those that TRL refuses, that rlready decides itself, or that change the step's batch."""

import dataclasses
import importlib.util
import math
import tempfile
from collections.abc import Iterator
from typing import Any

from rlready.config import Experiment

ALONE = "samples are drawn at temperature 1 from all tokens, as they are measured"
ASKED = "the model is asked, and its answers end, as in evaluation; write it into chat_template.jinja or tokenizer_config.json"
FRESH = "every step samples again"
# What decides fields that are not to be overridden, a parameter or a reason, and the fields.
REASONS = {
    "the pipeline says where a stage writes": "output_dir",
    "a killed run goes on from its checkpoints, which are kept for that": "save_strategy save_steps save_total_limit"
    " save_only_model save_on_each_node resume_from_checkpoint ignore_data_skip restore_callback_states_from_checkpoint"
    " enable_jit_checkpoint",
    "every run is logged to MLflow already": "report_to",
    "a training that diverges ends by what it logs": "logging_nan_inf_filter",
    "sweep_seeds; it seeds the data's order and all else of a candidate": "seed data_seed",
    "the device decides": "use_cpu",
    "training_gradient_checkpointing": "gradient_checkpointing",
    "training_zero_stage": "deepspeed fsdp fsdp_config parallelism_config",
    "the trainer has no evaluation set; held-out loss and benchmark are measured by rlready": "eval_strategy eval_steps"
    " eval_on_start do_eval do_predict load_best_model_at_end metric_for_best_model",
    "models stay where the pipeline writes them": "push_to_hub hub_model_id hub_token hub_strategy hub_revision",
    "all candidates have the same batch": "auto_find_batch_size",
    "base_model is loaded before": "model_init_kwargs trust_remote_code",
    "the trainer's columns are rlready's": "remove_unused_columns label_names",
}
REASONS_FOR = {
    "sft": {
        "sweep_epochs": "num_train_epochs max_steps",
        "sweep_learning_rates": "learning_rate",
        "sft_packing": "packing packing_strategy padding_free",
        "curate_max_tokens; no example is cut": "max_length truncation_mode",
        ASKED: "chat_template_path eos_token pad_token",
        "the loss is that of the completion": "completion_only_loss assistant_only_loss dataset_text_field dataset_kwargs",
    },
    "rl": {
        "rl_steps": "num_train_epochs max_steps",
        "rl_learning_rate": "learning_rate",
        "rl_num_generations": "num_generations",
        "rl_prompts_per_step": "generation_batch_size",
        f"rl_prompts_per_step; {FRESH}": "steps_per_generation",
        FRESH: "num_iterations",
        "sampling_max_tokens": "max_completion_length",
        ALONE: "temperature top_p top_k min_p repetition_penalty generation_kwargs vllm_structured_outputs_regex",
        ASKED: "chat_template_kwargs",
        "sampling_engine": "use_vllm vllm_mode vllm_server_base_url use_transformers_paged cache_implementation"
        " use_transformers_continuous_batching",
        "rl_gpu_memory_utilization": "vllm_gpu_memory_utilization",
        "sampling_tensor_parallel": "vllm_tensor_parallel_size",
        "every step is logged, for its reward": "logging_strategy logging_steps",
        "it is no part of a checkpoint, so a killed run would go on otherwise": "sync_ref_model use_adaptive_entropy",
        "models stay where the pipeline writes them": "log_completions_hub_repo",
    },
}


def _spread(reasons: dict[str, str]) -> dict[str, str]:
    return {field: reason for reason, fields in reasons.items() for field in fields.split()}


# Fields that are not to be overridden, each with the parameter or the reason that decides it.
DECIDED = _spread(REASONS)
DECIDED_FOR = {stage: _spread(reasons) for stage, reasons in REASONS_FOR.items()}
# Values that TRL looks at only once it trains, or takes for another than is meant.
CHOICES: dict[str, dict[str, tuple]] = {
    "sft": {"loss_type": ("nll", "dft", "chunked_nll")},
    "rl": {
        "loss_type": ("grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
        "importance_sampling_level": ("token", "sequence"),
        "scale_rewards": ("group", "batch", "none", True, False),
        "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    },
}
STEP = ("per_device_train_batch_size", "gradient_accumulation_steps")
# Numbers of which TRL takes every one that is not negative; with others, it is imported, which takes ten seconds of CPU.
FREE = {"warmup_steps", "weight_decay", "max_grad_norm"}
# What only the machine that trains can say: a value of these is not tried here.
MACHINE = {"bf16", "fp16", "tf32", "torch_compile", "torch_compile_backend", "torch_compile_mode", "ddp_backend"}


def check_overrides(experiment: Experiment) -> Iterator[tuple[bool, str]]:
    """Yields (whether it is fine, what is wrong otherwise) for every override."""
    batches = {"sft": experiment.sft.batch_size, "rl": experiment.rl.prompts_per_step * experiment.rl.num_generations}
    for stage, batch in batches.items():
        settings = getattr(experiment, stage)
        overrides, name = settings.trainer_overrides, f"{stage}_trainer_overrides"
        if all(name in FREE and type(value) in (int, float) and 0 <= value < math.inf for name, value in overrides.items()):
            continue
        kind = _find_config(stage)
        unknown = sorted(overrides.keys() - {field.name for field in dataclasses.fields(kind)})
        yield not unknown, f"{name}: {kind.__name__} has no {', '.join(unknown)}"
        decided = DECIDED | DECIDED_FOR[stage]
        refused = sorted(overrides.keys() & decided.keys())
        for field in refused:
            yield False, f"{name}: {field} is not to be overridden: {decided[field]}"
        wrong = list(_check_values(stage, kind, overrides))
        for line in wrong:
            yield False, f"{name}: {line}"
        yield (
            not (overrides.get("mask_truncated_completions") and experiment.sampling.stop),
            f"{name}: mask_truncated_completions takes what sampling_stop ends for truncated; leave one of them out",
        )
        if not unknown and not refused and not wrong and (said := _try_config(kind, overrides, batch)):
            yield False, f"{name}: {said}"
        yield from _check_step(name, overrides, batch, experiment.training.processes, settings.per_device_batch_size)


def _find_config(stage: str) -> type:
    """Returns TRL's config of a stage's trainer; imported here, since it brings torch along."""
    from trl import GRPOConfig, SFTConfig

    return {"sft": SFTConfig, "rl": GRPOConfig}[stage]


def _check_values(stage: str, kind: type, overrides: dict) -> Iterator[str]:
    """Yields what is wrong with values that the config itself takes as they are."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for field, value in overrides.items():
        default: Any = fields[field].default if field in fields else None
        choices = CHOICES[stage].get(field)
        if choices and value not in choices:
            yield f"{field} {value!r} is none of {', '.join(map(str, choices))}"
        elif isinstance(default, bool) and not isinstance(value, bool):
            yield f"{field} is true or false, not {value!r}"
        elif type(default) in (int, float) and field not in STEP:
            whole = "float" not in str(fields[field].type)
            kinds = {int} if whole else {int, float}
            if type(value) not in kinds or not math.isfinite(value) or value < min(0, default):
                yield f"{field} is a {'whole ' * whole}number{' of at least 0' if default >= 0 else ''}, not {value!r}"


def _try_config(kind: type, overrides: dict, batch: int) -> str | None:
    """Returns what TRL says against the overrides, or the optimizer and scheduler they name; None where it takes them."""
    import torch
    from transformers import Trainer
    from transformers.optimization import get_scheduler

    tried = {field: value for field, value in overrides.items() if field not in MACHINE and field not in STEP}
    with tempfile.TemporaryDirectory() as folder:
        ours = {"output_dir": folder, "use_cpu": True, "bf16": False, "report_to": [], "per_device_train_batch_size": batch}
        ours |= {"num_generations": batch} if hasattr(kind, "num_generations") else {"lr_scheduler_type": "cosine"}
        try:
            arguments = kind(**(ours | tried))
            model = torch.nn.Linear(1, 1)
            Trainer.get_optimizer_cls_and_kwargs(arguments, model)  # type: ignore[arg-type]  # it takes any module
            optimizer = torch.optim.SGD(model.parameters(), 1e-3)
            get_scheduler(arguments.lr_scheduler_type, optimizer, 1, 2, arguments.lr_scheduler_kwargs)
            if arguments.use_liger_kernel and importlib.util.find_spec("liger_kernel") is None:
                return "use_liger_kernel needs liger-kernel, which is not installed; leave it out"
        except Exception as error:  # whatever TRL says against it
            return f"{kind.__name__} refuses {', '.join(tried)}: {' '.join(str(error).split())[:300]}"
    return None


def _check_step(name: str, overrides: dict, batch: int, processes: int, per_device: int) -> Iterator[tuple[bool, str]]:
    """Checks that a step keeps its batch; where the processes are not known yet, that some number of them makes it."""
    step, given = STEP, {field: overrides[field] for field in STEP if field in overrides}
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
