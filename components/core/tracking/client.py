"""Work that needs MLflow: given a client and the experiment; lost with one printed line where there is none."""

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlready.components.config import InputError
from rlready.components.core.runtime import events
from rlready.components.core.tracking import store

LONGEST_CAUSE = 200  # characters of what a library says
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
_unreachable: set[str] = set()
_reported: set[str] = set()


def attempt(work: Callable[[Any, str], Any], quiet: bool = False) -> Any:
    """Returns what the work returns, given a client and the id of the experiment; None if tracking is off or lost."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return survive(lambda: _connect_and(work, uri), quiet) if uri and uri not in _unreachable else None


def survive(work: Callable[[], Any], quiet: bool = False) -> Any:
    """Returns what the work returns; None if it raises, which is printed once, unless `quiet`."""
    try:
        return work()
    except Exception as error:
        if quiet:
            return None
        uri = os.environ["MLFLOW_TRACKING_URI"]
        if not _reported:
            line = f"tracking: lost ({_explain(error, uri)}); the run goes on, the report will hold all numbers"
            print(line, flush=True)
            events.emit("tracking", None, "lost", message=line)
        _reported.add(uri)
        return None


def _explain(error: Exception, uri: str) -> str:
    if isinstance(error, InputError):
        return str(error)
    cause = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__
    what = f"{uri} cannot be reached" if uri in _unreachable else f"{uri} did not take everything"
    return re.sub(r"//[^@/\s]+@", "//", f"{what}: {' '.join(repr(cause).split())[:LONGEST_CAUSE]}")


def _connect_and(work: Callable[[Any, str], Any], uri: str) -> Any:
    for key, value in DEFAULTS.items():
        os.environ.setdefault(key, value)
    database = store.find_file(uri)
    with contextlib.ExitStack() as stack:
        try:
            from mlflow import MlflowClient

            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.ERROR)
            if database:
                stack.enter_context(store.hold_lock(database))
                store.make(database)
            client = MlflowClient(uri)
            experiment = _open_experiment(client, database)
        except Exception as error:
            _unreachable.add(uri)
            fault = store.describe_fault(database, error) if database else None
            if fault:
                raise InputError(fault) from error
            raise
        return work(client, experiment)


def name_experiment() -> str:
    """Returns the name of the experiment in MLflow."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "rlready"


def _open_experiment(client: Any, database: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    given, name = os.environ.get("MLFLOW_EXPERIMENT_ID"), name_experiment()
    experiment = client.get_experiment(given) if given else client.get_experiment_by_name(name)
    if experiment is None:
        folder = str(database.resolve().parent / "mlartifacts") if database else None
        try:
            return client.create_experiment(name, folder)
        except MlflowException:
            experiment = client.get_experiment_by_name(name)  # another process was first
            if experiment is None:
                raise
    return experiment.experiment_id


def search(client: Any, experiment: str, query: str) -> Iterator[Any]:
    """Yields the runs that a query finds, the oldest first, whatever their number."""
    token = None
    while True:
        page = client.search_runs([experiment], query, order_by=["start_time ASC"], page_token=token)
        yield from page
        token = page.token
        if not token:
            return
