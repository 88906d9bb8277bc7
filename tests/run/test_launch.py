"""What fails for one candidate is an outcome: tried again where that can help, said in one line, passed on by later stages."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.stages import SETTINGS, replace_work

from rlready.records.outcome import Candidate, Failure, Outcome, SftRecord
from rlready.records.serialization import read_record, to_json, write_record
from rlready.run import launch
from rlready.runtime import failures

CANDIDATE = Candidate("c", 1, "random", 8, 1e-3, 0)
BASELINE = Candidate("no-sft-s0", 0, "random", 1, 1e-6, 0)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Returns a function that launches a stage whose work is the body given."""
    for name in (launch.SOCKET, failures.RETRIES, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)

    for name in ("data", "model"):
        (tmp_path / name).mkdir()

    def start(body, stage="predictors", candidate=CANDIDATE, retries=0, **more):
        with monkeypatch.context() as patch:
            patch.setenv("PYTHONPATH", replace_work(tmp_path, stage, body))
            patch.setenv(failures.RETRIES, str(retries))
            patch.setenv("TRIES", str(tmp_path / "tries"))
            names = ("data", "model", "outcome", "trained", "samples")
            arguments = {name: str(tmp_path / name) for name in names} | {"settings": SETTINGS} | more
            about = launch.launch(stage, candidate=to_json(candidate), **arguments)
        return about, read_record(Outcome, arguments["outcome"])

    return start


def test_an_input_that_was_deleted_ends_the_run_with_the_way_out(work, tmp_path):
    gone = "gone does not exist: this output of an earlier stage was deleted, but the cache still holds its name; with another"
    with pytest.raises(SystemExit, match=f"predictors: .*/{gone} curate_seed"):
        work("", before=str(tmp_path / "gone"))
    with pytest.raises(SystemExit, match=f"gate: .*/{gone} curate_seed"):
        launch.launch("gate", settings="{}", measured=[str(tmp_path), str(tmp_path / "gone")], judged="new", verdicts="new")


COUNT = "import os; f = open(os.environ['TRIES'], 'a'); f.write('x'); f.close()\n"


def count_tries(tmp_path):
    return len((tmp_path / "tries").read_text())


def test_a_stage_that_raises_is_tried_again_and_then_an_outcome(work, tmp_path):
    about, outcome = work(COUNT + "raise RuntimeError('loss is nan')", "sft", retries=2)
    assert count_tries(tmp_path) == 3
    failure = outcome.failure
    assert (failure.stage, failure.reason, failure.tries) == (
        "sft",
        "RuntimeError: loss is nan",
        3,
    ) and failure.seconds > 0
    assert about == {"display_name": "c: sft", "failed": "sft: RuntimeError: loss is nan"}
    assert read_record(Failure, tmp_path / "model" / "failure.json") == failure


def test_why_a_candidate_failed_is_marked_in_the_output_and_every_later_stage_says_so(work, tmp_path, capfd):
    work(COUNT + "print('working')\nraise RuntimeError('loss is\\nnan')", "sft", retries=1)
    out = [line for line in capfd.readouterr().out.splitlines() if line != "working"]
    why = "RuntimeError: loss is nan"
    assert out == [f"rlready: attempt 1 of 2 failed: {why}", f"rlready: failed: sft of c: {why}"]
    shutil.copy(tmp_path / "outcome", tmp_path / "before")
    work("return {}", before=str(tmp_path / "before"))
    assert capfd.readouterr().out == f"rlready: skipped: sft failed: {why}\n"


def test_a_second_try_that_succeeds_leaves_no_trace(work, tmp_path):
    body = COUNT + (
        "import pathlib\n"
        "if len(open(os.environ['TRIES']).read()) == 1: os.kill(os.getpid(), 9)\n"
        "pathlib.Path(arguments['outcome']).write_text('{\"candidate\": ' + arguments['candidate'] + '}')\n"
        "return {'loss': 0.5}"
    )
    about, outcome = work(body, retries=1)
    assert about == {"display_name": "c: predictors", "loss": 0.5} and outcome == Outcome(CANDIDATE)
    assert count_tries(tmp_path) == 2


def test_bad_input_is_never_tried_again(work, tmp_path):
    body = COUNT + "from rlready.errors import InputError\nraise InputError('sft_x: no\\nsft_y: no')"
    _, outcome = work(body, retries=5)
    assert count_tries(tmp_path) == 1 and outcome.failure.reason == "sft_x: no; sft_y: no"


def test_a_hub_that_does_not_answer_is_asked_again(work, tmp_path):
    body = COUNT + "from rlready.errors import Unreachable\nraise Unreachable('no answer from the hub')"
    _, outcome = work(body, retries=2)
    assert count_tries(tmp_path) == 3 and outcome.failure.reason == "no answer from the hub"


def test_a_killed_process_says_what_lowers_its_need_of_memory(work):
    _, outcome = work("import os; os.kill(os.getpid(), 9)", stage="rl", before=None)
    assert "killed (SIGKILL), probably out of memory; lower rl_per_device_batch_size" in outcome.failure.reason


def test_a_stage_whose_warm_worker_was_killed_runs_without_it(work, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX) as worker:
        worker.bind(str(tmp_path / "worker"))  # left behind
    monkeypatch.setenv(launch.SOCKET, str(tmp_path / "worker"))
    body = "import pathlib\npathlib.Path(arguments['outcome']).write_text('{\"candidate\": ' + arguments['candidate'] + '}')"
    about, _ = work(body)
    assert about == {"display_name": "c: predictors"}


