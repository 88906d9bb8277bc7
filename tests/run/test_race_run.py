"""The whole DAG with a race through kfp.local: one candidate goes on, the other is dropped; then again."""

import json

import pytest
from helpers.runs import list_started, run

RACE = ["race_steps=1", "race_keep=1", "rl_eval_steps=0.5", "gate_mode=audit", "curate_rl_problems=32"]
OPTIONS = [part for change in RACE for part in ("--set", change)]


@pytest.fixture(scope="module")
def first(recipe, work):
    return run(recipe, work, *OPTIONS)


def test_only_the_best_finishes_rl(first):
    output, outcomes, events, folder = first
    (kept,) = [o for o in outcomes.values() if o["race"]["goes_on"]]
    (dropped,) = [o for o in outcomes.values() if not o["race"]["goes_on"]]
    assert (kept["race"]["place"], dropped["race"]["place"]) == (1, 2) and kept["race"]["step"] == 1
    assert kept["rl"]["steps"] == 2 and kept["benchmark"]
    assert [point["step"] for point in kept["rl"]["validation"]["points"]] == [0, 1, 2]
    assert dropped["rl"]["steps"] == 1 and dropped["benchmark"] is None and dropped["failure"] is None
    assert "race_keep 1" in dropped["race"]["reason"] and dropped["race"]["propensity"] == 0
    names = [stage for stage, _ in list_started(events)]
    assert (names.count("rl"), names.count("benchmark"), names.count("race")) == (3, 2, 1)
    name = dropped["candidate"]["candidate_id"]
    assert f"{name}: dropped: ranked 2 of 2 after step 1" in output and "dropped at step 1" in output
    page = (folder / "report.html").read_text()
    assert "dropped at step 1" in page and dropped["race"]["reason"].split(";")[0] in page
    assert json.loads((folder / "verdicts.json").read_text())


def test_tracking_tells_who_was_dropped(first, work):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlready").experiment_id
    found = client.search_runs([experiment], "tags.race = 'dropped'")
    (dropped,) = [o for o in first[1].values() if not o["race"]["goes_on"]]
    assert [entry.info.run_name for entry in found] == [dropped["candidate"]["candidate_id"]]
    assert found[0].info.status == "FINISHED" and found[0].data.metrics["race/place"] == 2


def test_the_same_command_again_computes_nothing(first, recipe, work):
    _, outcomes, events, _ = run(recipe, work, *OPTIONS)
    assert list_started(events) == [("plan", ""), ("report", "")] and outcomes == first[1]


def test_a_larger_budget_trains_only_what_is_left(first, recipe, work):
    _, outcomes, events, _ = run(recipe, work, *OPTIONS, "--set", "race_keep=2")
    assert all(o["race"]["goes_on"] and o["benchmark"] for o in outcomes.values())
    names = [stage for stage, _ in list_started(events)]
    assert (names.count("rl"), names.count("benchmark"), names.count("sft")) == (1, 1, 0)


def test_a_race_without_an_approved_candidate_still_gives_a_report(first, recipe, work):
    _, outcomes, events, folder = run(
        recipe, work, *OPTIONS, "--set", "gate_mode=enforce", "--set", "gate_min_pass_at_k=1", status=4
    )
    assert all(o["rl"] is None and o["race"] is None for o in outcomes.values())
    assert ("race", "") in list_started(events) and "rejected" in (folder / "report.md").read_text()
