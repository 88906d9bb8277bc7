"""How large a run's workflow gets, before it starts: Argo ends a run whose workflow outgrows what Kubernetes stores."""

import base64
import functools
import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlready.run.kfp.workflow import Course, Place, Workflow, sort_tasks, write_json

# A workflow with its nodes compressed (workflow/packer/packer.go:19 of Argo); one string of a command line, which Linux bounds;
# a variable, which Argo would move to a ConfigMap that KFP's roles forbid (workflow/common/common.go:280).
KIB = 1024
LIMITS = {
    "bytes": 1024 * KIB,
    "largest_argument": 128 * KIB,
    "largest_environment": 128 * KIB,
    "largest_inputs": 256 * KIB,
}
LOOPS = {"measure-candidates": "measured", "train-approved": "approved"}  # nested pipelines, and what they loop over
# Characters of a text that only the run will know. With so many, runs of the laptop recipe come out up to 6 % large.
UNKNOWN = 290


@dataclass(frozen=True)
class WorkflowSize:
    """What a run's workflow grows to.

    Attributes:
        nodes: Everything that Argo starts, keeps the state of and never forgets.
        bytes: The whole object, its nodes compressed as Argo compresses them.
        largest_argument: Bytes of the longest string on a container's command line.
        largest_environment: Bytes of the longest variable of a pod.
        largest_inputs: Bytes of the inputs of the node that has most.
    """

    nodes: int
    bytes: int
    largest_argument: int
    largest_environment: int
    largest_inputs: int

    def list_exceeded(self) -> list[str]:
        """Returns the names of what is above its limit."""
        return [name for name, limit in LIMITS.items() if getattr(self, name) > limit]


def estimate_workflow(package: Path | list[dict], measured: int, approved: int) -> WorkflowSize:
    """Returns how large the workflow of a first run gets: each branch taken, cached only what an earlier loop ran.

    Args:
        package: The compiled pipeline, as a file or as its YAML documents.
        measured: Candidates that are measured, the base model among them.
        approved: Candidates that go through RL.
    """
    spec, *platforms = list(yaml.safe_load_all(package.read_text())) if isinstance(package, Path) else package
    defined = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    defaults = {name: entry["defaultValue"] for name, entry in defined.items() if "defaultValue" in entry}
    courses = _Foresight(spec, {"measured": measured, "approved": approved}).foresee(defaults)
    workflow = Workflow(spec, list_asked(platforms), courses.__getitem__)
    workflow.write_nodes(defaults)
    return weigh(workflow, defaults)


def list_asked(platforms: list[dict]) -> dict[str, dict]:
    """Returns what each executor asks Kubernetes for, by its label.

    Args:
        platforms: A package's documents after the first: one, or none.
    """
    kubernetes = platforms[0]["platforms"]["kubernetes"] if platforms else {}
    return kubernetes.get("deploymentSpec", {}).get("executors", {})


def weigh(workflow: Workflow, defaults: dict[str, Any]) -> WorkflowSize:
    """Returns the size of a workflow whose nodes are written.

    Args:
        workflow: The workflow.
        defaults: Values of the pipeline's parameters.
    """
    inputs = (node["inputs"]["parameters"] for node in workflow.nodes.values() if "inputs" in node)
    return WorkflowSize(
        nodes=len(workflow.nodes),
        bytes=workflow.count_fixed_bytes(defaults) + count_packed_bytes(workflow.nodes),
        largest_argument=max(workflow.arguments),
        largest_environment=max(workflow.environments),
        largest_inputs=max(sum(len(entry["value"]) for entry in entries) for entries in inputs),
    )


def count_packed_bytes(nodes: dict[str, dict]) -> int:
    """Returns the size of a workflow's nodes, compressed as Argo does (util/file/fileutil.go:86)."""
    return len(base64.b64encode(gzip.compress(write_json(nodes).encode(), 6)))


