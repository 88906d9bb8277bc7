"""Looks up earlier results in MLflow."""

import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from rlready.tracking import store
from rlready.tracking.client import attempt, name_experiment, search
from rlready.tracking.figures import ELSEWHERE, RESULT, SCORE, STOPPED, VALIDATED

OUTCOMES = "outcomes.json"  # the records of a finished run, in its folder and in MLflow


class Finished(NamedTuple):
    """A candidate that has a result of RL."""

    predictor: float  # before RL
    score: float  # after RL
    elsewhere: bool = False  # RL ran in another system, whose owner recorded the score


def find_finished(experiment: str, k: int | None, step: int | None = None) -> dict[str, Finished]:
    """Returns the candidates of an experiment with a result of RL, by candidate id, from the newest run that has it.

    `experiment` is `links["experiment"]` of the logged outcomes. The predictor is Pass@k before RL, or with `step` Pass@1 in
    validation at this step of RL; runs without it are left out. RL without a signal taught nothing, so its score is not a
    result. Without tracking the result is empty.
    """

    def find(client: Any, experiment_id: str) -> dict:
        query = f"tags.`rlready.experiment` = '{experiment}' and tags.`rlready.role` = 'candidate'"
        found = {}
        for run in search(client, experiment_id, query):
            before, after = map(run.data.metrics.get, (f"sft/pass_at_{k}", SCORE))
            if step is not None and after is not None:
                before = {point.step: point.value for point in client.get_metric_history(run.info.run_id, VALIDATED)}.get(step)
            if None not in (before, after) and STOPPED not in run.data.tags:
                elsewhere = run.data.tags.get(RESULT) == ELSEWHERE
                found[run.data.tags["rlready.candidate_id"]] = Finished(before, after, elsewhere)
        return found

    return attempt(find) or {}


def find_outcomes(run: str) -> tuple[str, str] | None:
    """Returns the id of a pipeline run, given in KFP or in MLflow, and the text of its outcomes.json.

    None if MLflow has no such run, is off or lost.
    """

    def find(client: Any, experiment: str) -> tuple[str, str] | None:
        for found in search(client, experiment, "tags.`rlready.role` = 'pipeline'"):
            run_id = found.data.tags["rlready.run_id"]
            if run in (run_id, found.info.run_id):
                with tempfile.TemporaryDirectory() as folder:
                    path = client.download_artifacts(found.info.run_id, OUTCOMES, folder)
                    return run_id, Path(path).read_text()
        return None

    return attempt(find)


def read_experiment() -> str | None:
    """Returns the id of the experiment in a file store, without importing MLflow, which takes seconds; None if it has none."""
    file = store.find_file(os.environ.get("MLFLOW_TRACKING_URI", ""))
    try:
        rows = store.read(file, "select name, experiment_id from experiments") if file and file.is_file() else []
    except sqlite3.DatabaseError:
        return None
    given = os.environ.get("MLFLOW_EXPERIMENT_ID") or dict(rows).get(name_experiment())
    return given and str(given)


def find_experiment() -> str | None:
    """Returns the id of the experiment on the tracking server; None if tracking is off or lost."""
    return attempt(lambda client, experiment: experiment)
