"""The launcher: runs a task's stage in its pod and publishes what became of it (component/launcher_v2.go)."""

from collections.abc import Callable
from typing import Any

from backend.driver import Inputs
from backend.outputs import Produced, Refused, keep_metadata, pass_on, read_output, sketch
from backend.store import Artifact, Execution, Store

Stage = Callable[[dict[str, Any]], Produced | dict[str, Any] | None]


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
        stage: Takes the inputs by name: values, artifacts, and lists of artifacts. Returns what its process left behind,
            or a sketch of it: the outputs by name, values, and whatever is to be the content of an artifact.
        inputs: Parameters and artifacts, from the driver.

    Raises:
        Exit: If the stage ended with an error, or what it put out was refused; the task has failed then.
        PodLost: If its pod was lost; then nobody records anything.
    """
    try:
        produced = stage(_hand_over(component, inputs)) or {}
        produced = produced if isinstance(produced, Produced) else sketch(component, produced)
        parameters, artifacts = _take(store, component, produced)
    except (Exit, Refused) as error:
        # Of a task that failed only the log is kept (launcher_v2.go:787), and nothing in the cache.
        store.publish(execution, "FAILED", {}, {})
        update_states(store, execution.parent)
        raise Exit(str(error)) from error
    store.publish(execution, "COMPLETE", parameters, artifacts)
    if execution.fingerprint:
        store.cache[execution.fingerprint] = execution
    update_states(store, execution.parent)


def _hand_over(component: dict, inputs: Inputs) -> dict[str, Any]:
    defined = component.get("inputDefinitions", {})
    kinds = {name: entry["parameterType"] for name, entry in defined.get("parameters", {}).items()}
    lists = {name for name, entry in defined.get("artifacts", {}).items() if entry.get("isArtifactList")}
    artifacts = {
        name: {"artifacts": [{"name": str(one.id), "uri": one.uri, "metadata": one.metadata} for one in held]}
        for name, held in inputs[1].items()
    }
    values = pass_on({"inputs": {"parameterValues": inputs[0], "artifacts": artifacts}})["inputs"]["parameterValues"]
    given = {name: int(value) if kinds.get(name) == "NUMBER_INTEGER" else value for name, value in values.items()}
    return given | {name: held if name in lists else held[0] for name, held in inputs[1].items()}


def _take(store: Store, component: dict, produced: Produced) -> tuple[dict[str, Any], dict[str, Artifact]]:
    """Returns what is recorded of a task's outputs: no type is looked at, and what is not declared is a parameter too."""
    defined = component.get("outputDefinitions", {})
    parameters, metadata = read_output(produced.text)
    for name in defined.get("parameters", {}).keys() - parameters:
        # Python's components write no file of a parameter's own, where the launcher looks next (launcher_v2.go:502).
        raise Refused(f'failed to read output parameter name="{name}": no such file or directory')
    # One without a file is recorded all the same (launcher_v2.go:826), one that is not declared is not (launcher_v2.go:794).
    artifacts = {
        name: store.create_artifact(
            name,
            entry["artifactType"]["schemaTitle"],
            produced.contents.get(name),
            keep_metadata(name, metadata.get(name, {})),
        )
        for name, entry in defined.get("artifacts", {}).items()
    }
    return parameters, artifacts


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
