"""Follows a run on a KFP server to its end, as lines that are each printed once: "SFT of random-256x4: done, 3 of 12"."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from rlready.analysis.sweep_result import SweepResult, parse_sweep
from rlready.errors import InputError
from rlready.run.kfp.nodes import StageNode, count_iterations, is_uncached, list_stage_nodes, read_artifact, read_outputs
from rlready.run.kfp.runs import FINAL, UNCACHED, get_run, list_faults, read_workflow, was_stopped
from rlready.run.kfp.server import CallFailed, Server
from rlready.runtime.events import FAILED, FINALISTS, MEASURED, SKIPPED, TRAINED

LOST = 12  # failed requests in a row after which a run is no longer followed
PATIENCE = 180  # seconds that a pod may wait before a line says so
MEASURING, PROBING = "measure-candidates", "probe-approved"  # nested pipelines of loops; another one trains


def follow(server: Server, run: str, pause: float = 5) -> Iterator[str]:
    """Yields one text per event of a run, asking every `pause` seconds; raises InputError unless it ends successfully."""
    progress, lost, seen, page = RunProgress(server, run), 0, False, server.locate(f"runs/details/{run}")
    while True:
        begun = time.monotonic()
        try:
            now, workflow = get_run(server, run), read_workflow(server, run)
            lost, seen = 0, True
        except CallFailed as error:
            lost += 1
            if error.status == 404 and not seen:
                raise InputError(f"{server.host}: no run {run}; expected its id or its address in the UI") from error
            if lost == LOST or error.status == 403:
                raise InputError(f"{error}\nthe run continues: {page}") from error
            time.sleep(pause)
            continue
        ended, stopped = now.state in FINAL, was_stopped(now, workflow)
        if not stopped:
            yield from progress.tell(workflow, ended)
        if ended:
            break
        # Less often if the answer takes long: the workflow of a large run is megabytes.
        time.sleep(max(pause, 5 * (time.monotonic() - begun)))
    if stopped:
        raise InputError("the run was terminated")
    if now.state != "SUCCEEDED":
        said = [now.error.message] if now.error and now.error.message else []
        reasons = "\n".join(progress.failures or list_faults(workflow or {}) or said)
        raise InputError(f"the run ended as {now.state.lower()}: {reasons or page}")


def read_result(server: Server, run: str) -> SweepResult | None:
    """Returns the result in a run's report, None if the server does not serve it; raises InputError if it is unreadable."""
    workflow = read_workflow(server, run)
    nodes = list_stage_nodes(workflow) if workflow else []
    node = next((node for node in nodes if node.stage == "report" and node.given), None)
    held = read_artifact(server, node.find_output("records")) if node else None
    return None if held is None else parse_sweep(f"report of run {run}", held)


