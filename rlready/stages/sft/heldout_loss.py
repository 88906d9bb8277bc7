"""The trajectory of held-out losses during SFT."""

from collections.abc import Callable

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer


class HeldoutLoss(TrainerCallback):
    """Logs the held-out loss before the first and after every epoch; the log is part of the checkpoint.

    Every process measures all examples: with ZeRO-3 they have to take each forward pass together.

    Args:
        measure: Returns the loss of a model in nats per completion token.

    Attributes:
        trainer: Logs the loss; set once it exists.
    """

    trainer: SFTTrainer

    def __init__(self, measure: Callable):
        self.measure = measure

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model=None, **kwargs):
        """Measures the initial model; after a kill also the model at an epoch's end, if its loss was not logged."""
        measured = {entry["step"] for entry in state.log_history if "heldout_loss" in entry}
        # TRL counts its tokens from 0 in every process.
        self.trainer._total_train_tokens = max((int(entry.get("num_tokens", 0)) for entry in state.log_history), default=0)
        if (state.epoch or 0) % 1 == 0 and state.global_step not in measured:
            self.on_epoch_end(args, state, control, model)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model=None, **kwargs):
        """Measures the model as it is now."""
        with self.trainer.accelerator.autocast():
            self.trainer.log({"heldout_loss": self.measure(model)})
