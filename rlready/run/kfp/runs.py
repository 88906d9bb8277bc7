"""Runs on a KFP server: their state, their Argo workflows, and whether the server caches."""

import functools
import json
from collections.abc import Iterable
from typing import Any

import kfp_server_api as api

from rlready.errors import InputError
from rlready.run.kfp.nodes import is_stopped, is_uncached
from rlready.run.kfp.server import Server, call

FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
STOPPED = ("CANCELING", "CANCELED")


def get_run(server: Server, run: str) -> api.V2beta1Run:
    """Returns a run.

    Raises:
        InputError: If the server has no such run, or does not answer.
    """
    return call(server.client, api.RunServiceApi(server.client).run_service_get_run, run)


def list_newest_runs(server: Server) -> list[str]:
    """Returns the id of the newest run; empty if there is none.

    Raises:
        InputError: If the server does not answer, or the account may not list runs.
    """
    space = {"namespace": server.namespace} if server.namespace else {}
    list_runs = api.RunServiceApi(server.client).run_service_list_runs
    newest = call(server.client, list_runs, sort_by="created_at desc", page_size=1, **space).runs
    return [run.run_id for run in newest or []]


def find_newest_run(server: Server) -> str:
    """Returns the id of the newest run.

    Raises:
        InputError: If there is none.
    """
    newest = list_newest_runs(server)
    if not newest:
        raise InputError(f"{server.host}: has no run to follow")
    return newest[0]


def list_ended_runs(server: Server, among: Iterable[str]) -> dict[str, str]:
    """Returns how runs ended, by their id: SUCCEEDED, FAILED, or CANCELED if they were terminated.

    Args:
        server: Where they ran.
        among: Ids; runs that the server does not know, or that have not ended, are left out.
    """
    ended = {}
    for name in among:
        try:
            run = get_run(server, name)
            if run.state in FINAL:
                stopped = run.state != "SUCCEEDED" and was_stopped(run, read_workflow(server, name))
                ended[name] = "CANCELED" if stopped else run.state
        except InputError:
            continue
    return ended


def close_ended_runs(server: Server) -> list[str]:
    """Ends in MLflow the runs that have ended on a KFP server, and returns their ids; pods that are killed cannot do it."""
    from rlready.tracking.runs import close_dead_runs, find_open_runs

    ended = list_ended_runs(server, find_open_runs())
    return sorted(ended) if ended and close_dead_runs(ended) else []


def read_workflow(server: Server, run: str) -> dict[str, Any] | None:
    """Returns a run's Argo workflow as its server last saw it, or None if there is none yet.

    Raises:
        InputError: If the server does not answer.
    """
    get = functools.partial(server.client.call_api, f"/apis/v1beta1/runs/{run}", "GET", response_type="object",
                            _return_http_data_only=True)  # fmt: skip
    answer = call(server.client, get)
    text = (answer.get("pipeline_runtime") or {}).get("workflow_manifest") if isinstance(answer, dict) else None
    return json.loads(text) if text else None


def has_cache(server: Server) -> bool | None:
    """Returns whether a server caches, judging by its newest run; None if unknown."""
    try:
        workflow = read_workflow(server, find_newest_run(server))
    except InputError:
        return None
    return None if workflow is None else not is_uncached(workflow)


def was_stopped(run: api.V2beta1Run, workflow: dict[str, Any] | None = None) -> bool:
    """Returns True if a run was terminated; the server calls it failed in the end."""
    passed = {entry.state for entry in run.state_history or []} | {run.state}
    return bool(passed & {*STOPPED} or workflow and is_stopped(workflow))
