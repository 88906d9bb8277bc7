"""What TRL's own trainer logs of its completions and rewards is read as it happened."""

import json
import sys

import pytest

from rlready import cli
from rlready.errors import InputError
from rlready.measured.curve import read_curve
from rlready.measured.read import load_samples
from rlready.measured.sweep import rank
from rlready.stats.pass_at_k import estimate_pass_at_k

STEPS, PROMPTS, SAMPLES = 3, 4, 6


def say(told):
    """Returns the text of a prompt or completion, which conversations have as a message."""
    return told if isinstance(told, str) else told[-1]["content"]


@pytest.fixture(scope="module", params=["text", "conversation"])
def trained(request, tiny_model, tmp_path_factory):
    """Trains with TRL alone; returns the folder, and (prompt, completion, right) of each sample by step, as rewarded."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    folder, seen = tmp_path_factory.mktemp(request.param), {}

    def has_a(prompts, completions, trainer_state, **_):
        right = [float("a" in say(completion)) for completion in completions]
        told = zip(map(say, prompts), map(say, completions), right, strict=True)
        seen.setdefault(trainer_state.global_step + 1, []).extend(told)
        return right

    def brevity(completions, **_):
        return [-0.01 * len(say(completion)) for completion in completions]

    questions = [f"U:{letter}bc?" for letter in "abcdefgh"]
    prompts = [[{"role": "user", "content": q}] for q in questions] if request.param == "conversation" else questions
    config = GRPOConfig(
        output_dir=str(folder),
        log_completions=True,
        logging_steps=1,
        max_steps=STEPS,
        per_device_train_batch_size=PROMPTS * SAMPLES // 2,
        gradient_accumulation_steps=2,
        num_generations=SAMPLES,
        max_completion_length=8,
        report_to=[],
        use_cpu=True,
        bf16=False,
    )
    trainer = GRPOTrainer(str(tiny_model), [has_a, brevity], config, train_dataset=Dataset.from_dict({"prompt": prompts}))
    trainer.train()
    trainer.save_state()
    return folder, seen


def test_completions_rank_as_the_reward_saw_them(trained, tmp_path, monkeypatch, capsys):
    folder, seen = trained
    files = sorted((folder / "completions").iterdir())
    assert len(files) == STEPS == len(seen)
    for file, samples in zip(files, seen.values(), strict=True):
        prompts = dict.fromkeys(prompt for prompt, _, _ in samples)
        right = [int(sum(r for prompt, _, r in samples if prompt == one)) for one in prompts]
        log = load_samples(file, "has_a")
        assert (log.tool, log.correct, log.samples, log.unknown) == ("TRL", right, SAMPLES, 0)
        with pytest.raises(InputError, match="rewards are has_a, brevity; name one with --score"):
            load_samples(file)
        (outcome,) = rank({"a": log}).outcomes
        for k in (1, 2, SAMPLES):
            assert outcome.predictors.get_pass_at(k) == pytest.approx(estimate_pass_at_k(right, SAMPLES, k).value)
    assert 0 < sum(right) < len(samples)
    arguments = ["rlready", "rank", f"a={files[-1]}", "--score", "has_a", "--k", "2", "--work", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    cli.main()
    value = estimate_pass_at_k(right, SAMPLES, 2).value
    assert f"{value:.3f} [" in capsys.readouterr().out


def test_the_curve_is_that_of_the_trainer(trained):
    folder, _ = trained
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    rewards = [[entry["step"], pytest.approx(entry["reward"], abs=1e-5)] for entry in history if "reward" in entry]
    assert len(rewards) == STEPS
    assert read_curve(folder / "trainer_state.json") == ("reward", rewards)
