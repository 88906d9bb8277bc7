"""The output parameters and artifact metadata of a stage, in a form that KFP's backend accepts and keeps.

Both pass through the command lines of later tasks, Argo's templates, Kubernetes' variables and MLMD. `tests/backend` models
what each of these refuses or changes.
"""

import json
import math
import os
import re
from typing import Any

from rlready.errors import InputError
from rlready.escape import shorten, show_controls
from rlready.records.serialization import write_atomically

LONGEST_TEXT = 300  # characters of metadata: the gate's command line contains that of every candidate
LONGEST_PARAMETER = 100 * 1024  # bytes when quoted three times; Linux and Argo allow 128 KiB in all
EXACT = 2**53  # KFP's numbers are doubles, which hold no larger integer exactly
METRICS = "system.Metrics"
TEMPLATE = re.compile(r"\{(?=\{)|\$(?=[$(])")  # starts what Argo and Kubernetes substitute


def annotate(about: dict[str, Any], *artifacts) -> None:
    """Writes figures and texts into the metadata of a stage's outputs, which KFP's UI shows.

    Unknown ones are left out: a null fails the task (backend/src/v2/metadata/converter.go:166). Metrics get figures only, as
    KFP reads a text among them as 0 (client.go:1499), and no other artifact then repeats them. Texts are shortened. An output
    without a file gets its metadata as content: kfp.local would count it as lost.
    """
    known = {key: kept for key, value in about.items() if (kept := _normalise(value)) is not None}
    figures: dict[str, str | float | int] = {key: value for key, value in known.items() if not isinstance(value, str)}
    words = {key: value for key, value in known.items() if key not in figures}
    measured = any(artifact.schema_title == METRICS for artifact in artifacts)
    for artifact in artifacts:
        named = {key: value for key, value in words.items() if key == "display_name"}
        metadata = figures | named if artifact.schema_title == METRICS else words if measured else known
        artifact.metadata.update(metadata)
        if not os.path.exists(artifact.path):
            write_atomically(artifact.path, json.dumps(metadata))


def _normalise(value: Any) -> str | float | int | None:
    """Returns metadata that MLMD keeps unchanged: a finite number that a double holds, or a printable text."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= EXACT:
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return shorten(TEMPLATE.sub(r"\g<0> ", show_controls(text)), LONGEST_TEXT)


def hand_on(**parameters: Any) -> tuple:
    """Returns a stage's output parameters, in the order in which its component declares them.

    They are JSON texts, and lists and objects of these: numbers would become doubles, and a null fails the next task. `$` and
    `{{` are escaped as JSON allows, because Argo substitutes `{{...}}`, and Kubernetes `$(...)` and `$$`. Raises InputError if
    one is too long for a command line.
    """
    return tuple(_spell(name, value) for name, value in parameters.items())


def _spell(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spell(name, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spell(name, item) for item in value]
    if not isinstance(value, str):
        raise TypeError(f"{name}: must be a text, or a list or an object of texts; found {value!r}")
    text = value.replace("$", "\\u0024").replace("{{", "{\\u007b")
    size = len(json.dumps(json.dumps(json.dumps(text))))
    if size > LONGEST_PARAMETER:
        raise InputError(
            f"{name}: {size // 1024:,} KiB on a command line, {LONGEST_PARAMETER // 1024} allowed; lower the number of"
            " candidates, or the length of the parameters"
        )
    return text
