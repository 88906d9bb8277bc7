"""Runs in MLflow: of a pipeline, with one below it for each candidate; made, found again, and ended with the pipeline."""

import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlready.records.candidate import Candidate
from rlready.tracking import view
from rlready.tracking.client import attempt, search
from rlready.tracking.origin import PARENT, describe_origin, is_kfp

LONGEST_PARAMETER = 6000  # MLflow's limit
MOST_PARAMETERS, MOST_METRICS = 100, 1000  # MLflow takes so many at once
ENDINGS = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELED": "KILLED"}  # KFP's states, and MLflow's


def open_run(name: str, parameters: dict) -> None:
    """Makes the pipeline's run in MLflow, or takes it up again, and has the shared view tell it from others. Never raises.

    Args:
        name: That the user gave the run in KFP. On a laptop KFP makes up one, and the run is called like its folder.
        parameters: Flat pipeline parameters; longer values than MLflow takes are cut and end in `…`.
    """
    run_id = os.environ.get("RLREADY_RUN_ID", "")

    def open_(client: Any, experiment: str) -> None:
        given = name if is_kfp(run_id) else run_id
        run = open_parent(client, experiment, run_id, given)
        client.update_run(run.info.run_id, status="RUNNING", name=given)
        log_missing(client, run, parameters, describe_origin(client, run_id, given))
        view.share(client, experiment)

    if run_id:
        attempt(open_)


def start_stage(candidate: Candidate | None) -> None:
    """Has the pipeline's run, and a candidate's, running again where a stage was stopped before. Never raises.

    Args:
        candidate: Whose stage; None of the base model.
    """
    _set_status(candidate, "RUNNING")


def stop_stage(candidate: Candidate | None) -> None:
    """Marks the pipeline's run, and a candidate's, as KILLED: the stage is being stopped. Never raises."""
    _set_status(candidate, "KILLED")


def _set_status(candidate: Candidate | None, status: str) -> None:
    run_id = os.environ.get("RLREADY_RUN_ID", "")

    def set_(client: Any, experiment: str) -> None:
        parent = open_parent(client, experiment, run_id)
        children = [open_child(client, experiment, run_id, candidate)] if candidate else []
        for run in (parent, *children):
            if run.info.status == status:
                continue
            if status == "RUNNING":
                client.update_run(run.info.run_id, status)
            else:
                client.set_terminated(run.info.run_id, status)

    if run_id:
        attempt(set_)


def finish_run(
    run_id: str,
    parameters: dict,
    report: dict[str, Path],
    status: str = "FINISHED",
    figures: dict[str, float] | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    """Completes the pipeline's run: its parameters, the report's files, and its state. Never raises.

    Args:
        run_id: Id of the pipeline run.
        parameters: As `open_run` takes them.
        report: Text files to upload, by the name that they get: KFP calls its files html and markdown.
        status: FINISHED, or FAILED where no candidate has a result.
        figures: Of the run as a whole, as metrics.
        tags: What is said of it in words.
    """

    def finish(client: Any, experiment: str) -> None:
        run = open_parent(client, experiment, run_id)
        log_missing(client, run, parameters, tags, _list_metrics(figures))
        _upload(client, run, report)
        client.set_terminated(run.info.run_id, status)

    if run_id:
        attempt(finish)


def replace_report(
    run_id: str, report: dict[str, Path], figures: dict[str, float] | None = None, tags: dict[str, str] | None = None
) -> bool:
    """Uploads the files of a report that was written anew. Never raises.

    Args:
        run_id: Id of the pipeline run, which goes on or stays ended as it is.
        report: As `finish_run` takes it; and so the others.
        figures: Of the run as a whole.
        tags: What is said of it.

    Returns:
        Whether it was done; False where tracking is off or lost.
    """

    def replace(client: Any, experiment: str) -> bool:
        run = open_parent(client, experiment, run_id)
        log_missing(client, run, {}, tags, _list_metrics(figures))
        _upload(client, run, report)
        return True

    return bool(attempt(replace))


def _list_metrics(figures: dict[str, float] | None) -> list:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(key, value, now, 0) for key, value in (figures or {}).items()]


def find_open_runs() -> set[str]:
    """Returns the ids of the pipeline runs that MLflow takes for running, or a candidate of; none where tracking is lost."""

    def find(client: Any, experiment: str) -> set[str]:
        return {run.data.tags["rlready.run_id"] for run in _list_open(client, experiment)}

    # Asked before a run starts: there is none yet whose tracking could be lost.
    return attempt(find, quiet=True) or set()


