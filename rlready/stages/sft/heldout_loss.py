"""The trajectory of held-out losses, measured while SFT trains."""

from collections.abc import Callable

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer


class HeldoutLoss(TrainerCallback):
    """Logs the held-out loss before the first and after every epoch; the log is part of the checkpoint.

    Every process measures all of it: with ZeRO-3 they have to take each forward pass together.

    Args:
        measure: Returns the loss of a model in nats per completion token.

    Attributes:
        trainer: What it logs with; set once there is one.
    """

    trainer: SFTTrainer

    def __init__(self, measure: Callable):
        self.measure = measure

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model=None, **kwargs):
        """Measures the model that training starts from, and that of an epoch's end again where a kill came before its log."""
        measured = {entry["step"] for entry in state.log_history if "heldout_loss" in entry}
        # TRL counts its tokens from 0 in every process.
        self.trainer._total_train_tokens = max((int(entry.get("num_tokens", 0)) for entry in state.log_history), default=0)
        if (state.epoch or 0) % 1 == 0 and state.global_step not in measured:
            self.on_epoch_end(args, state, control, model)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model=None, **kwargs):
        """Measures the model as it is now."""
        with self.trainer.accelerator.autocast():
            self.trainer.log({"heldout_loss": self.measure(model)})
