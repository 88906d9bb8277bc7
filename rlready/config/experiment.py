"""All parameters of a recipe."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from rlready.config.curation import Curate
from rlready.config.parameters import Base, Benchmark, Gate, Predictors, Race, Rl, Samples, Sampling, Sft, Sweep, Training

RACE = "RLREADY_RACE"  # set while the DAG is built with a race


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
    race: Race = Race()
    benchmark: Benchmark = Benchmark()

    @property
    def validation_samples(self) -> int:
        """Completions of one candidate's validations together."""
        return len(list_validated_steps(self)) * self.curate.validated * self.rl.eval_samples

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


def list_validated_steps(settings: Any) -> list[int]:
    """Returns the steps of RL at which the policy is validated, of an experiment or of RL's settings: those of a race too."""
    race = getattr(settings, "race", None)
    steps = settings.rl.validated_steps
    return sorted({*steps, race.steps}) if steps and race and 0 < race.steps < settings.rl.steps else steps


SECTIONS = {name: type(section) for name, section in vars(Experiment()).items()}
