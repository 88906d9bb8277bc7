"""What SFT and RL share: training arguments, adapters, DeepSpeed, callbacks, resuming, and saving the trained weights."""

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import PartialState
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from rlready.config import Training
from rlready.errors import InputError
from rlready.models.load import load_model, save_model
from rlready.records.candidate import BaseModel, Candidate
from rlready.runtime.events import Progress
from rlready.runtime.failures import lacks_space
from rlready.training import checkpoints
from rlready.training.processes import count_ranks, divide_batch, is_main

LEARNING_RATE = {"sft": "sweep_learning_rates", "rl": "rl_learning_rate"}  # name of its parameter, by stage
STEP = ("per_device_train_batch_size", "gradient_accumulation_steps")  # whose product is a process's share of a step


def build_arguments(
    kind: type, stage: str, settings: SimpleNamespace, folder: Path, steps: int, **ours: Any
) -> TrainingArguments:
    """Returns TRL's config for `sft` or `rl` from our arguments, the device's, and the user's overrides, which come first.

    Raises InputError if a batch does not divide, or the overrides, which plan has checked, change it on this many processes.
    """
    on_gpu, training, own = torch.cuda.is_available(), settings.training, getattr(settings, stage)
    batch = dict(zip(STEP, divide_batch(stage, own, count_ranks()), strict=True))
    made, wanted = (math.prod(values[name] for name in STEP) for values in (batch | own.trainer_overrides, batch))
    if made != wanted:
        raise InputError(f"trainer_overrides: {' x '.join(STEP)} is {made}, a process's share of a step is {wanted}")
    fixed = batch | {"output_dir": str(folder), "save_steps": max(1, steps // checkpoints.PER_RUN)}
    fixed |= {"report_to": [], "disable_tqdm": True, "logging_nan_inf_filter": False}
    fixed |= {"gradient_checkpointing": training.gradient_checkpointing, "bf16": on_gpu, "dataloader_pin_memory": on_gpu}
    # DeepSpeed has a CPU device of its own, which accelerate takes only if it is not told to use the CPU.
    fixed["use_cpu"] = not on_gpu and not training.zero_stage
    if training.zero_stage:
        sizes = ("gradient_clipping", "gradient_accumulation_steps", "train_batch_size", "train_micro_batch_size_per_gpu")
        zero = {"stage": training.zero_stage, "stage3_gather_16bit_weights_on_model_save": training.zero_stage == 3}
        # auto: from the Trainer's own arguments
        fixed["deepspeed"] = {"zero_optimization": zero, "bf16": {"enabled": "auto"}, **dict.fromkeys(sizes, "auto")}
        if not on_gpu:  # accelerate by itself finds no backend for DeepSpeed on the CPU, and counts one process
            os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
            PartialState(backend="gloo")
            fixed["accelerator_config"] = {"use_configured_state": True}
    elif count_ranks() > 1:
        fixed |= {"ddp_backend": "nccl" if on_gpu else "gloo", "ddp_find_unused_parameters": False}
    arguments = kind(**{**fixed, **ours, **own.trainer_overrides})
    if arguments.device.type == "cpu":
        # With several processes it is "cpu:0", to which torch.load cannot map a checkpoint.
        arguments._setup_devices = torch.device("cpu")
    return arguments


def load_trainable(model: str | Path | BaseModel, training: Training, seed: int, **arguments):
    """Returns the model to train, with new LoRA adapters on every linear layer, drawn with `seed`, if `lora_rank` is set.

    Trained weights are float32, whatever the device computes in: a step of GRPO's learning rate is smaller than the resolution
    of bfloat16. With ZeRO-3 the training arguments must be built before, so that each process loads its shard.
    """
    if not training.lora_rank:
        return load_model(model, "float32", **arguments)
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    set_seed(seed)
    # An alpha of twice the rank is a convention; the learning rate scales the same thing.
    adapters = LoraConfig(
        r=training.lora_rank, lora_alpha=2 * training.lora_rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(load_model(model, **arguments), adapters)


def train_resumably(
    stage: str,
    candidate: Candidate,
    work: list[str],
    build: Callable[..., Trainer],
    start: str | BaseModel,
    out: Path,
    find_kept: Callable[[TrainerState, Path], Path | None] | None = None,
    models: int = 0,
    until: int | None = None,
    begun_in: Path | None = None,
) -> tuple[TrainerState, float]:
    """Trains from `start`, or the last checkpoint of the same `work`, and writes the model folder `out`, in every process.

    `build` returns the trainer, given its folder of checkpoints and the callbacks that SFT and RL share. `find_kept` returns a
    folder among the checkpoints that is the result instead of the last weights, if any; at most `models` models are in it.
    After the step `until` training pauses, unless it has ended before: `out` gets its checkpoint, and a training that is given
    that folder as `begun_in` goes on from there.

    Returns (state of the trainer, seconds without interruptions). Raises InputError if the checkpoints do not fit on the disk,
    or training diverges, and StageFailed if the disk is full anyway; the last complete checkpoint is kept.
    """
    with checkpoints.open_folder(stage, work, out) as folder:
        if begun_in and is_main():
            checkpoints.take_over(begun_in, folder)
        begun = time.time() - checkpoints.count_seconds(folder)
        saving = SaveCheckpoints(folder, begun, until)
        trainer = build(folder, [StopWhereDiverged(stage, folder), saving, ProgressCallback(stage, candidate.candidate_id)])
        trainer.accelerator.wait_for_everyone()  # until the main process has removed incomplete checkpoints
        copies = 3 if trainer.args.optim.startswith("adamw_torch") else 1  # AdamW keeps two more numbers per weight
        size = 0
        for weight in trainer.accelerator.unwrap_model(trainer.model).parameters():
            held = getattr(weight, "ds_numel", weight.numel()) * weight.element_size()  # a shard has its full size in ds_numel
            size += held * (copies * weight.requires_grad + models)
        checkpoints.check_room(folder, size)
        try:
            trainer.train(resume_from_checkpoint=checkpoints.find_last(folder))
        except Exception as error:
            if not lacks_space(error):
                raise
            if is_main():
                checkpoints.drop_halves(folder)
            raise checkpoints.explain(folder, error) from error
        result = find_kept(trainer.state, folder) if find_kept else None
        if trainer.state.global_step == until:
            if is_main():
                checkpoints.hand_on(folder, out)
        elif result is None:
            save_trained(trainer, start, out)
        elif is_main():
            shutil.copytree(result, out, dirs_exist_ok=True)
    return trainer.state, time.time() - begun


def save_trained(trainer: Trainer, start: str | BaseModel, out: Path) -> None:
    """Writes a model folder: shards gathered, adapters merged into the start. Every process must call it."""
    weights = trainer.accelerator.get_state_dict(trainer.deepspeed) if trainer.is_deepspeed_enabled else None
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not is_main():
        return
    if hasattr(model, "peft_config"):
        from peft import PeftModel

        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder, state_dict=weights)
            model, weights = PeftModel.from_pretrained(load_model(start), folder).merge_and_unload(), None
    save_model(model, trainer.processing_class, out, weights)


def keep_trained(trainer: Trainer, start: str | BaseModel, folder: Path) -> None:
    """Writes a model folder as `save_trained` does, in the middle of a training, which goes on as if it had not."""
    config = trainer.accelerator.unwrap_model(trainer.model).config
    cached = config.use_cache
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):  # adapters are initialised before they are read
        save_trained(trainer, start, folder)
    config.use_cache = cached  # what is saved has a cache, training needs none
    if is_main():
        checkpoints.sync([*folder.iterdir(), folder, folder.parent])


class ProgressCallback(TrainerCallback):
    """Reports optimizer steps as the progress of a stage, from the main process."""

    def __init__(self, stage: str, candidate_id: str):
        self.stage, self.candidate_id = stage, candidate_id

    def on_train_begin(self, args, state, control, **kwargs):
        """Starts the clock, after the steps that a resumed training has."""
        self.progress = Progress(self.stage, self.candidate_id, state.max_steps, "steps")
        self.first = state.global_step

    def on_step_end(self, args, state, control, **kwargs):
        """Reports the step just taken."""
        if state.is_world_process_zero:
            self.progress.update(state.global_step, state.global_step - self.first)


class SaveCheckpoints(TrainerCallback):
    """Keeps one checkpoint, skips those that would take more than SHARE of the time, and pauses after the step `until`.

    With several processes none is skipped, since they would have to agree on it.
    """

    SHARE = 0.1

    def __init__(self, folder: Path, begun: float, until: int | None):
        self.folder, self.begun, self.until = folder, begun, until
        self.saving = self.saved = 0.0  # when the last checkpoint was begun, and complete

    def on_save(self, args, state, control, **kwargs):
        """Removes the old checkpoint when the new one, of which every process writes a part, is on the disk."""
        PartialState().wait_for_everyone()
        if is_main():
            checkpoints.keep_last(self.folder, time.time() - self.begun)
        self.saved = time.time()

    def on_step_end(self, args, state, control, **kwargs):
        """Decides whether the due checkpoint is written, and logs first: a resumed run would miss what is not logged."""
        control.should_log |= control.should_save
        if control.should_save and args.world_size == 1:
            now, took = time.time(), self.saved - self.saving
            control.should_save = now - self.saved >= took / self.SHARE
            self.saving = now if control.should_save else self.saving
        if state.global_step == self.until:
            control.should_log = control.should_save = control.should_training_stop = True


class StopWhereDiverged(TrainerCallback):
    """Ends a training whose loss is not finite, and removes its checkpoints, since a resumed run would diverge as well."""

    WATCHED = ("loss", "grad_norm", "heldout_loss")

    def __init__(self, stage: str, folder: Path):
        self.stage, self.folder = stage, folder

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Raises InputError if the loss, its gradient or the held-out loss is not finite."""
        for name in self.WATCHED:
            value = (logs or {}).get(name)
            if isinstance(value, float) and not math.isfinite(value):
                if is_main():
                    checkpoints.remove(self.folder)
                raise InputError(
                    f"training diverged: {name} is {value} after step {state.global_step} of {state.max_steps}; lower"
                    f" {LEARNING_RATE[self.stage]}"
                )
