"""RL in two legs: paused for a race and continued from its output, it ends as one that was never interrupted."""

import json

import pytest
from helpers.training import curate_few, list_arguments

from rlready.config import parse_parameters
from rlready.models.load import BUILTIN, digest_weights
from rlready.records.outcome import Candidate, Outcome
from rlready.records.serialization import read_record
from rlready.stages.rl import stage
from rlready.training import checkpoints

SMALL = {"rl_prompts_per_step": 4, "rl_num_generations": 8, "sampling_max_tokens": 40, "rl_learning_rate": 1e-3}
MODEL = str(BUILTIN["builtin:list-machine"])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return curate_few(tmp_path_factory.mktemp("data") / "data", 32)


def run(data, folder, before=None, probe=None, **parameters):
    """Runs the stage and returns its outcome and the folder that it wrote."""
    folder.mkdir()
    candidate = Candidate("c", 1, "random", 8, 1e-3, 0)
    experiment = parse_parameters(SMALL | {"rl_steps": 6, "rl_eval_steps": 3} | parameters)
    given = list_arguments("rl", candidate, experiment, MODEL, MODEL, data, folder)
    stage.run(**given | ({"before": before, "probe": probe} if probe else {}))
    return read_record(Outcome, given["outcome"]), given["trained"], given["outcome"]


@pytest.mark.parametrize("keep", ["last", "best"])
def test_two_legs_end_as_one_training(data, tmp_path, monkeypatch, keep):
    monkeypatch.delenv(checkpoints.ROOT, raising=False)
    # Validated at the same steps: 0, 2, 3 and 6.
    whole, model, _ = run(data, tmp_path / "whole", race_steps=0, rl_keep=keep, rl_eval_steps=1)
    paused, probe, record = run(data, tmp_path / "probe", race_steps=2, rl_keep=keep, rl_eval_steps=1)
    assert paused.rl.steps == 2 and paused.rl.stopped is None
    assert [point.step for point in paused.rl.validation.points] == [0, 1, 2]
    ended, trained, _ = run(data, tmp_path / "finish", record, probe, race_steps=2, rl_keep=keep, rl_eval_steps=1)
    assert digest_weights(trained) == digest_weights(model)
    assert "rl_model" in ended.links and "rl_model" not in paused.links
    assert (ended.rl.rewards, ended.rl.kept_step, ended.rl.kept_why) == (
        whole.rl.rewards,
        whole.rl.kept_step,
        whole.rl.kept_why,
    )
    assert ended.rl.validation.points == whole.rl.validation.points and len({y for _, y in whole.rl.rewards}) > 1
    assert ended.rl.seconds > paused.rl.seconds


def test_a_race_adds_its_step_to_the_validated_ones(data, tmp_path, monkeypatch):
    monkeypatch.delenv(checkpoints.ROOT, raising=False)
    paused, _, _ = run(data, tmp_path / "probe", race_steps=2)
    assert [point.step for point in paused.rl.validation.points] == [0, 2] and paused.rl.validation.planned == 4


def test_rl_that_ended_before_the_race_is_handed_on_as_it_is(data, tmp_path, monkeypatch):
    monkeypatch.delenv(checkpoints.ROOT, raising=False)

    def judge(self, history):
        return "converged: for this test" if history and history[-1]["step"] >= 2 else None

    monkeypatch.setattr(stage.StopEarly, "_judge", judge)
    paused, probe, record = run(data, tmp_path / "probe", race_steps=5, rl_eval_steps=2)
    assert paused.rl.steps == 2 and paused.rl.stopped.startswith("converged")
    monkeypatch.undo()
    monkeypatch.delenv(checkpoints.ROOT, raising=False)
    ended, trained, _ = run(data, tmp_path / "finish", record, probe, race_steps=5, rl_eval_steps=2)
    assert ended.rl == paused.rl and digest_weights(trained) == digest_weights(probe)


def test_a_second_leg_that_was_killed_goes_on_from_its_own_checkpoint(tmp_path):
    """What is taken over is complete or not there, and never replaces a later checkpoint."""
    out, folder = tmp_path / "out", tmp_path / "checkpoints"
    for name in ("checkpoint-2", "kept-1"):
        (out / checkpoints.TRAINING / name).mkdir(parents=True)
    (out / checkpoints.TRAINING / "checkpoint-2" / checkpoints.WHOLE).write_text("3.5")
    folder.mkdir()
    (folder / "new-checkpoint-2").mkdir()  # a kill left it
    checkpoints.take_over(out, folder)
    assert json.loads((folder / "checkpoint-2" / checkpoints.WHOLE).read_text()) == 3.5 and (folder / "kept-1").is_dir()
    (folder / "checkpoint-4").mkdir()
    (folder / "checkpoint-4" / checkpoints.WHOLE).write_text("7")
    (folder / "checkpoint-2" / checkpoints.WHOLE).write_text("changed")
    checkpoints.take_over(out, folder)
    assert (folder / "checkpoint-2" / checkpoints.WHOLE).read_text() == "changed"
