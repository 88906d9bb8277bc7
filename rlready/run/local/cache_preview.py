"""Preview of what `rlready run` would take from the cache: looks up the pipeline's stages by kfp.local's keys."""

import json
from pathlib import Path
from typing import Any

from rlready.analysis.sweep_result import list_items
from rlready.config import read_settings
from rlready.gate.decide import decide
from rlready.placement.images import name_source
from rlready.records.outcome import BEFORE_RL, CANDIDATE_STAGES, STAGE_NAMES, Outcome, SftRecord
from rlready.records.serialization import read_records, to_json
from rlready.run.local import storage
from rlready.stages.gate.stage import arrange
from rlready.stages.plan.plan import Plan


class CachePreview:
    """The stages that a run without containers needs, as (stage, candidate): `cached` in a work folder, or `missing`."""

    def __init__(self, work: Path, plan: Plan):
        self.plan = plan
        self.cached: set[tuple[str, str]] = set()
        self.missing: set[tuple[str, str]] = set()
        self.certain = True  # whether it is known which candidates go on to RL; otherwise all count
        if not (work / storage.CACHE).is_dir():
            return
        from kfp.local.cache import LocalCache

        from rlready.pipelines.experiment import experiment

        self.cache = LocalCache(str(work / storage.CACHE))
        self.executors = experiment.pipeline_spec.deployment_spec["executors"]
        data = self._find("curate").get("data")
        self._find("benchmark", to_json(plan.baseline), data=data)
        measured: list[Any] = []
        for candidate in map(to_json, plan.measured):
            measured.append(self._find("predictors", candidate, **self._find_tuned(candidate, data)).get("predictors_record"))
        judged = self._find("gate", measured=None if None in measured else measured)
        for item in judged["approved"] if judged else self._judge(measured):
            candidate, which = item["candidate"], item["digest"].rpartition("/")[0]
            tuned = self._find_tuned(candidate, data)
            given = {"measured_digest": item["digest"], **tuned}
            trained = self._find("rl", candidate, which, **given)
            if plan.races:  # it may go on
                self.certain = False
                legs = {"before": trained.get("rl_record"), "probe": trained.get("rl_model")}
                trained = self._find("rl", candidate, which, **given | legs)
            scored = {"model": trained.get("rl_model"), "before": trained.get("rl_record"), "start": tuned["model"]}
            self._find("benchmark", candidate, which, data=data, **scored)

    def _find_tuned(self, candidate: str, data: Any) -> dict[str, Any]:
        """Returns the inputs of a stage that follows SFT."""
        tuned = self._find("sft", candidate, data=data)
        return {"data": data, "model": tuned.get("model"), "before": tuned.get("sft_record")}

    def _find(self, stage: str, candidate: str = "", which: str = "", **inputs: Any) -> dict[str, Any]:
        """Returns the outputs of a stage, none if one of its inputs is missing; `which` is a training's checkpoint."""
        container = self.executors[f"exec-{stage}"]["container"]
        inputs |= {"settings": self.plan.settings[stage]} | ({"candidate": candidate} if candidate else {})
        key = self.cache.compute_key("", name_source(stage), [*container["command"], *container["args"]], inputs)
        outputs = None if None in inputs.values() else self.cache.get(key)
        if stage in self.plan.estimate:  # without RL, the benchmark has nothing to do
            (self.missing if outputs is None else self.cached).add((stage, json.loads(candidate)["candidate_id"] + which))
        return outputs or {}

    def _judge(self, measured: list[Any]) -> list[dict[str, str]]:
        """Returns the candidates that go on to RL: as the gate decides if all are measured, otherwise all."""
        plan = self.plan
        outcomes = [outcome for artifact in measured if artifact for outcome in read_records(Outcome, artifact.path)]
        if None not in measured:
            given = read_settings(plan.settings["gate"])
            baseline, outcomes = arrange(outcomes, given)
            verdicts = decide(outcomes, baseline, given.gate, given.trains)  # the run audits other candidates, but as many
            return list_items(outcome for outcome, verdict in zip(outcomes, verdicts, strict=True) if verdict.proceed)
        self.certain, known = False, {outcome.candidate.candidate_id: outcome for outcome in outcomes if outcome.sft}
        unknown = SftRecord([])
        return list_items(known.get(c.candidate_id, Outcome(c, unknown)) for c in plan.candidates if plan.trains)

    def describe(self) -> str:
        """Returns a line on what is cached and what is left; empty if nothing is cached."""
        if not self.cached:
            return ""
        counts = []
        for stage in CANDIDATE_STAGES:
            found, lacking = (sum(s == stage for s, _ in part) for part in (self.cached, self.missing))
            counts += [f"{found} of {found + lacking} {STAGE_NAMES[stage]}"] if found + lacking else []
        idle = {("sft", c.candidate_id) for c in self.plan.measured if not c.epochs}
        several = {(s, c.candidate_id): len(c.kept_epochs or [0]) for c in self.plan.measured for s in BEFORE_RL}
        seconds = (self.plan.estimate[stage]["seconds"] * several.get((stage, name), 1) for stage, name in self.missing - idle)
        minutes = int(sum(seconds) / 60)  # of one core
        left = f"about {minutes:,} core-minutes are left" if minutes else "less than one core-minute is left"
        rest = left if self.missing else "nothing is left"
        return f"{', '.join(counts)}: {rest}{'' if self.certain else ', if every candidate goes on to RL'}"
