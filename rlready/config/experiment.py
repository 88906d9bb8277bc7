"""All parameters of a recipe."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from rlready.config.curation import Curate
from rlready.config.parameters import Base, Benchmark, Gate, Predictors, Rl, Samples, Sampling, Sft, Sweep, Training


@dataclass(frozen=True)
class Experiment:
    """The parameters of a recipe: one section per stage and four shared ones, in the order of the KFP form."""

    base: Base = Base()
    curate: Curate = Curate()
    sweep: Sweep = Sweep()
    sft: Sft = Sft()
    training: Training = Training()
    sampling: Sampling = Sampling()
    samples: Samples = Samples()
    predictors: Predictors = Predictors()
    gate: Gate = Gate()
    rl: Rl = Rl()
    benchmark: Benchmark = Benchmark()

    @property
    def validation_samples(self) -> int:
        """Completions of one candidate's validations together."""
        return len(self.rl.validated_steps) * self.curate.validated * self.rl.eval_samples

    def get(self, name: str) -> Any:
        """Returns the value of a parameter by its flat name, e.g. gate_k."""
        section, _, item = name.partition("_")
        return getattr(getattr(self, section), item)

    def change(self, **values: Any) -> "Experiment":
        """Returns the experiment with other values of some parameters, by their flat names."""
        changed = self
        for name, value in values.items():
            section, _, item = name.partition("_")
            part = dataclasses.replace(getattr(changed, section), **{item: value})
            changed = dataclasses.replace(changed, **{section: part})
        return changed


SECTIONS = {name: type(section) for name, section in vars(Experiment()).items()}
