"""What a stage hands to KFP, in the form that the backend takes and keeps: output parameters and the metadata of artifacts.

Both ride in the command lines of the tasks that take them, through Argo's templates and Kubernetes' variables, and into
MLMD. `tests/backend` knows what each of these refuses or changes.
"""

import json
import math
import os
import re
from typing import Any

from rlready.errors import InputError
from rlready.escape import shorten, show_controls
from rlready.records.serialization import write_atomically

LONGEST_TEXT = 300  # characters of metadata: the gate's command line holds that of every candidate
LONGEST_PARAMETER = 100 * 1024  # bytes where it is quoted three times over; Linux and Argo take 128 KiB in all
EXACT = 2**53  # KFP's numbers are doubles, which hold no larger integer exactly
METRICS = "system.Metrics"
TEMPLATE = re.compile(r"\{(?=\{)|\$(?=[$(])")  # what Argo and Kubernetes fill in starts with the character and what follows


def annotate(about: dict[str, Any], *artifacts) -> None:
    """Writes what is known of a stage's outputs into their metadata, which KFP's UI shows.

    What is unknown is left out: a null fails the task (backend/src/v2/metadata/converter.go:166). Metrics take figures only,
    for KFP reads a text among them as 0 (client.go:1499), and where there are metrics no other artifact repeats the figures.

    Args:
        about: Figures, texts and a `display_name`; None is unknown. Texts are cut visibly: their whole stands in a file.
        *artifacts: The outputs. One without a file gets its metadata as content: kfp.local takes it for lost otherwise.
    """
    known = {key: held for key, value in about.items() if (held := _settle(value)) is not None}
    figures: dict[str, str | float | int] = {key: value for key, value in known.items() if not isinstance(value, str)}
    words = {key: value for key, value in known.items() if key not in figures}
    measured = any(artifact.schema_title == METRICS for artifact in artifacts)
    for artifact in artifacts:
        named = {key: value for key, value in words.items() if key == "display_name"}
        told = figures | named if artifact.schema_title == METRICS else words if measured else known
        artifact.metadata.update(told)
        if not os.path.exists(artifact.path):
            write_atomically(artifact.path, json.dumps(told))


def _settle(value: Any) -> str | float | int | None:
    """Returns metadata that comes back from MLMD as it went in: a finite number that a double holds, or a printable text."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= EXACT:
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return shorten(TEMPLATE.sub(r"\g<0> ", show_controls(text)), LONGEST_TEXT)


def hand_on(**parameters: Any) -> tuple:
    """Returns a stage's output parameters, in the order in which its component declares them.

    Texts are JSON, or hold none of the characters that JSON can spell otherwise: Argo fills in what stands in `{{`, and
    Kubernetes what stands in `$(`, and makes `$$` a `$`.

    Args:
        **parameters: Texts, and lists and objects of texts: numbers would become doubles, and a null fails the next task.

    Raises:
        InputError: If one is longer than a command line takes.
    """
    return tuple(_spell(name, value) for name, value in parameters.items())


def _spell(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spell(name, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spell(name, item) for item in value]
    if not isinstance(value, str):
        raise TypeError(f"{name}: handed on are texts, and lists and objects of texts; found {value!r}")
    text = value.replace("$", "\\u0024").replace("{{", "{\\u007b")
    size = len(json.dumps(json.dumps(json.dumps(text))))
    if size > LONGEST_PARAMETER:
        raise InputError(
            f"{name}: {size // 1024:,} KiB on a command line, of {LONGEST_PARAMETER // 1024} allowed; lower the number of"
            " candidates, or the length of the parameters"
        )
    return text
