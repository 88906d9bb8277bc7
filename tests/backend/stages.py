"""Fake stages of the project's pipeline: they do nothing but hand on, under the names that the components declare."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from backend.launcher import Exit, Stage

BASELINE = "no-sft"
# About as long, and as hard to compress, as what plan puts out for the laptop recipe.
WORDS = "gradient_checkpointing processes memory_fraction tensor_parallel max_tokens replicas zero_stage lora_rank engine stop"
SETTINGS = {
    stage: json.dumps({stage: {word: len(stage) * n for n, word in enumerate(WORDS.split())}, "base_model": "abc" * 20})
    for stage in ("curate", "sft", "predictors", "gate", "race", "rl", "benchmark")
}


def write_candidate(name: str, attempt: int = 1, finished: bool = False) -> str:
    """Returns a loop item as plan writes it, of a setting or of a finished checkpoint."""
    if finished:
        model = {"location": f"org/{name}", "revision": "0" * 40, "digest": "0" * 40}
        item = {"attempt": attempt, "candidate_id": name, "checkpoint": model, "epochs": 0, "seed": 0, "subset": ""}
        return json.dumps(item, sort_keys=True)
    setting = {"epochs": 0 if name == BASELINE else 4, "examples": 256, "learning_rate": 0.001, "seed": 0}
    return json.dumps({"attempt": attempt, "candidate_id": name, **setting, "subset": "random"}, sort_keys=True)


@dataclass
class Sweep:
    """What is to happen in a run: how many candidates, and which of them how.

    Attributes:
        candidates: Their names, without the base model's.
        approved: Which of them the gate lets through.
        failing: Stages in which a candidate fails, without its process failing: {candidate: stage}.
        threshold: Any text; another one is another setting of the gate.
        attempts: Number of the try of a candidate, where it is not the first.
        finished: Which of them are finished checkpoints.
        base: Whether there is a base model.
        finalists: Who goes on after the race, if the pipeline has one.
        told: What the reports of runs with this sweep got.
    """

    candidates: list[str]
    approved: list[str] = field(default_factory=list)
    failing: dict[str, str] = field(default_factory=dict)
    threshold: str = "0.5"
    attempts: dict[str, int] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)
    base: bool = True
    finalists: list[str] = field(default_factory=list)
    told: list[dict] = field(default_factory=list)

    def make_stages(self) -> dict[str, Stage]:
        """Returns the stages by the name of their function."""
        stages = (self.plan, self.curate, self.sft, self.predictors, self.gate, self.rl, self.race, self.benchmark, self.report)
        return {stage.__name__: stage for stage in stages}

    def plan(self, given: dict[str, Any]) -> dict[str, Any]:
        """Plans: the base model first, then every candidate."""
        names = [BASELINE] * self.base + self.candidates
        items = [write_candidate(name, self.attempts.get(name, 1), name in self.finished) for name in names]
        settings = SETTINGS | {"gate": json.dumps({"threshold": self.threshold})}
        parameters = json.dumps({name: value for name, value in given.items()}, sort_keys=True)
        return {"candidates": items, "baseline": items[0], "parameters": parameters, "plan": "", **settings}

    def curate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Prepares data."""
        return {"data": "data", "data_card": ""}

    def sft(self, given: dict[str, Any]) -> dict[str, Any]:
        """Fine-tunes a candidate."""
        return {"model": given["candidate"], "sft_record": self._add("sft", given, {})}

    def predictors(self, given: dict[str, Any]) -> dict[str, Any]:
        """Measures a candidate."""
        return {
            "predictors_record": self._add("predictors", given, given["before"].content),
            "metrics": "",
            "samples": "",
        }

    def gate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Judges all of them."""
        outcomes = [artifact.content for artifact in given["measured"]]
        approved = [
            {"candidate": outcome["candidate"], "digest": hashlib.sha256(outcome["candidate"].encode()).hexdigest()}
            for outcome in outcomes
            if _name(outcome["candidate"]) in self.approved and "failed" not in outcome
        ]
        return {"approved": approved, "records": outcomes, "verdicts": ""}

    def rl(self, given: dict[str, Any]) -> dict[str, Any]:
        """Trains a candidate; the model has to be its own, and the one that was judged, and so has a paused training."""
        if given["measured_digest"] != hashlib.sha256(given["model"].content.encode()).hexdigest():
            raise Exit("not the model that the gate judged")
        if "probe" in given and given["probe"].content != given["model"].content:
            raise Exit("not the training that was paused")
        return {"rl_model": given["model"].content, "rl_record": self._add("rl", given, given["before"].content)}

    def race(self, given: dict[str, Any]) -> dict[str, Any]:
        """Lets those go on whose training has not failed."""
        outcomes = {artifact.content["candidate"]: artifact.content for artifact in given["probed"]}
        finalists = [
            {"candidate": name, "digest": hashlib.sha256(name.encode()).hexdigest()}
            for name, outcome in outcomes.items()
            if _name(name) in self.finalists and "failed" not in outcome
        ]
        records = [outcomes.get(outcome["candidate"], outcome) for outcome in given["judged"].content]
        return {"finalists": finalists, "records": records, "verdicts": ""}

    def benchmark(self, given: dict[str, Any]) -> dict[str, Any]:
        """Scores a candidate, or the base model."""
        before = given["before"].content if "before" in given else {}
        return {"benchmark_record": self._add("benchmark", given, before), "metrics": "", "samples": ""}

    def report(self, given: dict[str, Any]) -> dict[str, Any]:
        """Notes what it was given."""
        results = [artifact.content for artifact in given.get("results", [])]
        self.told.append({"judged": given["judged"].content, "results": results, "baseline": given["baseline"].content})
        return {"report": "", "summary": "", "records": "", "verdicts_json": ""}

    def _add(self, stage: str, given: dict[str, Any], before: dict) -> dict:
        failed = self.failing.get(_name(given["candidate"])) == stage
        outcome = before | {"candidate": given["candidate"], "after": [*before.get("after", []), stage]}
        return outcome | ({"failed": stage} if failed else {})

    def list_told(self) -> tuple[list[str], list[str]]:
        """Returns the candidates that the last report heard of, and those of which it got results."""
        told = self.told[-1]
        return [_name(o["candidate"]) for o in told["judged"]], [_name(o["candidate"]) for o in told["results"]]


def _name(candidate: str) -> str:
    return json.loads(candidate)["candidate_id"]
