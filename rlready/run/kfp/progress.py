"""A run in words, each thing once: "SFT of random-256x4: done, 3 of 12"."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from rlready.run.kfp.artifacts import read_outputs
from rlready.run.kfp.nodes import Step, count_iterations, is_uncached, list_steps
from rlready.run.kfp.server import Server
from rlready.runtime.events import FAILED, MEASURED, SKIPPED, TRAINED

PATIENCE = 180  # seconds that a pod may wait until it is said
MEASURING = "measure-candidates"  # the nested pipeline of the first loop; the other loop trains
UNCACHED = "caching is switched off on this server, and RL refuses a checkpoint that does not come from the cache"


class Story:
    """What there is to say of a run.

    Attributes:
        failures: Why stages failed, one line or more for each.
    """

    def __init__(self, server: Server, run: str):
        """Begins with nothing said.

        Args:
            server: Where the run is.
            run: Its id.
        """
        self.server, self.run = server, run
        self.failures: list[str] = []
        self._namespace = ""
        self._begun = time.monotonic()
        self._said: set[Any] = set()
        self._over: Counter = Counter()  # steps that have ended, by stage and loop
        self._listed: dict[str, list[str]] = {}  # candidates in a loop's order, by the head of the line that lists them
        self._names: dict[tuple, str] = {}  # candidates by loop and iteration
        self._ran: set[tuple] = set()  # steps whose pod was seen running
        self._lost: set[tuple] = set()  # steps that lost a pod
        self._waiting: dict[str, float] = {}  # when each pod was first seen to wait

    def tell(self, workflow: dict[str, Any] | None, ended: bool) -> Iterator[str]:
        """Yields a text for everything that is new.

        Args:
            workflow: The run's Argo workflow, as far as there is one.
            ended: Whether nothing more will come.
        """
        steps = list_steps(workflow) if workflow else []
        if workflow and is_uncached(workflow) and self._is_new(UNCACHED):
            yield UNCACHED
        for step in steps:  # a driver says whose iteration it is, unless that comes from the cache
            if step.loop and step.candidate:
                self._names[step.loop, step.index] = step.candidate["candidate_id"]
        self._namespace = workflow["metadata"].get("namespace", "") if workflow else ""
        totals = count_iterations(workflow) if workflow else {}
        for step in steps:
            if what := self._describe(step, ended):
                yield from self._tell_lost(step, what)
                if step.state in ("done", "cached", "failed") and self._is_new((step.stage, step.loop, step.index)):
                    yield from self._tell_end(step, what, totals.get(step.loop))
        if not ended:
            yield from self._tell_waiting(steps)

    def _is_new(self, key: Any) -> bool:
        new = key not in self._said
        self._said.add(key)
        return new

    def _describe(self, step: Step, ended: bool) -> str:
        """Returns what to call a step, as the UI does; empty while it is not known whose it is."""
        if not step.loop:
            return step.title
        listed = self._listed.get(MEASURED if step.loop[0] == MEASURING else TRAINED, [])
        known = listed[step.index] if step.index < len(listed) else ""
        name = self._names.get((step.loop, step.index)) or known or (f"candidate {step.index + 1}" if ended else "")
        return f"{step.title} of {name}" if name else ""

    def _tell_lost(self, step: Step, what: str) -> Iterator[str]:
        """Yields that a pod was lost, which Argo may make again under its name, and where a training went on after that."""
        key = (step.stage, step.loop, step.index)
        if step.state == "waiting" and key in self._ran:
            self._ran.discard(key)
            self._lost.add(key)
            yield f"{what}: pod lost; it is started again"
        if step.attempt and self._is_new((key, step.attempt)):
            self._lost.add(key)
            yield f"{what}: pod lost; attempt {step.attempt + 1}"
        if step.state == "running":
            self._ran.add(key)
            if key in self._lost:
                yield from self._repeat(step, what, self._read_marked(step))

    def _tell_end(self, step: Step, what: str, total: int | None) -> Iterator[str]:
        self._over[step.stage, step.loop] += 1
        place = f", {self._over[step.stage, step.loop]} of {total}" if total else ""
        again = step.stage == "sft" and step.loop[:1] not in ((), (MEASURING,))  # which RL gets from the cache
        if step.state == "failed":
            yield self._tell_failure(step, what)
        elif again:
            if step.state == "done":
                yield f"{what}: made again instead of coming from the cache; RL is going to refuse it"
        elif step.state == "cached":
            yield f"{what}: from the cache{place}"
        else:
            marked = self._read_marked(step)
            # Why a candidate failed, in this step or before it: its pods succeed all the same.
            failed = [line.split(": ", 2)[-1] for line in marked if line.startswith(FAILED)]
            if failed:
                yield f"{what}: failed: {'; '.join(failed)}{place}"
            elif not any(line.startswith(SKIPPED) for line in marked):
                yield f"{what}: done{place}"
            yield from self._repeat(step, what, [line for line in marked if not line.startswith((FAILED, SKIPPED))])

    def _read_marked(self, step: Step) -> list[str]:
        return next((output.marked for output in read_outputs(self.server, self.run, self._namespace, step)), [])

    def _repeat(self, step: Step, what: str, marked: list[str]) -> Iterator[str]:
        """Yields what a stage marked in its output, and notes which candidates it lists."""
        for line in marked:
            for head in (MEASURED, TRAINED):
                if line.startswith(head):
                    self._listed[head] = line.removeprefix(head).split(", ")
            if self._is_new((what, line)):
                yield f"{what}: {line}" if step.loop else line

    def _tell_failure(self, step: Step, what: str) -> str:
        outputs = []
        for output in read_outputs(self.server, self.run, self._namespace, step):
            outputs.append(output)
            if output.reasons:
                break
        reasons = outputs[-1].reasons if outputs else []
        named = [line if line.startswith(step.stage) else f"{what}: {line}" for line in reasons]
        self.failures += named or [f"{what}: {step.message or 'failed'}"]
        why = "; ".join(line.removeprefix(f"{step.stage}: ") for line in reasons) or step.message or "no reason is known"
        end = outputs[0].end if outputs else [f"no log of pod {step.pod} can be had from here"]
        page = self.server.locate(f"runs/details/{self.run}")
        return "\n".join([f"{what}: failed: {why}", *(f"    {line}" for line in (*end, page))])

    def _tell_waiting(self, steps: list[Step]) -> Iterator[str]:
        """Yields a line for pods that have waited for long, together where the reason is one."""
        now = time.monotonic()
        if not steps and now - self._begun > PATIENCE and self._is_new("nothing"):
            yield (
                f"nothing has started for {PATIENCE // 60} minutes; whether Argo has taken the run is seen with:"
                f" kubectl get workflows --all-namespaces -l pipeline/runid={self.run}"
            )
        waiting = {step.pod: step for step in steps if step.state == "waiting"}
        self._waiting = {pod: self._waiting.get(pod, now) for pod in waiting}
        late: dict[str, list[str]] = defaultdict(list)
        for pod, step in waiting.items():
            if now - self._waiting[pod] > PATIENCE and self._is_new(pod):
                late[step.message].append(self._describe(step, ended=True))
        for message, names in late.items():
            why = message or "for a node, its queue, an image or a secret: kubectl describe pod says which"
            yield f"{', '.join(names)}: waiting for more than {PATIENCE // 60} minutes: {why}"
