"""What a stage's process left behind, as the launcher reads it and MLMD keeps it (component/, metadata/converter.go)."""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.struct_pb2 import Value
from kfp.pipeline_spec.pipeline_spec_pb2 import ExecutorOutput

from backend.size import LIMITS
from backend.workflow import STORE

# MLMD's columns in MySQL: `name` VARCHAR(255) and `string_value` MEDIUMTEXT of ArtifactProperty.
LONGEST_NAME, LONGEST_STRING = 255, 2**24 - 1
# Kubernetes fills in variables in commands and arguments, and `$$` is its escape of `$`.
VARIABLE = re.compile(r"\$\$|\$\(([^)]*)\)")


class Refused(Exception):
    """Launcher, MLMD, Argo or Linux refuses what a stage put out or is to get; its task fails although its process did not."""


@dataclass
class Produced:
    """What a process left behind.

    Attributes:
        text: Its executor_output.json.
        contents: What lies at the paths of its output artifacts, by their name; one without a file is not in it.
    """

    text: str
    contents: dict[str, Any] = field(default_factory=dict)


def sketch(component: dict, outputs: dict[str, Any]) -> Produced:
    """Returns what a fake stage would have left behind, from its outputs by name."""
    defined = component.get("outputDefinitions", {})
    parameters = {name: outputs[name] for name in defined.get("parameters", {}) if name in outputs}
    artifacts = {name: {"artifacts": [{"metadata": {}}]} for name in defined.get("artifacts", {})}
    text = json.dumps({"parameterValues": parameters, "artifacts": artifacts})
    return Produced(text, {name: value for name, value in outputs.items() if name in artifacts})


def read_output(text: str) -> tuple[dict[str, Any], dict[str, dict[str, Value]]]:
    """Returns output parameters, and metadata of output artifacts, by name (launcher_v2.go:1232, protojson.Unmarshal).

    Raises:
        Refused: If it is not what Go reads: no JSON, numbers that are not finite, halves of characters, a name twice.
    """

    def refuse(number: str) -> None:
        raise Refused(f"failed to unmarshall ExecutorOutput: invalid value {number}")

    try:
        json.loads(text, parse_constant=refuse, parse_float=lambda n: None if math.isfinite(float(n)) else refuse(n))
        read = Parse(text, ExecutorOutput())
    except (ParseError, ValueError) as error:
        raise Refused(f"failed to unmarshall ExecutorOutput: {error}") from error
    # The launcher takes the first artifact of each list (launcher_v2.go:806).
    metadata = {name: dict(held.artifacts[0].metadata.fields) for name, held in read.artifacts.items() if held.artifacts}
    return {name: to_plain(value) for name, value in read.parameter_values.items()}, metadata


def to_plain(value: Value) -> Any:
    """Returns a protobuf value as Python's: every number is a double."""
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        return [to_plain(item) for item in value.list_value.values]
    if kind == "struct_value":
        return {key: to_plain(item) for key, item in value.struct_value.fields.items()}
    return None if kind == "null_value" else getattr(value, kind)


def keep_metadata(output: str, metadata: dict[str, Value]) -> dict[str, Any]:
    """Returns an artifact's metadata as a later task reads it back from MLMD (converter.go:107-221, client.go:1235-1250).

    Raises:
        Refused: If a value is null, or a name or text is longer than MLMD's columns.
    """
    kept: dict[str, Any] = {}
    for key, value in metadata.items():
        if key == "_kfp_workspace":  # said at run time only (converter.go:122)
            continue
        kind = value.WhichOneof("kind")
        if kind == "null_value":
            raise Refused(
                f'unable to produce MLMD artifact for output "{output}": failed to convert RuntimeArtifact to MLMD artifact:'
                " unknown/unsupported value type *structpb.Value_NullValue"
            )
        if len(key) > LONGEST_NAME:
            raise Refused(f"Data too long for column 'name': {key}")
        held = to_plain(value)
        if isinstance(held, str) and len(held.encode()) > LONGEST_STRING:
            raise Refused(f"Data too long for column 'string_value': {key}")
        if kind == "bool_value":
            held = float(held)  # MLMD's int, and so a number (converter.go:152, 203)
        elif kind in ("list_value", "struct_value"):
            held = {kind.removesuffix("_value"): held}  # wrapped, and never unwrapped (converter.go:153-166)
        kept[key] = held
    return {"display_name": output, "store_session_info": STORE} | kept


def read_scalars(metadata: dict[str, Any]) -> dict[str, float]:
    """Returns what KFP's MLflow plugin takes from an artifact of metrics: a text is 0 (client.go:1489-1505)."""
    told = {key: value for key, value in metadata.items() if key not in ("display_name", "store_session_info")}
    return {key: value if isinstance(value, float) else 0.0 for key, value in told.items()}


def pass_on(executor_input: dict, environment: dict[str, str] | None = None) -> dict:
    """Returns a task's inputs as its process reads them from its command line, on which the driver put them as JSON.

    Raises:
        Refused: If Argo takes a part for a template, or the command line or Argo's copy of it is longer than they may be.
    """
    text = json.dumps(executor_input, ensure_ascii=False, separators=(",", ":"))
    if "{{" in text:
        # Argo evaluates, fills in, leaves alone or refuses it, by what stands in it and behind it (util/template/template.go).
        raise Refused(f"Argo takes {text[text.index('{{') :][:40]!r} for a template")
    text = VARIABLE.sub(lambda m: "$" if m[0] == "$$" else (environment or {}).get(m[1], m[0]), text)
    if len(text.encode()) >= LIMITS["largest_argument"]:
        raise Refused(f"argument list too long: {len(text.encode()):,} bytes of --executor_input")
    if len(json.dumps(json.dumps(text))) >= LIMITS["largest_environment"]:
        raise Refused("configmaps is forbidden: ARGO_TEMPLATE is longer than 128 KiB (workflow/controller/workflowpod.go:490)")
    return json.loads(text)
