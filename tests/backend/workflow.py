"""The Argo workflow that KFP 2.17 makes of a package: what it holds before a run, and the nodes that the run adds.

KFP's API server translates a package into a workflow (backend/src/v2/compiler/argocompiler of kubeflow/pipelines 2.17.0), and
Argo 4.0 keeps the state of a run in that same object, a node for everything that it starts. The nodes hold their inputs, and
KFP's inputs are whole components as JSON, so the object grows with the texts as much as with the number of nodes.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Place = tuple[str | int, ...]  # names of the tasks from the root down; an iteration is its number
NAME, RUN, DAY = "rlready-x4k9q", "6f1c9a52-0d3b-4c77-9e1f-5b2a8d7c4e10", "2026-01-01"
# What every artifact carries: driver and launcher write the store's settings into it (metadata/client.go:1242-1253).
STORE = (
    '{"Provider":"minio","Params":{"accessKeyKey":"accesskey","disableSSL":"true","endpoint":"seaweedfs.kubeflow:9000",'
    '"fromEnv":"false","maxRetries":"5","region":"minio","secretKeyKey":"secretkey","secretName":"mlpipeline-minio-artifact"}}'
)
# Bytes of a driver's command line beside the texts, of what every workflow has, and of one task's part of its graph: between
# the two, what KFP's own compiled workflows (test_data/compiled-workflows) come to, and what the server adds to them.
DRIVER, TEMPLATES, TASK = 1_100, 8_500, 850


@dataclass(frozen=True)
class Course:
    """What happens to the task at a place: how much of it becomes nodes.

    Attributes:
        runs: False where its condition does not hold.
        cached: Whether its outputs come from the cache.
        iterations: How often a loop runs its graph; None for anything else.
        parameters: Values of a container's parameters.
        artifacts: Ids of a container's input artifacts.
    """

    runs: bool = True
    cached: bool = False
    iterations: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[int]] = field(default_factory=dict)


def write_json(value: Any) -> str:
    """Returns JSON as Go's encoder writes it: sorted, without spaces, and fit for a web page."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def sort_tasks(tasks: dict[str, dict]) -> list[tuple[str, dict, list[str]]]:
    """Returns a graph's tasks, each after those that it needs, with these (argocompiler/dag.go:647-700)."""
    needed = {name: _list_needed(task) for name, task in tasks.items()}
    ordered: dict[str, None] = {}

    def visit(name: str) -> None:
        for other in needed[name]:
            visit(other)
        ordered[name] = None

    for name in sorted(tasks):
        visit(name)
    return [(name, tasks[name], needed[name]) for name in ordered]


def _list_needed(task: dict) -> list[str]:
    inputs = task.get("inputs", {})
    given = [*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()]
    sources = [g.get("taskOutputParameter") or g.get("taskOutputArtifact") for g in given]
    return sorted({*task.get("dependentTasks", []), *(source["producerTask"] for source in sources if source)})


