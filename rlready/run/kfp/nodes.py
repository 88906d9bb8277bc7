"""The state and the output of every stage of a run, read from the pods in its Argo workflow, the only reliable source.

KFP's own list of tasks has nodes without a name or a state, and some that are running after the end; but the API server also
keeps the workflow. KFP runs a task as a driver pod and, unless the driver finds the result in the cache, an executor pod; Argo
retries each if it is lost (argocompiler/dag.go and container.go of KFP 2.17).
"""

import base64
import contextlib
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rlready.errors import InputError
from rlready.escape import show_controls
from rlready.placement.placement import STAGES
from rlready.run.kfp.server import Server, get
from rlready.runtime.events import FAILED, MARK

# A part of a node's name: the task, its number in a loop as (number:item), its attempt as (number).
PART = re.compile(r"(?P<task>[^.(]*)(\((?P<index>\d+):[^)]*\))?(\((?P<attempt>\d+)\))?")
LOGS = "executor-logs"  # an output that KFP adds to every task: what its process wrote, without the launcher's own lines
LAST_LINES = 15
# A line of KFP's driver or launcher (glog), and the lines of Argo's emissary and of KFP's executor that begin every log.
GLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.-]+:\d+\] (.*)")
FOREIGN = re.compile(r"""time=("[^"]*"|\S+) level=\w+ |\{"time":"|\[KFP Executor |Error: exit status \d+$""")
CONTINUED = re.compile(r"[{}\s].*|")  # what follows such a line in JSON over several
CHILD = re.compile(r".*(exit status \d+|signal: \w+)$")  # how the launcher ends if the stage's own process failed
TRACEBACK = "Traceback (most recent call last):"
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
        path, attempt = _locate(node["name"].removeprefix(name))
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
        place, _ = _locate(node["name"].removeprefix(name))
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


def _locate(name: str) -> tuple[list[str | int], int | None]:
    """Returns the path from the root to a node, of names of tasks and numbers in loops, and the attempt of the last part."""
    path: list[str | int] = []
    attempt = None
    for part in name.split("."):
        found = PART.fullmatch(part)
        if found is None or found["task"] in ("", "root", "iteration-item", "iteration-iterations") and not found["index"]:
            continue
        attempt = int(found["attempt"]) if found["attempt"] else None
        path.append(int(found["index"]) if found["index"] else found["task"])
    return path or [""], attempt


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
    attempt = _locate(pod["name"])[1] if pod else None
    given: dict[str, Any] = {}
    if patch := _read_parameter(held.get("task tried") or held.get("task") or {}, "inputs", "pod-spec-patch"):
        command = json.loads(patch)["containers"][0]["command"]
        given = json.loads(command[command.index("--executor_input") + 1])
    # As KFP derives it (backend/src/common/util/workflow.go).
    name = f"{workflow['metadata']['name']}-{pod['templateName']}-{pod['id'].rsplit('-', 1)[-1]}" if pod else ""
    stage, task = _name_stage(place[-1]), _read_parameter(held.get("driver", {}), "inputs", "task")
    title = json.loads(task).get("taskInfo", {}).get("name") if task else ""
    title = title or stage.capitalize()
    return StageNode(stage, loop, index, state, pod.get("message", ""), name, attempt or 0, given, title)


def _read_parameter(node: dict[str, Any], side: str, name: str) -> str:
    held = (node.get(side) or {}).get("parameters") or []
    return next((entry.get("value", "") for entry in held if entry["name"] == name), "")


@dataclass(frozen=True)
class Output:
    """What a pod wrote."""

    own: list[str]  # the lines of the stage itself
    marked: list[str]  # those of them that it marked, without the mark
    fault: str  # why the driver or the launcher failed; empty if it did not

    @property
    def reasons(self) -> list[str]:
        """Why the stage failed, if the output says so."""
        if said := [line.removeprefix(FAILED) for line in self.marked if line.startswith(FAILED)]:
            return said
        if self.fault and not CHILD.match(self.fault):
            return [self.fault]
        return self.own[-1:] if TRACEBACK in self.own else []

    @property
    def end(self) -> list[str]:
        """The last of its own lines; if the reason is marked, only those of a traceback."""
        lines = [line for line in self.own if not line.startswith(MARK)]
        if len(lines) < len(self.own) and TRACEBACK not in lines:
            return []
        return lines[-LAST_LINES:]


def parse_output(text: str) -> Output:
    """Parses a pod's log, or the artifact with the output of a stage."""
    own, fault, foreign = [], "", False
    for line in show_controls(text).splitlines():
        glog = GLOG.match(line)
        if glog and glog[1] == "F":
            fault = glog[2]
        foreign = bool(glog or FOREIGN.match(line) or foreign and CONTINUED.fullmatch(line))
        if line.strip() and not foreign:
            own.append(line)
    return Output(own, [line.removeprefix(MARK) for line in own if line.startswith(MARK)], fault)


def read_artifact(server: Server, address: str) -> bytes | None:
    """Returns the content of an artifact such as minio://bucket/key; None if the server does not serve it."""
    place = urlsplit(address)
    query = {"source": place.scheme, "bucket": place.netloc, "key": place.path.lstrip("/")} | server.scope
    with contextlib.suppress(InputError):
        return get(server, "/artifacts/get", query) if address else None
    return None


def read_outputs(server: Server, run: str, namespace: str, node: StageNode) -> Iterator[Output]:
    """Yields what is available of the output of a stage's pod: first the artifact with the stage's own lines, then the log."""
    query, logs = {"podname": node.pod, "runid": run, "podnamespace": namespace}, node.find_output(LOGS)
    ways = [
        lambda: read_artifact(server, logs and f"{logs}-{node.attempt}"),  # one for each attempt since KFP 2.16.1
        lambda: read_artifact(server, logs),
        lambda: get(server, f"/apis/v1alpha1/runs/{run}/nodes/{node.pod}/log"),  # the API server
        lambda: get(server, "/k8s/pod/logs", query),  # the UI's server
    ]
    for way in ways:
        text = ""
        with contextlib.suppress(InputError):
            text = (way() or b"").decode(errors="replace")
        # The API server answers 200 before it looks for a log; the UI's server answers unknown paths with a page.
        if text.strip() and not text.lstrip().startswith("<") and '{"error_message"' not in text[-2000:]:
            yield parse_output(text)
