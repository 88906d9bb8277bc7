"""Runs on a KFP server: started or scheduled, found, and read as Argo workflows."""

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import kfp_server_api as api

from rlready.config import fold_parameters, name_fields
from rlready.errors import InputError
from rlready.run.kfp.nodes import ENDED_BADLY, is_uncached, read_nodes
from rlready.run.kfp.package import PIPELINE, describe_package, name_version
from rlready.run.kfp.server import CallFailed, Server, call, create, get_json
from rlready.tracking.runs import close_dead_runs, find_open_runs

DESCRIPTION = (
    "The report: node Report, its artifact report, tab Visualization. The verdicts: node Gate, its artifact verdicts. What will"
    " be done, and what it costs: node Plan, its artifact plan."
)
UNCACHED = "caching is switched off on this server, and RL refuses a checkpoint that does not come from the cache"
FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
STOPPED = ("CANCELING", "CANCELED")


def upload(server: Server, package: Path, recipe: str) -> tuple[str, str]:
    """Uploads a compiled pipeline unless the server has this version of it; returns the ids of the pipeline and the version."""
    pipelines, uploads = api.PipelineServiceApi(server.client), api.PipelineUploadServiceApi(server.client)
    details = {"description": describe_package(package)}
    new = api.V2beta1Pipeline(display_name=PIPELINE, name=PIPELINE, **details, **server.scope)
    find = functools.partial(pipelines.pipeline_service_list_pipelines, **server.scope)
    pipeline = _find_or_create(server, "pipeline", PIPELINE, find, pipelines.pipeline_service_create_pipeline, new)
    version = name_version(package, recipe)
    details |= {"name": version, "display_name": version, "pipelineid": pipeline}
    find = functools.partial(pipelines.pipeline_service_list_pipeline_versions, pipeline)
    send = functools.partial(uploads.upload_pipeline_version, **details)
    return pipeline, _find_or_create(server, "pipeline_version", version, find, send, str(package))


def open_experiment(server: Server, name: str) -> str:
    """Returns the id of the experiment of this name, which is created if there is none."""
    experiments, new = api.ExperimentServiceApi(server.client), api.V2beta1Experiment(display_name=name, **server.scope)
    find = functools.partial(experiments.experiment_service_list_experiments, **server.scope)
    return _find_or_create(server, "experiment", name, find, experiments.experiment_service_create_experiment, new)


def _find_or_create(server: Server, kind: str, name: str, find: Callable, make: Callable, body: Any) -> str:
    """Returns the id of what has this name in a listing, or else of what is created."""
    named = json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})
    listed = getattr(call(server.client, find, filter=named), f"{kind}s")
    if not listed:
        try:
            return create(server.client, make, body, f"{kind}_id")
        except CallFailed as error:  # 409: another submission has created it since
            listed = getattr(call(server.client, find, filter=named), f"{kind}s") if error.status == 409 else None
            if not listed:
                raise
    return getattr(listed[0], f"{kind}_id")


def start_run(
    server: Server, version: tuple[str, str], experiment: str, name: str, parameters: dict[str, Any],
    account: str | None, every: str | None,
) -> str:  # fmt: skip
    """Starts a run, or a schedule of runs (`every`: its cron expression), of a version and returns its id.

    A version is the ids of pipeline and version. A schedule has one run at a time, and missed ones are skipped. The pods run as
    the Kubernetes service account, by default the server's.
    """
    fields = name_fields()
    values = {fields[name]: value for name, value in fold_parameters(parameters).items()}
    common = {
        "experiment_id": experiment,
        "display_name": name,
        "description": DESCRIPTION,
        "pipeline_version_reference": api.V2beta1PipelineVersionReference(*version),
        "runtime_config": api.V2beta1RuntimeConfig(parameters=values),
        "service_account": account,
    }
    if every is None:
        run = api.V2beta1Run(**common)
        return create(server.client, api.RunServiceApi(server.client).run_service_create_run, run, "run_id")
    schedule = api.V2beta1RecurringRun(
        **common,
        trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=parse_cron(every))),
        mode=api.RecurringRunMode.ENABLE,
        max_concurrency="1",
        no_catchup=True,
    )
    start = api.RecurringRunServiceApi(server.client).recurring_run_service_create_recurring_run
    return create(server.client, start, schedule, "recurring_run_id")


