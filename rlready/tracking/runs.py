"""Runs in MLflow: a pipeline's, with one child run per candidate; opened, completed, ended with the pipeline, and looked up.

KFP's own MLflow plugin (kubeflow/pipelines 2.17, backend/src/apiserver/plugins/mlflow) creates a run for each KFP run and,
below it, one for each task and DAG, and gives a task the id of its own as MLFLOW_RUN_ID. Those runs are only read.
"""

import contextlib
import json
import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlready.records.candidate import Candidate
from rlready.tracking import store, view
from rlready.tracking.client import LONGEST_TAG, attempt, name_experiment, search
from rlready.tracking.figures import ELSEWHERE, RESULT, SCORE, STOPPED, VALIDATED

PARENT = "mlflow.parentRunId"
OUTCOMES = "outcomes.json"  # the records of a finished run, in its folder and in MLflow
REPORT = "report.md"  # its head is the description of a pipeline's run
KFP_RUN, KFP_PAGE = "kfp.pipeline_run_id", "kfp.pipeline_run_url"  # tags of the plugin's root run
DEEPEST = 20  # levels of tasks in DAGs in DAGs
LONGEST_PARAMETER = 6000  # MLflow's limit
ENDINGS = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELED": "KILLED"}  # KFP's states, and MLflow's


def open_run(name: str, parameters: dict) -> None:
    """Creates or resumes the pipeline's run in MLflow, named as in KFP or after the run's folder. Never raises."""
    run_id = os.environ.get("RLREADY_RUN_ID", "")

    def open_(client: Any, experiment: str) -> None:
        given = name if is_kfp(run_id) else run_id
        run = open_parent(client, experiment, run_id, given)
        client.update_run(run.info.run_id, status="RUNNING", name=given)
        log_missing(client, run, parameters, describe_origin(client, run_id, given))
        view.share(client, experiment)

    if run_id:
        attempt(open_)


def set_status(candidate: Candidate | None, status: str) -> None:
    """Sets the pipeline's run, and that of a candidate if there is one, to RUNNING again or to KILLED. Never raises."""
    run_id = os.environ.get("RLREADY_RUN_ID", "")

    def set_(client: Any, experiment: str) -> None:
        change = client.update_run if status == "RUNNING" else client.set_terminated
        children = [open_child(client, experiment, run_id, candidate)] if candidate else []
        for run in (open_parent(client, experiment, run_id), *children):
            if run.info.status != status:
                change(run.info.run_id, status)

    if run_id:
        attempt(set_)


def finish_run(
    run_id: str, parameters: dict, report: Mapping[str, Path | str], status: str = "FINISHED",
    figures: dict[str, float] | None = None, tags: dict[str, str] | None = None,
) -> bool:  # fmt: skip
    """Completes the pipeline's run; returns whether that was done: not if tracking is off or lost. Never raises.

    `report` holds text files, or texts, by artifact; `figures` and `tags` are of the whole run; an empty status leaves the old.
    """

    def finish(client: Any, experiment: str) -> bool:
        run = open_parent(client, experiment, run_id)
        texts = {name: text.read_text() if isinstance(text, Path) else text for name, text in report.items()}
        said = dict(tags or {})
        if REPORT in texts:  # its head, without the sections
            page = describe_origin(client, run_id, run.info.run_name).get(view.NOTE, "")
            said[view.NOTE] = "\n\n".join([page, texts[REPORT].partition("\n## ")[0]]).strip()[:LONGEST_TAG]
        log_missing(client, run, parameters, said, [(name, 0, value) for name, value in (figures or {}).items()])
        for name, text in texts.items():
            client.log_text(run.info.run_id, text, name)
        view.share(client, experiment)
        if status:
            client.set_terminated(run.info.run_id, status)
        return True

    return bool(run_id and attempt(finish))


def find_open_runs() -> set[str]:
    """Returns the ids of pipeline runs that are RUNNING in MLflow, or have a candidate that is; none if tracking is lost."""
    # Quiet, because it is called before a run starts: there is no run yet whose tracking could be lost.
    return {run.data.tags["rlready.run_id"] for run in attempt(_list_open, quiet=True) or ()}


def fail_run() -> None:
    """Sets this pipeline's run to FAILED, and its candidates that are RUNNING to KILLED. Never raises."""
    if run_id := os.environ.get("RLREADY_RUN_ID"):
        close_dead_runs({run_id: "FAILED"})


def close_dead_runs(states: dict[str, str]) -> bool:
    """Ends in MLflow what pipeline runs that are over left RUNNING, with their candidates. Never raises.

    `states` are KFP's by id: SUCCEEDED, FAILED or CANCELED; others are not over. Returns False if tracking is off or lost.
    """

    def close(client: Any, experiment: str) -> bool:
        for run in _list_open(client, experiment):
            status = ENDINGS.get(states.get(run.data.tags["rlready.run_id"], ""))
            # All that is known of a candidate without an end is that it was stopped when its pipeline failed.
            stopped = status == "FAILED" and run.data.tags["rlready.role"] != "pipeline"
            if status:
                client.set_terminated(run.info.run_id, "KILLED" if stopped else status)
        return True

    return bool(attempt(close))


def _list_open(client: Any, experiment: str) -> list[Any]:
    return [*search(client, experiment, "attributes.status = 'RUNNING' and tags.`rlready.run_id` LIKE '%'")]


def open_parent(client: Any, experiment: str, run_id: str, name: str = "") -> Any:
    """Returns the run of a pipeline, created if there is none."""
    tags, name = {"rlready.run_id": run_id, "rlready.role": "pipeline"}, name or run_id
    return find_or_create(client, experiment, tags, name, lambda: describe_origin(client, run_id, name))


