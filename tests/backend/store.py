"""What outlives a task: executions, artifacts and the events between them in MLMD, and the server's cache."""

from dataclasses import dataclass, field
from typing import Any


class AlreadyExists(Exception):
    """MLMD refuses a second event of one artifact, execution and type."""


@dataclass
class Artifact:
    """What a stage put out.

    Attributes:
        id: MLMD's number; a cached task puts out the same.
        key: Name of the output that it came from.
        schema: Type, e.g. system.Model.
        content: What the stage wrote, or a fake one returned; None if there is no file.
        metadata: As a later task reads it.
    """

    id: int
    key: str
    schema: str
    content: Any
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """Where it lies, with as many characters as on a server."""
        return f"minio://mlpipeline/v2/artifacts/rlready/{self.id:036}/{self.key}/{self.id:036}/{self.key}"


@dataclass
class Execution:
    """A task, graph or iteration as MLMD knows it.

    Attributes:
        id: MLMD's number.
        run: Id of the run.
        task: Name of the task in its graph; a loop and its iterations share one.
        parent: The graph that it belongs to; None for the root.
        graph: Whether it is a graph and not a container.
        parameters: Its inputs.
        state: RUNNING, COMPLETE, CACHED, CANCELED (its condition did not hold) or FAILED.
        index: Which iteration it is.
        count: How many iterations a loop has.
        tasks: How many tasks a graph has; 0 for the root.
        parameter_outputs: Where a graph's output parameters come from; None if it has none.
        artifact_outputs: Where its output artifacts come from; None if it has none.
        outputs: A container's output parameters.
        fingerprint: Key of its cache entry.
    """

    id: int
    run: str
    task: str
    parent: "Execution | None"
    graph: bool
    parameters: dict[str, Any]
    state: str = "RUNNING"
    index: int | None = None
    count: int | None = None
    tasks: int = 0
    parameter_outputs: dict[str, dict] | None = None
    artifact_outputs: dict[str, dict] | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


class Store:
    """A server's memory over all its runs."""

    def __init__(self):
        self.executions: list[Execution] = []
        self.artifacts: dict[int, Artifact] = {}
        self.cache: dict[str, Execution] = {}
        self._events: dict[tuple[int, str], dict[int, str]] = {}
        self._children: dict[int, list[Execution]] = {}

    def create_execution(self, inputs: dict[str, list[Artifact]], **properties: Any) -> Execution:
        """Adds an execution with its inputs (metadata/client.go:638-776).

        Raises:
            AlreadyExists: If one artifact comes twice, under one name or two; then nothing is added.
        """
        execution = Execution(id=len(self.executions) + 1, **properties)
        events: dict[int, str] = {}
        for name, artifacts in inputs.items():
            for artifact in artifacts:
                if artifact.id in events:
                    raise AlreadyExists(f"artifact {artifact.id} as {events[artifact.id]} and as {name}")
                events[artifact.id] = name
        self._events[execution.id, "INPUT"] = events
        self.executions.append(execution)
        if execution.parent:
            self._children.setdefault(execution.parent.id, []).append(execution)
        return execution

    def create_artifact(self, key: str, schema: str, content: Any, metadata: dict[str, Any]) -> Artifact:
        """Adds an artifact."""
        artifact = Artifact(len(self.artifacts) + 1, key, schema, content, metadata)
        self.artifacts[artifact.id] = artifact
        return artifact

    def publish(self, execution: Execution, state: str, outputs: dict[str, Any], artifacts: dict[str, Artifact]) -> None:
        """Records how a task ended and what it put out."""
        execution.state, execution.outputs = state, outputs
        self._events[execution.id, "OUTPUT"] = {artifact.id: name for name, artifact in artifacts.items()}

    def list_children(self, graph: Execution) -> list[Execution]:
        """Returns what was started in a graph."""
        return self._children.get(graph.id, [])

    def read_inputs(self, execution: Execution) -> dict[str, list[Artifact]]:
        """Returns an execution's input artifacts, one a name: of a list only the last is left (client.go:1150-1192)."""
        return {name: [self.artifacts[number]] for number, name in sorted(self._events[execution.id, "INPUT"].items())}

    def read_outputs(self, execution: Execution) -> dict[str, Artifact]:
        """Returns an execution's output artifacts by their name."""
        events = self._events.get((execution.id, "OUTPUT"), {})
        return {name: self.artifacts[number] for number, name in events.items()}
