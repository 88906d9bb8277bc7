"""Argo: which task of a run starts when, what becomes of it, and how many nodes that leaves (workflow/controller)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from backend.clock import Clock, Process, Routine
from backend.driver import Driver
from backend.launcher import Exit, PodLost, Stage, launch
from backend.package import Package
from backend.store import Execution, Store
from backend.values import DriverFailed
from backend.workflow import Place, sort_tasks

POD = 5.0  # seconds that a pod costs beside its work
RETRIES = 2  # KFP's ConfigMap: retryStrategy {limit: 2, retryPolicy: OnError} for every template


@dataclass
class Task:
    """What became of one task, graph, loop or iteration of a run.

    Attributes:
        place: Names of the tasks from the root down; an iteration is its number.
        stage: Name of a container's function; empty for anything else.
        state: Succeeded, Failed, Skipped (its condition does not hold) or Omitted (what it needs did not succeed).
        execution: As MLMD knows it; None if its driver never ran or failed.
        inputs: Parameters and artifacts, of a container.
        cached: Whether its outputs came from the cache.
        attempts: How often its process was started, in this walk.
        started: Second at which its process started.
        ended: Second at which it ended.
        reason: Why it failed.
    """

    place: Place
    stage: str = ""
    state: str = "Omitted"
    execution: Execution | None = None
    inputs: tuple[dict[str, Any], dict[str, list]] = field(default_factory=lambda: ({}, {}))
    cached: bool = False
    attempts: int = 0
    started: float = 0.0
    ended: float = 0.0
    reason: str = ""


@dataclass
class Walk:
    """One way through a workflow: the run itself, or a retry of it.

    Attributes:
        package: What runs.
        store: The server's memory.
        driver: The run's drivers.
        stages: Fake stages by the name of their function.
        kept: What an earlier walk of this run has done already: KFP's Retry starts again only what failed.
        seconds: How long a stage works, by its function and inputs.
    """

    package: Package
    store: Store
    driver: Driver
    stages: dict[str, Stage]
    kept: dict[tuple, Any]
    seconds: Callable[[str, dict], float]

    def __post_init__(self):
        self.clock, self.tasks, self.nodes = Clock(), {}, 0

    def run(self, parameters: dict[str, Any]) -> str:
        """Returns the state in which the run ends."""
        self.nodes += 6  # the entry, the root's driver, the root
        root = self._once(("root",), lambda: self.driver.drive_root(parameters))
        return self.clock.run(self._run_graph(self.package.spec["root"], root, ()))

    def _once(self, key: tuple, act: Callable[[], Any]) -> Any:
        if key not in self.kept:
            self.kept[key] = act()
        return self.kept[key]

    def _run_graph(self, component: dict, graph: Execution, place: Place) -> Routine:
        """Starts every task after those that it needs; one that fails stops only what needs it (controller/dag.go:134-228)."""
        processes: dict[str, Process] = {}
        for name, task, needed in sort_tasks(component["dag"]["tasks"]):
            waits = [processes[other] for other in needed]
            processes[name] = self.clock.start(self._run_after(name, task, waits, graph, (*place, name)))
        yield list(processes.values())
        states = [process.result for process in processes.values()]
        return "Failed" if "Failed" in states else "Succeeded"

    def _run_after(self, name: str, task: dict, waits: list[Process], graph: Execution, place: Place) -> Routine:
        component = self.package.components[task["componentRef"]["name"]]
        entry = self.tasks[place] = Task(place, "" if "dag" in component else self.package.stage(component))
        yield waits
        if any(process.result != "Succeeded" for process in waits):
            # KFP's `depends` asks for success, and a skipped task has none (argocompiler/dag.go:714-726).
            self.nodes += 1 if "parameterIterator" in task else 2
            return "Omitted"
        if "parameterIterator" in task:
            routine = self._run_loop(name, task, graph, entry)
        elif "dag" in component:
            routine = self._run_nested(name, task, graph, entry)
        else:
            routine = self._run_container(name, task, component, graph, entry)
        entry.state = yield from routine
        return entry.state

    def _drive(self, entry: Task, key: str, act: Callable[[], Any]) -> Routine:
        """Runs a driver's pod, two nodes; returns None where it failed, and what it was for is omitted."""
        self.nodes += 2
        yield POD
        try:
            return self._once((entry.place, key), act)
        except DriverFailed as error:
            entry.reason = f"driver: {error}"
            self.nodes += 1
            return None

    def _run_nested(self, name: str, task: dict, parent: Execution, entry: Task, index: int | None = None) -> Routine:
        driven = yield from self._drive(entry, "driver", lambda: self.driver.drive_graph(name, task, parent, index))
        if driven is None:
            return "Failed"
        entry.execution, runs = driven
        self.nodes += 2 if runs else 1
        if not runs:
            return "Skipped"
        component = self.package.components[task["componentRef"]["name"]]
        return (yield from self._run_graph(component, entry.execution, entry.place))

    def _run_loop(self, name: str, task: dict, parent: Execution, entry: Task) -> Routine:
        """Runs a loop's iterations, each a template around a nested graph: six nodes, not four."""
        self.nodes += 2
        driven = yield from self._drive(entry, "driver", lambda: self.driver.drive_graph(name, task, parent))
        if driven is None:
            return "Failed"
        entry.execution, runs = driven
        self.nodes += 1
        count = entry.execution.count if runs else 0
        iterations = iter(range(count))
        limit = task.get("iteratorPolicy", {}).get("parallelismLimit") or count
        workers = [self.clock.start(self._run_some(iterations, name, task, entry)) for _ in range(min(limit, count))]
        yield workers
        return "Failed" if any("Failed" in worker.result for worker in workers) else "Succeeded"

    def _run_some(self, iterations: Iterator[int], name: str, task: dict, loop: Task) -> Routine:
        states = []
        for index in iterations:
            self.nodes += 2
            entry = self.tasks[(*loop.place, index)] = Task((*loop.place, index))
            entry.state = yield from self._run_nested(name, task, loop.execution, entry, index)
            states.append(entry.state)
        return states

    def _run_container(self, name: str, task: dict, component: dict, graph: Execution, entry: Task) -> Routine:
        driven = yield from self._drive(entry, "driver", lambda: self.driver.drive_container(name, task, graph))
        if driven is None:
            return "Failed"
        entry.execution, runs, entry.inputs = driven
        entry.cached = entry.execution.state == "CACHED"
        self.nodes += 3 if runs else 1  # the executor's template and, skipped or tried, what is in it
        if not runs or entry.cached:
            return "Succeeded" if runs else "Skipped"
        if (entry.place, "done") in self.kept:
            self.nodes += 1
            return "Succeeded"
        entry.started = self.clock.now
        state = yield from self._run_pods(task, component, entry)
        entry.ended = self.clock.now
        return state

    def _run_pods(self, task: dict, component: dict, entry: Task) -> Routine:
        """Runs a task's pod, again where it was lost.

        The task's own retries are merged into the default, whose policy stays: an exit code is never tried again. That
        graphs are tried again too, where all tries of a pod were lost, is not in this model.
        """
        limit = int(task.get("retryPolicy", {}).get("maxRetryCount", RETRIES))
        for _ in range(limit + 1):
            self.nodes += 1
            entry.attempts += 1
            yield POD + self.seconds(entry.stage, entry.inputs[0])
            try:
                launch(self.store, entry.execution, component, self.stages[entry.stage], entry.inputs)
            except Exit as error:
                entry.reason = f"{entry.stage}: {error}"
                return "Failed"
            except PodLost:
                continue
            self.kept[entry.place, "done"] = True
            return "Succeeded"
        entry.reason = f"{entry.stage}: pod lost {entry.attempts} times"
        return "Failed"
