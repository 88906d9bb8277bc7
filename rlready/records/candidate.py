"""What may go on to RL, and the models that it is made of."""

from dataclasses import dataclass

from rlready.records.serialization import Record


@dataclass(frozen=True)
class BaseModel(Record):
    """A model as plan found it: where it is, and a digest that changes when it does."""

    location: str
    revision: str
    digest: str


@dataclass(frozen=True)
class Candidate(Record):
    """What may go on to RL: one SFT setting of the sweep, or a finished checkpoint.

    Attributes:
        candidate_id: Made from the other fields but `attempt`, so the same setting has the same id in every sweep.
        epochs: Passes over the subset; 0 without SFT.
        subset: random, shortest, longest or mixed; empty for a checkpoint.
        examples: Number of SFT examples; 0 for a checkpoint.
        learning_rate: Peak learning rate of SFT; 0 for a checkpoint.
        seed: Seeds SFT and RL.
        attempt: Number of the try; another one asks for a failed candidate again, whose failure would come from the cache.
        checkpoint: The finished checkpoint; None for a setting.
        adapter_base: The model that the checkpoint's adapters belong to; None for a whole model.
        trained_on_sft_data: Whether the checkpoint's training data is, as the user says, like the SFT data.
    """

    candidate_id: str
    epochs: int
    subset: str
    examples: int
    learning_rate: float
    seed: int
    attempt: int = 1
    checkpoint: BaseModel | None = None
    adapter_base: BaseModel | None = None
    trained_on_sft_data: bool = False

    @property
    def is_base(self) -> bool:
        """Whether it is the base model as it is."""
        return not self.epochs and self.checkpoint is None

    @property
    def compares_loss(self) -> bool:
        """Whether its loss can be compared with others': its training data has the distribution of the held-out examples."""
        return self.trained_on_sft_data if self.checkpoint else self.subset == "random"

    def describe(self) -> dict[str, str | int | float | bool]:
        """Returns its setting by flat names; for a checkpoint, its origin instead of its training."""
        known: dict[str, str | int | float | bool] = {
            "candidate_id": self.candidate_id,
            "seed": self.seed,
            "attempt": self.attempt,
        }
        if self.checkpoint is None:
            names = ("epochs", "subset", "examples", "learning_rate")
            return known | {name: getattr(self, name) for name in names}
        for name, model in (("checkpoint", self.checkpoint), ("adapter_base", self.adapter_base)):
            if model:
                known |= {name: model.location, f"{name}_revision": model.revision, f"{name}_digest": model.digest}
        return known | {"trained_on_sft_data": self.trained_on_sft_data}
