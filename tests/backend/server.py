"""KFP's server: what a test starts runs on, asks about them and retries."""

from collections.abc import Callable
from typing import Any

from backend.argo import Task, Walk
from backend.driver import Driver
from backend.launcher import Stage
from backend.package import Package
from backend.size import WorkflowSize, weigh
from backend.store import Artifact, Store
from backend.workflow import Course, Place, Workflow


class Server:
    """A server with its memory: runs on it share executions, artifacts and the cache."""

    def __init__(self, caching: bool = True):
        self.store, self._caching, self._runs = Store(), caching, 0

    def run(
        self,
        package: Package,
        stages: dict[str, Stage],
        parameters: dict[str, Any] | None = None,
        seconds: Callable[[str, dict], float] = lambda stage, inputs: 1.0,
    ) -> "Run":
        """Runs a package to its end.

        Args:
            package: What runs.
            stages: Fake stages, by the name of their function: inputs to outputs, both by name.
            parameters: The pipeline's; the rest have their defaults.
            seconds: How long a stage works, by its function and parameters: what decides which task ends first.

        Raises:
            ValueError: If a parameter is unknown: the API server makes no such run.
        """
        if unknown := (parameters or {}).keys() - package.spec["root"].get("inputDefinitions", {}).get("parameters", {}):
            raise ValueError(f"unrecognized input parameters: {', '.join(sorted(unknown))}")
        self._runs += 1
        return Run(self.store, package, stages, parameters or {}, seconds, f"run-{self._runs}", self._caching)


class Run:
    """A run that has ended.

    Attributes:
        id: Its id.
        state: Succeeded or Failed.
        tasks: Everything that was to run, by its place.
        nodes: Argo's nodes.
        seconds: How long it took, with nothing to wait for but its own tasks.
    """

    def __init__(self, store, package, stages, parameters, seconds, run, caching):
        self.id, self.store, self._package, self._parameters = run, store, package, parameters
        self._stages, self._seconds = stages, seconds
        self._driver, self._kept = Driver(store, package, run, caching), {}
        self._walk()

    def _walk(self) -> None:
        walk = Walk(self._package, self.store, self._driver, self._stages, self._kept, self._seconds)
        self.state = walk.run(self._parameters)
        self.tasks, self.nodes, self.seconds = walk.tasks, walk.nodes, walk.clock.now

    def retry(self, stages: dict[str, Stage] | None = None) -> None:
        """Retries what failed and what was omitted, as the button of KFP does.

        Args:
            stages: New fakes for some stages.
        """
        self._stages = self._stages | (stages or {})
        self._walk()

    def list_tasks(self, stage: str) -> list[Task]:
        """Returns the tasks of one stage whose condition held and whose needs were met."""
        return [task for task in self.tasks.values() if task.stage == stage and task.execution is not None]

    def list_ran(self) -> list[str]:
        """Returns the stages of the tasks whose process was started, in the order of their places."""
        return [task.stage for task in self.tasks.values() if task.attempts]

    def list_reasons(self) -> list[str]:
        """Returns why the tasks that failed did, without the graphs that failed with them."""
        return [f"{'/'.join(map(str, task.place))}: {task.reason}" for task in self.tasks.values() if task.reason]

    def read_outputs(self, task: Task) -> dict[str, Artifact]:
        """Returns a task's output artifacts."""
        return self.store.read_outputs(task.execution)

    def weigh(self) -> WorkflowSize:
        """Returns how large the workflow of this run is."""
        return weigh(self.write_workflow(), self._package.defaults() | self._parameters)

    def write_workflow(self) -> Workflow:
        """Returns the workflow of this run with its nodes."""
        workflow = Workflow(self._package.spec, self._package.kubernetes, self._tell)
        workflow.write_nodes(self._package.defaults() | self._parameters)
        return workflow

    def _tell(self, place: Place) -> Course:
        task = self.tasks[place]
        return Course(
            runs=task.state != "Skipped",
            cached=task.cached,
            iterations=task.execution.count if task.execution else None,
            parameters=task.inputs[0],
            artifacts={name: [artifact.id for artifact in held] for name, held in task.inputs[1].items()},
        )
