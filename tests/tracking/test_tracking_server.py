"""The MLflow server as manifests/ starts it, on a real PostgreSQL; runs where initdb is (Debian's package postgresql)."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from helpers.manifests import MANIFESTS, load
from helpers.servers import choose_port, wait_for_server
from helpers.tracked import FULL

from rlready.tracking import log, runs

PROGRAMS = [*Path("/usr/lib/postgresql").glob("*/bin"), *map(Path, os.environ["PATH"].split(":"))]
BIN = next((folder for folder in PROGRAMS if (folder / "initdb").exists()), None)
pytestmark = pytest.mark.skipif(BIN is None, reason="no PostgreSQL on this machine")
PASSWORD = "abc123"


@pytest.fixture(scope="module")
def database():
    """Starts PostgreSQL as a user that is not root; yields its port."""
    folder, port = Path(tempfile.mkdtemp(prefix="rlready-postgres-")), choose_port()
    other = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    if other:
        shutil.chown(folder, "nobody", "nogroup")
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    command = [
        BIN / "initdb",
        "-D",
        folder / "data",
        "-U",
        "mlflow",
        "--auth=scram-sha-256",
        f"--pwfile={folder}/password",
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **other)
    command = [
        BIN / "postgres",
        "-D",
        folder / "data",
        "-p",
        str(port),
        "-k",
        folder,
        "-c",
        "listen_addresses=127.0.0.1",
    ]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **other)
    asked = [BIN / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(asked, capture_output=True).returncode:
        assert server.poll() is None
        time.sleep(0.2)
    create = [
        BIN / "psql",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-U",
        "mlflow",
        "-d",
        "postgres",
        "-c",
        "create database mlflow",
    ]
    subprocess.run(create, check=True, capture_output=True, env={"PGPASSWORD": PASSWORD})
    yield port
    server.terminate()
    server.wait()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def mlflow(database, tmp_path_factory):
    """Starts the container's command with its arguments and environment; only addresses differ. Yields the address."""
    pytest.importorskip("flask_wtf")
    objects = {(d["kind"], d["metadata"]["name"]): d for d in load(MANIFESTS / "base/tracking/mlflow.yaml")}
    deployment, accounts = objects["Deployment", "mlflow"], objects["ConfigMap", "mlflow-accounts"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    scratch, root, port = tmp_path_factory.mktemp("scratch"), tmp_path_factory.mktemp("root"), choose_port()
    environment = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    for name, text in accounts["data"].items():
        text = text.replace("postgres:5432", f"127.0.0.1:{database}").replace("localhost:5000", f"localhost:{port}")
        (scratch / name).write_text(text)
    environment |= {
        "MLFLOW_BACKEND_STORE_URI": environment["MLFLOW_BACKEND_STORE_URI"].replace("postgres:5432", f"127.0.0.1:{database}"),
        "MLFLOW_AUTH_CONFIG_PATH": str(scratch / "basic-auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD * 2,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "key",
        "PGPASSWORD": PASSWORD,
        "MLFLOW_ARTIFACTS_DESTINATION": str(scratch / "artifacts"),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    arguments = [a.replace("5000", str(port)).replace("0.0.0.0", "127.0.0.1") for a in container["args"]]
    command = [Path(sys.executable).parent / container["command"][0], *container["command"][1:], *arguments]
    log = (scratch / "log").open("w")
    server = subprocess.Popen(command, env=environment, cwd=root, stdout=log, stderr=log)
    wait_for_server(server, f"http://127.0.0.1:{port}", scratch / "log")
    # The account of the runs, as the README has it made.
    made = [sys.executable, scratch / "add-account.py", "rlready"]
    subprocess.run(made, env=environment, cwd=scratch, input=f"{PASSWORD * 3}\n", text=True, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", "rlready")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD * 3)
        yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()
    assert not list(root.iterdir())  # the container's root filesystem is read-only


def test_outcomes_and_reports_reach_the_database(mlflow, monkeypatch, tmp_path, capfd):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
    report = tmp_path / "report.md"
    report.write_text("# a report")
    log.log_outcome(FULL, "run-1")
    runs.finish_run("run-1", {"gate_k": 64}, {"report.md": report})
    assert capfd.readouterr() == ("", "")  # no link to each run that ends
    client = MlflowClient(mlflow)
    experiments = [e.experiment_id for e in client.search_experiments()]
    found = client.search_runs(experiments, "metrics.`sft/pass_at_64` > 0.6 and tags.verdict = 'approved'")
    assert [run.data.metrics["rl/pass_at_1"] for run in found] == [0.5]
    (parent,) = client.search_runs(experiments, "params.gate_k = '64'")
    assert [artifact.path for artifact in client.list_artifacts(parent.info.run_id)] == ["report.md"]


@pytest.mark.postgres
def test_the_laptop_recipe_logs_every_candidate_with_its_lineage(mlflow, tmp_path):
    from mlflow import MlflowClient

    candidates = json.dumps([{"epochs": 0}, {"epochs": 4}, {"epochs": 16, "subset": "shortest"}])
    shorter = [f"sweep_candidates={candidates}", "rl_steps=2"]
    command = [sys.executable, "-m", "rlready.cli", "run", "--recipe", "laptop", "--work", str(tmp_path)]
    command += [part for entry in [*shorter, "predictors_samples=64"] for part in ("--set", entry)]
    kept = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    environment = {k: v for k, v in os.environ.items() if k in kept or not k.startswith("MLFLOW")}
    environment |= {"MLFLOW_TRACKING_URI": mlflow}
    environment["MLFLOW_EXPERIMENT_NAME"] = "laptop"  # the other test has the default one
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert "tracking: lost" not in ran.stdout + ran.stderr
    (folder,) = {path.parent for path in tmp_path.glob("*/outcomes.json")}
    outcomes = json.loads((folder / "outcomes.json").read_text())["outcomes"]
    client = MlflowClient(mlflow)
    experiment = client.get_experiment_by_name("laptop").experiment_id
    assert f"{mlflow}/#/experiments/{experiment}/runs?viewStateShareKey=rlready" in ran.stdout
    found = [client.get_run(run.info.run_id) for run in client.search_runs([experiment])]
    rows = {run.info.run_name: run for run in found}
    assert len(found) == len(rows) == len(outcomes) + 2
    parent = rows[folder.name]
    assert parent.info.status == "FINISHED" and parent.data.params["rl_steps"] == "2"
    kept = {"report.html", "report.md", "outcomes.json", "verdicts.json", "candidates.html"}
    uploaded = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {path for path in uploaded if not path.endswith(".svg")} == kept
    models = {model.model_id: model for model in client.search_logged_models([experiment])}
    for outcome in outcomes:
        row = rows[outcome["candidate"]["candidate_id"]]
        assert row.info.status == "FINISHED" and row.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert row.data.tags["verdict"] == outcome["verdict"]["decision"]
        assert row.data.metrics["sft/pass_at_64"] == dict(outcome["predictors"]["curve"])[64]
        assert ("rl/pass_at_1" in row.data.metrics) == outcome["verdict"]["proceed"]
        datasets = {entry.dataset.name for entry in row.inputs.dataset_inputs}
        assert {"sft", "heldout", "rl", "predictors", "benchmark"} <= datasets
        made = [models[output.model_id] for output in row.outputs.model_outputs]
        assert {m.tags["rlready.stage"] for m in made} == ({"sft", "rl"} if outcome["rl"] else {"sft"})
        if outcome["rl"]:
            (start,) = row.inputs.model_inputs
            (end,) = [m for m in made if m.tags["rlready.stage"] == "rl"]
            assert end.tags["rlready.parent_model"] == start.model_id
    assert {outcome["verdict"]["proceed"] for outcome in outcomes} == {True, False}