def open_child(client: Any, experiment: str, run_id: str, candidate: Candidate, role: str = "candidate") -> Any:
    """Returns the run of a candidate or of the base model below its pipeline's, with the pipeline's name and parameters."""
    parent = open_parent(client, experiment, run_id)
    tags = {"rlready.run_id": run_id, "rlready.candidate_id": candidate.candidate_id, "rlready.role": role}
    name = candidate.candidate_id if role == "candidate" else "base model"
    above = {PARENT: parent.info.run_id, "run": parent.info.run_name}
    child = find_or_create(client, experiment, tags, name, lambda: above)
    changed = above.items() - child.data.tags.items()
    log_missing(client, child, parent.data.params, dict(changed))
    return client.get_run(child.info.run_id) if changed else child


def find_or_create(
    client: Any, experiment: str, tags: dict[str, str], name: str, describe: Callable[[], dict[str, str]] = dict
) -> Any:
    """Returns the oldest run with these tags, or a new one with `name` and also the tags that `describe` returns."""
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found = client.search_runs([experiment], query)
    if not found:
        client.create_run(experiment, tags=tags | describe(), run_name=name)
        found = client.search_runs([experiment], query)
    first, *others = sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))
    for other in others:  # two processes created one each, and both keep the oldest
        with contextlib.suppress(Exception):  # the other process deleted it
            client.delete_run(other.info.run_id)
    return first


def log_missing(client: Any, run: Any, parameters: dict, tags: dict | None = None, points: Sequence = ()) -> None:
    """Logs tags, metrics (name, step, value), and parameters that the run does not have, truncated to what MLflow allows."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, step) for name, step, value in points]
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in parameters.items()}
    short = {k: v if len(v) <= LONGEST_PARAMETER else v[: LONGEST_PARAMETER - 1] + "…" for k, v in values.items()}
    missing = [Param(key, value) for key, value in short.items() if key not in run.data.params]
    given = [RunTag(*item) for item in (tags or {}).items()]
    for kind, entries, most in (("tags", given, 100), ("params", missing, 100), ("metrics", metrics, 1000)):
        for start in range(0, len(entries), most):
            client.log_batch(run.info.run_id, **{kind: entries[start : start + most]})


def is_kfp(run_id: str) -> bool:
    """Returns True if this is an id that KFP gave a run, a UUID. On a laptop the id is the name of the run's folder."""
    try:
        return str(uuid.UUID(run_id)) == run_id
    except ValueError:
        return False


def describe_origin(client: Any, run_id: str, name: str) -> dict[str, str]:
    """Returns the tags that lead from a pipeline's run in MLflow to KFP's run with this name; none on a laptop."""
    if not is_kfp(run_id):
        return {}
    root, server = _find_root(client, run_id), os.environ.get("KF_PIPELINES_UI_ENDPOINT", "").rstrip("/")
    page = (root and root.data.tags.get(KFP_PAGE)) or (f"{server}/#/runs/details/{run_id}" if server else "")
    named = {view.NOTE: f"Run of Kubeflow Pipelines: [{name}]({page})", "rlready.kfp_page": page}
    tags = named if page else {view.NOTE: f"Run of Kubeflow Pipelines: {name}, id {run_id}"}
    return tags | ({PARENT: root.info.run_id} if root else {})


def _find_root(client: Any, run_id: str) -> Any:
    """Returns the run that KFP's plugin created for this KFP run: the one above MLFLOW_RUN_ID that names it."""
    from mlflow.exceptions import MlflowException

    above = os.environ.get("MLFLOW_RUN_ID")
    with contextlib.suppress(MlflowException):  # of another server, or deleted
        for _ in range(DEEPEST):
            run = client.get_run(above) if above else None
            if run is None or run.data.tags.get(KFP_RUN) == run_id:
                return run
            above = run.data.tags.get(PARENT)
    return None


class Finished(NamedTuple):
    """A candidate that has a result of RL."""

    predictor: float  # before RL
    score: float  # after RL
    elsewhere: bool = False  # RL ran in another system, whose owner recorded the score


def find_finished(experiment: str, k: int | None, step: int | None = None) -> dict[str, Finished]:
    """Returns the candidates of `links["experiment"]` with a result of RL, by id, from the newest run; none without tracking.

    The predictor is Pass@k before RL, or with `step` Pass@1 in validation at this step of RL; runs without it are left out. RL
    without a signal taught nothing, so its score is not a result.
    """

    def find(client: Any, experiment_id: str) -> dict:
        query = f"tags.`rlready.experiment` = '{experiment}' and tags.`rlready.role` = 'candidate'"
        found = {}
        for run in search(client, experiment_id, query):
            before, after = map(run.data.metrics.get, (f"sft/pass_at_{k}", SCORE))
            if step is not None and after is not None:
                before = {point.step: point.value for point in client.get_metric_history(run.info.run_id, VALIDATED)}.get(step)
            if None not in (before, after) and STOPPED not in run.data.tags:
                found[run.data.tags["rlready.candidate_id"]] = Finished(before, after, run.data.tags.get(RESULT) == ELSEWHERE)
        return found

    return attempt(find) or {}


def find_outcomes(run: str) -> tuple[str, str] | None:
    """Returns id and outcomes.json of the run with this id in KFP or MLflow; None if there is none, or MLflow is lost."""

    def find(client: Any, experiment: str) -> tuple[str, str] | None:
        for found in search(client, experiment, "tags.`rlready.role` = 'pipeline'"):
            run_id = found.data.tags["rlready.run_id"]
            if run in (run_id, found.info.run_id):
                with tempfile.TemporaryDirectory() as folder:
                    return run_id, Path(client.download_artifacts(found.info.run_id, OUTCOMES, folder)).read_text()
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
