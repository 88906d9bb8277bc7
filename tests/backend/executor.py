"""The real stages: each component's function, run by kfp's executor as its container would run it."""

import functools
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp.dsl.executor import Executor

from backend.launcher import Exit, Stage
from backend.outputs import Produced
from backend.store import Artifact


def make_stages(functions: dict[str, Callable], folder: Path) -> dict[str, Stage]:
    """Returns stages for a run of the server, whose artifacts' contents are paths.

    Args:
        functions: Components by the name of their function.
        folder: Where their outputs lie.
    """
    numbers = itertools.count()
    return {name: functools.partial(_execute, component, folder, numbers) for name, component in functions.items()}


def _execute(component: Any, folder: Path, numbers: Any, given: dict[str, Any]) -> Produced:
    root, spec = folder / f"{component.name}-{next(numbers)}", component.component_spec
    held = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    artifacts = {name: values for name, values in held.items() if values and isinstance(values[0], Artifact)}
    outputs = {
        name: {"artifacts": [{"name": name, "uri": str(root / name), "type": {"schemaTitle": output.type.split("@")[0]}}]}
        for name, output in (spec.outputs or {}).items()
        if output.type.startswith("system.")
    }
    written = root / "executor_output.json"
    executor_input = {
        "inputs": {
            "parameterValues": {name: _write(value) for name, value in given.items() if name not in artifacts},
            "artifacts": {name: {"artifacts": [_describe(one) for one in ones]} for name, ones in artifacts.items()},
        },
        "outputs": {"outputFile": str(written), "artifacts": outputs},
    }
    try:
        Executor(executor_input, component).execute()
    except SystemExit as error:
        raise Exit(str(error)) from error
    return Produced(written.read_text(), {name: str(root / name) for name in outputs if (root / name).exists()})


def _describe(artifact: Artifact) -> dict[str, Any]:
    kind = {"schemaTitle": artifact.schema}
    return {"name": str(artifact.id), "uri": str(artifact.content), "type": kind, "metadata": artifact.metadata}


def _write(value: Any) -> Any:
    """Returns a value as Python reads it from Go's JSON, in which 4.0 is 4."""
    return json.loads(json.dumps(value), parse_float=lambda n: int(float(n)) if float(n).is_integer() else float(n))
