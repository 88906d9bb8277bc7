"""Candidates for RL, and the models that they are made of."""

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
    """A candidate for RL: one SFT setting of the sweep, or a finished checkpoint."""

    candidate_id: str  # made from the other fields but `attempt`, so the same setting has the same id in every sweep
    epochs: int  # over the subset; 0 without SFT
    subset: str  # random, shortest, longest or mixed; empty for a checkpoint
    examples: int  # number of SFT examples; 0 for a checkpoint
    learning_rate: float  # peak, of SFT; 0 for a checkpoint
    seed: int  # of SFT and RL
    attempt: int = 1  # another one repeats a failed candidate, whose failure would come from the cache
    checkpoint: BaseModel | None = None  # the finished checkpoint
    adapter_base: BaseModel | None = None  # the model that the checkpoint's adapters belong to
    trained_on_sft_data: bool = False  # whether the user says that the checkpoint's training data is like the SFT data

    @property
    def is_base(self) -> bool:
        """Whether it is the unchanged base model."""
        return not self.epochs and self.checkpoint is None

    @property
    def compares_loss(self) -> bool:
        """Whether its loss can be compared with others': its training data has the distribution of the held-out examples."""
        return self.trained_on_sft_data if self.checkpoint else self.subset == "random"

    def describe(self) -> dict[str, str | int | float | bool]:
        """Returns its setting by flat names; for a checkpoint, its origin instead of its training."""
        names = ["candidate_id", "seed", "attempt"]
        names += ["trained_on_sft_data"] if self.checkpoint else ["epochs", "subset", "examples", "learning_rate"]
        known = {name: getattr(self, name) for name in names}
        for name, model in (("checkpoint", self.checkpoint), ("adapter_base", self.adapter_base)):
            if model:
                known |= {name: model.location, f"{name}_revision": model.revision, f"{name}_digest": model.digest}
        return known
