"""Killed in the middle of SFT and of RL, a stage goes on from its checkpoint, in another pod too, as if nothing had been."""

import dataclasses
import gc
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from helpers.training import make_arguments
from transformers.trainer_callback import CallbackHandler

from rlready.config import parse_parameters, read_settings, write_settings
from rlready.models.load import BUILTIN as FOLDERS
from rlready.models.load import digest_weights, find_model
from rlready.records.outcome import Candidate
from rlready.stages.rl import grpo, stopping, validation
from rlready.stages.rl import stage as rl
from rlready.stages.sft import train as sft
from rlready.training.trainer import SaveCheckpoints


def launch(stage, arguments, folder, volume=None, before=()):
    config = folder / f"{stage}.json"
    config.write_text(json.dumps(arguments))
    environment = os.environ | {"RLREADY_CHECKPOINTS": str(volume or folder / "checkpoints"), "OMP_NUM_THREADS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [*before, sys.executable, "-m", "rlready.run.launch", stage, "--config", str(config)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_at_checkpoint(process, volume):
    while not list(volume.glob("*/checkpoint-*/whole")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def finish(process):
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output[-3000:]
    return re.findall(r"^rlready: resumed from step (\d+) after an interruption$", output, re.M)


def test_rl_refuses_a_checkpoint_that_was_not_measured(tiny_model, data, tmp_path):
    arguments = make_arguments("rl", tiny_model, data, tmp_path) | {"measured_digest": "another"}
    output, _ = launch("rl", arguments, tmp_path).communicate(timeout=100)
    assert "SFT ran again and gave other weights (digest) than those that the gate judged (another)" in output
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(("stage", "series"), [("sft", "trajectory"), ("rl", "rewards")])
def test_a_killed_stage_goes_on_in_a_pod_that_shares_nothing_but_the_volume(
    stage, series, tiny_model, data, tmp_path, monkeypatch
):
    whole, lost, new, volume = (tmp_path / name for name in ("whole", "lost", "new", "volume"))
    # An untrained model is never right, so it would have no rewards to compare.
    model = FOLDERS["builtin:list-machine"] if stage == "rl" else tiny_model
    for folder in (whole, lost, new):
        folder.mkdir()
    other = launch(stage, make_arguments(stage, model, data, whole), whole)
    monkeypatch.setenv("RLREADY_RUN_ID", "run-1")
    process = launch(stage, make_arguments(stage, model, data, lost), lost, volume)
    kill_at_checkpoint(process, volume)
    assert not (lost / "model").exists() and not (lost / "outcome.json").exists()
    elsewhere = shutil.copytree(data, new / "data")
    arguments = make_arguments(stage, model, elsewhere, new)
    if stage == "rl":
        arguments["model"] = str(shutil.copytree(model, new / "start"))
    monkeypatch.setenv("RLREADY_RUN_ID", "run-2")
    process = launch(stage, arguments, new, volume)
    (step,) = finish(process)
    assert int(step) > 0 and finish(other) == []
    uninterrupted, resumed = (json.loads((folder / "outcome.json").read_text())[stage] for folder in (whole, new))
    assert resumed["steps"] == uninterrupted["steps"]
    assert [x for x, _ in resumed[series]] == [x for x, _ in uninterrupted[series]]
    assert [y for _, y in resumed[series]] == pytest.approx([y for _, y in uninterrupted[series]], abs=2e-3)
    assert len({y for _, y in uninterrupted[series]}) > 1  # or the series says nothing
    assert (new / "model" / "model.safetensors").exists()
    assert not list(volume.iterdir())


class Killed(BaseException):
    """What no code catches that only an Exception should reach."""


def train_killed_at(monkeypatch, train, place=None):
    """Trains, killed behind the event of this number, and again; returns the last record, its log and the events."""
    log, events, fire = [], [], CallbackHandler.call_event

    def call_event(self, event, args, state, control, **kwargs):
        control = fire(self, event, args, state, control, **kwargs)
        events.append(event)
        log[:] = state.log_history
        if len(events) - 1 == place:
            raise Killed
        return control

    with monkeypatch.context() as patched:
        patched.setattr(CallbackHandler, "call_event", call_event)
        patched.setattr(SaveCheckpoints, "SHARE", math.inf)  # or it skips some, since saving takes longer than a step
        try:
            record = train()
        except Killed:
            record = train()
    timed = {
        "train_runtime",
        "train_samples_per_second",
        "train_steps_per_second",
        "train_loss",
        "total_flos",
        "step_time",
        "validation_seconds",
    }
    kept = [{name: value for name, value in entry.items() if name not in timed} for entry in log]
    return record, kept, events


def strip(record):
    fields = dataclasses.asdict(record)
    return {name: value for name, value in fields.items() if name != "seconds"} | {"validation": strip_validation(record)}


def strip_validation(record):
    return dataclasses.replace(record.validation, seconds=None) if getattr(record, "validation", None) else None


def compare_kills(monkeypatch, train, last, ends=("on_save", "on_epoch_end", "on_train_end")):
    """Trains whole, and killed at each of the last boundaries between saving and measuring; record and log are the same."""
    gc.freeze()  # the Trainer collects garbage, which takes longer than its steps
    whole, log, events = train_killed_at(monkeypatch, lambda: train("whole"))
    assert {"on_save", "on_epoch_end"} <= set(events)
    places = [n for n, event in enumerate(events) if event in ends]
    for place in places[-last:]:
        record, kept, again = train_killed_at(monkeypatch, lambda place=place: train(f"killed-{place}"), place)
        assert len(again) > place + 1
        assert (strip(record), kept) == (strip(whole), log), (place, events[place])
    return whole


@pytest.mark.parametrize("kept", [None, [1, 2]], ids=["separate", "every epoch"])
def test_sft_killed_anywhere_around_the_end_of_an_epoch_measures_what_a_whole_run_does(
    kept, tiny_model, data, tmp_path, monkeypatch
):
    monkeypatch.delenv("RLREADY_CHECKPOINTS", raising=False)
    given = parse_parameters({"sft_batch_size": 64})
    base = find_model(str(tiny_model), "main")
    settings = read_settings(write_settings(given, "sft", {"base_model": dataclasses.asdict(base)}))

    def train(name):
        (tmp_path / name).mkdir(exist_ok=True)
        candidate = Candidate("c", 2, "random", 64, 1e-3, 0, kept_epochs=kept)
        return sft.train(candidate, base, settings, data, tmp_path / name / "model")

    record = compare_kills(monkeypatch, train, 5)
    assert [epoch for epoch, _ in record.trajectory] == [0, 1, 2] and record.steps == 2
    if kept:
        made = {tuple(digest_weights(path) for path in sorted(folder.iterdir())) for folder in tmp_path.glob("*/model")}
        assert len(made) == 1 and len({*made.pop()}) == 2


@pytest.mark.parametrize(("silent", "best"), [(True, False), (False, True)])
def test_rl_killed_at_its_last_steps_takes_no_other_step(silent, best, tiny_model, data, tmp_path, monkeypatch):
    monkeypatch.delenv("RLREADY_CHECKPOINTS", raising=False)
    monkeypatch.setattr(stopping, "FEWEST", 2)
    # Two steps make an epoch: a run of three ends in the middle of one.
    given = parse_parameters(
        {"rl_steps": 5 if silent else 3, "rl_prompts_per_step": 4, "rl_num_generations": 2, "sampling_max_tokens": 3}
        | {"rl_eval_steps": 2 if silent else 1, "rl_keep": "best" if best else "last"}
    )
    settings = read_settings(write_settings(given, "rl"))

    def reward_length(completions, **_):
        return [0.0 if silent else float(sum(map(ord, message["content"])) % 3) for (message,) in completions]

    monkeypatch.setattr(grpo, "reward", reward_length)
    # The second validation is the best, and the later ones are clearly worse.
    measure = validation.Validation._measure
    solved = {0: 0, 1: 4, 2: 0, 3: 0, 4: 0}

    def pretend(self, policy):
        entry = measure(self, policy)
        right = solved[self.trainer.state.global_step] if not silent else 2
        return entry | {validation.CORRECT: [right] * 40, validation.UNKNOWN: [0] * 40}

    monkeypatch.setattr(validation.Validation, "_measure", pretend)
    digests = {}

    def train(name):
        (tmp_path / name).mkdir(exist_ok=True)
        candidate = Candidate("c", 1, "random", 8, 1e-3, 0)
        record = rl.train(candidate, settings, data, str(tiny_model), tmp_path / name / "model")
        digests[name] = digest_weights(tmp_path / name / "model")
        return record

    record = compare_kills(monkeypatch, train, 4, ("on_step_end", "on_save", "on_train_end"))
    assert record.steps == (2 if silent else 3) and bool(record.stopped) == silent and len(record.rewards) == record.steps
    assert [point.step for point in record.validation.points] == ([0, 2] if silent else [0, 1, 2, 3])
    assert record.kept_step == (1 if best and not silent else record.steps)
    assert len(digests) == 5 and len(set(digests.values())) == 1
    if not silent and best:
        settings = read_settings(write_settings(given.change(rl_keep="last"), "rl"))
        train("last")
        assert digests["last"] != digests["whole"]


def test_a_full_volume_is_one_line_and_what_was_whole_stays(tiny_model, data, tmp_path):
    """The volume is a real, small file system in a namespace of the test's own."""
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("needs a mount namespace")
    volume = tmp_path / "volume"
    volume.mkdir()
    least = 3 * (tiny_model / "model.safetensors").stat().st_size >> 10  # KiB of a checkpoint: weights, and AdamW's two
    script = f"""
        mount -t tmpfs -o size={least}k none "$RLREADY_CHECKPOINTS"
        "$@"; echo "status $?"; ls -A "$RLREADY_CHECKPOINTS"/*
        mount -o remount,size={2 * least + 40}k "$RLREADY_CHECKPOINTS"
        "$@"; echo "status $?"; ls "$RLREADY_CHECKPOINTS"/*/
        mount -o remount,size=64m "$RLREADY_CHECKPOINTS"
        "$@"; echo "status $?"; ls -A "$RLREADY_CHECKPOINTS"
    """
    arguments = make_arguments("sft", tiny_model, data, tmp_path)
    process = launch("sft", arguments, tmp_path, volume, ["unshare", "-Urm", "bash", "-c", script, "pod"])
    output, _ = process.communicate(timeout=200)
    refused, full, done, left = re.split(r"status \d+\n", output)
    assert re.search(rf"^sft: {volume}: .* GiB are free, and the checkpoints of this training need", refused, re.M)
    assert "Traceback" not in refused and "'loss'" not in refused  # before anything is trained
    full_volume = r"^sft: no space is left for checkpoints in .*; the last complete one is kept: make room, and training"
    assert re.search(full_volume, full, re.M)
    assert len(re.findall(r"^checkpoint-\d+$", done, re.M)) == 1  # and the next run goes on from it:
    assert "'epoch': 0}" in full and "'epoch': 0}" not in done and (tmp_path / "outcome.json").exists()
    assert not left


def test_a_training_that_diverges_ends_at_once_and_leaves_no_checkpoint_to_go_on_from(tiny_model, data, tmp_path):
    arguments = make_arguments("sft", tiny_model, data, tmp_path, learning_rate=1e30)
    output, _ = launch("sft", arguments, tmp_path).communicate(timeout=100)
    assert "training diverged: " in output and "lower sweep_learning_rates" in output and "Traceback" not in output
    assert not (tmp_path / "model").exists() and not list((tmp_path / "checkpoints").iterdir())
