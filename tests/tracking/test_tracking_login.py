"""MLflow servers that ask who it is: MLflow's own accounts, and a proxy with TLS that takes a bearer token."""

import base64
import logging
import os
import socket
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest
from helpers.gateway import PREFIX, SECRET, Gateway, page, start, write_certificates
from helpers.servers import wait_for_server
from helpers.tracked import FULL

from rlready.errors import InputError
from rlready.tracking import client, log
from rlready.tracking.client import check_server

PASSWORD = "a-long-password"
INI = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/accounts.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    """Starts a real MLflow server with its accounts; yields its address."""
    pytest.importorskip("flask_wtf")
    folder = tmp_path_factory.mktemp("accounts")
    (folder / "basic-auth.ini").write_text(INI.format(folder=folder))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")} | {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic-auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "key",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--port", port, "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "kept")]
    with (folder / "log").open("w") as text:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=text, stderr=text)
    address = f"http://127.0.0.1:{port}"
    wait_for_server(server, address, folder / "log")
    yield address
    server.terminate()
    server.wait()


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Forgets servers that were lost, and the credentials of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RLREADY_RUN_ID", "run-1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")  # for a machine at its limit
    monkeypatch.setattr(client, "_reported", set())
    monkeypatch.setattr(client, "_unreachable", set())


def log_in(monkeypatch, name, password):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


def test_an_account_of_mlflow_logs_and_nobody_else_does(accounts, monkeypatch, capsys, caplog):
    from mlflow import MlflowClient

    caplog.set_level(logging.DEBUG, "urllib3"), caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", accounts.replace("//", "//user:in-the-address@"))
    for name, password in (("", ""), ("admin", "not-" + PASSWORD)):
        if name:
            log_in(monkeypatch, name, password)
        client._reported.clear(), client._unreachable.clear()
        log.log_outcome(FULL, "run-1")
        out = capsys.readouterr().out
        assert out.startswith(f"tracking: lost ({accounts} requires a login (401); set MLFLOW_TRACKING_USERNAME and")
        assert "in-the-address" not in out and PASSWORD not in out + caplog.text
    client._reported.clear(), client._unreachable.clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", accounts)
    log_in(monkeypatch, "admin", PASSWORD)
    log.log_outcome(FULL, "run-1")
    assert "lost" not in capsys.readouterr().out
    known = MlflowClient(accounts)
    found = known.search_runs([known.get_experiment_by_name("rlready").experiment_id])
    assert {run.data.metrics.get("rl/pass_at_1") for run in found} == {0.5, None}  # a candidate's, and its pipeline's


def test_another_account_may_not_write_there_and_is_told_so(accounts, monkeypatch, capsys):
    from mlflow.server import get_app_client

    log_in(monkeypatch, "admin", PASSWORD)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", accounts)
    client.attempt(lambda c, experiment: c.create_run(experiment))
    get_app_client("basic-auth", accounts).create_user("reader", PASSWORD)
    log_in(monkeypatch, "reader", PASSWORD)
    check_server(accounts)
    client.attempt(lambda c, experiment: c.create_run(experiment))
    assert f"lost ({accounts} does not allow this (403); the account needs the right" in capsys.readouterr().out


def test_a_token_over_tls_with_a_ca_of_its_own(accounts, monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.DEBUG, "urllib3"), caplog.set_level(logging.DEBUG)
    write_certificates(tmp_path)
    proxy = start(Gateway, tmp_path)
    known = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    proxy.gate = SimpleNamespace(accepted={f"Bearer {SECRET}"}, refuse=page, asked=[], upstream=accounts, sends=known)
    address = f"https://127.0.0.1:{proxy.server_port}{PREFIX}"

    def refuse(message):
        with pytest.raises(InputError, match=message) as caught:
            check_server(address)
        assert SECRET not in str(caught.value) + caplog.text

    refuse(f"the certificate of {address} is from an unknown CA; set MLFLOW_TRACKING_SERVER_CERT_PATH")
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "ca.pem"))
    refuse(f"{address} requires a login .with a web page.; set MLFLOW_TRACKING_USERNAME")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", f"{SECRET}\n")  # as a secret made from a file has it
    refuse("does not answer.*header")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)
    check_server(address)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert client.attempt(lambda c, experiment: c.get_experiment(experiment).name) == "rlready"
    proxy.shutdown()


def test_what_is_logged_to_a_file_is_for_its_user_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    log.log_outcome(FULL, "run-1")
    for name in ("mlflow.db", "mlartifacts"):
        assert not stat.S_IMODE((tmp_path / name).stat().st_mode) & 0o077, name
