"""A run in words, each thing once: "SFT of random-256x4: done, 3 of 12"."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from rlready.components.config import InputError, parse_parameters
from rlready.components.core.records import CANDIDATE_STAGES
from rlready.components.plan.sweep import expand_sweep
from rlready.pipelines.cluster.artifacts import read_artifact, read_log
from rlready.pipelines.cluster.server import Server
from rlready.pipelines.cluster.steps import Step, count_iterations, is_uncached, list_steps

PATIENCE = 180  # seconds that a pod may wait until it is said
BASELINE = "the base model"
MEASURING = "measure-candidates"  # the nested pipeline in which candidates without SFT are the base model
UNCACHED = "caching is switched off on this server, and RL refuses a checkpoint that does not come from the cache"


class Story:
    """What there is to say of a run.

    Attributes:
        failures: A line for every stage that failed.
    """

    def __init__(self, server: Server, run: str):
        """Begins with nothing said.

        Args:
            server: Where the run is.
            run: Its id.
        """
        self.server, self.run = server, run
        self.failures: list[str] = []
        self._begun = time.monotonic()
        self._said: set[Any] = set()
        self._over: Counter = Counter()  # steps that have ended, by stage and loop
        self._names: dict[tuple, str] = {}  # candidates by loop and iteration
        self._waiting: dict[str, float] = {}  # when each pod was first seen to wait

    def tell(self, run: Any, workflow: dict[str, Any] | None, ended: bool) -> Iterator[str]:
        """Yields a text for everything that is new.

        Args:
            run: The run as the API tells it.
            workflow: Its Argo workflow, as far as there is one.
            ended: Whether nothing more will come.
        """
        steps = list_steps(workflow) if workflow else []
        if workflow and is_uncached(workflow) and self._is_new(UNCACHED):
            yield UNCACHED
        self._learn_names(steps, run)
        for step in steps:
            what = self._describe(step, ended)
            if what and step.attempt and self._is_new((what, step.attempt)):
                yield f"{what}: its pod was lost; try {step.attempt + 1}"
            if (
                what
                and step.state in ("done", "cached", "failed")
                and self._is_new((step.stage, step.loop, step.index))
            ):
                yield from self._tell_end(step, what, workflow)
        if not ended:
            yield from self._tell_waiting(steps)

    def _is_new(self, key: Any) -> bool:
        new = key not in self._said
        self._said.add(key)
        return new

    def _learn_names(self, steps: list[Step], run: Any) -> None:
        """Notes whose iterations these are: drivers say it of what is not from the cache, plan's order of the first loop."""
        for step in steps:
            if step.loop and (candidate := step.candidate):
                whole = candidate["epochs"] or candidate.get("checkpoint")
                baseline = step.loop[0] == MEASURING and not whole
                self._names[step.loop, step.index] = BASELINE if baseline else candidate["candidate_id"]
            elif step.loop and step.loop[0] == MEASURING and (step.loop, step.index) not in self._names:
                planned = self._list_planned(run)
                if step.index < len(planned):
                    self._names[step.loop, step.index] = planned[step.index]

    def _list_planned(self, run: Any) -> list[str]:
        """Returns what the first loop goes over, in its order, as the parameters say."""
        try:
            candidates = expand_sweep(parse_parameters(run.runtime_config.parameters).sweep)
        except (AttributeError, InputError):
            return []  # of another version, or of another pipeline
        if any(candidate.checkpoint for candidate in candidates):
            return []  # which of them are one model, and measured once, only plan knows
        return [BASELINE, *(candidate.candidate_id for candidate in candidates if candidate.epochs)]

    def _describe(self, step: Step, ended: bool) -> str:
        """Returns what to call a step; empty while it is not known whose it is."""
        title = step.stage.upper() if step.stage in ("sft", "rl") else step.stage.capitalize()
        if not step.loop:
            return f"{title} of {BASELINE}" if step.stage in CANDIDATE_STAGES else title
        unknown = f"candidate {step.index + 1}" if ended else None
        name = self._names.get((step.loop, step.index), unknown)
        return f"{title} of {name}" if name else ""

    def _tell_end(self, step: Step, what: str, workflow: dict[str, Any]) -> Iterator[str]:
        self._over[step.stage, step.loop] += 1
        total = count_iterations(workflow).get(step.loop)
        place = f", {self._over[step.stage, step.loop]} of {total}" if total else ""
        again = not self._is_new(what)  # the SFT of an approved candidate, which RL gets from the cache
        if step.state == "failed":
            yield self._tell_failure(step, what, workflow)
        elif again:
            if step.state == "done":
                yield f"{what}: made again instead of coming from the cache; RL is going to refuse it"
        elif step.state == "cached":
            yield f"{what}: from the cache{place}"
        else:
            # Why a candidate failed, in this step or before it: its pods succeed all the same.
            held = self._read(step, "outcome") if step.stage in CANDIDATE_STAGES else None
            failure = held.get("failure") if held else None
            if not failure:
                yield f"{what}: done{place}"
                if step.stage == "rl" and held and (stopped := (held.get("rl") or {}).get("stopped")):
                    yield f"{what}: had {stopped}"
            elif failure["stage"] == step.stage:
                yield f"{what}: failed: {failure['reason']}{place}"
            yield from self._tell_verdicts(step)

    def _tell_verdicts(self, step: Step) -> Iterator[str]:
        held = self._read(step, "judged") if step.stage == "gate" else None
        for outcome in held["outcomes"] if held else ():
            verdict = outcome["verdict"]
            yield f"{verdict['candidate_id']}: {verdict['decision']}: {verdict['reason']}"

    def _read(self, step: Step, name: str) -> dict[str, Any] | None:
        held = read_artifact(self.server, step.find_output(name))
        try:
            return json.loads(held) if held else None
        except ValueError:
            return None  # a page that says that it is not there

    def _tell_failure(self, step: Step, what: str, workflow: dict[str, Any]) -> str:
        self.failures.append(f"{what}: {step.message or 'failed'}")
        log = read_log(self.server, self.run, workflow["metadata"].get("namespace", ""), step)
        lines = [f"    {line}" for line in log] or [f"    no log of pod {step.pod} can be had from here"]
        lines.append(f"    {self.server.locate(f'runs/details/{self.run}')}")
        return "\n".join([f"{what}: failed; the end of its log:", *lines])

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
