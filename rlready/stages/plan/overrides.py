"""Overrides of TRL's trainers: those that TRL refuses, that other parameters decide, or that change the step's batch."""

import dataclasses
import importlib.util
import math
import re
import tempfile
from collections.abc import Iterator
from typing import Any

from rlready.config import Experiment
from rlready.errors import InputError, one_line, suggest
from rlready.stages.plan.sweep import expand_sweep

ALONE = "RL samples at temperature 1 from all tokens, as predictors and benchmark do"
ASKED = "prompts and end tokens are those of the evaluation; change chat_template.jinja or tokenizer_config.json"
FRESH = "every step draws new samples"
# Fields that cannot be overridden, by the parameter that decides them or the reason.
REASONS = {
    "the pipeline decides what a stage does and where it writes": "output_dir do_train",
    "a killed run resumes from its checkpoints": "save_strategy save_steps save_total_limit"
    " save_only_model save_on_each_node resume_from_checkpoint ignore_data_skip restore_callback_states_from_checkpoint"
    " enable_jit_checkpoint",
    "every run is logged to MLflow already": "report_to run_name project trackio_space_id trackio_bucket_id"
    " trackio_static_space_id include_for_metrics debug",
    "a diverging training is stopped by its logs": "logging_nan_inf_filter logging_strategy",
    "training_processes": "local_rank ddp_backend",
    "sweep_seeds, which seeds everything of a candidate": "seed data_seed",
    "the device decides": "use_cpu",
    "training_gradient_checkpointing": "gradient_checkpointing",
    "training_zero_stage": "deepspeed fsdp fsdp_config parallelism_config",
    "the trainer has no evaluation set; rlready measures held-out loss and benchmark": "eval_strategy eval_steps"
    " eval_on_start do_eval do_predict load_best_model_at_end metric_for_best_model greater_is_better eval_delay"
    " per_device_eval_batch_size prediction_loss_only eval_do_concat_batches eval_use_gather_object eval_accumulation_steps"
    " batch_eval_metrics bf16_full_eval fp16_full_eval eval_packing num_generations_eval",
    "models stay where the pipeline writes them": "push_to_hub hub_model_id hub_token hub_strategy hub_revision"
    " hub_private_repo hub_always_push",
    "all candidates have the same batch": "auto_find_batch_size accelerator_config dataloader_drop_last",
    "rlready loads base_model": "model_init_kwargs trust_remote_code",
    "the trainer's columns are rlready's": "remove_unused_columns label_names length_column_name",
}
REASONS_FOR = {
    "sft": {
        "sweep_epochs": "num_train_epochs max_steps",
        "sweep_learning_rates": "learning_rate",
        "sft_packing": "packing packing_strategy padding_free",
        "curate_max_tokens; no example is truncated": "max_length truncation_mode",
        ASKED: "chat_template_path eos_token pad_token",
        "the loss is on the completion only": "completion_only_loss assistant_only_loss dataset_text_field dataset_kwargs",
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
        " use_transformers_continuous_batching transformers_continuous_batching_config vllm_server_host vllm_server_port"
        " vllm_server_timeout vllm_group_port",
        "the verifier is the only reward": "reward_weights",
        "rl_gpu_memory_utilization": "vllm_gpu_memory_utilization",
        "sampling_tensor_parallel": "vllm_tensor_parallel_size",
        "the reward of every step is logged": "logging_steps",
        "checkpoints do not hold it, so a resumed run would differ": "sync_ref_model use_adaptive_entropy"
        " ref_model_mixup_alpha ref_model_sync_steps entropy_coef_min entropy_coef_max entropy_coef_delta entropy_target",
        "RL has no labels to smooth": "label_smoothing_factor",
        "prompts offer no tools": "max_tool_calling_iterations",
        "models stay where the pipeline writes them": "log_completions_hub_repo",
    },
}


def _spread(reasons: dict[str, str]) -> dict[str, str]:
    return {field: reason for reason, fields in reasons.items() for field in fields.split()}


