"""All parameters of a recipe: in sections, and by flat names as recipes, `--set` and the KFP form have them."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rlready.config.curation import Curate
from rlready.config.knob import Parameter, coerce
from rlready.config.parameters import Base, Benchmark, Gate, Predictors, Race, Rl, Samples, Sampling, Sft, Sweep, Training
from rlready.errors import InputError, suggest

RACE = "RLREADY_RACE"  # set while the DAG is built with a race
SETTINGS = "settings"  # the field of the KFP form that holds the parameters without a field of their own
RENAMED = {
    "rl_samples_per_prompt": "rl_num_generations",
    "rl_device_batch_size": "rl_per_device_batch_size",
    "sft_device_batch_size": "sft_per_device_batch_size",
    "rl_memory_fraction": "rl_gpu_memory_utilization",
    "sampling_memory_fraction": "sampling_gpu_memory_utilization",
}


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


def list_parameters() -> dict[str, Parameter]:
    """Returns every parameter by its flat name, in the order of the sections."""
    listed = {}
    for section, kind in SECTIONS.items():
        instance = kind()
        for item in dataclasses.fields(kind):
            name, default = f"{section}_{item.name}", getattr(instance, item.name)
            listed[name] = Parameter(name, type(default), default, **item.metadata)
    return listed


def complete_parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Returns every parameter by its flat name, in its declared type; the others take their defaults.

    Values are given by flat name, or by the field's name in the KFP form; those under `settings` count like the others, and an
    example of the form counts as not given. Raises InputError for an unknown name, one that is given twice, or a wrong type.
    """
    known, plain = list_parameters(), {field: name for name, field in name_fields().items()}
    flat = {plain.get(name, name): value for name, value in given.items()}
    more = coerce(Parameter(SETTINGS, dict, {}, "Parameters by their names"), flat.pop(SETTINGS, {}))
    if twice := flat.keys() & more.keys():
        raise InputError(f"{', '.join(sorted(twice))}: given twice, by itself and in {SETTINGS}")
    if twice := [field for field, name in plain.items() if {field, name} <= given.keys()]:
        raise InputError(f"{', '.join(twice)}: given twice, with the number of the form and without")
    flat |= more
    for name in flat:
        if name in RENAMED:
            raise InputError(f"{name} is called {RENAMED[name]} now")
        if name not in known:
            hint = suggest(name, known, "rlready run --help lists them.")
            raise InputError(f"unknown parameter {name!r}; {hint}")
    shown = {name for name, p in known.items() if p.example is not None and flat.get(name) == p.example}
    return {name: coerce(p, p.default if name in shown else flat.get(name, p.default)) for name, p in known.items()}


def list_form() -> dict[str, Parameter]:
    """Returns what the pipeline takes by name: the parameters that users of the KFP form change, and one for all others."""
    listed = list_parameters()
    others = {name: parameter.default for name, parameter in listed.items() if not parameter.form}
    text = "All other parameters by their names, as `rlready run --help` lists them"
    shown = {name: parameter for name, parameter in listed.items() if parameter.form}
    return shown | {SETTINGS: Parameter(SETTINGS, dict, others, text, "the recipe", form=True)}


def name_fields() -> dict[str, str]:
    """Returns what the KFP form calls each of its fields, e.g. 6_gate_k: KFP sorts them, so a number orders the sections."""
    form = list_form()
    sections = list(dict.fromkeys(name.partition("_")[0] for name in form))
    return {name: f"{sections.index(name.partition('_')[0]) + 1}_{name}" for name in form}


def fold_parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Returns parameters as the pipeline takes them: inputs of their own for some, the others as keys of `settings`."""
    whole, form = complete_parameters(given), list_form()
    shown = {name: value for name, value in whole.items() if name in form}
    return shown | {SETTINGS: {name: value for name, value in whole.items() if name not in shown}}


def check_keys(where: str, given: dict, known: Iterable[str]) -> None:
    """Raises InputError, which begins with `where`, if a mapping holds an unknown key; it names the nearest known one."""
    known = list(known)
    for key in given:
        if key not in known:
            hint = suggest(key, known, f"known are {', '.join(known)}")
            raise InputError(f"{where}: unknown key {key!r}; {hint}")


def parse_parameters(given: dict[str, Any]) -> Experiment:
    """Returns the experiment that parameters describe, see `complete_parameters`; plan checks their bounds."""
    values = complete_parameters(given)
    return Experiment(
        **{
            section: kind(**{item.name: values[f"{section}_{item.name}"] for item in dataclasses.fields(kind)})
            for section, kind in SECTIONS.items()
        }
    )


def find_faults(experiment: Experiment) -> list[str]:
    """Returns one line for every parameter that lies outside its bounds."""
    faults = (parameter.find_fault(experiment.get(name)) for name, parameter in list_parameters().items())
    return [fault for fault in faults if fault]
