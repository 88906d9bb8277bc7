"""One parameter: its declaration as the field of a section, its bounds, and its value read from YAML, JSON or KFP."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

from rlready.errors import InputError

LARGEST_SEED = 2**32 - 1  # numpy takes no larger one


@dataclass(frozen=True)
class Parameter:
    """One flat parameter of the pipeline."""

    name: str  # e.g. gate_k
    type: type
    default: Any
    description: str  # with its unit
    source: str = ""  # of the default
    form: bool = False  # whether it is a field of its own in the KFP form; the others are keys of the field `settings`
    example: Any = None  # what the form shows instead of an empty default
    choices: tuple = ()  # the allowed values
    least: float | None = None  # minimum
    above: float | None = None  # exclusive minimum
    most: float | None = None  # maximum
    texts: bool = False  # whether the items of a list are texts
    off: float | None = None  # the number that `null` means in a recipe: the threshold is disabled

    def find_fault(self, value: Any) -> str:
        """Returns what is wrong with a value of the declared type; nothing if it lies within the bounds."""
        if self.choices and value not in self.choices:
            return f"{self.name}: {value!r} is not one of {', '.join(map(str, self.choices))}"
        least, above, most = self.least, self.above, self.most
        low = (least is None or value >= least) and (above is None or value > above)
        if low and (most is None or value <= most):
            return ""
        if most is not None:
            return f"{self.name}: {value} lies outside {f'({above}' if least is None else f'[{least}'}, {most}]"
        if above is not None:
            return f"{self.name}: {value} must be > {above}"
        return f"{self.name}: {value} must be {'0 or more' if least == 0 else f'at least {least}'}"


def knob(default: Any, description: str, source: str, **more: Any) -> Any:
    """Declares a parameter as a field of its section; `more` are further attributes of `Parameter`."""
    metadata = {"description": description, "source": source, **more}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def coerce(parameter: Parameter, value: Any) -> Any:
    """Returns a Python value, or the text of one, in the parameter's declared type.

    Whole floats become ints and ints become floats if the type asks for it (KFP sends numbers as doubles), and None becomes the
    number that disables the threshold. An entry of an object that is null counts as not given: KFP has no null. Raises
    InputError if the value is not of the declared type, or holds a null or a number that KFP cannot pass on.
    """
    kind, original = parameter.type, value
    value = parameter.off if value is None else value
    if isinstance(value, str) and kind is not str:
        value = _parse_scalar(value)
        if kind is list and isinstance(value, str):
            value = [_parse_scalar(part.strip()) for part in value.split(",") if part.strip()]
    value = _clean(parameter.name, value) if kind in (list, dict) else value
    if kind is float and type(value) is int:
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if parameter.texts and isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise InputError(f"{parameter.name}: expected texts, got {original!r}. {parameter.description}.")
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        wanted: dict[type, str] = {str: f'; as a text it needs quotes: "{original}"', list: f"; write [{original}]"}
        advice = wanted.get(kind, "") if type(original) in (int, float, bool) else ""
        raise InputError(f"{parameter.name}: expected {kind.__name__}, got {original!r}{advice}. {parameter.description}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{parameter.name}: expected a finite number, got {original!r}.")
    return value


def _clean(name: str, value: Any) -> Any:
    """Returns lists and objects as KFP passes them on, with whole floats, its only numbers, as the ints that trainers want."""
    if value is None:
        raise InputError(f"{name}: null cannot be passed on to a stage; leave it out")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{name}: expected finite numbers, got {value!r}.")
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return [_clean(f"{name}, item {number}", item) for number, item in enumerate(value)]
    if isinstance(value, dict):
        passed_on = "_overrides" in name  # a null of these would mean something to the trainer
        return {key: _clean(f"{name}: {key}", item) for key, item in value.items() if item is not None or passed_on}
    return value


def _parse_scalar(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
