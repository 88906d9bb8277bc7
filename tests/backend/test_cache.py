"""What a changed parameter costs: the stages that run again, where plan is the real one and KFP's cache has the rest."""

import itertools
import json

import pytest
import yaml
from helpers import CASES
from helpers.rows import make_gsm8k_rows

from backend.server import Run, Server
from backend.stages import Sweep
from rlready.config import list_parameters
from rlready.config.recipes import load_recipe
from rlready.list_machine.problems import generate_rows
from rlready.records.outcome import Candidate
from rlready.records.serialization import to_json
from rlready.stages.plan.plan import make_plan

CASES = yaml.safe_load((CASES / "cache.yaml").read_text())["cases"]


class Planned(Sweep):
    """Fake stages after a plan that is none: RL runs for every candidate with weights, where there is RL."""

    def __init__(self, parameters: dict):
        self.planned = make_plan(parameters)
        super().__init__([candidate.candidate_id for candidate in self.planned.candidates])
        trainable = [candidate.candidate_id for candidate in self.planned.candidates if candidate.has_weights]
        self.approved = self.finalists = trainable if self.planned.trains else []

    def plan(self, given: dict) -> dict:
        """Hands out what the plan says, as the stage does."""
        items = [to_json(candidate) for candidate in self.planned.measured]
        told = {"candidates": items, "baseline": to_json(self.planned.baseline), "parameters": "", "summary": ""}
        return told | self.planned.settings


def list_rerun(run: Run, before: list[Candidate]) -> set[str]:
    """Returns the stages whose process was started for the base model or for a candidate that was there before."""
    known, found = {candidate.candidate_id for candidate in before}, set()
    for task in run.tasks.values():
        given = task.inputs[0].get("candidate")
        if task.attempts and (not given or json.loads(given)["candidate_id"] in known):
            found.add("baseline" if task.place == ("benchmark",) else task.stage)
    return found - {"plan", "gate", "race", "report"}


@pytest.fixture(scope="module")
def places(tiny_model, tmp_path_factory):
    """Returns what the cases name in braces."""
    folder = tmp_path_factory.mktemp("places")
    rows = make_gsm8k_rows(2500)
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = [row["question"] for row in itertools.islice(generate_rows("evaluation", 0), 200)]
    for name, correct in {"log": 1, "changed": 2}.items():
        counts = [{"problem": question, "question": question, "correct": correct, "samples": 64} for question in questions]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in counts))
    files = {path.stem: str(path) for path in folder.iterdir()}
    return {"tiny": str(tiny_model), "folder": str(folder)} | files


def fill(value, places):
    if isinstance(value, dict):
        return {key: fill(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, places) for item in value]
    return places.get(value[1:-1], value) if isinstance(value, str) and value[:1] == "{" else value


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_changed_parameter_runs_again_what_reads_it_and_what_follows(case, request, places):
    pipeline = request.getfixturevalue("raced" if "race_steps" in case["base"] else "pipeline")
    base, server = load_recipe("laptop", []) | fill(case["base"], places), Server()
    first = Planned(base)
    run = server.run(pipeline, first.make_stages())
    assert (run.state, run.list_reasons()) == ("Succeeded", [])
    assert list_rerun(server.run(pipeline, first.make_stages()), first.planned.measured) == set()
    found, expected = {}, {name: set(change["reruns"]) for name, change in case["changes"].items()}
    for name, change in case["changes"].items():
        value = fill(change["to"], places)
        assert base[name] != value, name
        again = server.run(pipeline, Planned(base | {name: value}).make_stages())
        assert (again.state, again.list_reasons()) == ("Succeeded", []), name
        found[name] = list_rerun(again, first.planned.measured)
    assert found == expected


@pytest.mark.parametrize(
    ("items", "base", "approved"),
    [
        ([{"measured": "{log}"}, {"measured": "{changed}"}], "", []),
        ([{"measured": "{log}", "model": "{tiny}"}, {"measured": "{changed}"}], "{tiny}", ["log"]),
        ([{"measured": "{log}"}, {"epochs": 1}], "{tiny}", ["random-256x1-lr0.001-s0"]),
    ],
    ids=["alone", "with weights", "beside a trained one"],
)
def test_logs_go_through_the_same_stages_and_come_from_the_cache(items, base, approved, pipeline, places):
    changes = {"sweep_candidates": items, "base_model": base, "base_measured": "{log}", "gate_audit_fraction": 0.0}
    server, sweep = Server(), Planned(load_recipe("laptop", []) | fill(changes, places))
    run = server.run(pipeline, sweep.make_stages())
    assert (run.state, run.list_reasons()) == ("Succeeded", [])
    assert sweep.list_told() == (["no-sft-s0", *sweep.candidates], approved)
    assert run.list_ran().count("predictors") == len(items) + 1 and run.list_ran().count("rl") == len(approved)
    again = server.run(pipeline, sweep.make_stages())
    assert sorted(again.list_ran()) == ["gate", "plan", "report"] and sweep.list_told()[1] == approved


def test_the_table_has_every_parameter():
    assert {name for case in CASES for name in case["changes"]} == list_parameters().keys()
