"""A compiled pipeline as the backend reads it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml

from backend.size import list_asked


@dataclasses.dataclass(frozen=True)
class Package:
    """A package's parts.

    Attributes:
        spec: Its first document, a PipelineSpec.
        components: What tasks refer to, by name.
        kubernetes: What an executor asks the cluster for, by its label.
    """

    spec: dict
    components: dict[str, dict]
    kubernetes: dict[str, dict]

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        return self.spec["pipelineInfo"]["name"]

    def container(self, component: dict) -> dict:
        """Returns what a component runs."""
        return self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]

    def stage(self, component: dict) -> str:
        """Returns the name of the Python function that a component runs."""
        arguments = self.container(component)["args"]
        return arguments[arguments.index("--function_to_execute") + 1]

    def claims(self, component: dict) -> list[str]:
        """Returns the volume claims that a component mounts."""
        mounts = self.kubernetes.get(component["executorLabel"], {}).get("pvcMount", [])
        return sorted({str(mount.get("pvcNameParameter", mount.get("constant"))) for mount in mounts})

    def defaults(self) -> dict[str, Any]:
        """Returns the pipeline's parameters that have a default."""
        defined = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        return {name: entry["defaultValue"] for name, entry in defined.items() if "defaultValue" in entry}


def read_package(path: Path) -> Package:
    """Reads a package from its file: YAML documents, or a JSON list of them."""
    text = path.read_text()
    spec, *platforms = json.loads(text) if path.suffix == ".json" else yaml.safe_load_all(text)
    return Package(spec, spec["components"], list_asked(platforms))
