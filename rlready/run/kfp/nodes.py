"""The state of every stage of a run, read from the pods in its Argo workflow, the only reliable source.

KFP's own list of tasks has nodes without a name or a state, and some that are running after the end; but the API server also
keeps the workflow. KFP runs a task as a driver pod and, unless the driver finds the result in the cache, an executor pod; Argo
retries each if it is lost (argocompiler/dag.go and container.go of KFP 2.17).
"""

import base64
import gzip
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from rlready.placement.placement import STAGES

# A part of a node's name: the task, its number in a loop as (number:item), its attempt as (number).
PART = re.compile(r"(?P<task>[^.(]*)(\((?P<index>\d+):[^)]*\))?(\((?P<attempt>\d+)\))?")
ENDED_BADLY = ("Failed", "Error")
NEVER_RAN = ("Skipped", "Omitted")


@dataclass(frozen=True)
class StageNode:
    """One stage, for one candidate or for the run."""

    stage: str
    loop: tuple[str | int, ...]  # path of its loop in the graph of tasks; empty outside of loops
    index: int | None  # number of its iteration in the loop
    state: str  # starting, waiting, running, done, cached or failed
    message: str  # Argo's, on its pod
    pod: str  # the executor's, or the driver's if it has no executor
    attempt: int  # from 0
    given: dict[str, Any]  # inputs and outputs as the driver passed them to the executor; empty if from the cache
    title: str  # its name in the UI, e.g. SFT (cached)

    @property
    def candidate(self) -> dict[str, Any] | None:
        """The candidate's setting, if the driver has passed it."""
        text = self.given.get("inputs", {}).get("parameterValues", {}).get("candidate")
        return json.loads(text) if text else None

    def find_output(self, name: str) -> str:
        """Returns the address of an output artifact, e.g. minio://bucket/key; empty if unknown."""
        held = self.given.get("outputs", {}).get("artifacts", {}).get(name, {}).get("artifacts")
        return held[0].get("uri", "") if held else ""


def list_stage_nodes(workflow: dict[str, Any]) -> list[StageNode]:
    """Returns the stages of an Argo workflow that have begun, in that order."""
    name, nodes = workflow["metadata"]["name"], read_nodes(workflow)
    tasks: dict[tuple, dict[str, dict]] = defaultdict(dict)
    for node in sorted(nodes, key=lambda node: node.get("startedAt") or "9"):
        way = _locate(node["name"].removeprefix(name))
        path, attempt = [part for part, _ in way], way[-1][1]
        last, part = path[-1], "task"
        if last == "executor" and path[:-1]:
            path, part = path[:-1], "executor"
        elif isinstance(last, str) and last.endswith("-driver"):
            path[-1], part = last.removesuffix("-driver"), "driver"
        found = tasks[tuple(path)]
        found[part if attempt is None else f"{part} tried"] = node  # the last attempt replaces earlier ones
    stages = [(place, held) for place, held in tasks.items() if _name_stage(place[-1]) in STAGES]
    return [_read_node(workflow, *pair) for pair in stages if pair[1].get("task", {}).get("phase") not in NEVER_RAN]


def count_iterations(workflow: dict[str, Any]) -> dict[tuple[str | int, ...], int]:
    """Returns the number of items of every loop that has begun, by its path."""
    name = workflow["metadata"]["name"]
    counts: dict[tuple[str | int, ...], int] = {}
    for node in read_nodes(workflow):
        place = [part for part, _ in _locate(node["name"].removeprefix(name))]
        count = _read_parameter(node, "outputs", "iteration-count")
        if place[-1] == "iteration-driver" and count:
            counts[tuple(place[:-1])] = int(count)
    return counts


def read_nodes(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the nodes of a workflow; Argo compresses those of a large one."""
    status = workflow.get("status") or {}
    packed = status.get("compressedNodes")
    nodes = json.loads(gzip.decompress(base64.b64decode(packed))) if packed else status.get("nodes")
    return list((nodes or {}).values())


def is_uncached(workflow: dict[str, Any]) -> bool:
    """Returns True if the drivers of a workflow were told that caching is off on their server."""
    templates = (workflow.get("spec") or {}).get("templates") or []
    return any("--cache_disabled" in ((template.get("container") or {}).get("args") or []) for template in templates)


def is_stopped(workflow: dict[str, Any]) -> bool:
    """Returns True if a run was terminated; the API calls the run and its pods failed."""
    spec = workflow.get("spec") or {}
    return spec.get("activeDeadlineSeconds") == 0 or "shutdown" in spec


def _locate(name: str) -> list[tuple[str | int, int | None]]:
    """Returns the path from the root to a node: pairs of a task's name or number in a loop, and the attempt."""
    way: list[tuple[str | int, int | None]] = []
    for part in name.split("."):
        found = PART.fullmatch(part)
        if found is None or found["task"] in ("", "root", "iteration-item", "iteration-iterations") and not found["index"]:
            continue
        attempt = int(found["attempt"]) if found["attempt"] else None
        way.append((int(found["index"]) if found["index"] else found["task"], attempt))
    return way or [("", None)]


def _name_stage(task: str | int) -> str:
    """Returns the stage of a task; KFP numbers the tasks of one component in one graph."""
    return re.sub(r"-\d+$", "", str(task))


def _read_node(workflow: dict[str, Any], place: tuple, held: dict[str, dict]) -> StageNode:
    numbers = [position for position, part in enumerate(place) if isinstance(part, int)]
    loop, index = (place[: numbers[-1]], place[numbers[-1]]) if numbers else ((), None)
    pods = {part: held.get(f"{part} tried") or held.get(part) or {} for part in ("executor", "driver")}
    pods = {part: pod for part, pod in pods.items() if pod.get("type") == "Pod"}
    pod = pods.get("executor") or pods.get("driver") or {}
    whole = held.get("task", {}).get("phase")
    phase = pod.get("phase", "Pending")
    if whole in ENDED_BADLY or held.get("driver", {}).get("phase") in ENDED_BADLY:
        state = "failed"
    elif whole == "Succeeded":
        state = "done" if "executor" in pods else "cached"
    elif phase == "Pending" and pod:
        state = "waiting"
    else:
        state = "running" if "executor" in pods else "starting"
    attempt = _locate(pod["name"])[-1][1] if pod else None
    given = _read_given(held.get("task tried") or held.get("task") or {})
    stage, task = _name_stage(place[-1]), _read_parameter(held.get("driver", {}), "inputs", "task")
    title = json.loads(task).get("taskInfo", {}).get("name") if task else ""
    return StageNode(
        stage, loop, index, state, pod.get("message", ""), _name_pod(workflow, pod), attempt or 0, given,
        title or stage.capitalize(),
    )  # fmt: skip


def _read_given(node: dict[str, Any]) -> dict[str, Any]:
    patch = _read_parameter(node, "inputs", "pod-spec-patch")
    if not patch:
        return {}
    command = json.loads(patch)["containers"][0]["command"]
    return json.loads(command[command.index("--executor_input") + 1])


def _read_parameter(node: dict[str, Any], side: str, name: str) -> str:
    held = (node.get(side) or {}).get("parameters") or []
    return next((entry.get("value", "") for entry in held if entry["name"] == name), "")


def _name_pod(workflow: dict[str, Any], node: dict[str, Any]) -> str:
    """Returns the name of a node's pod, as KFP derives it (backend/src/common/util/workflow.go)."""
    if not node:
        return ""
    name, number = workflow["metadata"]["name"], node["id"].rsplit("-", 1)[-1]
    return f"{name}-{node['templateName']}-{number}"
