"""The launcher: runs a task's stage in its pod and publishes what became of it (component/launcher_v2.go)."""

from collections.abc import Callable
from typing import Any

from backend.driver import Inputs
from backend.store import Artifact, Execution, Store
from backend.values import to_value

Stage = Callable[[dict[str, Any]], dict[str, Any] | None]


class Exit(Exception):
    """A fake stage's process ends with an error, as it does when it raises."""


class PodLost(Exception):
    """A fake stage's pod is lost: evicted, its node gone, or its executor failed."""


def launch(store: Store, execution: Execution, component: dict, stage: Stage, inputs: Inputs) -> None:
    """Runs a stage, records its outputs and brings the graphs around it up to date.

    Args:
        store: The server's memory.
        execution: The task.
        component: What its inputs and outputs are.
        stage: Takes the inputs by name: values, artifacts, and lists of artifacts. Returns the outputs by name: values, and
            whatever is to be the content of an artifact.
        inputs: Parameters and artifacts, from the driver.

    Raises:
        Exit: If the stage ended with an error; the task has failed then.
        PodLost: If its pod was lost; then nobody records anything.
    """
    try:
        outputs = stage(_hand_over(component, inputs)) or {}
        parameters, artifacts = _take(store, component, outputs)
    except Exit:
        store.publish(execution, "FAILED", {}, {})
        update_states(store, execution.parent)
        raise
    store.publish(execution, "COMPLETE", parameters, artifacts)
    if execution.fingerprint:
        store.cache[execution.fingerprint] = execution
    update_states(store, execution.parent)


def _hand_over(component: dict, inputs: Inputs) -> dict[str, Any]:
    defined = component.get("inputDefinitions", {})
    kinds = {name: entry["parameterType"] for name, entry in defined.get("parameters", {}).items()}
    lists = {name for name, entry in defined.get("artifacts", {}).items() if entry.get("isArtifactList")}
    given = {name: int(value) if kinds.get(name) == "NUMBER_INTEGER" else value for name, value in inputs[0].items()}
    return given | {name: held if name in lists else held[0] for name, held in inputs[1].items()}


def _take(store: Store, component: dict, outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Artifact]]:
    defined = component.get("outputDefinitions", {})
    missing = {name for part in ("parameters", "artifacts") for name in defined.get(part, {})} ^ set(outputs)
    if missing:
        raise Exit(f"outputs that are not declared, or not there: {sorted(missing)}")
    artifacts = {
        name: store.create_artifact(name, entry["artifactType"]["schemaTitle"], outputs[name])
        for name, entry in defined.get("artifacts", {}).items()
    }
    return {name: to_value(outputs[name]) for name in defined.get("parameters", {})}, artifacts


def update_states(store: Store, graph: Execution) -> None:
    """Completes or fails a graph and those around it, as far as their tasks say (metadata/client.go:800-878).

    Only a launcher does this. A graph of which every task came from the cache is never complete.
    """
    expected = graph.tasks if graph.count is None else graph.count
    if not expected and graph.count is None:
        return  # the root
    states = [task.state for task in store.list_children(graph)]
    if sum(state in ("COMPLETE", "CACHED", "CANCELED") for state in states) == expected:
        graph.state = "COMPLETE"
    elif "FAILED" in states:
        graph.state = "FAILED"
    else:
        return
    update_states(store, graph.parent)
