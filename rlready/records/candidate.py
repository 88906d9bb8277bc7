"""Candidates for RL, and the models that they are made of."""

import dataclasses
from dataclasses import dataclass

from rlready.records.serialization import Record
from rlready.records.values import Amount, Count


@dataclass(frozen=True)
class BaseModel(Record):
    """A model as plan found it: where it is, and a digest that changes when it does."""

    location: str
    revision: str
    digest: str


@dataclass(frozen=True)
class LogSource(Record):
    """A log of samples or counts as plan found it, and how it is read; see `measured.read.load_candidates`."""

    location: str
    digest: str = ""  # of its files, and of the loss; empty until plan has read them
    name: str = ""  # of the candidate, in a log of several
    score: str | None = None
    answer_format: str = "boxed"
    judged: bool = False
    repeats: bool = False
    loss: str = ""  # a number, or a file; empty: unknown


@dataclass(frozen=True)
class Candidate(Record):
    """A candidate for RL: one SFT setting of the sweep, a finished checkpoint, or what a log says of a checkpoint."""

    candidate_id: str  # made from the other fields but `attempt`, so the same setting has the same id in every sweep
    epochs: Count  # over the subset; 0 without SFT
    subset: str  # random, shortest, longest or mixed; empty for a checkpoint or a log
    examples: Count  # number of SFT examples; 0 for a checkpoint
    learning_rate: Amount  # peak, of SFT; 0 for a checkpoint
    seed: Count  # of SFT and RL
    attempt: Count = 1  # another one repeats a failed candidate, whose failure would come from the cache
    checkpoint: BaseModel | None = None  # the finished checkpoint
    adapter_base: BaseModel | None = None  # the model that the checkpoint's adapters belong to
    # Whether its loss compares with the others': the user says that its training data is like the SFT data, or that of all logs
    # is of one kind.
    trained_on_sft_data: bool = False
    log: LogSource | None = None  # what it was measured by, instead of here
    # The numbers of epochs after which its training is a candidate, the last one its length; None: only at its end. Left out of
    # the JSON then, so that the cache keys of separate trainings do not depend on it.
    kept_epochs: list[Count] | None = None

    @property
    def is_base(self) -> bool:
        """Whether it is the unchanged base model."""
        return not self.epochs and not self.is_finished

    @property
    def training(self) -> "Candidate":
        """What SFT runs for: the candidate at the end of its training."""
        return self.at(self.kept_epochs[-1]) if self.kept_epochs else self

    @property
    def is_midway(self) -> bool:
        """Whether it is a checkpoint of a training that goes on."""
        return bool(self.kept_epochs) and self.epochs < self.training.epochs

    def at(self, epochs: int) -> "Candidate":
        """Returns the candidate that its training is after this many of `kept_epochs`."""
        last = (self.kept_epochs or [epochs])[-1]
        part = f"{epochs}of{last}" if epochs < last else f"{last}"
        name = f"{self.subset}-{self.examples}x{part}-lr{self.learning_rate:g}-s{self.seed}"
        return dataclasses.replace(self, candidate_id=name, epochs=epochs)

    @property
    def is_finished(self) -> bool:
        """Whether it was trained before: a finished checkpoint, or one that only its log is known of."""
        return self.checkpoint is not None or (self.log is not None and not self.subset)

    @property
    def has_weights(self) -> bool:
        """Whether RL can run for it here."""
        return self.checkpoint is not None or not self.is_finished

    @property
    def compares_loss(self) -> bool:
        """Whether its loss can be compared with others': its training data has the distribution of the held-out examples."""
        return self.trained_on_sft_data if self.is_finished else self.subset == "random"

    def describe(self) -> dict[str, str | int | float | bool]:
        """Returns its setting by flat names; a checkpoint or a log has an origin, and no SFT no subset or rate."""
        names = ["candidate_id", "seed", "attempt"]
        training = ["epochs"] if self.is_base else ["epochs", "subset", "examples", "learning_rate"]
        names += ["trained_on_sft_data"] if self.is_finished else training
        known = {name: getattr(self, name) for name in names}
        known |= {"training_epochs": self.training.epochs} if self.is_midway else {}
        known |= {"log": self.log.location, "log_digest": self.log.digest} if self.log else {}
        for name, model in (("checkpoint", self.checkpoint), ("adapter_base", self.adapter_base)):
            if model:
                known |= {name: model.location, f"{name}_revision": model.revision, f"{name}_digest": model.digest}
        return known
