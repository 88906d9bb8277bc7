"""Past runs: listed, found by name from anywhere below a project or by their folder, and opened in the browser."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from helpers import CASES
from helpers.kfp_server import rlready


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("laptop-20260102-101010", "own-20260103-101010"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        shutil.copy(CASES / "outcomes-schema2.json", tmp_path / "runs" / name / "outcomes.json")
    (tmp_path / "runs" / "own-20260104-101010").mkdir()
    (tmp_path / "runs" / "own-20260104-101010" / "parameters.json").write_text("{}")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    return tmp_path


def test_runs_are_listed_with_their_first_sentence(project, monkeypatch, capsys):
    assert rlready(monkeypatch, "runs") == 0
    listed = [dict(re.findall(r"^(\w+) +(.*)$", block, re.M)) for block in capsys.readouterr().out.split("\n\n")[:-1]]
    assert {run["run"] for run in listed} == {path.name for path in (project / "runs").iterdir()}
    found = {run["run"]: run for run in listed}
    assert found["own-20260104-101010"]["result"] == "not finished"
    first = found["laptop-20260102-101010"]
    assert first["recipe"] == "laptop" and first["folder"] == str(project / "runs" / "laptop-20260102-101010")
    assert rlready(monkeypatch, "report", "laptop-20260102-101010") == 0
    assert first["result"] in capsys.readouterr().out
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", first["date"])


@pytest.mark.parametrize("command", ["report", "samples", "replay"])
def test_a_run_is_found_from_below_the_project_and_by_its_folder(command, project, monkeypatch, capsys):
    said = []
    for given in (["laptop-20260102-101010"], [str(project / "runs" / "laptop-20260102-101010")]):
        assert rlready(monkeypatch, command, *given) in (0, 2)
        said.append(capsys.readouterr())
        assert "no finished run" not in said[-1].err
    assert said[0] == said[1]
    assert rlready(monkeypatch, command, "nowhere") == 2
    line = capsys.readouterr().err
    assert f"{project / 'runs' / 'nowhere'}: no finished run here" in line and "--work" in line


def test_open_shows_the_report_in_the_browser(project, tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {shlex.quote(str(tmp_path / "opened"))}\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "rlready.cli", "open", "laptop-20260102-101010"]
    report = project / "runs" / "laptop-20260102-101010" / "report.html"
    report.touch()
    done = subprocess.run(command, env={**os.environ, "BROWSER": str(browser)}, capture_output=True, text=True)
    assert done.returncode == 0 and str(report) in done.stdout
    assert (tmp_path / "opened").read_text() == f"{report.as_uri()}\n"
    report.unlink()
    done = subprocess.run(command, env={**os.environ, "BROWSER": str(browser)}, capture_output=True, text=True)
    assert done.returncode == 2 and f"{report}: no report here; rlready report" in done.stderr


def test_the_version_is_said(monkeypatch, capsys):
    assert rlready(monkeypatch, "--version") == 0
    assert re.fullmatch(r"rlready \d+\.\d+\.\d+\n", capsys.readouterr().out)
