"""Checkpoints of one training as candidates: the same pipeline, with trainings as the items of its loops."""

import hashlib
import json
from typing import Any

import pytest

from backend.server import Run, Server
from backend.stages import BASELINE, Sweep, write_candidate

TRAININGS = ["a", "b"]
CHECKPOINTS = ["a-1", "a-4", "b-1", "b-4"]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def name(candidate: str) -> str:
    return json.loads(candidate)["candidate_id"]


class Trainings(Sweep):
    """Fake stages of trainings with two checkpoints each, as rlready/training/epochs.py has them."""

    def __init__(self, approved: list[str], failing: dict[str, str] | None = None, **more: Any):
        super().__init__(TRAININGS, approved, failing or {}, **more)

    def sft(self, given: dict[str, Any]) -> dict[str, Any]:
        training, failed = name(given["candidate"]), self.failing.get(name(given["candidate"])) == "sft"
        names = [training] if training == BASELINE else [f"{training}-1", f"{training}-4"]
        records = [{"training": given["candidate"], "candidate": write_candidate(one)} for one in names]
        return {"model": given["candidate"], "sft_record": [one | ({"failed": "sft"} if failed else {}) for one in records]}

    def predictors(self, given: dict[str, Any]) -> dict[str, Any]:
        measured = [self._add("predictors", one, one) for one in given["before"].content]
        return {"predictors_record": measured, "metrics": "", "samples": ""}

    def gate(self, given: dict[str, Any]) -> dict[str, Any]:
        outcomes = [outcome for artifact in given["measured"] for outcome in artifact.content]
        approved = self._list_items(outcomes, self.approved)
        return {"approved": approved, "records": outcomes, "verdicts": ""}

    def _list_items(self, outcomes: list[dict], names: list[str]) -> list[dict[str, str]]:
        chosen = [one for one in outcomes if name(one["candidate"]) in names and "failed" not in one]
        return [{"candidate": o["training"], "digest": f"{name(o['candidate'])}/{digest(o['training'])}"} for o in chosen]

    def rl(self, given: dict[str, Any]) -> dict[str, Any]:
        which, _, judged = given["measured_digest"].partition("/")
        records = [given["before"].content] if "probe" in given else given["before"].content
        (before,) = [one for one in records if name(one["candidate"]) == which]
        assert judged == digest(given["model"].content)
        return {"rl_model": which, "rl_record": self._add("rl", before, before)}

    def race(self, given: dict[str, Any]) -> dict[str, Any]:
        outcomes = {artifact.content["candidate"]: artifact.content for artifact in given["probed"]}
        records = [outcomes.get(outcome["candidate"], outcome) for outcome in given["judged"].content]
        finalists = self._list_items([*outcomes.values()], self.finalists)
        return {"finalists": finalists, "records": records, "verdicts": ""}

    def benchmark(self, given: dict[str, Any]) -> dict[str, Any]:
        before = given["before"].content if "before" in given else given
        return {"benchmark_record": self._add("benchmark", before, before), "metrics": "", "samples": ""}


def check(run: Run, sweep: Trainings, results: list[str]) -> None:
    assert (run.state, run.list_reasons()) == ("Succeeded", [])
    assert sweep.list_told() == ([BASELINE, *CHECKPOINTS], results)


@pytest.mark.parametrize(
    "approved",
    [CHECKPOINTS, ["a-1", "b-4"], ["a-1", "a-4"], [BASELINE, "a-4"], []],
    ids=["all", "mixed", "one training", "baseline", "none"],
)
def test_a_training_runs_once_whatever_becomes_of_its_checkpoints_also_from_the_cache(pipeline, approved):
    server, sweep = Server(), Trainings(approved)
    run = server.run(pipeline, sweep.make_stages())
    check(run, sweep, approved)
    assert (run.list_ran().count("sft"), run.list_ran().count("rl")) == (1 + len(TRAININGS), len(approved))
    assert sorted(server.run(pipeline, sweep.make_stages()).list_ran()) == ["gate", "plan", "report"]


def test_a_training_that_fails_takes_its_checkpoints_with_it_and_no_other(pipeline):
    sweep = Trainings(CHECKPOINTS, {"a": "sft"})
    check(Server().run(pipeline, sweep.make_stages()), sweep, ["b-1", "b-4"])
    failed = [name(outcome["candidate"]) for outcome in sweep.told[-1]["judged"] if outcome.get("failed") == "sft"]
    assert failed == ["a-1", "a-4"]


def test_checkpoints_of_one_training_race_each_other(raced):
    server, sweep = Server(), Trainings(["a-1", "a-4", "b-4"], finalists=["a-4"])
    run = server.run(raced, sweep.make_stages())
    check(run, sweep, ["a-4"])
    assert (run.list_ran().count("sft"), run.list_ran().count("rl")) == (1 + len(TRAININGS), 3 + 1)
    assert sorted(server.run(raced, sweep.make_stages()).list_ran()) == ["gate", "plan", "race", "report"]
