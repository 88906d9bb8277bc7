"""Preview of what `rlready run` would take from the cache of a work folder, without running anything.

kfp.local itself walks the pipeline. A task whose result is in the cache returns it; any other returns placeholders, which no
cache holds, so neither does it hold what depends on them. Plan's outputs come from the plan at hand, and the gate decides
once everything is measured.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from rlready.config import fold_parameters, read_settings
from rlready.gate.decide import decide
from rlready.placement.images import name_source
from rlready.records.outcome import CANDIDATE_STAGES, STAGE_NAMES, Outcome
from rlready.records.serialization import read_record, to_json
from rlready.run.local import storage
from rlready.stages.gate.stage import arrange
from rlready.stages.plan.plan import Plan


@dataclass
class CachePreview:
    """The stages of candidates that a run needs.

    Attributes:
        cached: Those in the cache, as (stage, candidate).
        missing: Those to compute.
        certain: Whether it is known which candidates go on to RL; otherwise all count.
    """

    cached: set[tuple[str, str]] = field(default_factory=set)
    missing: set[tuple[str, str]] = field(default_factory=set)
    certain: bool = True

    def estimate_rest(self, plan: Plan) -> float:
        """Returns the core-seconds of what is to compute."""
        idle = {("sft", c.candidate_id) for c in plan.measured if not c.epochs}
        # Where no RL follows, the benchmark is asked for and does nothing.
        return sum(plan.estimate[stage]["seconds"] for stage, _ in self.missing - idle if stage in plan.estimate)

    def describe(self, plan: Plan) -> str:
        """Returns a line on what is cached and what is left; empty if nothing is cached."""
        if not self.cached:
            return ""
        counts = []
        for stage in CANDIDATE_STAGES:
            found, lacking = (sum(s == stage for s, _ in part) for part in (self.cached, self.missing))
            counts += [f"{found} of {found + lacking} {STAGE_NAMES[stage]}"] if found + lacking else []
        minutes = int(self.estimate_rest(plan) / 60)
        left = f"about {minutes:,} core-minutes are left" if minutes else "less than one core-minute is left"
        rest = left if self.missing else "nothing is left"
        return f"{', '.join(counts)}: {rest}{'' if self.certain else ', if every candidate goes on to RL'}"


def preview_cache(work: Path, plan: Plan, parameters: dict, image: str | None = None) -> CachePreview:
    """Returns which stages a run would take from the cache.

    Args:
        work: Folder for runs, cache and tracking.
        plan: The plan of the run.
        parameters: Every parameter by its flat name.
        image: Of the stages, if they run in containers.
    """
    found = CachePreview()
    if not (work / storage.CACHE).is_dir():
        return found
    from kfp.local import status, utils
    from kfp.local.orchestrator import enhanced_dag_orchestrator

    from rlready.pipelines.experiment import experiment

    spec = experiment.pipeline_spec
    executors = {name: utils.struct_to_executor_spec(executor) for name, executor in spec.deployment_spec["executors"].items()}
    failed: list[str] = []
    with _answered_by(_Answers(work, plan, parameters, image, found)):
        _, ended = enhanced_dag_orchestrator.run_enhanced_dag(
            pipeline_resource_name="",
            dag_component_spec=spec.root,
            executors=executors,
            components=dict(spec.components.items()),
            dag_arguments=fold_parameters(parameters),
            pipeline_root="",
            runner=None,
            unique_pipeline_id="",
            fail_stack=failed,
        )
    if ended != status.Status.SUCCESS:  # kfp.local has logged why; an error in one task of a loop ends there
        raise RuntimeError(f"the pipeline could not be gone through: {', '.join(failed)}")
    return found


@contextlib.contextmanager
def _answered_by(answers: "_Answers") -> Iterator[None]:
    """Has kfp.local look up the outputs of a task instead of running it; it has no public way for that."""
    from kfp.local.orchestrator import task_executor

    run = task_executor.execute_single_task
    task_executor.execute_single_task = answers.execute
    try:
        yield
    finally:
        task_executor.execute_single_task = run


class _Answers:
    def __init__(self, work: Path, plan: Plan, parameters: dict, image: str | None, found: CachePreview):
        from kfp.local.cache import LocalCache

        self.cache, self.lock = LocalCache(str(work / storage.CACHE)), Lock()
        self.plan, self.parameters, self.image, self.found = plan, parameters, image, found

    def execute(self, task_spec, components, executors, io_store, **_) -> tuple[dict[str, Any], Any]:
        """Returns a task's outputs, in place of kfp's `execute_single_task`."""
        from kfp.local import status
        from kfp.local.orchestrator.orchestrator_utils import OrchestratorUtils

        component = components[task_spec.component_ref.name]
        stage, container = task_spec.component_ref.name.split("-")[1], executors[component.executor_label].container
        arguments = OrchestratorUtils.make_task_arguments(task_inputs_spec=task_spec.inputs, io_store=io_store)
        outputs = None
        if task_spec.caching_options.enable_cache:
            key = self.cache.compute_key(
                component_name="",
                image=self.image or name_source(stage),
                full_command=[*container.command, *container.args],
                arguments=arguments,
                env_vars={},
            )
            outputs = self.cache.get(key)
            if stage in self.plan.estimate:  # without RL the benchmark has nothing to do
                needed = stage, json.loads(arguments["candidate"])["candidate_id"]
                with self.lock:
                    (self.found.missing if outputs is None else self.found.cached).add(needed)
        return (self._make_placeholders(stage, component, arguments) if outputs is None else outputs), status.Status.SUCCESS

    def _make_placeholders(self, stage: str, component, arguments: dict) -> dict[str, Any]:
        from kfp import dsl

        names = component.output_definitions.artifacts
        outputs = {name: dsl.Artifact(name=name, uri="not made yet") for name in names}
        if stage == "plan":
            outputs |= self.plan.settings | {
                "candidates": [to_json(candidate) for candidate in self.plan.measured],
                "baseline": to_json(self.plan.baseline),
                "parameters": json.dumps(self.parameters, sort_keys=True),
            }
        if stage == "gate":
            approved = self._judge(arguments)
            outputs |= {"anyone": "yes" if approved else "no", "approved": approved}
        return outputs

    def _judge(self, arguments: dict) -> list[dict[str, str]]:
        """Returns the candidates that go on to RL: as the gate decides if everything is measured, else all."""
        paths = [Path(artifact.path) for artifact in arguments["measured"]]
        outcomes = [read_record(Outcome, path) for path in paths if path.is_file()]
        if len(outcomes) == len(paths):
            given = read_settings(arguments["settings"])
            baseline, outcomes = arrange(outcomes, given)
            verdicts = decide(outcomes, baseline, given.gate, given.trains)  # the run draws others, but as many
            going = [o.candidate for o, verdict in zip(outcomes, verdicts, strict=True) if verdict.proceed]
        else:
            self.found.certain, going = False, self.plan.candidates if self.plan.trains else []
        digests = {o.candidate.candidate_id: o.sft.model_digest for o in outcomes if o.sft}
        return [{"candidate": to_json(c), "digest": digests.get(c.candidate_id, "")} for c in going]
