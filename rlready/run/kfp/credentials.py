"""Credentials of a KFP server behind a login: a session cookie or a bearer token from the environment, sent with each request.

They are never arguments, `hide` removes them from every message, and they are sent only to the server's own address:
redirects are not followed.
"""

import functools
import json
import os
import re
import shlex
import ssl
import subprocess
from pathlib import Path

import kfp_server_api as api

from rlready.errors import InputError

TOKEN, TOKEN_COMMAND, COOKIE = "KFP_TOKEN", "KFP_TOKEN_COMMAND", "KFP_COOKIE"
TOKEN_FILE = "KF_PIPELINES_SA_TOKEN_PATH"  # this variable and the next path are those of kfp.Client
MOUNTED_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"
NAMES = (COOKIE, TOKEN, TOKEN_COMMAND, TOKEN_FILE)
CA = "KFP_SSL_CA_CERT"
LONGEST_COMMAND = 60  # seconds
SHORTEST = 6  # characters of a secret; shorter cookies are flags
WAYS = (
    f"set {COOKIE} to the session cookie of a browser that is logged in (name=value), {TOKEN} to a token, "
    f"{TOKEN_COMMAND} to a command that prints one, or {TOKEN_FILE} to a file that holds one"
)


def sign(client: api.ApiClient, refused: bool = False) -> bool:
    """Sets the client's credentials to those of the environment; returns whether they changed.

    A file is read each time, because it may be replaced while a run is followed; a command runs once, and again if the server
    has refused its token. Raises InputError if the command fails, or a value is no cookie or token.
    """
    if refused:
        _run.cache_clear()
    before = client.cookie, client.default_headers.get("authorization")
    token, cookie = _read_token(), os.environ.get(COOKIE, "").strip()
    form = r"([^=;\s]+=[\x21-\x7e]*(; *|$))*"
    client.cookie = _check(COOKIE, cookie, form, "name=value, as the browser sends it") or None
    client.default_headers.pop("authorization", None)
    if token:
        client.default_headers["authorization"] = f"Bearer {token}"
    return before != (client.cookie, client.default_headers.get("authorization"))


def advise(client: api.ApiClient) -> str:
    """Returns which variables to set after a server refused the credentials."""
    held = {COOKIE: client.cookie, _find_token()[0]: client.default_headers.get("authorization")}
    sent = " and ".join(name for name, value in held.items() if value)
    return f"it does not accept {sent}: has it expired? Otherwise set one of {', '.join(NAMES)}" if sent else WAYS


def hide(client: api.ApiClient, text: str) -> str:
    """Returns a text without the credentials, because some servers repeat them in their answers."""
    sent = [*(client.cookie or "").split(";"), client.default_headers.get("authorization", "").removeprefix("Bearer ")]
    for secret in (part.partition("=")[2] or part for part in sent):
        text = text.replace(secret, "***") if len(secret) >= SHORTEST else text
    return text


def find_ca() -> str | None:
    """Returns the file of the CA that signed the server's certificate, if it is not a well-known one."""
    path = os.environ.get(CA) or None
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise InputError(f"{CA}: {path} is not a certificate file ({error})") from None
    return path


def _find_token() -> tuple[str, str]:
    """Returns the name of the variable that a token comes from, and its value."""
    path = os.environ.get(TOKEN_FILE, MOUNTED_TOKEN)
    named = [(name, os.environ.get(name, "").strip()) for name in (TOKEN, TOKEN_COMMAND)]
    return next((item for item in named if item[1]), (TOKEN_FILE, path))


def _read_token() -> str:
    name, value = _find_token()
    if name == TOKEN_COMMAND:
        value = _run(value)
    elif name == TOKEN_FILE:
        try:
            value = Path(value).read_text().strip()
        except OSError as error:
            if TOKEN_FILE in os.environ:
                raise InputError(f"{TOKEN_FILE}: {value} cannot be read ({error.strerror})") from None
            return ""
    return _check(name, value.removeprefix("Bearer "), r"[\x21-\x7e]*", "one token, without spaces or line breaks")


def _check(name: str, value: str, form: str, expected: str) -> str:
    # Not left to http.client, which shows a header that it refuses.
    if not re.fullmatch(form, value):
        raise InputError(f"{name}: expected {expected}; its value is not shown")
    return value


@functools.cache
def _run(command: str) -> str:
    """Returns the token that a command prints, by itself or as an ExecCredential of Kubernetes."""
    program = command.split()[0]  # its arguments may be secrets
    try:
        words = shlex.split(command)
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST_COMMAND)
    except subprocess.TimeoutExpired:
        raise InputError(f"{TOKEN_COMMAND}: {program} did not end within {LONGEST_COMMAND} seconds") from None
    except (OSError, ValueError) as error:  # ValueError: an open quote, or an output that is no text
        why = error.strerror if isinstance(error, OSError) else "is it quoted as for a shell?"
        raise InputError(f"{TOKEN_COMMAND}: {program} cannot be run ({why})") from None
    said = done.stdout.strip()
    if done.returncode or not said:
        why = " ".join(done.stderr.split())[-300:]
        raise InputError(f"{TOKEN_COMMAND}: {program} gave no token (exit status {done.returncode}){why and f': {why}'}")
    try:
        return json.loads(said)["status"]["token"] if said.startswith("{") else said
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{TOKEN_COMMAND}: {program} printed JSON, but no ExecCredential with a token") from None
