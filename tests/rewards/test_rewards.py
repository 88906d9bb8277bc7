"""The reward of RL: right, wrong and unknown, and what TRL makes of it."""

import pytest

from rlready.rewards import make_reward, reward
from rlready.verifier.processes import workers


def write(*texts):
    return [[{"role": "assistant", "content": text}] for text in texts]


def test_right_is_one_wrong_is_nothing_and_unknown_is_none(monkeypatch):
    logged = {}
    texts = ["\\boxed{0.5}", "\\boxed{0.6}", "no box", "\\boxed{?!@}", "\\boxed{\\sqrt{0.25}}", "\\boxed{1}"]
    golds = ["\\frac12"] * 5 + ["[?!@"]
    ask = workers.ask
    monkeypatch.setattr(workers, "ask", lambda kind, found, gold: None if "sqrt" in found else ask(kind, found, gold))
    rewards = reward(write(*texts), golds, ["boxed"] * 6, log_metric=logged.__setitem__, problem_id=["a"] * 6)
    assert rewards == [1.0, 0.0, 0.0, 0.0, None, None]
    shares = {
        "verifier_timeouts": 1 / 6,
        "verifier_unreadable": 2 / 6,
        "verifier_faulty": 0.0,
        "verifier_unknown": 2 / 6,
    }
    assert logged == pytest.approx(shares)


@pytest.mark.parametrize("judge", [lambda **_: [None, 1.0, 0.0, 0.0], make_reward("truth")])
def test_trl_leaves_the_unknown_out_of_its_group(judge, tmp_path, tiny_model):
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    arguments = GRPOConfig(
        str(tmp_path / "out"),
        max_steps=1,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
    )
    trainer = GRPOTrainer(
        model=str(tiny_model),
        reward_funcs=judge,
        args=arguments,
        train_dataset=Dataset.from_list(
            [{"prompt": [{"role": "user", "content": "abcd"}], "truth": 7, "format": "x", "answer": 1}] * 4
        ),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
    )
    trainer.train()
    advantages = list(trainer._logs["advantages"])
    if judge.__name__ == "verifier_reward":  # an untrained model is never right
        assert advantages == [0.0] * 4 and "verifier_unknown" in trainer.state.log_history[0]
        return
    assert advantages[0] == 0 and sum(advantages) == pytest.approx(0, abs=1e-5) and advantages[1] > 0 > advantages[2]
    assert [entry["reward"] for entry in trainer.state.log_history if "reward" in entry] == [pytest.approx(1 / 3)]


def test_a_thought_that_trl_sets_apart_is_judged_with_the_rest():
    messages = [{"reasoning_content": "So \\boxed{4}", "content": "The answer is four."}, {"content": None}]
    assert reward([[message] for message in messages], ["4", "4"], ["boxed"] * 2) == [1.0, 0.0]


def test_any_column_may_hold_the_references_and_texts_are_judged_as_messages_are():
    judge = make_reward("truth")
    assert judge(["\\boxed{7}", "\\boxed{8}"], truth=[7, "7"], answer=["1", "2"], format=["word"] * 2) == [1.0, 0.0]
    assert judge(write("\\boxed{7}"), truth=["7"], log_metric=lambda name, value: None) == [1.0]
    with pytest.raises(KeyError, match="no column 'truth'"):
        judge(["x"], answer=["7"])
