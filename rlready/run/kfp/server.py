"""A KFP server: how it is found and called. Every failure is described in one line.

kfp_server_api is called directly: kfp.Client calls a server that is down five times, with a traceback each, never times out,
and waits forever for a canceled run.
"""

import functools
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from http.client import BadStatusLine
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import kfp_server_api as api
import urllib3

from rlready.errors import InputError, one_line
from rlready.run.kfp import credentials

HOSTS = ("KFP_HOST", "KF_PIPELINES_ENDPOINT")
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT = (5, 60)  # seconds to connect and to answer
OLDEST = (2, 16)  # the first that accepts choices in a pipeline's form (kubeflow/pipelines#12607)
LACKS = {(2, 17): "the form has no dropdowns, choices are typed (kubeflow/pipelines#12839)"}  # before this version
FAILURES = (api.ApiException, urllib3.exceptions.HTTPError, OSError, ValueError, TypeError, AttributeError)
REFUSED = (200, 301, 302, 303, 307, 308, 401, 403)  # how a login answers; 200 with a web page
FORWARD = "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80, then --host http://127.0.0.1:8080"


class CallFailed(InputError):
    """A server has refused a call, or not answered it."""

    status = 0  # of its answer, by HTTP


@dataclass(frozen=True)
class Server:
    """A KFP server that has answered."""

    host: str
    client: api.ApiClient
    version: str  # empty if unknown
    namespace: str  # of its runs; empty on a server for a single user

    @property
    def scope(self) -> dict[str, str]:
        """Arguments that select the namespace in a request."""
        return {"namespace": self.namespace} if self.namespace else {}

    def locate(self, page: str) -> str:
        """Returns the address of a page of its UI, e.g. runs/details/ID."""
        return f"{os.environ.get('KF_PIPELINES_UI_ENDPOINT', self.host).rstrip('/')}/#/{page}"


def connect(host: str | None = None, namespace: str | None = None) -> Server:
    """Finds the KFP server and checks that it is one.

    Its address is by default KFP_HOST or KF_PIPELINES_ENDPOINT, and inside a cluster the service's name; the namespace of the
    runs, on a server for several users, that of the pod. Raises InputError if there is no address, no answer, no permission, no
    KFP behind it, or one older than 2.16.
    """
    host = host or next(filter(None, map(os.environ.get, HOSTS)), None)
    if not host and "KUBERNETES_SERVICE_HOST" in os.environ:
        host = "http://ml-pipeline.kubeflow.svc:8888"
    if not host:
        raise InputError(f"no KFP server: give --host or set KFP_HOST. To reach one inside a cluster: {FORWARD}")
    if urlsplit(host).username is not None:  # not shown
        raise InputError(f"--host: expected an address without user and password; {credentials.WAYS}")
    if not re.match(r"https?://[^/\s]+", host):
        raise InputError(f"--host {host}: expected an address that begins with http:// or https://")
    settings = api.Configuration(host=host.rstrip("/"))
    settings.retries = False  # urllib3 would try three times, and follow a redirection to a login page
    settings.ssl_ca_cert = credentials.find_ca()
    client = api.ApiClient(settings)
    health = get_json(client, "/apis/v2beta1/healthz")
    if not isinstance(health, dict) or not health.keys() & {"multi_user", "pipeline_store", "tag_name"}:
        raise InputError(f"{host}: answers, but not as a KFP server does; is it the address of its UI or its API?")
    # Older servers give their version in the older API only.
    version = health.get("tag_name") or (get_json(client, "/apis/v1beta1/healthz") or {}).get("tag_name", "")
    known = read_version(version)
    if known and known < OLDEST:
        raise InputError(f"{host}: KFP {version} is older than 2.16, the first that accepts this pipeline")
    if not namespace and health.get("multi_user"):
        if not NAMESPACE_FILE.exists():
            raise InputError(f"{host}: KFP for several users; set --namespace or KFP_NAMESPACE")
        namespace = NAMESPACE_FILE.read_text().strip()
    return Server(host.rstrip("/"), client, version if known else "", namespace or "")


def read_version(version: str) -> tuple[int, ...] | None:
    """Returns major and minor version; None if they are unknown."""
    known = re.match(r"v?(\d+)\.(\d+)", version)
    return known and tuple(map(int, known.groups()))


def list_lacks(version: str) -> list[str]:
    """Returns the features that this pipeline uses and a server of this version lacks; none if the version is unknown."""
    known = read_version(version)
    return [f"before {newer[0]}.{newer[1]} {lack}" for newer, lack in LACKS.items() if known and known < newer]


