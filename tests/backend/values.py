"""Parameter values between tasks, and the expressions that choose from them (expression/expression.go)."""

import json
import re
from decimal import Decimal
from typing import Any


class DriverFailed(Exception):
    """A driver's pod ends with an error; what it was about to start never runs."""


class Panic(DriverFailed):
    """A driver dereferences nil."""

    def __init__(self, where: str):
        super().__init__(f"panic: runtime error: invalid memory address or nil pointer dereference ({where})")


TYPES = {"LIST": list, "STRUCT": dict, "BOOLEAN": bool, "NUMBER_INTEGER": float, "NUMBER_DOUBLE": float}


def to_value(given: Any) -> Any:
    """Returns a value as protobuf's Struct holds it, in which every number is a double."""
    if isinstance(given, list):
        return [to_value(item) for item in given]
    if isinstance(given, dict):
        return {key: to_value(item) for key, item in given.items()}
    return float(given) if isinstance(given, int) and not isinstance(given, bool) else given


def to_text(value: Any) -> str:
    """Returns the text in which any value can be read; a null is empty (metadata/converter.go:14-51)."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float):
        return f"{int(value)}" if value.is_integer() else f"{Decimal(repr(value)):f}"
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def select(value: Any, selector: str) -> Any:
    """Returns what `parseJson(string_value)["key"]` takes out of a loop's item."""
    matched = re.fullmatch(r"parseJson\(string_value\)\[\"(.+)\"\]", selector)
    if not matched:
        raise DriverFailed(f"evaluation of parameter expression selector {selector!r} failed: not in this model")
    try:
        return to_value(json.loads(to_text(value))[matched[1]])
    except (ValueError, KeyError, TypeError) as error:
        raise DriverFailed(f"evaluation of parameter expression selector {selector!r} failed: {error!r}") from error


def holds(condition: str, parameters: dict[str, Any]) -> bool:
    """Returns whether a task's trigger condition, as kfp's compiler writes it, is met."""
    python = re.sub(r"inputs\.parameter_values\['(.+?)'\]", r"given['\1']", condition)
    python = re.sub(r"!(?!=)", " not ", python.replace("&&", " and ").replace("||", " or "))
    python = re.sub(r"\btrue\b", "True", re.sub(r"\bfalse\b", "False", python))
    return eval(python, {"__builtins__": {}, "int": int, "double": float, "string": to_text}, {"given": parameters})


def check_type(name: str, kind: str, value: Any) -> Any:
    """Returns an input that fits its declared type: anything can be a text, nothing else is converted (resolve.go:188-250)."""
    if kind == "STRING":
        return to_text(value)
    if value is None:
        raise DriverFailed(f"got null for input parameter {name!r}")
    if not isinstance(value, TYPES[kind]):
        raise DriverFailed(f"input parameter {name!r} type mismatch: expect {kind}, got {type(value).__name__}")
    return value


def check_literals(name: str, literals: list | None, value: Any) -> None:
    """Refuses a value that is none of a parameter's choices (resolve.go:351, util/validate_literal.go)."""
    if literals and value not in to_value(literals):
        raise DriverFailed(f"input parameter {name!r} value {value} does not match any of the allowed literal values")
