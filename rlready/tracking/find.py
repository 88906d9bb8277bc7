"""What MLflow knows already."""

import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from rlready.tracking import store
from rlready.tracking.client import attempt, name_experiment, search
from rlready.tracking.metrics import ELSEWHERE, RESULT, STOPPED

OUTCOMES = "outcomes.json"  # what a report keeps of its run, in the run's folder and in MLflow


class Finished(NamedTuple):
    """A candidate that has a result of RL."""

    predictor: float  # before RL
    score: float  # after RL
    elsewhere: bool = False  # RL ran in another system, whose owner recorded the score


def find_finished(experiment: str, predictor: str, score: str) -> dict[str, Finished]:
    """Returns the candidates that have both metrics, by candidate id; the newest run of several.

    RL without a signal taught nothing, so its score is no result of RL.

    Args:
        experiment: What `links["experiment"]` of the logged outcomes must be.
        predictor: Name of a metric, e.g. sft/pass_at_64.
        score: Name of a metric, e.g. rl/pass_at_1.

    Returns:
        Nothing where tracking is off or lost.
    """

    def find(client: Any, experiment_id: str) -> dict:
        query = f"tags.`rlready.experiment` = '{experiment}' and tags.`rlready.role` = 'candidate'"
        found = {}
        for run in search(client, experiment_id, query):
            before, after = map(run.data.metrics.get, (predictor, score))
            if None not in (before, after) and STOPPED not in run.data.tags:
                elsewhere = run.data.tags.get(RESULT) == ELSEWHERE
                found[run.data.tags["rlready.candidate_id"]] = Finished(before, after, elsewhere)
        return found

    return attempt(find) or {}


def find_outcomes(run: str) -> tuple[str, str] | None:
    """Returns the id of a pipeline run and what its report kept of it, the text of outcomes.json.

    Args:
        run: That id, as KFP gave it, or the id of the pipeline's run in MLflow.

    Returns:
        None where MLflow has no report of such a run, or is off or lost.
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
    """Returns the id of the experiment in a store that is a file, without MLflow and its seconds; None if it holds none."""
    file = store.find_file(os.environ.get("MLFLOW_TRACKING_URI", ""))
    try:
        rows = store.read(file, "select name, experiment_id from experiments") if file and file.is_file() else []
    except sqlite3.DatabaseError:
        return None
    given = os.environ.get("MLFLOW_EXPERIMENT_ID") or dict(rows).get(name_experiment())
    return given and str(given)


def find_experiment() -> str | None:
    """Returns the id of the experiment on the tracking server; None where tracking is off or lost."""
    return attempt(lambda client, experiment: experiment)
