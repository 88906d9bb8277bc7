"""What SFT and RL share of the Trainer: device arguments, overrides, progress."""

import dataclasses

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlready.components.config import InputError
from rlready.components.core.events import Progress


def build_arguments(kind: type, overrides: dict, **ours) -> TrainingArguments:
    """Returns a TRL config from our arguments, the device's, and the user's overrides, which win.

    Raises:
        InputError: If an override is not a field of the config.
    """
    on_gpu = torch.cuda.is_available()
    known = {field.name for field in dataclasses.fields(kind)}
    if unknown := overrides.keys() - known:
        raise InputError(f"trainer_overrides: {kind.__name__} has no {', '.join(sorted(unknown))}")
    device = {"use_cpu": not on_gpu, "bf16": on_gpu, "fp16": False, "dataloader_pin_memory": on_gpu}
    fixed = {"report_to": [], "disable_tqdm": True, "logging_nan_inf_filter": False, "save_total_limit": 1}
    return kind(**{**device, **fixed, **ours, **overrides})


class ProgressCallback(TrainerCallback):
    """Reports optimizer steps as the progress of a stage."""

    def __init__(self, stage: str, candidate_id: str):
        self.stage, self.candidate_id = stage, candidate_id

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs):
        """Starts the clock; a resumed training starts behind the steps it has."""
        self.progress = Progress(self.stage, self.candidate_id, state.max_steps, "steps")
        self.first = state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs):
        """Reports the step just taken."""
        self.progress.update(state.global_step, state.global_step - self.first)
