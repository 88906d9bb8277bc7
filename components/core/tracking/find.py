"""What MLflow knows already."""

import os
import sqlite3
from typing import Any

from rlready.components.core.tracking import store
from rlready.components.core.tracking.client import attempt, name_experiment, search


def find_finished(experiment: str, predictor: str, score: str) -> dict[str, tuple[float, float]]:
    """Returns (predictor, score) of the candidates that have both, by candidate id; the newest run where there are several.

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
            point = run.data.metrics.get(predictor), run.data.metrics.get(score)
            if None not in point:
                found[run.data.tags["rlready.candidate_id"]] = point
        return found

    return attempt(find) or {}


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