def fail_run() -> None:
    """Marks this pipeline's run as FAILED, and what of its candidates is left running as KILLED. Never raises."""
    if run_id := os.environ.get("RLREADY_RUN_ID"):
        close_dead_runs({run_id: "FAILED"})


def close_dead_runs(states: dict[str, str]) -> bool:
    """Ends in MLflow what was left running by pipeline runs that are over, with the runs of their candidates. Never raises.

    Args:
        states: State of each pipeline run by its id, as KFP says it: SUCCEEDED, FAILED or CANCELED; others are not over.

    Returns:
        Whether it was done; False where tracking is off or lost.
    """

    def close(client: Any, experiment: str) -> bool:
        for run in list(_list_open(client, experiment)):
            status = ENDINGS.get(states.get(run.data.tags["rlready.run_id"], ""))
            # Of a candidate without an end nobody knows more than that it was stopped when its pipeline failed.
            candidates = status == "FAILED" and run.data.tags["rlready.role"] != "pipeline"
            if status:
                client.set_terminated(run.info.run_id, "KILLED" if candidates else status)
        return True

    return bool(attempt(close))


def _upload(client: Any, run: Any, report: dict[str, Path]) -> None:
    for name, path in report.items():
        client.log_text(run.info.run_id, path.read_text(), name)


def _list_open(client: Any, experiment: str) -> Any:
    return search(client, experiment, "attributes.status = 'RUNNING' and tags.`rlready.run_id` LIKE '%'")


def open_parent(client: Any, experiment: str, run_id: str, name: str = "") -> Any:
    """Returns the run of a pipeline, made if there is none."""
    tags = {"rlready.run_id": run_id, "rlready.role": "pipeline"}
    found = find_oldest(client, experiment, tags)
    return found or make_run(client, experiment, name or run_id, tags, describe_origin(client, run_id, name or run_id))


def open_child(client: Any, experiment: str, run_id: str, candidate: Candidate, role: str = "candidate") -> Any:
    """Returns the run of a candidate or of the base model below its pipeline's, whose name and settings it carries."""
    parent = open_parent(client, experiment, run_id)
    tags = {"rlready.run_id": run_id, "rlready.candidate_id": candidate.candidate_id, "rlready.role": role}
    name = candidate.candidate_id if role == "candidate" else "base model"
    above = {PARENT: parent.info.run_id, "run": parent.info.run_name}
    child = find_oldest(client, experiment, tags) or make_run(client, experiment, name, tags, above)
    changed = above.items() - child.data.tags.items()
    log_missing(client, child, parent.data.params, dict(changed))
    return client.get_run(child.info.run_id) if changed else child


def find_oldest(client: Any, experiment: str, tags: dict) -> Any:
    """Returns the oldest run with these tags, or None; where two processes made one each, both settle on it."""
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    first, *others = sorted(
        client.search_runs([experiment], query), key=lambda run: (run.info.start_time, run.info.run_id)
    ) or [None]
    for other in others:
        with contextlib.suppress(Exception):  # the other process deleted it
            client.delete_run(other.info.run_id)
    return first


def make_run(client: Any, experiment: str, name: str, tags: dict, more: dict | None = None) -> Any:
    """Returns a new run, or the one that another process made meanwhile.

    Args:
        client: MLflow's.
        experiment: Id of the experiment.
        name: Of the run.
        tags: That it is found by.
        more: Other tags.
    """
    client.create_run(experiment, tags=tags | (more or {}), run_name=name)
    return find_oldest(client, experiment, tags)


def log_missing(client: Any, run: Any, parameters: dict, tags: dict | None = None, metrics: Sequence = ()) -> None:
    """Logs tags, metrics, and those parameters that the run does not have."""
    from mlflow.entities import Param, RunTag

    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in parameters.items()}
    short = {k: v if len(v) <= LONGEST_PARAMETER else v[: LONGEST_PARAMETER - 1] + "…" for k, v in values.items()}
    missing = [Param(key, value) for key, value in short.items() if key not in run.data.params]
    run_id, given = run.info.run_id, [RunTag(*item) for item in (tags or {}).items()]
    if given:
        client.log_batch(run_id, tags=given)
    for start in range(0, len(missing), MOST_PARAMETERS):
        client.log_batch(run_id, params=missing[start : start + MOST_PARAMETERS])
    for start in range(0, len(metrics), MOST_METRICS):
        client.log_batch(run_id, metrics[start : start + MOST_METRICS])