class RunProgress:
    """The progress of a run."""

    def __init__(self, server: Server, run: str):
        self.server, self.run = server, run
        self.failures: list[str] = []  # why stages failed, at least one line each
        self._namespace = ""
        self._begun = time.monotonic()
        self._said: set[Any] = set()
        self._over: Counter = Counter()  # nodes that have ended, by title and loop
        self._listed: dict[str, list[str]] = {}  # candidates in a loop's order, by the head of the line that lists them
        self._names: dict[tuple, str] = {}  # candidates by loop and iteration
        self._ran: set[tuple] = set()  # nodes whose pod was seen running
        self._lost: set[tuple] = set()  # nodes that lost a pod
        self._races = False  # whether the run has a race
        self._waiting: dict[str, float] = {}  # when each pod was first seen to wait

    def tell(self, workflow: dict[str, Any] | None, ended: bool) -> Iterator[str]:
        """Yields a text for everything new in a run's Argo workflow, if there is one; if `ended`, nothing follows."""
        nodes, totals = (list_stage_nodes(workflow), count_iterations(workflow)) if workflow else ([], {})
        if workflow and is_uncached(workflow) and self._is_new(UNCACHED):
            yield UNCACHED
        for node in nodes:  # a driver knows its candidate, unless the stage comes from the cache
            if node.loop and node.candidate:
                self._names[node.loop, node.index] = node.candidate["candidate_id"]
        self._namespace = workflow["metadata"].get("namespace", "") if workflow else ""
        self._races = any(node.stage == "race" for node in nodes)
        for node in nodes:
            if what := self._describe(node, ended):
                yield from self._tell_lost(node, what)
                if node.state in ("done", "cached", "failed") and self._is_new((node.title, node.loop, node.index)):
                    yield from self._tell_end(node, what, totals.get(node.loop))
        if not ended:
            yield from self._tell_waiting(nodes)

    def _is_new(self, key: Any) -> bool:
        new = key not in self._said
        self._said.add(key)
        return new

    def _describe(self, node: StageNode, ended: bool) -> str:
        """Returns the name of a stage, as in the UI; empty while its candidate is unknown."""
        if node.index is None:
            return node.title
        head = {MEASURING: MEASURED, PROBING: TRAINED}.get(str(node.loop[0]), FINALISTS if self._races else TRAINED)
        known = self._names.get((node.loop, node.index)) or dict(enumerate(self._listed.get(head, ()))).get(node.index)
        name = known or (f"candidate {node.index + 1}" if ended else "")
        return f"{node.title} of {name}" if name else ""

    def _tell_lost(self, node: StageNode, what: str) -> Iterator[str]:
        """Yields that a pod was lost, which Argo may restart under the same name, and where training resumed."""
        key = (node.title, node.loop, node.index)
        if node.state == "waiting" and key in self._ran:
            self._ran.discard(key)
            self._lost.add(key)
            yield f"{what}: pod lost; restarting it"
        if node.attempt and self._is_new((key, node.attempt)):
            self._lost.add(key)
            yield f"{what}: pod lost; attempt {node.attempt + 1}"
        if node.state == "running":
            self._ran.add(key)
            if key in self._lost:
                yield from self._repeat(node, what, self._read_marked(node))

    def _tell_end(self, node: StageNode, what: str, total: int | None) -> Iterator[str]:
        self._over[node.title, node.loop] += 1
        place = f", {self._over[node.title, node.loop]} of {total}" if total else ""
        if node.state == "failed":
            yield self._tell_failure(node, what)
        elif node.title.endswith("(cached)"):
            if node.state == "done":
                refused = "; RL will refuse it" if node.stage == "sft" else ""
                yield f"{what}: computed again instead of coming from the cache{refused}"
        elif node.state == "cached":
            yield f"{what}: from the cache{place}"
        else:
            marked = self._read_marked(node)
            # Why a candidate failed, here or in an earlier stage: its pods succeed anyway.
            failed = [line.split(": ", 2)[-1] for line in marked if line.startswith(FAILED)]
            if failed:
                yield f"{what}: failed: {'; '.join(failed)}{place}"
            elif not any(line.startswith(SKIPPED) for line in marked):
                yield f"{what}: done{place}"
            yield from self._repeat(node, what, [line for line in marked if not line.startswith((FAILED, SKIPPED))])

    def _read_marked(self, node: StageNode) -> list[str]:
        return next((output.marked for output in read_outputs(self.server, self.run, self._namespace, node)), [])

    def _repeat(self, node: StageNode, what: str, marked: list[str]) -> Iterator[str]:
        """Yields the lines that a stage marked in its output, and notes the candidates that it lists."""
        for line in marked:
            for head in (MEASURED, TRAINED, FINALISTS):
                if line.startswith(head):
                    self._listed[head] = line.removeprefix(head).split(", ")
            if self._is_new((what, line)):
                yield f"{what}: {line}" if node.loop else line

    def _tell_failure(self, node: StageNode, what: str) -> str:
        outputs = []
        for output in read_outputs(self.server, self.run, self._namespace, node):
            outputs.append(output)
            if output.reasons:
                break
        reasons = outputs[-1].reasons if outputs else []
        named = [line if line.startswith(node.stage) else f"{what}: {line}" for line in reasons]
        self.failures += named or [f"{what}: {node.message or 'failed'}"]
        why = "; ".join(line.removeprefix(f"{node.stage}: ") for line in reasons) or node.message or "no reason is known"
        end = outputs[0].end if outputs else [f"the log of pod {node.pod} is not available"]
        page = self.server.locate(f"runs/details/{self.run}")
        return "\n".join([f"{what}: failed: {why}", *(f"    {line}" for line in (*end, page))])

    def _tell_waiting(self, nodes: list[StageNode]) -> Iterator[str]:
        """Yields a line for pods that have been waiting long, one per reason."""
        now = time.monotonic()
        if not nodes and now - self._begun > PATIENCE and self._is_new("nothing"):
            look = f"kubectl get workflows --all-namespaces -l pipeline/runid={self.run}"
            yield f"nothing has started for {PATIENCE // 60} minutes; to see whether Argo has accepted the run: {look}"
        waiting = {node.pod: node for node in nodes if node.state == "waiting"}
        self._waiting = {pod: self._waiting.get(pod, now) for pod in waiting}
        late: dict[str, list[str]] = defaultdict(list)
        for pod, node in waiting.items():
            if now - self._waiting[pod] > PATIENCE and self._is_new(pod):
                late[node.message].append(self._describe(node, ended=True))
        for message, names in late.items():
            why = message or "for a node, its queue, an image or a secret; kubectl describe pod shows which"
            yield f"{', '.join(names)}: waiting for more than {PATIENCE // 60} minutes: {why}"
