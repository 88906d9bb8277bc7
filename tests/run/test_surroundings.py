"""Where a command starts: a work folder that is none, no temporary folder, another locale, modules of the user."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from helpers.kfp_server import rlready

from rlready.config.recipes import load_recipe
from rlready.run.local.containers import find_files, run_container


@pytest.mark.parametrize("below", ["", "/runs"])
def test_a_work_folder_that_is_a_file_is_one_line(tmp_path, monkeypatch, capsys, below):
    (tmp_path / "file").write_text("mine")
    assert rlready(monkeypatch, "run", "--work", f"{tmp_path}/file{below}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"rlready: --work {tmp_path}/file{below}: {tmp_path}/file is a file; expected a folder for runs"


def test_a_folder_for_temporary_files_that_is_missing_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    assert rlready(monkeypatch, "run", "--work", str(tmp_path / "runs")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rlready: TMPDIR: {tmp_path / 'none'} is not a folder") and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("utf8", "message"),
    [("0", "the locale's encoding is ANSI_X3.4-1968, but files are UTF-8; set PYTHONUTF8=1"), ("1", "--work none: no such")],
)
def test_a_locale_that_is_not_utf_8_is_one_line(utf8, message):
    command = [sys.executable, "-m", "rlready.cli", "clean", "--work", "none"]
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": utf8}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith(f"rlready: {message}")


def test_modules_of_the_folder_where_a_run_starts_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the user was imported')")
    assert rlready(monkeypatch, "clean", "--work", str(tmp_path / "none")) == 2
    command = [sys.executable, "-m", "rlready.run.launch", "--help"]  # as every process of a run is started
    assert subprocess.run(command, cwd=tmp_path, env=os.environ).returncode == 0


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        (">/dev/full", 1, "rlready: no space left on the device (standard output or a temporary file)"),
        (">&-", 0, ""),
        ("", 1, "rlready: the current folder does not exist any more; change into another"),
    ],
)
def test_output_that_cannot_be_written_and_a_folder_that_is_gone_are_one_line(tmp_path, ending, status, said):
    leave = "" if ending else f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; "
    command = f"{leave}{sys.executable} -m rlready.cli plan --recipe laptop {ending}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stderr.strip()) == (status, said)


def test_containers_see_every_file_that_parameters_name_and_no_folder_that_only_has_the_name_of_a_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "zero.json")]
    for path in files:
        path.write_text('{"question": "1 + 1?", "answer": "2"}\n')
    for value in ("random", "boxed", "enforce"):
        (tmp_path / value).mkdir()
    changes = ["curate_evaluation_data=a.jsonl,b.jsonl", 'rl_trainer_overrides={"deepspeed": "zero.json"}']
    assert find_files(load_recipe("laptop", changes)) == set(files)


class Container:
    """A container whose log comes in pieces that end within a character."""

    def logs(self, stream):
        return iter(["42 \u20ac".encode()[:4], "42 \u20ac".encode()[4:]])

    def wait(self):
        return {"StatusCode": 3}

    def remove(self, force):
        pass


def test_characters_at_the_border_of_two_pieces_of_a_container_s_log_stay_whole(capsys):
    client = SimpleNamespace(containers=SimpleNamespace(run=lambda *_, **__: Container()))
    assert run_container(client, "image", ["true"], {}) == 3
    assert capsys.readouterr().out == "42 \u20ac"
