"""Runs work that needs MLflow with a client and the experiment; if MLflow is lost, one line says so and the run continues."""

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlready.errors import InputError
from rlready.runtime import events
from rlready.tracking import store

LONGEST_TAG = 5000  # MLflow's limit
LONGEST_CAUSE = 200  # characters of a library's message
HTTP = {"MAX_RETRIES": "1", "BACKOFF_FACTOR": "1", "TIMEOUT": "5"}  # defaults of MLFLOW_HTTP_REQUEST_...
# MLflow's client reads these itself, and the user name.
SECRETS, CA = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"), "MLFLOW_TRACKING_SERVER_CERT_PATH"
LOG_IN = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN; "
    "on a cluster from a secret (placement.all.secrets)"
)
_unreachable: set[str] = set()
_reported: set[str] = set()


def attempt(work: Callable[[Any, str], Any], quiet: bool = False) -> Any:
    """Returns what the work returns for a client and the id of the experiment; None if tracking is off or lost."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return survive(lambda: _connect_and(work, uri), quiet) if uri and uri not in _unreachable else None


def survive(work: Callable[[], Any], quiet: bool = False) -> Any:
    """Returns what the work returns; None if it raises, which is printed once unless `quiet`."""
    try:
        return work()
    except Exception as error:
        if quiet:
            return None
        uri = os.environ["MLFLOW_TRACKING_URI"]
        if not _reported:
            line = f"tracking: lost ({_explain(error, uri)}); the run continues, and the report will hold all figures"
            print(line, flush=True)
            events.emit("tracking", None, "lost", message=line)
        _reported.add(uri)
        return None


def show_address(uri: str) -> str:
    """Returns the address of a tracking server without the password that it may hold."""
    return re.sub(r"//[^@/\s]+@", "//", uri)


def check_server(uri: str) -> None:
    """Raises InputError if a tracking server does not answer, or refuses the credentials that a run would use."""
    try:
        _load_client()(uri).search_experiments(max_results=1)
    except Exception as error:
        raise InputError(_explain(error, uri, "does not answer")) from None  # without its cause, which may hold the token


def _explain(error: Exception, uri: str, what: str = "rejected a call") -> str:
    if isinstance(error, InputError):
        return str(error)
    cause: BaseException = error
    while below := cause.__cause__ or cause.__context__:
        cause = below
    status = getattr(error, "get_http_status_code", lambda: None)()
    said = " ".join(repr(cause).split())
    for secret in filter(None, (os.environ.get(name, "").strip() for name in SECRETS)):
        said = said.replace(secret, "***")  # requests shows a header that it rejects
    if status == 401 or "not in a valid JSON format" in said:
        return f"{show_address(uri)} requires a login ({status if status == 401 else 'with a web page'}); {LOG_IN}"
    if status == 403:
        return f"{show_address(uri)} does not allow this (403); the account needs the right to edit the experiment"
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"the certificate of {show_address(uri)} is from an unknown CA; set {CA} to the CA's file"
    what = "cannot be reached" if uri in _unreachable else what
    return show_address(f"{uri} {what}: {said[:LONGEST_CAUSE]}")


def _load_client() -> Any:
    for name, value in HTTP.items():
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # of one small file
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient


def _connect_and(work: Callable[[Any, str], Any], uri: str) -> Any:
    database = store.find_file(uri)
    with contextlib.ExitStack() as stack:
        try:
            open_client = _load_client()  # sets the log levels before the store is created
            if database:
                stack.enter_context(store.hold_lock(database))
                store.make(database)
                store.read(database, "select 1")  # raises at once if it cannot be opened, which MLflow tries for 100 s
            client = open_client(uri)
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
        folder = database.resolve().parent / "mlartifacts" if database else None
        if folder:
            folder.mkdir(mode=0o700, exist_ok=True)  # reports and samples: private to this user
        try:
            return client.create_experiment(name, folder and str(folder))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)  # another process created it first
            if experiment is None:
                raise
    return experiment.experiment_id


def search(client: Any, experiment: str, query: str) -> Iterator[Any]:
    """Yields all runs that a query finds, the oldest first."""
    token = None
    while True:
        page = client.search_runs([experiment], query, order_by=["start_time ASC"], page_token=token)
        yield from page
        token = page.token
        if not token:
            return