def parse_cron(text: str) -> str:
    """Returns a cron expression as KFP reads it (robfig/cron 1.2): seconds first, 0 if there are the usual five fields."""
    fields = text.split()
    if len(fields) not in (5, 6) or not all(re.fullmatch(r"[\d*/,?A-Za-z-]+", field) for field in fields):
        raise InputError(f"--every {text!r}: expected minute, hour, day, month and weekday, e.g. '0 3 * * 1'")
    return " ".join(fields if len(fields) == 6 else ["0", *fields])


def get_run(server: Server, run: str) -> api.V2beta1Run:
    """Returns a run; raises InputError if the server has no such run, or does not answer."""
    return call(server.client, api.RunServiceApi(server.client).run_service_get_run, run)


def find_newest_run(server: Server) -> str:
    """Returns the id of the newest run, or an empty text; raises InputError if the account may not list runs."""
    list_runs = api.RunServiceApi(server.client).run_service_list_runs
    newest = call(server.client, list_runs, sort_by="created_at desc", page_size=1, **server.scope).runs
    return newest[0].run_id if newest else ""


def list_ended_runs(server: Server, among: Iterable[str]) -> dict[str, str]:
    """Returns how those of the runs that have ended did, by id: SUCCEEDED, FAILED, or CANCELED if they were terminated."""
    ended = {}
    for name in among:
        with contextlib.suppress(InputError):
            run = get_run(server, name)
            if run.state in FINAL:
                stopped = run.state != "SUCCEEDED" and was_stopped(run, read_workflow(server, name))
                ended[name] = "CANCELED" if stopped else run.state
    return ended


def close_ended_runs(server: Server) -> list[str]:
    """Ends in MLflow the runs that have ended on a KFP server, since killed pods cannot; returns their ids."""
    ended = list_ended_runs(server, find_open_runs())
    return sorted(ended) if ended and close_dead_runs(ended) else []


def read_workflow(server: Server, run: str) -> dict[str, Any] | None:
    """Returns a run's Argo workflow as its server last saw it, or None if there is none yet."""
    answer = get_json(server.client, f"/apis/v1beta1/runs/{run}")
    text = (answer.get("pipeline_runtime") or {}).get("workflow_manifest") if isinstance(answer, dict) else None
    return json.loads(text) if text else None


def has_cache(server: Server) -> bool | None:
    """Returns whether a server caches, judging by its newest run; None if unknown."""
    with contextlib.suppress(InputError):
        if (run := find_newest_run(server)) and (workflow := read_workflow(server, run)):
            return not is_uncached(workflow)
    return None


def was_stopped(run: api.V2beta1Run, workflow: dict[str, Any] | None) -> bool:
    """Returns True if a run was terminated; the server calls it, and its pods, failed in the end."""
    passed, spec = {entry.state for entry in run.state_history or []} | {run.state}, (workflow or {}).get("spec") or {}
    return bool(passed & {*STOPPED}) or spec.get("activeDeadlineSeconds") == 0 or "shutdown" in spec


def list_faults(workflow: dict[str, Any]) -> list[str]:
    """Returns why pods failed, each reason once; for a run that fails before its first stage, in the driver of the DAG."""
    pods = [node for node in read_nodes(workflow) if node["type"] == "Pod" and node["phase"] in ENDED_BADLY]
    # Attempts differ in the pod's name only.
    reasons = [re.sub(r'^pods "[^"]*" is', "its pod is", node.get("message", "")) for node in pods]
    return list(dict.fromkeys(filter(None, reasons)))
