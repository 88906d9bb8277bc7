"""MLflow's model registry and what a run shows at a glance: approved models, the winner, its table and its plots."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import tracked
from helpers.tracked import APPROVED, CANDIDATE, PARTIAL

from rlready.records.outcome import Outcome
from rlready.records.serialization import to_json
from rlready.stages.report.stage import run as report
from rlready.tracking import log
from rlready.tracking.log import WINNER, register_models

BENCHMARK = replace(tracked.BENCHMARK, benchmarks=[])
TAUGHT = replace(tracked.TAUGHT, benchmark=BENCHMARK)
REJECTED = replace(APPROVED, candidate_id="bad", decision="rejected", proceed=False, reason="Pass@64 is low")


def make_outcomes():
    """Returns an approved candidate with a result of RL, a better one, one that RL is still to run for, and a rejected one."""
    named = [
        replace(TAUGHT, candidate=replace(CANDIDATE, candidate_id=name), verdict=replace(APPROVED, candidate_id=name))
        for name in ("good", "best", "waiting", "bad")
    ]
    good, best, waiting, bad = named
    links = PARTIAL.links | {"rl_model": "s3://bucket/best"}
    best = replace(best, benchmark=replace(BENCHMARK, pass_at_1=0.9), links=links)
    waiting = replace(waiting, rl=None, benchmark=None, links=PARTIAL.links)
    return [good, best, waiting, replace(bad, verdict=REJECTED, rl=None, benchmark=None, links=PARTIAL.links)]


def read_versions(client):
    return {version.tags["candidate"]: version for version in client.search_model_versions("name = 'rlready'")}


def test_approved_models_are_registered_once_with_their_verdicts_and_the_winner_has_the_alias(mlflow_client, capsys):
    outcomes = make_outcomes()
    for outcome in outcomes:
        log.log_outcome(outcome)
    for winner in ("good", "best"):
        register_models("run-1", outcomes, winner)
    versions = read_versions(mlflow_client)
    assert set(versions) == {"good", "best", "waiting"} and len(mlflow_client.search_model_versions("name = 'rlready'")) == 3
    assert {version.tags["verdict"] for version in versions.values()} == {"approved"}
    assert (
        versions["best"].tags["verdict.reason"] == "Pass@64 is 0.7"
        and versions["waiting"].tags["location"] == "s3://bucket/sft"
    )
    first = mlflow_client.get_model_version_by_alias("rlready", WINNER)
    assert (first.version, first.tags["location"]) == (versions["best"].version, "s3://bucket/best")
    assert mlflow_client.get_logged_model(first.source.removeprefix("models:/")).tags["rlready.stage"] == "rl"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("registers", [True, False])
def test_the_report_stage_registers_and_shows_its_table_and_plots(registers, mlflow_client, tmp_path):
    outcomes = make_outcomes()
    judged = {"baseline": json.loads(to_json(PARTIAL)), "outcomes": [json.loads(to_json(outcome)) for outcome in outcomes]}
    judged["outcomes"][2]["verdict"]["proceed"] = False
    (tmp_path / "judged").write_text(json.dumps(judged))
    for outcome in outcomes[:2]:
        (tmp_path / outcome.candidate.candidate_id).write_text(to_json(outcome))
    (tmp_path / "baseline").write_text(to_json(Outcome(CANDIDATE, benchmark=BENCHMARK)))
    given = {"gate_k": 64, "base_model": "x", "sampling_max_tokens": 8, "gate_register_models": registers}
    places = {name: str(tmp_path / name) for name in ("judged", "baseline", "html", "markdown", "records", "verdicts")}
    report(json.dumps(given), results=[str(tmp_path / name) for name in ("good", "best")], **places)
    (run,) = mlflow_client.search_runs(["1"], "tags.`rlready.role` = 'pipeline'")
    names = {artifact.path for artifact in mlflow_client.list_artifacts(run.info.run_id)}
    pictures = {name for name in names if name.endswith(".svg")}
    assert {"report.html", "candidates.html", "predicted_by_pass_64.svg"} <= names and len(pictures) == 2
    for name in pictures:
        picture = ElementTree.parse(mlflow_client.download_artifacts(run.info.run_id, name, str(tmp_path)))
        assert picture.getroot().tag == "{http://www.w3.org/2000/svg}svg"
    page = Path(mlflow_client.download_artifacts(run.info.run_id, "candidates.html", str(tmp_path))).read_text()
    assert all(outcome.candidate.candidate_id in page for outcome in outcomes) and "<svg" not in page
    assert set(read_versions(mlflow_client)) == ({"good", "best", "waiting"} if registers else set())
    if registers:
        assert mlflow_client.get_model_version_by_alias("rlready", WINNER).tags["candidate"] == "best"
