"""Parameters by their flat names: read from recipes, `--set` and the KFP form, and checked against their bounds."""

import dataclasses
import difflib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rlready.config.experiment import SECTIONS, Experiment
from rlready.errors import InputError

SETTINGS = "settings"  # the field of the KFP form that holds the parameters without a field of their own
RENAMED = {
    "rl_samples_per_prompt": "rl_num_generations",
    "rl_device_batch_size": "rl_per_device_batch_size",
    "sft_device_batch_size": "sft_per_device_batch_size",
    "rl_memory_fraction": "rl_gpu_memory_utilization",
    "sampling_memory_fraction": "sampling_gpu_memory_utilization",
}


@dataclass(frozen=True)
class Parameter:
    """One flat parameter of the pipeline: its name, type, default, texts and bounds, as `knob` declares them."""

    name: str
    type: type
    default: Any
    description: str
    source: str = ""
    form: bool = True
    example: Any = None
    choices: tuple = ()
    least: float | None = None
    above: float | None = None
    most: float | None = None
    off: float | None = None

    def find_fault(self, value: Any) -> str:
        """Returns what is wrong with a value of the declared type; nothing if it lies within the bounds."""
        if self.choices and value not in self.choices:
            return f"{self.name}: {value!r} is none of {', '.join(map(str, self.choices))}"
        least, above, most = self.least, self.above, self.most
        low = (least is None or value >= least) and (above is None or value > above)
        if low and (most is None or value <= most):
            return ""
        if most is not None:
            return f"{self.name}: {value} lies outside {f'({above}' if least is None else f'[{least}'}, {most}]"
        if above is not None:
            return f"{self.name}: {value} must be > {above}"
        return f"{self.name}: {value} must be {'0 or more' if least == 0 else f'at least {least}'}"


def list_parameters() -> dict[str, Parameter]:
    """Returns every parameter by its flat name, in the order of the sections."""
    listed = {}
    for section, kind in SECTIONS.items():
        instance = kind()
        for item in dataclasses.fields(kind):
            name = f"{section}_{item.name}"
            default = getattr(instance, item.name)
            listed[name] = Parameter(name, type(default), default, **item.metadata)
    return listed


def coerce(parameter: Parameter, value: Any) -> Any:
    """Returns the value in the parameter's declared type.

    Args:
        parameter: What is being set.
        value: A Python value, or the text of one.

    Returns:
        The value; whole floats become ints and ints become floats if the type asks for it (KFP sends numbers as doubles), and
        None the number that disables the threshold.

    Raises:
        InputError: If the value is not of the declared type.
    """
    kind, original = parameter.type, value
    value = parameter.off if value is None else value
    if isinstance(value, str) and kind is not str:
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            if kind is list:
                value = [parse_scalar(part.strip()) for part in value.split(",") if part.strip()]
    value = restore_integers(value) if kind in (list, dict) else value
    if kind is float and type(value) is int:
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        quoted = f'; as a text it needs quotes: "{original}"' if kind is str and type(original) in (int, float, bool) else ""
        raise InputError(f"{parameter.name}: expected {kind.__name__}, got {original!r}{quoted}. {parameter.description}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{parameter.name}: expected a finite number, got {original!r}.")
    return value


def restore_integers(value: Any) -> Any:
    """Returns lists and objects with their whole floats as ints: KFP's structs know doubles only, and trainers want ints."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [restore_integers(item) for item in value]
    if isinstance(value, dict):
        return {key: restore_integers(item) for key, item in value.items()}
    return value


def parse_scalar(text: str) -> Any:
    """Returns the JSON value of a text, or the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def complete_parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Returns every parameter by its flat name, in its declared type; what is not given takes its default.

    Args:
        given: Values by flat name, or by that of their field in the KFP form; those under `settings` count as if they stood
            beside the others, and the form's own example as nothing.

    Raises:
        InputError: For an unknown name (with the nearest known one), one that stands in both places, or a wrong type.
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
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "rlready run --help lists them."
            raise InputError(f"unknown parameter {name!r}; {hint}")
    shown = {name for name, p in known.items() if p.example is not None and flat.get(name) == p.example}
    return {name: coerce(p, p.default if name in shown else flat.get(name, p.default)) for name, p in known.items()}


def list_form() -> dict[str, Parameter]:
    """Returns what the pipeline takes by name: the parameters that users of the KFP form change, and one for all others."""
    listed = list_parameters()
    others = {name: parameter.default for name, parameter in listed.items() if not parameter.form}
    text = "All other parameters by their names, as `rlready run --help` lists them"
    shown = {name: parameter for name, parameter in listed.items() if parameter.form}
    return shown | {SETTINGS: Parameter(SETTINGS, dict, others, text, "the recipe")}


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
    """Raises InputError if a mapping holds an unknown key, with the nearest known one.

    Args:
        where: What the message begins with.
        given: The mapping.
        known: The keys that it may hold.
    """
    known = list(known)
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise InputError(f"{where}: unknown key {key!r}; {hint}")


def parse_parameters(given: dict[str, Any]) -> Experiment:
    """Returns the experiment that parameters describe; their bounds are checked by plan.

    Args:
        given: Values by flat name, or as the form has them; what is missing takes its default.

    Raises:
        InputError: For an unknown name (with the nearest known one) or a wrong type.
    """
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