DECIDED = _spread(REASONS)
DECIDED_FOR = {stage: _spread(reasons) for stage, reasons in REASONS_FOR.items()}
# Values that TRL checks only when it trains, or misinterprets.
LEVELS = ("detail", "debug", "info", "warning", "error", "critical", "passive")
SHARED = {
    "log_level": LEVELS,
    "log_level_replica": LEVELS,
    "train_sampling_strategy": ("random", "sequential", "group_by_length"),
    "include_num_input_tokens_seen": ("all", "non_padding", "no", True, False),
    "dataloader_multiprocessing_context": ("fork", "spawn", "forkserver"),
    "torch_compile_mode": ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
}
CHOICES: dict[str, dict[str, tuple]] = {
    "sft": SHARED | {"loss_type": ("nll", "dft", "chunked_nll")},
    "rl": SHARED
    | {
        "loss_type": ("grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
        "importance_sampling_level": ("token", "sequence"),
        "scale_rewards": ("group", "batch", "none", True, False),
        "vllm_model_impl": ("vllm", "transformers"),
        "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
        "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    },
}
KINDS = {"list": list, "str": str, "int": int, "float": float, "bool": bool}
OPTIONAL = {"float | None": 0, "int | None": 0, "bool | None": False}  # a default for each type of a field that may be None
STEP = ("per_device_train_batch_size", "gradient_accumulation_steps")
# Numbers that TRL accepts unless they are negative. For others TRL is imported, which takes ten seconds of CPU.
FREE = {"warmup_steps": math.inf, "weight_decay": 1, "max_grad_norm": math.inf}
FRACTIONS = {"top_entropy_quantile", "epsilon"}
# Fields by which something is divided, or that are a number of things to do; 0 fails only in training.
POSITIVE = {"adam_epsilon", "sapo_temperature_neg", "sapo_temperature_pos", "pad_to_multiple_of", "dataloader_prefetch_factor"}
POSITIVE |= {"ddp_timeout", "ddp_bucket_cap_mb", "dataset_num_proc", "vllm_max_model_length", "top_entropy_quantile"}
POSITIVE |= {"vllm_importance_sampling_clip_max", "vllm_importance_sampling_cap"}
# Values above these are mistakes that run out of memory or processes, or leave nothing of the loss.
MOST: dict[str, float] = {"beta": 100, "entropy_coef": 100, "adam_epsilon": 1, "label_smoothing_factor": 0.9}
MOST |= {"epsilon_high": 1000, "delta": 1000, "neftune_noise_alpha": 1000}
MOST |= {"dataloader_num_workers": 512, "dataset_num_proc": 512, "dataloader_prefetch_factor": 10_000}
MOST |= {"pad_to_multiple_of": 65_536, "ddp_timeout": 10**7, "ddp_bucket_cap_mb": 10**6}
CHECKPOINTING = {"use_reentrant", "preserve_rng_state", "determinism_check", "debug", "early_stop", "selective"}  # keys
# Fields of some losses, which the others ignore.
CLIPPED = ("grpo", "dapo", "dr_grpo", "bnpo", "luspo")
LOSSES = {"epsilon": CLIPPED, "epsilon_high": (*CLIPPED, "cispo"), "delta": CLIPPED}
LOSSES |= {"label_smoothing_factor": ("nll", "chunked_nll")}
LOSSES |= dict.fromkeys(("sapo_temperature_neg", "sapo_temperature_pos"), ("sapo",))
LOSSES |= dict.fromkeys(("vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg"), ("vespo",))
ON_GPU = {"fp16", "tf32", "torch_compile", "torch_compile_backend", "torch_compile_mode", "activation_offloading"}
ON_GPU |= {"use_liger_kernel"}
# Fields whose values depend on the machine that trains, so they are not tried here.
MACHINE = (ON_GPU - {"use_liger_kernel"}) | {"bf16"}
MOST_STEPS_TRIED = 10_000  # of a learning rate schedule


def check_overrides(experiment: Experiment) -> Iterator[str]:
    """Yields what is wrong with the overrides of both trainers."""
    for stage in REASONS_FOR:
        overrides = experiment.get(f"{stage}_trainer_overrides")
        finite = all(type(value) in (int, float) and math.isfinite(value) for value in overrides.values())
        if not (finite and all(0 <= value <= FREE.get(field, -1) for field, value in overrides.items())):
            yield from (f"{stage}_trainer_overrides: {line}" for line in _find_faults(experiment, stage, overrides))


def describe_warmup(experiment: Experiment) -> Iterator[str]:
    """Yields a warning for each trainer whose warm-up takes all of its steps, as in a short trial of a recipe."""
    for stage in REASONS_FOR:
        steps, _ = _find_course(experiment, stage)
        warmup = experiment.get(f"{stage}_trainer_overrides").get("warmup_steps", 0)
        if steps and (warmup if warmup >= 1 else math.ceil(steps * warmup)) >= steps:
            said = f"warmup_steps {warmup:g} takes all {steps} steps, so the learning rate is never reached"
            yield f"{stage}_trainer_overrides: {said}"


def refuse_routing(experiment: Experiment, models: dict[str, bool]) -> None:
    """Raises InputError if a router's loss is weighted in a model without experts; `models` says which have them."""
    for stage in REASONS_FOR:
        weighted = experiment.get(f"{stage}_trainer_overrides").get("router_aux_loss_coef")
        for where in [where for where, routed in models.items() if weighted and not routed]:
            what = f"{stage}_trainer_overrides: router_aux_loss_coef is for mixtures of experts"
            raise InputError(f"{what}, and {where} is none; leave it out")


def find_gpu_overrides(experiment: Experiment) -> list[str]:
    """Returns a line on overrides that only training on a GPU takes, for each stage, if this machine has none."""
    lines = []
    for stage in REASONS_FOR:
        name = f"{stage}_trainer_overrides"
        if fields := [field for field, value in experiment.get(name).items() if field in ON_GPU and value]:
            import torch

            said = f"{name}: this machine has no GPU for {', '.join(fields)}; leave it out, or run where there is one"
            lines += [] if torch.cuda.is_available() else [said]
    return lines


def _find_course(experiment: Experiment, stage: str) -> tuple[int, float]:
    """Returns the steps of the longest training of a stage, 0 if there is none, and its lowest learning rate."""
    if stage == "rl":
        return experiment.rl.steps, experiment.rl.learning_rate
    trained = [candidate for candidate in expand_sweep(experiment.sweep) if candidate.epochs]
    steps = [candidate.epochs * math.ceil(candidate.examples / experiment.sft.batch_size) for candidate in trained]
    return max(steps, default=0), min((candidate.learning_rate for candidate in trained), default=1e-5)


def _find_faults(experiment: Experiment, stage: str, overrides: dict) -> Iterator[str]:
    from trl import GRPOConfig, SFTConfig

    kind: type = {"sft": SFTConfig, "rl": GRPOConfig}[stage]
    decided = DECIDED | DECIDED_FOR[stage]
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = sorted(overrides.keys() - set(known))
    faults = [f"{kind.__name__} has no {field}; {suggest(field, known, 'leave it out')}" for field in unknown]
    faults += [f"{field} cannot be overridden: {decided[field]}" for field in sorted(overrides.keys() & decided.keys())]
    faults += _check_values(stage, kind, overrides)
    faults = faults or [*_check_losses(overrides, "dapo" if stage == "rl" else "nll")]
    batch = getattr(experiment, stage).batch_size
    if not faults and (said := _try_config(kind, overrides, batch, *_find_course(experiment, stage))):
        faults = [said]
    yield from faults
    if given := overrides.get("gradient_checkpointing_kwargs"):
        if not experiment.training.gradient_checkpointing:
            yield "gradient_checkpointing_kwargs does nothing without training_gradient_checkpointing; set it to true"
        if isinstance(given, dict) and (keys := given.keys() - CHECKPOINTING):
            yield f"gradient_checkpointing_kwargs: {min(keys)} is none of {', '.join(sorted(CHECKPOINTING))}"
    if overrides.get("bf16") is True and overrides.get("fp16") is True:
        yield "bf16 and fp16 are both true; choose one"
    if experiment.sampling.engine == "transformers":
        ignored = sorted(field for field in overrides if field.startswith("vllm_") and field not in decided)
        yield from (f"{field} does nothing while sampling_engine is transformers; leave it out" for field in ignored)
    if overrides.get("mask_truncated_completions") and experiment.sampling.stop:
        yield "mask_truncated_completions counts completions that sampling_stop ends as truncated; use only one of them"
    yield from _check_step(experiment, stage, overrides, batch)


def _check_values(stage: str, kind: type, overrides: dict) -> Iterator[str]:
    """Yields what is wrong with values that the config itself does not check."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for field, value in overrides.items():
        if field not in fields:
            continue
        default: Any = fields[field].default
        hint = str(fields[field].type).removeprefix("<class '").removesuffix("'>")
        kinds = (dict,) if "dict" in hint else tuple(of for name, of in KINDS.items() if re.search(rf"\b{name}\b", hint))
        if value is not None:
            default = OPTIONAL.get(hint, default)
        choices = CHOICES[stage].get(field)
        if field in POSITIVE and type(value) in (int, float) and value <= 0:
            yield f"{field} is a number above 0, not {value!r}"
        elif field in MOST and type(value) in (int, float) and value > MOST[field]:
            yield f"{field} is at most {MOST[field]}, not {value!r}"
        elif choices:
            if value not in choices:
                yield f"{field} {value!r} is not one of {', '.join(map(str, choices))}"
        elif isinstance(default, bool) and not isinstance(value, bool):
            yield f"{field} is true or false, not {value!r}"
        elif type(default) in (int, float) and field not in STEP:
            noun, types = ("number", (int, float)) if "float" in hint else ("whole number", (int,))
            if type(value) not in types or not math.isfinite(value) or value < min(0, default):
                yield f"{field} is a {noun}{' of at least 0' if default >= 0 else ''}, not {value!r}"
            elif field in FRACTIONS and value > 1:
                yield f"{field} is a share, at most 1, not {value!r}"
        elif kinds and value is not None and (not isinstance(value, kinds) or (type(value) is bool and bool not in kinds)):
            yield f"{field} is {hint}, not {value!r}"


def _check_losses(overrides: dict, default: str) -> Iterator[str]:
    """Yields which overrides do nothing with the loss, or stop its gradient."""
    loss = overrides.get("loss_type", default)
    for field in overrides:
        if loss not in LOSSES.get(field, (loss,)):
            yield f"{field} does nothing with the loss_type {loss}, only with {', '.join(LOSSES[field])}"
    if (delta := overrides.get("delta")) is not None and delta <= 1:
        yield f"delta {delta:g} must be above 1: the ratio to the sampled policy is 1, and above delta there is no gradient"


def _try_config(kind: type, overrides: dict, batch: int, steps: int, rate: float) -> str | None:
    """Returns why TRL refuses the overrides, or what is wrong with the optimizer, schedule and loader they describe, or None.

    `steps` and `rate` are the length of a training and its learning rate.
    """
    import torch
    from transformers import Trainer

    tried = {field: value for field, value in overrides.items() if field not in MACHINE and field not in STEP}
    with tempfile.TemporaryDirectory() as folder:
        ours = {"output_dir": folder, "use_cpu": True, "bf16": False, "report_to": [], "per_device_train_batch_size": batch}
        ours["learning_rate"] = rate
        ours |= {"num_generations": batch} if hasattr(kind, "num_generations") else {"lr_scheduler_type": "cosine"}
        try:
            arguments = kind(**(ours | tried))
            model = torch.nn.Linear(1, 1)
            made, values = Trainer.get_optimizer_cls_and_kwargs(arguments, model)  # type: ignore[arg-type]  # it takes any module
            given = {"params": model.parameters()} | {k: v for k, v in values.items() if k not in ("model", "optimizer_dict")}
            optimizer = made(**given)
            if arguments.optim_args:
                arguments.optim_args = None
                if Trainer.get_optimizer_cls_and_kwargs(arguments, model)[1] == values:  # type: ignore[arg-type]
                    return f"optim_args {overrides['optim_args']!r} changes nothing of the optimizer {made.__name__}"
            torch.utils.data.DataLoader(
                torch.utils.data.TensorDataset(torch.zeros(1)),
                num_workers=arguments.dataloader_num_workers,
                persistent_workers=arguments.dataloader_persistent_workers,
                multiprocessing_context=arguments.dataloader_multiprocessing_context,
                prefetch_factor=arguments.dataloader_prefetch_factor,
            )
            if said := _try_schedule(arguments, optimizer, steps or MOST_STEPS_TRIED):
                return said
            if arguments.use_liger_kernel and importlib.util.find_spec("liger_kernel") is None:
                return "use_liger_kernel needs liger-kernel, which is not installed; leave it out"
        except Exception as error:  # whatever TRL raises
            return f"{kind.__name__} refuses {', '.join(tried)}: {one_line(error, 300)}"
    if rate * arguments.weight_decay >= 1:
        return f"weight_decay {arguments.weight_decay:g} times the learning rate {rate:g} takes all of a weight; lower it"
    return None


def _try_schedule(arguments: Any, optimizer: Any, steps: int) -> str | None:
    """Returns where the learning rate would be negative or exceed the one that was asked for, or None."""
    from transformers.optimization import get_scheduler

    kind, most, kwargs = arguments.lr_scheduler_type, arguments.learning_rate, arguments.lr_scheduler_kwargs
    scheduler = get_scheduler(kind, optimizer, min(steps, arguments.get_warmup_steps(steps)), steps, kwargs)
    for step in range(1, min(steps, MOST_STEPS_TRIED) + 1):
        rate = scheduler.get_last_lr()[0]
        if not 0 <= rate <= most * 1.0001:
            what = f"lr_scheduler_type {kind.value} with lr_scheduler_kwargs {kwargs}"
            return f"{what}: the learning rate of step {step} would be {rate:g}, not between 0 and {most:g}"
        optimizer.step()
        scheduler.step()
    return None


def _check_step(experiment: Experiment, stage: str, overrides: dict, batch: int) -> Iterator[str]:
    """Checks that a step keeps its batch; with an unknown number of processes, that some number of them makes it."""
    given = {field: overrides[field] for field in STEP if field in overrides}
    if wrong := [field for field, value in given.items() if type(value) is not int or value < 1]:
        yield f"{', '.join(wrong)} must be a whole number of at least 1"
    elif given:
        processes = experiment.training.processes
        share = batch // (processes or 1)
        size = experiment.get(f"{stage}_per_device_batch_size") or share
        made = math.prod({STEP[0]: size, STEP[1]: max(1, share // size), **given}.values())
        if made * processes != batch if processes else batch % made:
            among = f" among {processes} processes" if processes else ""
            factors = " x ".join(f"{field} {value}" for field, value in given.items())
            yield f"{factors} does not divide the step of {batch}{among}; {stage}_per_device_batch_size does"
