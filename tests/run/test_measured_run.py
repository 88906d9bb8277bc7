"""Candidates that logs have measured, through kfp.local: alone without torch, and beside a trained one through RL."""

import json
import os

import pytest
import yaml
from helpers import logs
from helpers.runs import list_started, run

QUESTIONS = [f"{'rsdx'[n % 4]}:ab{'cdefgh'[n % 6]}" for n in range(6)]
NOTE = """
import atexit, os, sys
def note():
    with open(os.environ["NOTED"], "a") as file:
        file.write(f"{'torch' in sys.modules} {' '.join(sys.argv)}\\n")
atexit.register(note)
"""


def write_log(path, correct, samples=4):
    rows = [{"problem": q, "question": q, "correct": c, "samples": samples} for q, c in zip(QUESTIONS, correct, strict=True)]
    return logs.write_jsonl(path, rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    write_log(folder / "low.jsonl", [0, 1, 0, 1, 0, 0])
    write_log(folder / "high.jsonl", [4, 3, 2, 4, 3, 4])
    return folder


@pytest.fixture(scope="module")
def alone(folder):
    given = {"base_model": "", "gate_k": 4, "gate_min_pass_at_k": 0.9}
    given |= {"sweep_candidates": [{"measured": "low.jsonl"}, {"measured": "high.jsonl"}]}
    (folder / "alone.yaml").write_text(yaml.safe_dump({"parameters": given}))
    return folder / "alone.yaml"


def read(folder):
    found = json.loads((folder / "outcomes.json").read_text())["outcomes"]
    return {outcome["candidate"]["candidate_id"]: outcome for outcome in found}


def test_logs_alone_are_judged_without_torch_and_again_only_if_they_change(alone, folder, monkeypatch):
    work = folder / "alone"
    (folder / "sitecustomize.py").write_text(NOTE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("NOTED", str(folder / "noted"))
    output, _, events, where = run(alone, work)
    noted = (folder / "noted").read_text().splitlines()
    assert len(noted) >= 6 and not [line for line in noted if line.startswith("True")], noted
    first = read(where)
    assert {name: outcome["verdict"]["decision"] for name, outcome in first.items()} == {"low": "rejected", "high": "approved"}
    assert not first["high"]["verdict"]["proceed"] and first["high"]["links"]["tool"] == "plain"
    assert "rlready record --log high=LOG" in output and "rlready record --log high=LOG" in (where / "report.html").read_text()
    assert json.loads((where / "verdicts.json").read_text())["approved"] == ["high"]
    assert {stage for stage, _ in list_started(events)} == {
        "plan", "curate", "sft", "predictors", "gate", "benchmark", "report"
    }  # fmt: skip
    write_log(folder / "low.jsonl", [4, 4, 4, 4, 4, 3])
    _, _, events, where = run(alone, work, "--set", "gate_min_pass_at_k=1")
    assert {(stage, name) for stage, name in list_started(events) if name} == {
        ("sft", "low"), ("predictors", "low"), ("benchmark", "low")
    }  # fmt: skip
    assert read(where)["high"] != first["high"] and read(where)["low"]["verdict"]["decision"] == "approved"


def test_none_approved_ends_with_a_report(alone, folder):
    output, _, _, where = run(alone, folder / "alone", "--set", "gate_min_pass_at_k=1", "--set", "gate_k=1", status=4)
    assert "approved none of 2 candidates" in output and json.loads((where / "verdicts.json").read_text())["approved"] == []


@pytest.fixture(scope="module")
def mixed(recipe, tiny_model, folder):
    rows = [{"question": question, "answer": question[-3:]} for question in QUESTIONS]
    logs.write_jsonl(folder / "problems.jsonl", rows)
    given = yaml.safe_load(recipe.read_text())["parameters"]
    given |= {"curate_predictor_data": "problems.jsonl", "curate_predictor_problems": 6, "gate_min_pass_at_k": 0.5}
    given |= {"gate_min_pass_at_k_over_base": None, "gate_max_generalization_loss": None}
    weights = {"measured": "high.jsonl", "model": str(tiny_model), "name": "weights"}
    trained = [{"epochs": epochs, "learning_rate": 1e-6} for epochs in (1, 2)]
    given["sweep_candidates"] = [weights, {"measured": "high.jsonl", "name": "elsewhere"}, *trained]
    given["sweep_checkpoints"] = "every-epoch"
    (folder / "mixed.yaml").write_text(yaml.safe_dump({"parameters": given}))
    return folder / "mixed.yaml"


def test_beside_the_epochs_of_a_training_rl_runs_for_the_approved_with_weights(mixed, folder):
    output, _, events, where = run(mixed, folder / "mixed")
    found = read(where)
    for name in found.keys() - {"weights", "elsewhere"}:
        assert found[name]["predictors"]["problem_ids"] == found["weights"]["predictors"]["problem_ids"]
    assert [(o["verdict"]["decision"], o["verdict"]["proceed"]) for o in found.values()] == [
        ("approved", True), ("approved", False), *[("rejected", False)] * 2
    ]  # fmt: skip
    started = [name for stage, name in list_started(events) if stage == "sft"]
    assert len(found.keys() & started) == 3 == len(started) - 1  # both, one training, and the base model
    assert found["weights"]["rl"]["steps"] == 2 and 0 <= found["weights"]["benchmark"]["pass_at_1"] <= 1
    assert found["elsewhere"]["rl"] is None and "rlready record --log elsewhere=LOG" in output
    assert [stage for stage, _ in list_started(events)].count("rl") == 1
    _, _, events, where = run(mixed, folder / "mixed")
    assert list_started(events) == [("plan", ""), ("report", "")] and read(where) == found
