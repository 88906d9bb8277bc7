"""The driver: a pod before every task and graph, which resolves its inputs, asks the cache and records it (driver/)."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from backend.package import Package
from backend.resolve import find_artifacts, find_parameter
from backend.store import AlreadyExists, Artifact, Execution, Store
from backend.values import DriverFailed, check_literals, check_type, holds, select, to_value

Inputs = tuple[dict[str, Any], dict[str, list[Artifact]]]


@dataclass
class Driver:
    """The drivers of one run.

    Attributes:
        store: The server's memory.
        package: What runs.
        run: Id of the run.
        caching: Whether the server caches at all.
    """

    store: Store
    package: Package
    run: str
    caching: bool = True

    def drive_root(self, parameters: dict[str, Any]) -> Execution:
        """Records the run itself, whose state nobody updates (driver/root_dag.go)."""
        given = to_value(self.package.defaults() | parameters)
        return self.store.create_execution({}, run=self.run, task="", parent=None, graph=True, parameters=given)

    def drive_graph(self, name: str, task: dict, parent: Execution, index: int | None = None) -> tuple[Execution, bool]:
        """Records a nested pipeline, condition, loop or iteration (driver/dag.go).

        Args:
            name: The task's name; a loop and its iterations share one.
            task: Its specification.
            parent: The graph that it is in; of an iteration, the loop.
            index: Number of the iteration.

        Returns:
            Its execution, and whether its condition holds.

        Raises:
            DriverFailed: If an input cannot be resolved, or one artifact comes twice.
        """
        component = self.package.components[task["componentRef"]["name"]]
        inputs = self._resolve(task, component, parent, index, graph=True)
        condition, graph = task.get("triggerPolicy", {}).get("condition"), component["dag"]
        runs = not condition or holds(condition, inputs[0])
        count = None
        if "parameterIterator" in task and index is None and runs:
            count = len(_list_items(task["parameterIterator"], inputs[0]))
        outputs = graph.get("outputs", {})
        try:
            execution = self.store.create_execution(
                inputs[1], run=self.run, task=name, parent=parent, graph=True, parameters=inputs[0], index=index,
                count=count, tasks=len(graph["tasks"]), parameter_outputs=outputs.get("parameters"),
                artifact_outputs=outputs.get("artifacts"), state="RUNNING" if runs else "CANCELED",
            )  # fmt: skip
        except AlreadyExists as error:
            raise DriverFailed(f"AlreadyExists: {error}") from error
        return execution, runs

    def drive_container(self, name: str, task: dict, parent: Execution) -> tuple[Execution, bool, Inputs]:
        """Records a task, with the outputs of an earlier one where the cache has it (driver/container.go).

        Args:
            name: The task's name.
            task: Its specification.
            parent: The graph that it is in.

        Returns:
            Its execution, whether its condition holds, and its inputs.

        Raises:
            DriverFailed: If an input cannot be resolved, or one artifact comes twice.
        """
        component = self.package.components[task["componentRef"]["name"]]
        inputs = self._resolve(task, component, parent, None, graph=False)
        condition = task.get("triggerPolicy", {}).get("condition")
        runs = not condition or holds(condition, inputs[0])
        cacheable = runs and self.caching and task.get("cachingOptions", {}).get("enableCache", False)
        fingerprint = self._make_fingerprint(component, inputs) if cacheable else ""
        try:
            execution = self.store.create_execution(
                inputs[1], run=self.run, task=name, parent=parent, graph=False, parameters=inputs[0],
                state="RUNNING" if runs else "CANCELED", fingerprint=fingerprint,
            )  # fmt: skip
        except AlreadyExists as error:
            # The driver takes the refusal for a try of its own before this one, and looks for it by a name that it never had.
            raise DriverFailed(f'failed to lookup existing execution: no execution found ... name="" ({error})') from error
        if fingerprint in self.store.cache:
            earlier = self.store.cache[fingerprint]
            self.store.publish(execution, "CACHED", earlier.outputs, self.store.read_outputs(earlier))
        return execution, runs, inputs

    def _make_fingerprint(self, component: dict, inputs: Inputs) -> str:
        """Returns a task's key in the cache, in which neither the run nor the task's name has a part (driver/cache.go:84)."""
        container, outputs = self.package.container(component), component.get("outputDefinitions", {})
        kinds = {name: entry["parameterType"] for name, entry in outputs.get("parameters", {}).items()}
        artifacts = {name: [artifact.id for artifact in held] for name, held in inputs[1].items()}
        command = [*container.get("command", []), *container.get("args", [])]
        key = [
            self.package.name,
            artifacts,
            inputs[0],
            outputs.get("artifacts", {}),
            kinds,
            container["image"],
            command,
        ]
        return hashlib.sha256(json.dumps([*key, self.package.claims(component)], sort_keys=True).encode()).hexdigest()

    def _resolve(self, task: dict, component: dict, parent: Execution, index: int | None, graph: bool) -> Inputs:
        """Returns a task's inputs (resolve.go:103-409)."""
        given, defined = task.get("inputs", {}), component.get("inputDefinitions", {}).get("parameters", {})
        iterator, unset = task.get("parameterIterator"), set()
        if index is not None:
            values, artifacts = self._resolve_iteration(iterator, parent, index)
        else:
            values = {}
            if graph:
                left = {name: entry for name, entry in defined.items() if name not in given.get("parameters", {})}
                values = {name: entry.get("defaultValue") for name, entry in left.items() if entry.get("isOptional")}
                unset = {name for name, value in values.items() if value is None}
            for name, source in given.get("parameters", {}).items():
                value = self._resolve_parameter(source, parent)
                check_literals(name, defined.get(name, {}).get("literals"), value)
                if value is not None or "componentInputParameter" not in source:
                    values[name] = value
                elif not defined.get(name, {}).get("isOptional"):
                    raise DriverFailed(f"the resolved input parameter is null: {name}")
            artifacts = {name: self._resolve_artifacts(source, parent) for name, source in given.get("artifacts", {}).items()}
        for name, source in given.get("parameters", {}).items():
            if "parameterExpressionSelector" in source:
                if name not in values:
                    raise DriverFailed(f"resolving parameter {name!r}: value not found in inputs")
                values[name] = select(values[name], source["parameterExpressionSelector"])
        skipped = {iterator["itemInput"] if index is None else iterator["items"].get("inputParameter")} if iterator else {}
        for name, entry in defined.items():
            if name in skipped:
                continue
            if name in values:
                if name not in unset:
                    values[name] = check_type(name, entry["parameterType"], values[name])
            elif not entry.get("isOptional") and "defaultValue" not in entry:
                raise DriverFailed(f"neither value nor default value provided for non-optional parameter {name!r}")
        return values, artifacts

    def _resolve_iteration(self, iterator: dict, loop: Execution, index: int) -> Inputs:
        values = dict(loop.parameters)
        items = _list_items(iterator, values)
        values.pop(iterator["items"].get("inputParameter"), None)
        return values | {iterator["itemInput"]: items[index]}, self.store.read_inputs(loop)

    def _resolve_parameter(self, source: dict, parent: Execution) -> Any:
        if "componentInputParameter" in source:
            name = source["componentInputParameter"]
            if name not in parent.parameters:
                raise DriverFailed(f"parent DAG does not have input parameter {name}")
            return parent.parameters[name]
        if "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            return find_parameter(self.store, parent, output["producerTask"], output["outputParameterKey"])
        constant = to_value(source["runtimeValue"]["constant"])
        known = {"{{$.pipeline_job_uuid}}": self.run, "{{$.pipeline_job_name}}": f"{self.package.name} {self.run}"}
        known["{{$.pipeline_job_resource_name}}"] = f"{self.package.name}-{self.run}"
        return known.get(constant, constant) if isinstance(constant, str) else constant

    def _resolve_artifacts(self, source: dict, parent: Execution) -> list[Artifact]:
        if "componentInputArtifact" in source:
            name, held = source["componentInputArtifact"], self.store.read_inputs(parent)
            if name not in held:
                raise DriverFailed(f"parent DAG does not have input artifact {name}")
            return held[name]
        output = source["taskOutputArtifact"]
        return find_artifacts(self.store, parent, output["producerTask"], output["outputArtifactKey"])


def _list_items(iterator: dict, values: dict[str, Any]) -> list:
    """Returns what a loop goes through (driver/util.go:156)."""
    items = iterator["items"]
    held = values.get(items["inputParameter"]) if "inputParameter" in items else items["raw"]
    return to_value(json.loads(held)) if isinstance(held, str) else held