def call(client: api.ApiClient, method: Callable, *arguments: Any, **options: Any) -> Any:
    """Returns the server's answer; raises CallFailed, in one line without credentials, if it refuses or does not answer."""
    credentials.sign(client)
    for again in (True, False):
        try:
            answer = method(*arguments, **options, _request_timeout=TIMEOUT)
            # The API never answers with a page, which the generated models would read as an empty object.
            if not isinstance(answer, bytes) and "text/html" in (client.last_response.getheader("content-type") or ""):
                raise api.ApiException(status=200, reason="OK")
            return answer
        except FAILURES as error:
            failure = error
        refusal = _find_refusal(failure)
        # Tokens expire while a run is followed. A refused request had no effect, so a second one creates nothing twice.
        if not (again and refusal and refusal.status in REFUSED and credentials.sign(client, refused=True)):
            text = credentials.hide(client, _describe_failure(client, failure))
            failed = CallFailed(f"{client.configuration.host}: {text}")
            failed.status = refusal.status if refusal else 0
            raise failed  # not from the failure, which holds headers


def get_json(client: api.ApiClient, path: str) -> Any:
    """Returns the server's answer at a path as JSON: the generated models omit some of its fields."""
    return call(client, functools.partial(client.call_api, path, "GET", response_type="object", _return_http_data_only=True))


def get(server: Server, path: str, query: dict[str, str] | None = None) -> bytes:
    """Returns the server's answer at a path that the generated client does not know; raises InputError as `call` does."""
    parameters = list((query or {}).items())
    request = functools.partial(server.client.call_api, path, "GET", query_params=parameters, _preload_content=False)
    return call(server.client, lambda **options: request(**options).data)


def create(client: api.ApiClient, method: Callable, body: Any, key: str) -> str:
    """Returns the id of what the server creates; the generated models read an HTML page as an object without one."""
    made = getattr(call(client, method, body), key)
    if not made:
        raise InputError(f"{client.configuration.host}: answers, but not as a KFP server does")
    return made


def _find_refusal(error: Exception) -> api.ApiException | None:
    # The generated client fails on an answer without a body while it makes its exception.
    return next((e for e in (error, error.__context__) if isinstance(e, api.ApiException)), None)


def _describe_failure(client: api.ApiClient, error: Exception) -> str:
    refusal = _find_refusal(error)
    if refusal and refusal.status == 0:
        reason = one_line(refusal.reason)
        if "mismatch" in reason:
            return f"its certificate is for another name ({reason}); use that name"
        if "verify failed" in reason and "expired" not in reason:
            return f"its certificate is from an unknown CA; set {credentials.CA} to the CA's file ({reason})"
        return f"no secure connection: {reason}"
    if refusal:
        return _describe_refusal(client, refusal)
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"no answer within {TIMEOUT[1]} seconds; is this its address?"
    cause = error.args[-1] if isinstance(error, urllib3.exceptions.ProtocolError) else error
    if isinstance(cause, BadStatusLine) and not isinstance(cause, OSError):
        return "answers, but not as a web server does; is this its address?"
    if isinstance(error, (urllib3.exceptions.HTTPError, OSError)):
        return f"cannot be reached ({str(cause).rsplit(': ', 1)[-1]}). Inside a cluster: {FORWARD}"
    return f"answers, but not as a KFP server does ({error})"


def _describe_refusal(client: api.ApiClient, error: api.ApiException) -> str:
    status, said, page = error.status, error.body or "", "<" in (error.body or "")
    try:
        body = json.loads(said)
        said = body.get("message") or body.get("error") or ""
    except (ValueError, AttributeError):
        body, said = None, "" if page else said
    said = f": {one_line(said, 300)}" if said else ""
    log_in = credentials.advise(client)
    if 300 <= status < 400:
        there = urlsplit(urljoin(client.configuration.host, (error.headers or {}).get("Location")))
        there = there._replace(query="", fragment="").geturl()  # without what identifies the login
        moved, same, _ = there.partition("/apis/")
        if same:
            return f"redirects ({status}) to {moved}; give that address"
        return f"redirects ({status}) to a login page, {there}; {log_in}"
    if status == 200:
        return f"answers with a web page; either KFP is below a path such as /pipeline, or this is a login: {log_in}"
    if status == 401 or status == 403 and (page or log_in == credentials.WAYS):
        return f"requires a login ({status}){said}; {log_in}"
    if status == 403:
        return f"does not allow this (403){said}; the token's account needs the permission, or another --namespace"
    if status == 404:
        gate = "" if body else ", with its path, such as https://host/pipeline"
        return f"does not have this (404){said}; is it the address of a KFP server of 2.16 or later{gate}?"
    return f"refuses ({status} {error.reason}){said}"
