"""The generalization loss that another tool measured."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rlready.data.files import find_form
from rlready.errors import InputError
from rlready.measured.records import fetch, name_faults, read_rows
from rlready.stats.generalization_loss import estimate_loss_interval, mean_loss


@dataclass(frozen=True)
class MeasuredLoss:
    """A loss on held-out examples, in nats per token."""

    value: float  # the loss
    kind: str  # how it was averaged; only losses of one kind are compared
    losses: list[tuple[float, int]] | None = None  # [summed nats, tokens] of each example, if the log has them

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95% interval over examples; None if the log has no single examples."""
        return estimate_loss_interval(self.losses) if self.losses else None


def read_loss(said: str) -> MeasuredLoss:
    """Reads a loss: a number, or a file or URL: a trainer_state.json (its last eval_loss), or rows with nats and tokens.

    Raises InputError if there is no finite loss.
    """
    if is_number(said):
        return MeasuredLoss(_check(float(said), said), "as given")
    losses = []
    with fetch(said) as path, name_faults(said):
        if not path.is_file():
            raise InputError(f"{said}: neither a loss in nats per token nor a file that has one")
        for where, row in read_rows(path):
            if find_form(str(path)) == ".json":
                found = [entry["eval_loss"] for entry in row.get("log_history") or [row] if "eval_loss" in entry]
                if not found:
                    raise InputError(f"{said}: no eval_loss in it; did the trainer evaluate?")
                return MeasuredLoss(_check(float(found[-1]), said), "eval_loss of a trainer, the mean over batches")
            try:
                nats, tokens = float(row["nats"]), int(row["tokens"])
                if tokens < 1:
                    raise ValueError("an example has at least one token")
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{where}: expected nats (summed over the completion) and tokens, at least one") from error
            losses.append((_check(nats, where), tokens))
    if sum(tokens for _, tokens in losses) <= 0:
        raise InputError(f"{said}: holds no examples")
    return MeasuredLoss(mean_loss(losses), "per completion token", losses)


def is_number(said: str) -> bool:
    """Returns True if a loss is given as such, not as a file."""
    try:
        float(said)
    except ValueError:
        return False
    return True


def is_one_kind(losses: Iterable[MeasuredLoss | None]) -> bool:
    """Returns True if these losses, as far as they are known, may be compared with one another."""
    return len({loss.kind for loss in losses if loss}) < 2


def _check(value: float, where: str) -> float:
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{where}: a loss of {value:g} is not a finite number of nats")
    return value
