"""The trajectory of held-out losses, measured while SFT trains."""

from collections.abc import Callable

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class HeldoutLoss(TrainerCallback):
    """Logs the held-out loss before the first and after every epoch; the log is part of the checkpoint.

    Every process measures all of it: with ZeRO-3 they have to take each forward pass together.

    Args:
        measure: Returns the loss of a model in nats per completion token.

    Attributes:
        trainer: What it logs with; set once there is one.
    """

    trainer: Trainer

    def __init__(self, measure: Callable):
        self.measure = measure

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model=None, **kwargs
    ):
        """Measures the model that training starts from."""
        if state.global_step == 0:
            self.on_epoch_end(args, state, control, model)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model=None, **kwargs):
        """Measures the model as it is now."""
        with self.trainer.accelerator.autocast():
            self.trainer.log({"heldout_loss": self.measure(model)})
