"""How a parameter is declared: its default with its source, what it is, and its bounds."""

from dataclasses import field
from typing import Any


def knob(
    default: Any,
    description: str,
    source: str,
    *,
    choices: tuple = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    form: bool = False,
    example: Any = None,
    off: float | None = None,
) -> Any:
    """Declares a parameter.

    Args:
        default: Its value if none is given.
        description: What it is, with its unit.
        source: Where the default comes from.
        choices: The allowed values.
        least: Minimum.
        above: Exclusive minimum.
        most: Maximum.
        form: Whether it is a field of its own in the KFP form; the others are keys of the field `settings`.
        example: What the form shows in place of an empty default.
        off: The number that `null` means in a recipe: the threshold is disabled.
    """
    metadata = {"description": description, "source": source, "form": form, "example": example}
    metadata |= {"choices": choices, "least": least, "above": above, "most": most, "off": off}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)
