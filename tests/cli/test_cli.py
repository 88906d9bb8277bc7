"""The command line's own manners: help that fits and holds, examples that can be typed, and quiet ends."""

import importlib
import os
import re
import shlex
import subprocess
import sys

import pytest
from helpers.kfp_server import rlready

from rlready.cli.command import COMMANDS
from rlready.cli.compile import COMMAND
from rlready.config import SECTIONS, list_parameters

IMAGE = f"registry.example/rlready@sha256:{'a' * 64}"


def read_help(monkeypatch, capsys, *command):
    monkeypatch.setenv("COLUMNS", "80")
    assert rlready(monkeypatch, *command, "--help") == 0
    return capsys.readouterr().out


def test_the_help_fits_one_screen_and_names_every_command(monkeypatch, capsys):
    lines = read_help(monkeypatch, capsys).splitlines()
    assert len(lines) <= 30 and all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines if re.match(r"    \w+ ", line)] == [*COMMANDS]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_s_help_ends_with_an_example_that_it_takes(monkeypatch, capsys, name):
    text = read_help(monkeypatch, capsys, name)
    line = text.partition("example:\n  ")[2].splitlines()[0]
    command = line.partition("     (")[0]  # what stands behind it are variables that have to be set
    program, *arguments = shlex.split(command)
    assert program == "rlready" and arguments[0] == name
    assert importlib.import_module(f"rlready.cli.{name}").COMMAND.parse_args(arguments[1:])


def test_the_example_of_compile_works_as_it_stands(monkeypatch, tmp_path):  # that of plan is run by test_gpu_cost.py
    monkeypatch.chdir(tmp_path)
    assert rlready(monkeypatch, *shlex.split(COMMAND.example)[1:]) == 0


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
    command = [sys.executable, "-m", "rlready.cli", "plan", "--recipe", "laptop"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compile", "--output", "laptop.yml"], "--output laptop.yml: expected a file that ends with .yaml"),
        (["compile", "--output", "nowhere/laptop.yaml"], "expected a file .* in an existing folder"),
        (["compile", "--set", "curate_sft_data=train.jsonl"], "curate_sft_data: train.jsonl is a path on this machine"),
        (
            ["submit", "--image", IMAGE, "--host", "http://127.0.0.1:1", "--set", "curate_sft_data=train.jsonl"],
            "--set curate_sft_data: train.jsonl is a path on this machine",
        ),
        (["run", "--work", "what?"], "MLflow cannot write below a folder with a question mark"),
        (["run", "--work", "a%20b/runs"], "or a code such as %20"),
        (["report", "nowhere"], "no finished run here; start one with rlready run"),
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


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("parameters: {base_model: ./nowhere, gate_k: 3, rl_steps: -1}")
    (tmp_path / "rows.jsonl").write_text('{"question": "What is 1 + 1?", "answer": "2"}\n')


PLAN, EVALUATE = ["plan", "--recipe", "own.yaml"], ["evaluate", "--model", "builtin:list-machine", "--benchmarks"]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (PLAN, ["own.yaml: rl_steps: -1 lies outside [0, 1000000]", "own.yaml: gate_k: 3 is neither a power of two"]),
        (
            [*PLAN, "--set", "gate_k=512", "--set", "rl_steps=1"],
            ["--set gate_k: Pass@512 needs at least 512 samples"],
        ),
        ([*PLAN, "--set", "gate_k=4", "--set", "rl_steps=1"], ["own.yaml: base_model: "]),
        (
            [*PLAN, "--set", "gate_k=4", "--set", "rl_steps=1", "--set", "base_model=/no"],
            ["--set base_model: /no is neit"],
        ),
        ([*PLAN, "--set", "gate_k"], ["--set gate_k: expected key=value"]),
        ([*PLAN, "--set", "gate_k=["], ["--set gate_k=[: not YAML"]),
        ([*PLAN, "--set", "gate_k=many"], ["--set: gate_k: expected int, got 'many'"]),
        (["plan", "--set", "sft_batch_size=-1"], ["--set sft_batch_size: -1 must be at least 1"]),
        (
            ["evaluate", "--model", "/no", "--benchmarks", "rows.jsonl"],
            ["--model: /no is neither a folder nor a hub id"],
        ),
        ([*EVALUATE, "no"], ["--benchmarks: 'no' is neither a .jsonl"]),
        ([*EVALUATE, ","], ["--benchmarks: no benchmark is named"]),
        ([*EVALUATE, "builtin:list-machine"], ["builtin:list-machine is infinite; give a number of problems with --limit"]),
        ([*EVALUATE, "rows.jsonl", "--samples", "-1"], ["--samples and --limit must be 0 or more, got -1 and 0"]),
        ([*EVALUATE, "rows.jsonl", "--set", "gate_k=4"], ["--set gate_k: evaluate takes sampling_..., curate_sources"]),
        ([*EVALUATE, "rows.jsonl", "--set", "sampling_max_tokens"], ["--set sampling_max_tokens: expected key=value"]),
        (
            [*EVALUATE, "rows.jsonl", "--set", "sampling_max_tokens=0"],
            ["--set sampling_max_tokens: 0 must be at least 1"],
        ),
        ([*EVALUATE, "rows.jsonl", "--set", "sampling_stop=[a, b"], ["--set sampling_stop=[a, b: not YAML"]),
        (
            [*EVALUATE, "rows.jsonl", "--set", "sampling_tensor_parallel=9"],
            ["--set sampling_tensor_parallel: 9 GPUs for one"],
        ),
    ],
)
def test_an_error_names_what_the_user_wrote_and_where(own, monkeypatch, capsys, arguments, messages):
    assert rlready(monkeypatch, *arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert line.startswith(f"rlready: {message}"), line


def test_set_takes_yaml_as_a_recipe_does(own, monkeypatch, capsys):
    changes = ["sweep_candidates=[{epochs: 2, subset: longest}]", "gate_k=4", "predictors_samples=8", "rl_steps=1"]
    assert rlready(monkeypatch, "plan", *(part for change in changes for part in ("--set", change))) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("recipe      laptop: ") and re.search(r"^  longest-\d+x2-", shown, re.MULTILINE)


def test_what_happens_is_said_at_once_without_a_terminal_too():
    code = (
        "import os, time; from rlready.cli.command import print_progress, print_result\n"
        "print_progress(time.time(), 'a: SFT from the cache'); print_result('log', 'runs/log.txt'); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (9, " 0:00 a: SFT from the cache\nlog         runs/log.txt\n")
