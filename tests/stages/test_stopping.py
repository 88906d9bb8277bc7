"""RL without a signal, after a collapse, or without a gain ends early and says why."""

import json
from types import SimpleNamespace

import pytest

from rlready.config import Curate, parse_parameters, read_settings, write_settings
from rlready.records.outcome import Candidate, Outcome, RlRecord
from rlready.records.serialization import from_json, to_json
from rlready.stages.curate.curate import curate
from rlready.stages.rl.stage import list_rewards, train
from rlready.stages.rl.stopping import StopEarly
from rlready.stages.rl.validation import Validation
from rlready.tracking.figures import list_metrics

SOURCE = "builtin:list-machine"


def make_history(shares, reward=0.0):
    """Returns a Trainer's log of these shares of groups whose rewards are all equal."""
    return [{"step": n, "frac_reward_zero_std": share, "reward": reward} for n, share in enumerate(shares, 1)]


def make_stopping(data, **parameters):
    """Returns what ends RL, on data without validation problems."""
    settings = read_settings(write_settings(parse_parameters(parameters), "rl"))
    return StopEarly(settings.rl, Validation(Candidate("c", 1, "random", 8, 1e-3, 0), settings, data, "model"))


@pytest.mark.parametrize(
    ("shares", "reward", "steps", "stops", "explained"),
    [
        ([0.5] + [1.0] * 9, 0.0, 50, False, None),
        ([0.5] + [1.0] * 10, 0.0, 50, True, "(none was right) in the last 10 steps; stopped after 11 of 50"),
        ([0.5] + [1.0] * 10, 1.0, 50, True, "(every one was right) in the last 10 steps"),
        ([0.5] + [1.0] * 10, 0.3, 50, True, "equal rewards in the last 10 steps"),
        ([1.0] * 19 + [0.9], 0.0, 50, False, None),
        ([0.0] + [1.0] * 19, 0.0, 100, False, None),
        ([0.0] + [1.0] * 20, 0.0, 100, True, "the last 20 steps"),
        ([1.0], 0.0, 1, False, "in its only step"),
        ([1.0] * 3, 0.0, 3, False, "in all 3 steps"),  # to its end, and for nothing
        ([0.9, 1.0, 1.0], 0.0, 3, False, None),
        ([], 0.0, 3, False, None),
        # Where the verifier could judge no completion, TRL logs no reward, and no group's rewards as equal.
        ([0.0] * 10, None, 50, True, "(the verifier could judge none) in all 10 steps"),
    ],
)
def test_a_stretch_without_signal_stops_rl(shares, reward, steps, stops, explained, tmp_path):
    control = SimpleNamespace(should_training_stop=False)
    silence = make_stopping(tmp_path, rl_steps=steps)
    history = make_history(shares, reward)
    silence.on_log(None, SimpleNamespace(log_history=history), control)
    assert control.should_training_stop == stops
    said = silence.explain(history)
    assert (said is None) == (explained is None) and (explained or "") in (said or "")


def test_a_step_without_a_verdict_has_no_mean_reward():
    history = [{"step": 1, "reward": 0.123456}, {"step": 2, "reward": None}, {"step": 2, "loss": 1.0}]
    assert list_rewards(history) == [[1, 0.12346], [2, None]]
    assert list_metrics(Outcome(Candidate("c", 1, "random", 8, 1e-3, 0), rl=RlRecord(list_rewards(history))), "candidate") == [
        ("rl/reward", 1, 0.12346)
    ]


def test_a_model_that_is_never_right_is_not_trained_to_the_end(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("RLREADY_EVENTS", str(tmp_path / "events"))
    monkeypatch.delenv("RLREADY_CHECKPOINTS", raising=False)
    counts = dict.fromkeys(("heldout_problems", "rl_problems", "predictor_problems", "benchmark_problems"), 8)
    data = tmp_path / "data"
    curate(Curate(sft_data=SOURCE, rl_data=SOURCE, evaluation_data=SOURCE, sft_examples=16, **counts), {}, data)
    given = parse_parameters({"rl_steps": 30, "rl_prompts_per_step": 2, "rl_num_generations": 2, "sampling_max_tokens": 4})
    settings = read_settings(write_settings(given, "rl"))
    record = train(Candidate("c", 1, "random", 16, 1e-3, 0), settings, data, str(tiny_model), tmp_path / "model")
    assert record.steps == 10
    assert record.stopped == (
        "no signal: the completions of every group had equal rewards (none was right) in all 10 steps; stopped after 10 of 30"
    )
    told = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [event["message"] for event in told if event["state"] == "stopped"] == [record.stopped]
    assert from_json(RlRecord, to_json(record)) == record and RlRecord([]).stopped is None
    assert (tmp_path / "model" / "model.safetensors").exists()
