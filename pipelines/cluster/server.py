"""A KFP server: found, asked who it is, and every failure of an answer told in one line.

kfp_server_api is called directly. kfp.Client asks a server that is down five times, with a traceback each, never times
out, and waits for ever for a run that somebody cancels.
"""

import functools
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api as api
import urllib3

from rlready.components.config import InputError

HOSTS = ("KFP_HOST", "KF_PIPELINES_ENDPOINT")
TOKEN = "KFP_TOKEN"
TOKEN_FILE = "KF_PIPELINES_SA_TOKEN_PATH"  # this and the next: as kfp.Client has them
MOUNTED_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT = (5, 60)  # seconds to connect and to answer
OLDEST = (2, 16)  # the first that takes a package with the choices of its form (kubeflow/pipelines#12607)
LACKS = {(2, 17): "the form has no dropdowns, choices are typed (kubeflow/pipelines#12839)"}  # before that version
FORWARD = "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80, then --host http://127.0.0.1:8080"


@dataclass(frozen=True)
class Server:
    """A KFP server that has answered.

    Attributes:
        host: Its address.
        client: Client of its API.
        version: What it says its version is; empty where it does not.
        namespace: Where runs go; empty on a server for a single user.
    """

    host: str
    client: api.ApiClient
    version: str
    namespace: str

    def locate(self, page: str) -> str:
        """Returns the address of a page of its UI, e.g. runs/details/ID."""
        return f"{os.environ.get('KF_PIPELINES_UI_ENDPOINT', self.host).rstrip('/')}/#/{page}"


def connect(host: str | None = None, namespace: str | None = None) -> Server:
    """Finds the KFP server and asks who it is.

    Args:
        host: Its address; defaults to KFP_HOST or KF_PIPELINES_ENDPOINT, and inside a cluster to the service's name.
        namespace: Where runs go, on a server for several users; inside a cluster defaults to the pod's own.

    Raises:
        InputError: If there is no address, no answer, no right to ask, no KFP behind it, or one older than 2.16.
    """
    host = host or next(filter(None, map(os.environ.get, HOSTS)), None)
    if not host and "KUBERNETES_SERVICE_HOST" in os.environ:
        host = "http://ml-pipeline.kubeflow.svc:8888"
    if not host:
        raise InputError(f"no KFP server: give --host or set KFP_HOST. To reach one inside a cluster: {FORWARD}")
    if not re.match(r"https?://[^/\s]+", host):
        raise InputError(f"--host {host}: expected an address that begins with http:// or https://")
    settings = api.Configuration(host=host.rstrip("/"))
    settings.retries = False  # or urllib3 tries three times, and follows a redirection to a page for people
    settings.api_key_prefix["authorization"] = "Bearer"
    # Read anew for each request: a token from a file is replaced while a run is followed.
    settings.refresh_api_key_hook = _read_token
    _read_token(settings)
    client = api.ApiClient(settings)
    about = call(client, _ask_health, client, "v2beta1")
    if not isinstance(about, dict) or not about.keys() & {"multi_user", "pipeline_store", "tag_name"}:
        raise InputError(f"{host}: answers, but not as a KFP server does; is it the address of its UI or its API?")
    # Older servers say their version in the older API only.
    version = about.get("tag_name") or (call(client, _ask_health, client, "v1beta1") or {}).get("tag_name", "")
    known = read_version(version)
    if known and known < OLDEST:
        raise InputError(
            f"{host}: KFP {version} is older than 2.16, the first that takes this package; 2.17 is known best"
        )
    if not namespace and about.get("multi_user"):
        if not NAMESPACE_FILE.exists():
            raise InputError(f"{host}: KFP for several users; say with --namespace where to run")
        namespace = NAMESPACE_FILE.read_text().strip()
    return Server(host.rstrip("/"), client, version if known else "", namespace or "")


def read_version(version: str) -> tuple[int, ...] | None:
    """Returns major and minor version; None if there is none."""
    known = re.match(r"v?(\d+)\.(\d+)", version)
    return known and tuple(map(int, known.groups()))


def list_lacks(version: str) -> list[str]:
    """Returns what a server of this version does without, of what this pipeline uses; nothing if its version is unknown."""
    known = read_version(version)
    return [f"before {newer[0]}.{newer[1]} {lack}" for newer, lack in LACKS.items() if known and known < newer]


def _read_token(settings: api.Configuration) -> None:
    path = Path(os.environ.get(TOKEN_FILE, MOUNTED_TOKEN))
    token = os.environ.get(TOKEN, "") or (path.read_text() if path.is_file() else "")
    if token.strip():
        settings.api_key["authorization"] = token.strip()


def _ask_health(client: api.ApiClient, version: str, _request_timeout: Any) -> Any:
    # Not through the generated model, which leaves the version out.
    return client.call_api(f"/apis/{version}/healthz", "GET", response_type="object", auth_settings=["Bearer"],
                           _return_http_data_only=True, _request_timeout=_request_timeout)  # fmt: skip


def call(client: api.ApiClient, method: Callable, *arguments: Any, **options: Any) -> Any:
    """Returns what the server answers; every failure is one line.

    Raises:
        InputError: If the answer is a refusal, or does not come.
    """
    host = client.configuration.host
    try:
        return method(*arguments, **options, _request_timeout=TIMEOUT)
    except api.ApiException as error:
        raise InputError(f"{host}: {_explain(error)}") from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise InputError(f"{host}: no answer within {TIMEOUT[1]} seconds; is this its address?") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        reason = str(error).rsplit(": ", 1)[-1]
        raise InputError(f"{host}: cannot be reached ({reason}). Inside a cluster: {FORWARD}") from error
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error.__context__, api.ApiException):  # the generated client fails over an answer without a body
            raise InputError(f"{host}: {_explain(error.__context__)}") from error
        raise InputError(f"{host}: answers, but not as a KFP server does ({error})") from error


def ask(server: Server, path: str, query: dict[str, str] | None = None) -> bytes:
    """Returns what the server answers at a path that the generated client does not know.

    Raises:
        InputError: If the answer is a refusal, or does not come.
    """
    get = functools.partial(server.client.call_api, path, "GET", query_params=list((query or {}).items()),
                            auth_settings=["Bearer"], _preload_content=False)  # fmt: skip
    return call(server.client, lambda **options: get(**options).data)


def create(client: api.ApiClient, method: Callable, body: Any, key: str) -> str:
    """Returns the id of what the server makes; the generated models read a page of HTML as an object without one."""
    made = getattr(call(client, method, body), key)
    if not made:
        raise InputError(f"{client.configuration.host}: answers, but not as a KFP server does")
    return made


def _explain(error: api.ApiException) -> str:
    said = error.body or ""
    try:
        body = json.loads(said)
        said = body.get("message") or body.get("error") or ""
    except (ValueError, AttributeError):
        said = "" if "<" in said else said
    said = f": {' '.join(said.split())[:300]}" if said else ""
    if error.status == 0:
        return f"no secure connection: {' '.join(str(error.reason).split())}"
    if error.status == 401:
        return f"does not know who asks (401){said}; set {TOKEN} to a token, or {TOKEN_FILE} to a file with one"
    if error.status == 403:
        return f"does not allow this (403){said}; the token's account needs the right, or --namespace is not its own"
    if 300 <= error.status < 400:
        return f"sends on to a login page ({error.status}); set {TOKEN} to a token that it accepts"
    if error.status == 404:
        return f"does not have this (404){said}; is it the address of a KFP server of 2.16 or later?"
    return f"refuses ({error.status} {error.reason}){said}"
