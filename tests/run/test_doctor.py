"""What rlready doctor finds: one line a subject, with what to do, and exit status 2 if anything fails."""

import importlib.metadata
import re

import pytest
from helpers import PLUGINS
from helpers.kfp_server import Argo, rlready

from rlready.cli import doctor
from rlready.run.kfp import limits
from rlready.run.kfp.server import list_lacks


@pytest.fixture
def examine(monkeypatch, capsys, tmp_path):
    """Returns a function that runs the command and returns its exit status and {subject: (level, text)}."""
    for name in (
        "KFP_HOST",
        "KF_PIPELINES_ENDPOINT",
        "MLFLOW_TRACKING_URI",
        "RLREADY_IMAGE",
        "KUBERNETES_SERVICE_HOST",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))

    def run(*arguments):
        status = rlready(monkeypatch, "doctor", "--work", str(tmp_path / "runs"), *arguments)
        lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
        return status, {subject: (level, text) for level, subject, text in lines}

    return run


def test_a_healthy_machine(examine):
    status, found = examine()
    assert status == 0
    assert list(found) == ["libraries", "devices", "disk", "model", "data", "tracking", "pipeline"]
    assert {level for level, text in found.values()} <= {"ok", "warning"}  # a small disk is a warning
    assert found["pipeline"][0] == "ok"


def test_each_data_set_is_named_once(examine, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    names = ("sft_data", "evaluation_data", "rl_data", "predictor_data")
    recipe.write_text("parameters: {" + ", ".join(f"curate_{name}: gsm8k" for name in names) + "}")
    assert examine("--recipe", str(recipe))[1]["data"][1].count("gsm8k") == 1
    recipe.write_text("parameters: {curate_sft_data: ./gone.jsonl, curate_rl_data: ./gone.jsonl}")
    assert examine("--recipe", str(recipe))[1]["data"][1].count("gone.jsonl") == 1


def test_what_is_missing_is_named(examine, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "LEAST_DISK", 1 << 60)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["no-such-library>=1", "kfp<2", "x; extra == 'gpu'"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("KFP_HOST", "http://127.0.0.1:1")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "parameters: {base_model: ./nowhere, curate_sft_data: ./gone.jsonl}\nplacement: {rl: {gpus: 8, retries: 2}}"
    )
    status, found = examine("--recipe", str(recipe))
    assert status == 2
    expected = {
        "libraries": ("failure", "no-such-library is missing, kfp 2.17.0 is not <2: pip install"),
        "devices": ("warning", "the placement requests 8 GPUs"),
        "disk": ("failure", "give another folder with --work"),
        "model": ("failure", "./nowhere is neither a folder nor a hub id"),
        "data": ("failure", "./gone.jsonl: no such file or folder"),
        "tracking": ("warning", "http://127.0.0.1:1 does not answer"),
        "pipeline": ("ok", "of 1,024 KiB with RL for 3 of 3 candidates"),
        "server": ("failure", "cannot be reached"),
        "lineage": ("failure", "cannot be reached"),
        "cluster": ("warning", "no kubeconfig here, so secrets"),
    }
    assert found.keys() == expected.keys()
    for subject, (level, text) in expected.items():
        assert found[subject][0] == level and text in found[subject][1], found[subject]


def test_a_tag_is_refused_unless_forced(examine, monkeypatch, capsys):
    assert rlready(monkeypatch, "compile", "--image", "rlready:v1") == 2
    assert "rlready@sha256:..., or --force-tag" in capsys.readouterr().err
    assert examine("--image", "rlready:v1")[0] == 2
    assert examine("--image", "rlready:v1", "--force-tag")[0] == 0


@pytest.mark.parametrize(
    ("version", "lacks"),
    [("2.16.1", ["before 2.17 the form has no dropdowns"]), ("v2.17.0", []), ("2.18", []), ("", [])],
)
def test_what_an_older_server_lacks_is_said(version, lacks):
    found = list_lacks(version)
    assert len(found) == len(lacks) and all(map(str.startswith, found, lacks))


def test_the_server_and_how_its_runs_ended(server, examine, monkeypatch):
    monkeypatch.setenv("KFP_HOST", server.host)
    assert "its first run will show whether it caches" in examine()[1]["server"][1]
    driver = {"name": "system-container-driver", "container": {"args": ["--cache_disabled"]}}
    server.past, server.workflow = [{"run_id": "a", "state": "FAILED"}], Argo(templates=[driver]).write()
    status, found = examine()
    assert status == 0 and found["server"][0] == "warning" and "caching is switched off" in found["server"][1]


def test_a_sweep_that_is_too_large_for_a_cluster_is_a_warning(examine, monkeypatch):
    kib = int(re.search(r"at most (\d+) of 1,024 KiB", examine()[1]["pipeline"][1])[1])
    monkeypatch.setattr(limits, "WORKFLOW", (kib - 10) * 1024)
    status, found = examine()
    assert status == 0 and found["pipeline"][0] == "warning" and "fit: split the sweep" in found["pipeline"][1]


def test_the_package_of_a_plugin_is_named_since_the_image_must_have_it(examine, monkeypatch, tmp_path):
    (tmp_path / "rows.jsonl").write_text("{}\n")
    recipe = tmp_path / "recipe.yaml"
    source = f"{{path: {tmp_path}/rows.jsonl, format: countdown}}"
    recipe.write_text(f"parameters: {{curate_sft_data: mine, curate_sources: {{mine: {source}}}}}")
    assert "'countdown' is not one of word" in examine("--recipe", str(recipe))[1]["data"][1]
    monkeypatch.syspath_prepend(PLUGINS)
    found = examine("--recipe", str(recipe))[1]["data"]
    assert found[0] == "ok" and "the image must also contain countdown 0.1, for the format countdown" in found[1]
