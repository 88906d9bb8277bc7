"""SFT of one candidate with TRL's SFTTrainer.

The loss is on the completion only; the held-out loss is measured before training and after every epoch.
"""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from rlready.data.curated import encode_heldout, identify_data, read_set
from rlready.errors import InputError
from rlready.models.architecture import check_length, count_positions
from rlready.models.load import digest_weights, load_model, load_tokenizer, write_pointer
from rlready.models.prompts import encode_example
from rlready.records.candidate import BaseModel, Candidate
from rlready.records.outcome import SftRecord
from rlready.records.serialization import identify_work, to_json
from rlready.runtime.events import tell_once
from rlready.stats.generalization_loss import mean_loss, measure_losses
from rlready.tracking.log import stream_training
from rlready.training.epochs import locate
from rlready.training.processes import check_packing, describe_device, is_main
from rlready.training.trainer import build_arguments, keep_trained, load_trainable, train_resumably

KEPT = "kept"  # in the folder of checkpoints: the models of the candidates that are checkpoints of this training


def train(candidate: Candidate, base: BaseModel, settings: SimpleNamespace, data: Path, out: Path) -> SftRecord | None:
    """Trains a candidate on curated data, or points to the base model if its epochs are 0.

    A killed run resumes from its last checkpoint. The held-out loss is measured by the same function as in the predictors, so
    the trajectory's last point equals the generalization loss. Returns None in processes other than the main one. Raises
    InputError if the subset is larger than the data, or the batch does not divide.
    """
    if settings.sft.packing:
        check_packing()
    tokenizer = load_tokenizer(base)
    heldout = encode_heldout(data, tokenizer)

    def measure(model) -> float:
        return mean_loss(measure_losses(model, heldout, tokenizer.pad_token_id))

    begun = time.time()
    if candidate.epochs == 0:
        if not is_main():
            return None
        write_pointer(out, base)
        trajectory: list[list[float | None]] = [[0, measure(load_model(base))]] if heldout else []
        return SftRecord(trajectory, 0, 0, base.digest, seconds=time.time() - begun, **describe_device())

    rank, pool = f"rank_{candidate.subset}", read_set(data, "sft")
    if len(pool) < candidate.examples:
        raise InputError(
            f"the subset {candidate.subset} of {candidate.examples} examples is larger than the data:"
            f" {len(pool)} are left after cleaning and splitting; lower sweep_examples"
        )
    subset = sorted((row for row in pool if row[rank] < candidate.examples), key=lambda row: row[rank])
    examples = [encode_example(tokenizer, row) for row in subset]
    work = [identify_work(candidate), to_json(base), repr(settings), *identify_data(data, "sft", "heldout")]
    build = functools.partial(_build_trainer, candidate, base, settings, tokenizer, examples, measure)
    kept = len(candidate.kept_epochs or ())
    find_kept = (lambda state, folder: folder / KEPT) if kept else None
    state, seconds = train_resumably("sft", candidate, work, build, base, out, find_kept, kept)
    if not is_main():
        return None
    history = [entry for entry in state.log_history if "heldout_loss" in entry]
    trajectory = [[round(entry["epoch"]), entry["heldout_loss"]] for entry in history]
    tokens = candidate.epochs * sum(label != -100 for example in examples for label in example["labels"])
    return SftRecord(trajectory, state.global_step, tokens, digest_weights(out), seconds=seconds, **describe_device())


def _build_trainer(candidate, base, settings, tokenizer, examples, measure, folder, shared) -> SFTTrainer:
    sft, longest = settings.sft, max(len(example["input_ids"]) for example in examples)
    # Rows as long as the longest example, so that none is truncated; best-fit-decreasing resets positions at each example.
    packing = {"packing": True, "packing_strategy": "bfd", "max_length": longest} if sft.packing else {"max_length": None}
    attention = {"attn_implementation": "flash_attention_2"} if sft.packing else {}
    steps = -(-len(examples) // sft.batch_size) * candidate.epochs
    arguments = build_arguments(
        SFTConfig,
        "sft",
        settings,
        folder,
        steps,
        num_train_epochs=candidate.epochs,
        learning_rate=candidate.learning_rate,
        lr_scheduler_type="cosine",
        **packing,
        logging_steps=max(1, steps // 20),
        seed=candidate.seed,
    )

    def keep(epochs: int) -> None:
        if epochs in (candidate.kept_epochs or ()):
            keep_trained(held.trainer, base, Path(locate(folder / KEPT, candidate.at(epochs))))

    held, model = HeldoutLoss(measure, keep), load_trainable(base, settings.training, candidate.seed, **attention)
    what = f"curate_max_tokens: the longest SFT example has {longest} tokens, prompt included"
    tell_once(check_length(count_positions(model.config), longest, what, "lower it"))
    held.trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(examples),
        processing_class=tokenizer,
        callbacks=[held, *shared, stream_training("sft", candidate)],
    )
    return held.trainer


class HeldoutLoss(TrainerCallback):
    """Logs the held-out loss before the first and after every epoch, and keeps its model; the log is part of the checkpoint.

    Every process measures all examples: with ZeRO-3 they have to take each forward pass together.
    """

    trainer: SFTTrainer  # set once it exists

    def __init__(self, measure: Callable, keep: Callable[[int], None]):
        self.measure, self.keep = measure, keep

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Measures the initial model; after a kill also the model at an epoch's end, if its loss was not logged."""
        measured = {entry["step"] for entry in state.log_history if "heldout_loss" in entry}
        # TRL counts its tokens from 0 in every process.
        self.trainer._total_train_tokens = max((int(entry.get("num_tokens", 0)) for entry in state.log_history), default=0)
        if (state.epoch or 0) % 1 == 0 and state.global_step not in measured:
            self.on_epoch_end(args, state, control, model)

    def on_epoch_end(self, args, state, control, model=None, **kwargs):
        """Measures the model as it is now."""
        with self.trainer.accelerator.autocast():
            self.trainer.log({"heldout_loss": self.measure(model)})
        self.keep(round(state.epoch or 0))
