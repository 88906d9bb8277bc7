"""What a stage hands to KFP: the metadata of its artifacts, as every backend takes it."""

import json
import math
import os
from typing import Any

from rlready.components.core.serialization import write_atomically


def annotate(about: dict[str, Any], *artifacts) -> None:
    """Writes what is known about outputs into their metadata, which KFP's UI shows.

    What is unknown is left out: KFP's launcher fails a task whose metadata holds a null
    (backend/src/v2/metadata/converter.go:166), and JSON has no number that is not finite.

    Args:
        about: Figures and texts; None is unknown.
        *artifacts: The outputs. One without a file gets the figures as its content: KFP takes it for lost otherwise.
    """
    known = {key: value for key, value in about.items() if _is_known(value)}
    for artifact in artifacts:
        artifact.metadata.update(known)
        if not os.path.exists(artifact.path):
            write_atomically(artifact.path, json.dumps(known))


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))
