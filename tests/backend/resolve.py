"""Where a task's inputs come from (driver/resolve.go)."""

from typing import Any

from backend.store import Artifact, Execution, Store
from backend.values import DriverFailed, Panic


def list_tasks(store: Store, graph: Execution) -> dict[str, Execution]:
    """Returns everything that was started in a graph and below it, by names made unique (client.go:983-1077)."""
    found: dict[str, Execution] = {}
    for execution in store.list_children(graph):
        index = graph.index if execution.index is None else execution.index
        name = _name(execution.task, graph, index)
        if name in found:
            raise DriverFailed(f"two tasks have the same task name {name!r}")
        found[name] = execution
    for execution in [*found.values()]:
        if execution.graph:
            found |= list_tasks(store, execution)
    return found


def _name(task: str, graph: Execution, index: int | None = None) -> str:
    return f"{task}_{graph.id}" if index is None else f"{task}_{graph.id}_idx_{index}"


def find_parameter(store: Store, graph: Execution, producer: str, key: str) -> Any:
    """Returns an output parameter of another task of a graph, through nested graphs and loops (resolve.go:563-690)."""
    tasks, name = list_tasks(store, graph), _name(producer, graph, graph.index)
    if name not in tasks:
        raise DriverFailed(f"producer task, {name}, not in tasks")
    current = tasks[name]
    while current.graph:
        if current.parameter_outputs is None:
            raise DriverFailed(f"task, {current.task}, does not have a parameter_producer_task custom property")
        if _count_iterations(current):
            return [found.outputs.get(key) for found, key in _collect(tasks, name, key, False)]
        name, key = _find_producer(current, tasks, name, key, False)
        current = _step(tasks, name)
    return current.outputs.get(key)


def find_artifacts(store: Store, graph: Execution, producer: str, key: str) -> list[Artifact]:
    """Returns an output artifact of another task of a graph, all of them where it is a loop (resolve.go:692-806)."""
    tasks, name = list_tasks(store, graph), _name(producer, graph, graph.index)
    if name not in tasks:
        raise DriverFailed(f"cannot find producer task {name!r}")
    current = tasks[name]
    while current.graph:
        if _count_iterations(current):
            return [_read(store, found, key) for found, key in _collect(tasks, name, key, True)]
        name, key = _find_producer(current, tasks, name, key, True)
        current = _step(tasks, name)
    return [_read(store, current, key)]


def _read(store: Store, execution: Execution, key: str) -> Artifact:
    outputs = store.read_outputs(execution)
    if key not in outputs:
        raise DriverFailed(f'unable to parse input artifact id from "": {execution.task} has no {key}')
    return outputs[key]


def _step(tasks: dict[str, Execution], name: str) -> Execution:
    # Here the consumer of an empty loop ends: its iterations were never started.
    if name not in tasks:
        raise DriverFailed(f"subTaskName, {name}, not in tasks")
    return tasks[name]


def _count_iterations(task: Execution) -> int:
    """Returns how many iterations a loop has, or the loop that an iteration is of (resolve.go:1168-1180)."""
    count = task.count if task.count is not None else task.parent.count
    return count or 0


def _collect(tasks: dict[str, Execution], loop: str, key: str, artifact: bool) -> list[tuple[Execution, str]]:
    """Returns the containers that put out a loop's values, and under which key (resolve.go:860-996).

    All iterations are walked level by level with one output key between them. Where the tasks of one level have different
    names, as the two branches of a condition have, the key that is looked up is another branch's.
    """
    found, queue, sub = [], [loop], ""
    working = before = key
    name_before = tasks[loop].task
    while queue:
        current = tasks.get(queue.pop(0))
        if current is None:
            raise Panic("resolve.go:944")
        if current.task == name_before:
            working = before
        name_before, before = current.task, working
        sub, working = _find_producer(current, tasks, sub, working, artifact)
        if not current.graph:
            found.append((current, working))
        elif current.count is None:
            queue.append(sub if current.index is None else f"{sub}_idx_{current.index}")
        else:
            queue += [_name(current.task, current, index) for index in range(current.count)]
    return found


def _find_producer(graph: Execution, tasks: dict[str, Execution], name: str, key: str, artifact: bool) -> tuple[str, str]:
    """Returns which task of a graph puts out what the graph does, and under which key (resolve.go:1030-1154)."""
    outputs = graph.artifact_outputs if artifact else graph.parameter_outputs
    if outputs is None:
        return name, key
    if key not in outputs:
        if artifact:
            raise DriverFailed(f"artifact output key {key!r} not found in parent task {graph.task!r}")
        raise Panic("resolve.go:1106")
    given = outputs[key]
    if artifact:
        selectors, kind = given["artifactSelectors"], "outputArtifactKey"
    elif "valueFromOneof" in given:
        selectors, kind = given["valueFromOneof"]["parameterSelectors"], "outputParameterKey"
    else:
        selectors, kind = [given["valueFromParameter"]], "outputParameterKey"
    if len(selectors) == 1 and "valueFromOneof" not in given:
        return _name(selectors[0]["producerSubtask"], graph), selectors[0][kind]
    for selector in selectors:
        branch = _name(selector["producerSubtask"], graph)
        if branch in tasks and tasks[branch].state in ("CACHED", "COMPLETE"):
            return branch, selector[kind]
    raise DriverFailed(f"processing OneOf: No successful task found for output key {key!r} in parent task {graph.task!r}")
