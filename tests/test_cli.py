"""The command line's own manners: help that fits and holds, examples that can be typed, and quiet ends."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from kfp_server import rlready

from rlready.components.config import SECTIONS, list_parameters
from rlready.pipelines.cli import parser


def read_help(monkeypatch, capsys, *command):
    monkeypatch.setenv("COLUMNS", "80")
    assert rlready(monkeypatch, *command, "--help") == 0
    return capsys.readouterr().out


def test_the_help_fits_one_screen_and_names_every_command(monkeypatch, capsys):
    lines = read_help(monkeypatch, capsys).splitlines()
    assert len(lines) <= 24 and all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines if re.match(r"    \w+ ", line)] == [*parser.COMMANDS]


@pytest.mark.parametrize("name", parser.COMMANDS)
def test_every_command_s_help_ends_with_an_example_that_it_takes(monkeypatch, capsys, name):
    text = read_help(monkeypatch, capsys, name)
    line = text.partition("example:\n  ")[2].splitlines()[0]
    command = line.partition("     (")[0]  # what stands behind it are variables that have to be set
    program, *arguments = shlex.split(command)
    assert program == "rlready" and arguments[0] == name
    assert parser.build_parser().parse_args(arguments).execute is parser.COMMANDS[name].execute


def test_the_example_of_compile_works_as_it_stands(monkeypatch, tmp_path):  # that of plan is run by test_cost.py
    monkeypatch.chdir(tmp_path)
    assert rlready(monkeypatch, *shlex.split(parser.COMMANDS["compile"].EXAMPLE)[1:]) == 0


def test_run_s_help_has_every_parameter_once_by_stage_and_the_common_ones_first(monkeypatch, capsys):
    text = read_help(monkeypatch, capsys, "run").partition("parameters of --set")[2]
    listed = re.findall(r"^  (\w+) = ", text, re.MULTILINE)
    assert sorted(listed) == sorted(list_parameters())
    headings = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert headings[0] == "common" and headings[1:] == [name for name in SECTIONS if name in headings]
    for heading, block in zip(headings[1:], re.split(r"^\w+:$", text, flags=re.MULTILINE)[2:], strict=True):
        assert all(name.startswith(f"{heading}_") for name in re.findall(r"^  (\w+) = ", block, re.MULTILINE))


def test_a_closed_pipe_ends_quietly():
    read, write = os.pipe()
    os.close(read)  # as `| head` does once it has enough
    command = [sys.executable, "-m", "rlready.pipelines.cli", "plan", "--recipe", "laptop"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compile", "--output", "laptop.yml"], "--output laptop.yml: expected a file that ends with .yaml"),
        (["compile", "--output", "nowhere/laptop.yaml"], "expected a file .* in a folder that is there"),
        (["compile", "--set", "curate_sft_data=train.jsonl"], "curate_sft_data: train.jsonl is a path on this machine"),
        (["run", "--work", "what?"], "cannot lie below a folder with a question mark"),
        (["report", "nowhere"], "no finished run here; rlready run makes one"),
        (["replay", "--set", "gate_kk=1"], "no finished run here"),
        (["follow"], "no KFP server: give --host or set KFP_HOST"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(monkeypatch, capsys, tmp_path, arguments, message):
    for name in ("KFP_HOST", "KF_PIPELINES_ENDPOINT", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert rlready(monkeypatch, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"rlready: .*{message}", line), line