class Workflow:
    """A package's workflow while it is written.

    Attributes:
        nodes: Argo's nodes by their id, as its status holds them.
        arguments: Everything that stands on a container's command line and has a length worth knowing.
        environments: The variable that holds a pod's template, for each pod.
    """

    def __init__(self, spec: dict, kubernetes: dict[str, dict], course: Callable[[Place], Course]):
        """Writes the nodes of a run.

        Args:
            spec: The package's first document.
            kubernetes: What the executors ask the cluster for, by their label.
            course: What happens at each place.
        """
        self._components, self._course = spec["components"], course
        self._executors = {label: e["container"] for label, e in spec["deploymentSpec"]["executors"].items()}
        self._kubernetes, self._pipeline = kubernetes, spec["pipelineInfo"]["name"]
        self._texts, self._root = self._write_texts(spec["root"]), spec["root"]
        self.nodes: dict[str, dict] = {}
        self.arguments: list[int] = []
        self.environments: list[int] = []

    def _write_texts(self, root: dict) -> dict[str, tuple[str, ...]]:
        """Returns what the drivers of each component get: components of one container share a text (argo.go:448-485)."""
        texts: dict[str, tuple[str, ...]] = {}
        shared: dict[str, str] = {}
        for name, component in sorted(self._components.items()) + [("root", root)]:
            label = component.get("executorLabel")
            if label is None:
                texts[name] = (write_json(component),)
                continue
            container = write_json(self._executors[label])
            asked = write_json(self._kubernetes[label]) if label in self._kubernetes else ""
            texts[name] = (shared.setdefault(container, write_json(component)), container, asked)
        return texts

    def count_fixed_bytes(self, defaults: dict[str, Any]) -> int:
        """Returns the size of the workflow without its nodes.

        Args:
            defaults: Values of the pipeline's parameters.
        """
        total = TEMPLATES + len(write_json({"parameterValues": defaults}))
        total += sum(len(write_json(text)) + 120 for text in {t for texts in self._texts.values() for t in texts})
        for component in [*self._components.values(), self._root]:
            for task in component.get("dag", {}).get("tasks", {}).values():
                total += (2 if "parameterIterator" in task else 1) * (len(write_json(write_json(task))) + TASK)
        return total

    def write_nodes(self, defaults: dict[str, Any]) -> None:
        """Writes the nodes of the whole run.

        Args:
            defaults: Values of the pipeline's parameters.
        """
        entry = self._write_template(NAME, "", "entrypoint", "DAG", [])
        config = write_json({"parameterValues": defaults})
        given = [("component", self._texts["root"][0]), ("runtime-config", config), ("driver-type", "ROOT_DAG")]
        ends = self._write_driver(f"{entry['name']}.root-driver", entry, [entry["id"]], "system-dag-driver", given)
        root = self._write_template(f"{entry['name']}.root", entry["id"], "root", "DAG", [("parent-dag-id", "1")], ends)
        self._write_graph(root, self._root, ())
        entry["outboundNodes"] = root["outboundNodes"]

    def _write_node(self, name: str, boundary: str, kind: str, template: str, parents: Iterable[str], **more: Any) -> dict:
        code = 2166136261
        for byte in name.encode():
            code = (code ^ byte) * 16777619 & 0xFFFFFFFF  # FNV-1a (workflow_types.go:3755)
        identity = NAME if name == NAME else f"{NAME}-{code}"
        held = self.nodes[boundary]["name"] if boundary else ""
        seconds = len(self.nodes) * 5 % 86_400
        clock = f"{DAY}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"
        node = {
            "id": identity, "name": name, "displayName": name.removeprefix(held).lstrip("."), "type": kind,
            "templateName": template, "templateScope": f"local/{NAME}", "phase": "Succeeded", "boundaryID": boundary,
            "startedAt": clock, "finishedAt": clock, "progress": "1/1", "children": [], **more,
        }  # fmt: skip
        self.nodes[identity] = node
        for parent in parents:
            self.nodes[parent]["children"].append(identity)
        return node

    def _write_template(
        self, name: str, boundary: str, template: str, kind: str, given: list, parents: Iterable[str] = (), **more: Any
    ) -> dict:
        """Writes a template's two nodes: KFP's default retries put a node of their own around everything that runs."""
        inputs = {"parameters": [{"name": key, "value": value} for key, value in given]}
        more |= {"inputs": inputs, "resourcesDuration": {"cpu": 1, "memory": 12}}
        around = self._write_node(name, boundary, "Retry", template, parents, **more)
        more |= {"nodeFlag": {"retried": True}} | ({"hostNodeName": "node-1"} if kind == "Pod" else {})
        return self._write_node(f"{name}(0)", boundary, kind, template, [around["id"]], **more)

    def _write_pod(
        self, name: str, boundary: str, template: str, given: list, parents: list[str], outputs: dict[str, str]
    ) -> list[str]:
        key = f"private-artifacts/kubeflow/{NAME}/{DAY.replace('-', '/')}/{NAME}-{template}-{len(self.nodes):010}"
        out = {
            "parameters": [{"name": n, "value": v, "valueFrom": {"path": f"/tmp/outputs/{n}"}} for n, v in outputs.items()],
            "artifacts": [{"name": "main-logs", "s3": {"key": f"{key}/main.log"}}],
            "exitCode": "0",
        }
        return [self._write_template(name, boundary, template, "Pod", given, parents, outputs=out)["id"]]

    def _write_driver(
        self,
        name: str,
        dag: dict,
        parents: list[str],
        template: str,
        given: list,
        patch: str | None = None,
    ) -> list[str]:
        texts = [len(value.encode()) for _, value in given]
        self.arguments += texts
        self.environments.append(DRIVER + sum(len(write_json(value)) for _, value in given))
        outputs = {"condition": "nil", "execution-id": str(100 + len(self.nodes)), "iteration-count": "0"}
        if patch is not None:
            outputs = {"pod-spec-patch": patch, "cached-decision": "false" if patch else "true", "condition": "nil"}
        return self._write_pod(name, dag["id"], template, given, parents, outputs)

    def _write_graph(self, dag: dict, component: dict, place: Place) -> None:
        """Writes the nodes of a graph's tasks below its own."""
        tasks, ends = component["dag"]["tasks"], {}
        for name, task, needed in sort_tasks(tasks):
            parents = [end for other in needed for end in ends[other]] or [dag["id"]]
            ends[name] = self._write_task(name, task, dag, parents, (*place, name))
        leaves = set(tasks) - {other for task in tasks.values() for other in _list_needed(task)}
        dag["outboundNodes"] = [end for name in sorted(leaves) for end in ends[name]]

    def _write_task(self, name: str, task: dict, dag: dict, parents: list[str], place: Place) -> list[str]:
        component, text = task["componentRef"]["name"], write_json(task)
        if "parameterIterator" in task:
            return self._write_loop(name, component, text, dag, parents, place)
        if "executorLabel" in self._components[component]:
            return self._write_container(name, component, text, dag, parents, place)
        return self._write_nested(name, component, text, dag, parents, place, self._course(place).runs)

    def _write_loop(self, name: str, component: str, text: str, dag: dict, parents: list[str], place: Place) -> list[str]:
        template, given = f"{component}-{name}-iterator", [("parent-dag-id", "100")]
        loop = self._write_template(f"{dag['name']}.{name}", dag["id"], template, "DAG", given, parents)
        head = [("component", self._texts[component][0]), ("parent-dag-id", "100"), ("task", text), ("task-name", name)]
        ends = self._write_driver(f"{loop['name']}.iteration-driver", loop, [loop["id"]], "system-dag-driver", head)
        count, inner = self._course(place).iterations or 0, f"{loop['name']}.iteration-iterations"
        kind = "TaskGroup" if count else "Skipped"
        group = self._write_node(inner, loop["id"], kind, f"{component}-iteration", ends)
        ends = [] if count else [group["id"]]
        for index in range(count):
            given = [("parent-dag-id", "101"), ("iteration-index", str(index))]
            one = self._write_template(
                f"{inner}({index}:{index})", loop["id"], group["templateName"], "DAG", given, [group["id"]]
            )
            more = [("iteration-index", str(index))]
            one["outboundNodes"] = self._write_nested(
                "iteration-item", component, text, one, [one["id"]], (*place, index), True, more
            )
            ends.append(one["id"])
        loop["outboundNodes"] = ends
        return [loop["id"]]

    def _write_nested(
        self,
        name: str,
        component: str,
        text: str,
        dag: dict,
        parents: list[str],
        place: Place,
        runs: bool,
        more: Any = (),
    ) -> list[str]:
        given = [("component", self._texts[component][0]), *more, ("parent-dag-id", "100"), ("task", text)]
        given.append(("task-name", name))
        path = f"{dag['name']}.{name}"
        ends = self._write_driver(f"{path}-driver", dag, parents, "system-dag-driver", given)
        if not runs:
            return [self._write_node(path, dag["id"], "Skipped", component, ends, message="when 'false != false'")["id"]]
        inner = self._write_template(path, dag["id"], component, "DAG", [("parent-dag-id", "100")], ends)
        self._write_graph(inner, self._components[component], place)
        return [inner["id"]]

    def _write_container(self, name: str, component: str, text: str, dag: dict, parents: list[str], place: Place) -> list[str]:
        course, path = self._course(place), f"{dag['name']}.{name}"
        about, container, asked = self._texts[component]
        patch = "" if course.cached else self._write_patch(component, name, course)
        given = [("component", about), ("task", text), ("container", container), ("task-name", name)]
        given += [("parent-dag-id", "100"), ("iteration-index", "-1"), ("kubernetes-config", asked)]
        ends = self._write_driver(f"{path}-driver", dag, parents, "system-container-driver", given, patch)
        decision = [("pod-spec-patch", patch), ("cached-decision", "true" if course.cached else "false")]
        executor = self._write_template(path, dag["id"], "system-container-executor", "DAG", decision, ends)
        inner, template = f"{executor['name']}.executor", "system-container-impl"
        if course.cached:
            skipped = self._write_node(
                inner,
                executor["id"],
                "Skipped",
                template,
                [executor["id"]],
                message="when 'true != true' evaluated false",
            )
            executor["outboundNodes"] = [skipped["id"]]
        else:
            self.environments.append(TEMPLATES // 4 + len(write_json(patch)))
            executor["outboundNodes"] = self._write_pod(inner, executor["id"], template, decision[:1], [executor["id"]], {})
        return [executor["id"]]

    def _write_patch(self, component: str, name: str, course: Course) -> str:
        """Returns what the driver sets on a container's pod (driver/driver.go:247-470)."""
        definition = self._components[component]
        label = definition["executorLabel"]
        inputs = self._write_executor_input(definition, name, course)
        container = self._executors[label]
        command = ["/kfp-launcher/launch", "--pipeline_name", self._pipeline, "--run_id", RUN, "--execution_id", "100",
                   "--executor_input", inputs, "--component_spec", self._texts[component][0],
                   "--pod_name", "$(KFP_POD_NAME)", "--pod_uid", "$(KFP_POD_UID)",
                   "--ml_pipeline_server_address", "ml-pipeline.kubeflow", "--ml_pipeline_server_port", "8887",
                   "--mlmd_server_address", "metadata-grpc-service.kubeflow", "--mlmd_server_port", "8080",
                   "--publish_logs", "true", "--"]  # fmt: skip
        arguments = [*container.get("command", []), *container.get("args", [])]
        self.arguments += [len(text.encode()) for text in [*command, *arguments]]
        main = {"name": "main", "command": command, "args": arguments, "image": container["image"]}
        main |= {"env": container.get("env", []), "resources": container.get("resources", {})}
        return write_json({"containers": [main]} | self._kubernetes.get(label, {}))

    def _write_executor_input(self, definition: dict, name: str, course: Course) -> str:
        def describe(key: str, number: int) -> dict:
            folder = hashlib.sha256(f"{key}{number}".encode()).hexdigest()[:36]
            uri = f"minio://mlpipeline/v2/artifacts/{self._pipeline}/{RUN}/{name}/{folder}/{key}"
            kept = {"display_name": key, "store_session_info": STORE}
            return {"name": str(number), "type": {"instanceSchema": ""}, "uri": uri, "metadata": kept}

        outputs = definition.get("outputDefinitions", {})
        made = [*outputs.get("artifacts", {}), "executor-logs"]
        return write_json({
            "inputs": {
                "parameterValues": course.parameters,
                "artifacts": {
                    key: {"artifacts": [describe(key, number) for number in numbers]}
                    for key, numbers in course.artifacts.items()
                },
            },
            "outputs": {
                "parameters": {key: {"outputFile": f"/tmp/kfp/outputs/{key}"} for key in outputs.get("parameters", {})},
                "artifacts": {key: {"artifacts": [describe(key, len(self.nodes))]} for key in made},
            },
        })  # fmt: skip
