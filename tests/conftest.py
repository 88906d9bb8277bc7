"""What the tests share: a model small enough to train in a second, and data in hub form."""

import json
import os
import subprocess
import sys

import pytest

pytest_plugins = ["helpers.gateway", "helpers.kfp_server", "helpers.outcomes", "helpers.runs", "helpers.training"]
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Returns the folder of an untrained Llama of 12,000 parameters with the list machine's tokenizer."""
    from helpers.miniature import build_model, build_tokenizer

    folder = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = build_tokenizer()
    build_model(tokenizer, hidden=32, layers=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def gsm8k_file(tmp_path):
    """Returns a function that writes rows of GSM8K's form and returns the file."""

    def write(name, rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """Making the tables takes seconds, so it is done once; every test gets a copy."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    code = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{path}').search_experiments()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return path


@pytest.fixture
def mlflow_client(empty_store, tmp_path, monkeypatch):
    """Returns a client of a store of its own, to which what rlready logs goes as of the pipeline run run-1."""
    from mlflow import MlflowClient

    from rlready.tracking import client

    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("RLREADY_RUN_ID", "run-1")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)  # an orchestrator's own; nothing may be logged to it
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "KF_PIPELINES_UI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client, "_reported", set())
    monkeypatch.setattr(client, "_unreachable", set())
    return MlflowClient(uri)
