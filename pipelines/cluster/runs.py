"""Runs on a KFP server: one of them, its Argo workflow, how past ones ended, and whether their server has a cache."""

import functools
import json
from typing import Any

import kfp_server_api as api

from rlready.components.config import InputError
from rlready.pipelines.cluster.server import Server, call
from rlready.pipelines.cluster.steps import is_stopped, is_uncached

FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
STOPPED = ("CANCELING", "CANCELED")
PAGE = 20  # runs asked for at once; each comes with all its tasks
MOST = 200  # runs looked back at


def get_run(server: Server, run: str) -> api.V2beta1Run:
    """Returns a run.

    Raises:
        InputError: If the server has no such run, or does not answer.
    """
    return call(server.client, api.RunServiceApi(server.client).run_service_get_run, run)


def find_newest_run(server: Server) -> str:
    """Returns the id of the newest run.

    Raises:
        InputError: If there is none.
    """
    newest = _list_runs(server, page_size=1)[0]
    if not newest:
        raise InputError(f"{server.host}: has no run to follow")
    return newest[0].run_id


def list_ended_runs(server: Server) -> dict[str, str]:
    """Returns how the newest runs ended that did not succeed: FAILED, or CANCELED where somebody stopped them, by their id."""
    ended, token = {}, ""
    for _ in range(MOST // PAGE):
        runs, token = _list_runs(server, page_size=PAGE, page_token=token)
        for run in runs:
            if run.state in ("FAILED", "CANCELED"):
                ended[run.run_id] = "CANCELED" if was_stopped(run) else "FAILED"
        if not token:
            break
    return ended


def _list_runs(server: Server, **page: Any) -> tuple[list[api.V2beta1Run], str]:
    space = {"namespace": server.namespace} if server.namespace else {}
    page = {key: value for key, value in page.items() if value}
    list_runs = api.RunServiceApi(server.client).run_service_list_runs
    listed = call(server.client, list_runs, sort_by="created_at desc", **page, **space)
    return listed.runs or [], listed.next_page_token or ""


def read_workflow(server: Server, run: str) -> dict[str, Any] | None:
    """Returns a run's Argo workflow as its server last saw it, or None where there is none yet.

    Raises:
        InputError: If the server does not answer, or does not tell it.
    """
    ask = functools.partial(server.client.call_api, f"/apis/v1beta1/runs/{run}", "GET", response_type="object",
                            auth_settings=["Bearer"], _return_http_data_only=True)  # fmt: skip
    about = call(server.client, ask)
    text = (about.get("pipeline_runtime") or {}).get("workflow_manifest") if isinstance(about, dict) else None
    return json.loads(text) if text else None


def has_cache(server: Server) -> bool | None:
    """Says whether a server caches, going by what it told the drivers of its newest run; None where nothing tells."""
    try:
        workflow = read_workflow(server, find_newest_run(server))
    except InputError:
        return None
    return None if workflow is None else not is_uncached(workflow)


def was_stopped(run: api.V2beta1Run, workflow: dict[str, Any] | None = None) -> bool:
    """Says whether somebody terminated a run, which the server calls failed at the end."""
    passed = {entry.state for entry in run.state_history or []} | {run.state}
    return bool(passed & {*STOPPED} or workflow and is_stopped(workflow))