@functools.cache
def _invent(seed: str, length: int) -> str:
    """Returns a text that compresses about as badly as the settings and candidates that only the run will know."""
    digest = hashlib.shake_256(seed.encode()).hexdigest(length)
    return "".join(f'"{digest[at : at + 6]}": "setting", ' for at in range(0, length * 3 // 10, 6))[:length]


class _Foresight:
    """What every task of a run gets, with invented texts where only the run will know.

    A stage that the first loop ran for a candidate is cached in the second.
    """

    def __init__(self, spec: dict, counts: dict[str, int]):
        self._spec, self._counts = spec, counts
        self._executors = spec["deploymentSpec"]["executors"]
        self._ran: dict[str, Place] = {}  # containers, and the loop that runs each first
        self._courses: dict[Place, Course] = {}

    def foresee(self, parameters: dict[str, Any]) -> dict[Place, Course]:
        self._visit(self._spec["root"], (), (), parameters, {})
        return self._courses

    def _visit(
        self, component: dict, place: Place, loop: Place, parameters: dict[str, Any], artifacts: dict[str, int]
    ) -> dict[str, int]:
        """Returns how many artifacts each output of a graph holds."""
        made: dict[str, dict[str, int]] = {}
        for name, task, _ in sort_tasks(component["dag"]["tasks"]):
            inputs, here = task.get("inputs", {}), (*place, name)
            values = {key: self._read(given, parameters) for key, given in inputs.get("parameters", {}).items()}
            counts = {
                key: artifacts[given["componentInputArtifact"]]
                if "componentInputArtifact" in given
                else made[given["taskOutputArtifact"]["producerTask"]][given["taskOutputArtifact"]["outputArtifactKey"]]
                for key, given in inputs.get("artifacts", {}).items()
            }
            inner = self._spec["components"][task["componentRef"]["name"]]
            if "parameterIterator" in task:
                made[name] = self._repeat(task, inner, here, values, counts)
                continue
            if "dag" in inner:
                self._courses[here] = Course()
                made[name] = self._visit(inner, here, loop, values, counts)
                continue
            ids = {key: [1000 + number for number in range(count)] for key, count in counts.items()}
            container = write_json(self._executors[inner["executorLabel"]])
            cached = bool(loop) and self._ran.setdefault(container, loop) != loop
            self._courses[here] = Course(cached=cached, parameters=values, artifacts=ids)
            made[name] = dict.fromkeys(inner.get("outputDefinitions", {}).get("artifacts", {}), 1)
        outputs = component["dag"].get("outputs", {}).get("artifacts", {})
        selected = {key: entry["artifactSelectors"][0] for key, entry in outputs.items()}
        return {key: made[one["producerSubtask"]].get(one["outputArtifactKey"], 0) for key, one in selected.items()}

    def _repeat(self, task: dict, inner: dict, place: Place, values: dict, counts: dict[str, int]) -> dict[str, int]:
        iterator, total = task["parameterIterator"], {}
        items = iterator["items"].get("raw")
        count = len(json.loads(items)) if items else self._counts[next(LOOPS[part] for part in place if part in LOOPS)]
        self._courses[place] = Course(iterations=count)
        for index in range(count):
            item = _invent(f"item {index}", UNKNOWN // 2)
            one = self._visit(inner, (*place, index), place, values | {iterator["itemInput"]: item}, counts)
            total = {key: total.get(key, 0) + one[key] for key in one}
        return total

    def _read(self, given: dict, parameters: dict[str, Any]) -> Any:
        if "runtimeValue" in given:
            return given["runtimeValue"]["constant"]
        if "componentInputParameter" in given:
            value = parameters.get(given["componentInputParameter"], "")
            return value[: UNKNOWN // 4] if "parameterExpressionSelector" in given else value
        source = given["taskOutputParameter"]
        return _invent(source["producerTask"] + source["outputParameterKey"], UNKNOWN)