def test_a_process_that_ends_silently_is_said(work):
    _, outcome = work("import os; os._exit(7)")
    assert outcome.failure.reason.startswith("its process ended with status 7 and no message")


def test_later_stages_pass_a_failure_on_without_any_work(work, tmp_path):
    failed = Outcome(CANDIDATE, SftRecord([[0, 1.0]]), failure=Failure("sft", "why"))
    write_record(failed, tmp_path / "before")
    for stage in ("predictors", "rl", "benchmark"):
        about, outcome = work(COUNT + "return {}", stage=stage, before=str(tmp_path / "before"))
        assert outcome == failed and about["failed"] == "sft: why"
        folder = tmp_path / ("trained" if stage == "rl" else "samples")
        assert read_record(Failure, folder / "failure.json") == failed.failure
        shutil.rmtree(folder)
    assert not (tmp_path / "tries").exists()


@pytest.mark.parametrize("stage", ["sft", "predictors", "benchmark"])
def test_without_the_base_model_there_is_nothing_to_compare_with(stage, work, tmp_path):
    before = None if stage != "predictors" else str(tmp_path / "before")
    write_record(Outcome(BASELINE, SftRecord([[0, 1.0]])), tmp_path / "before")
    with pytest.raises(SystemExit, match=f"^rlready: failed: {stage} of no-sft-s0: ValueError: gone$"):
        work("raise ValueError('gone')", stage, candidate=BASELINE, before=before)


def test_rl_of_a_candidate_without_sft_may_fail(work, tmp_path):
    write_record(Outcome(BASELINE, SftRecord([[0, 1.0]])), tmp_path / "before")
    _, outcome = work("raise ValueError('gone')", stage="rl", candidate=BASELINE, before=str(tmp_path / "before"))
    assert outcome.failure.stage == "rl" and outcome.sft == SftRecord([[0, 1.0]])


def test_a_pod_that_is_stopped_takes_its_work_with_it(tmp_path):
    body = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "RLREADY"))}
    environment["PYTHONPATH"] = replace_work(tmp_path, "predictors", body)
    arguments = {"candidate": to_json(CANDIDATE), "outcome": str(tmp_path / "outcome"), "settings": "{}"}
    start = f"from rlready.run.launch import launch; launch('predictors', **{arguments!r})"
    task = subprocess.Popen([sys.executable, "-c", start], env=environment)
    for _ in range(200):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.1)
    child = int((tmp_path / "pid").read_text())
    task.send_signal(signal.SIGTERM)
    assert task.wait(timeout=20) == 128 + signal.SIGTERM
    time.sleep(0.3)
    assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split(")")[1]
    assert not (tmp_path / "outcome").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), r"out of memory \(MemoryError: \); lower sft_per_device_batch_size"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "out of memory .*lower sft_per_device_batch_size"),
        (OSError(28, "No space left on device"), r"no space is left on the disk \(.*free some .`rlready clean`"),
        (OSError(28, "No space left", "/data/model"), "no space is left on the disk of /data/model .*free some"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "no space is left on the disk .*free some"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), "no space is left on the disk .*free some"),
        (OSError(2, "No such file", "/data/model"), "^FileNotFoundError"),
        (failures.StageFailed("TrainJob x failed"), "^TrainJob x failed$"),
        (KeyError("a"), "^KeyError: 'a'$"),
    ],
)
def test_every_failure_is_one_line_with_its_remedy(error, said):
    import re

    line = failures.describe_error("sft", error)
    assert re.search(said, line) and "\n" not in line


def test_the_kernel_that_killed_for_memory_is_believed():
    assert "(SIGKILL), out of memory; lower" in failures.describe_death("rl", -9, starved=True)
    assert failures.describe_death("rl", -11, starved=False) == "its process was killed (SIGSEGV)"


def test_a_full_disk_is_found_where_a_process_died_without_a_word(work, tmp_path, monkeypatch):
    monkeypatch.setattr(failures, "FULL", 1 << 62)  # more than any disk has free
    _, outcome = work("import os; os.kill(os.getpid(), 9)", stage="rl", before=None)
    reason = outcome.failure.reason
    assert f"killed (SIGKILL); no space is left on the disk of {tmp_path}; free some" in reason
    assert "memory" not in reason
    _, outcome = work("import os; os._exit(1)")
    assert f"status 1 and no message; no space is left on the disk of {tmp_path}" in outcome.failure.reason
    assert "out of memory; lower" in failures.describe_death("rl", -9, True, [tmp_path])
    monkeypatch.setattr(failures, "FULL", 0)
    assert "probably out of memory" in failures.describe_death("rl", -9, False, [tmp_path / "not" / "there"])


def test_an_outcome_is_json_for_the_next_stage():
    outcome = Outcome(CANDIDATE, failure=Failure("sft", "why", 1.0, 2))
    assert json.loads(to_json(outcome))["failure"] == dataclasses.asdict(outcome.failure)


def test_no_library_reports_to_its_maker():
    """Its thread would look up a host, and so read the environment, while accelerate writes it: that is a SIGSEGV at times."""
    said = (
        "import os, rlready.run.launch, mlflow, huggingface_hub.constants\n"
        "from mlflow.telemetry import get_telemetry_client\n"
        "print(get_telemetry_client(), huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY)\n"
        "print(os.environ['VLLM_NO_USAGE_STATS'])  # vLLM need not be installed"
    )
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}  # in a test, MLflow is silent by itself
    done = subprocess.run([sys.executable, "-c", said], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout == "None True\n1\n"
