"""GRPO without the work that no gradient comes from: the same loss and gradients as TRL's own trainer."""

import pytest
import torch

from rlready.stages.rl import grpo

PROMPT, COMPLETION = 6, 20


@pytest.fixture
def make_trainer(tmp_path, tiny_model):
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig

    def make(kind, **overrides):
        settings = {"loss_type": "dapo", "beta": 0.0, "per_device_train_batch_size": 64, "bf16": False} | overrides
        arguments = GRPOConfig(str(tmp_path / "out"), num_generations=8, report_to=[], use_cpu=True, **settings)
        trainer = kind(
            model=str(tiny_model),
            reward_funcs=lambda **_: None,
            args=arguments,
            train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": "abcd"}]}] * 64),
            processing_class=AutoTokenizer.from_pretrained(tiny_model),
        )
        trainer.current_gradient_accumulation_steps = 1
        return trainer

    return make


def make_rollouts(advantages, seed=0):
    """Returns a step's rollouts, of every length from 1 token to all, as TRL pads them."""
    torch.manual_seed(seed)
    rows = len(advantages)
    lengths, prompts = torch.randint(1, COMPLETION + 1, (rows,)), torch.randint(1, PROMPT + 1, (rows,))
    completion = (torch.arange(COMPLETION) < lengths[:, None]).int()
    prompt = (torch.arange(PROMPT).flip(0) < prompts[:, None]).int()
    return {
        "prompt_ids": torch.randint(3, 20, (rows, PROMPT)) * prompt,
        "prompt_mask": prompt,
        "completion_ids": torch.randint(3, 20, (rows, COMPLETION)) * completion,
        "completion_mask": completion,
        "advantages": torch.tensor(advantages, dtype=torch.float32),
        "num_items_in_batch": completion.sum(),
    }


def find_gradients(trainer, inputs):
    trainer.model.zero_grad()
    trainer.model.train()
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    return float(loss), {name: weight.grad.clone() for name, weight in trainer.model.named_parameters()}


SOME = [1.5, -0.5, -0.5, -0.5, 0, 0, 0, 0] * 8
CASES = {
    "some groups are equal": SOME,
    "all of them": [0.0] * 64,
    "one completion alone": [0.0] * 63 + [2.0],
    "none": [0.7, -0.7] * 32,
    "few": SOME[:6],
}
OVERRIDES = [
    {},
    {"loss_type": "grpo"},
    {"loss_type": "dr_grpo"},
    {"loss_type": "bnpo"},
    {"entropy_coef": 0.1},
    {"top_entropy_quantile": 0.5},
]


@pytest.mark.parametrize("overrides", OVERRIDES, ids=str)
@pytest.mark.parametrize("advantages", CASES.values(), ids=CASES)
def test_loss_and_gradients_are_those_of_trl(make_trainer, advantages, overrides):
    from trl import GRPOTrainer

    inputs = make_rollouts(advantages)
    ours, theirs = (find_gradients(make_trainer(kind, **overrides), inputs) for kind in (grpo.ThriftyGRPOTrainer, GRPOTrainer))
    assert ours[0] == pytest.approx(theirs[0], abs=1e-6)
    size = max(float(gradient.abs().max()) for gradient in theirs[1].values())
    assert size > 0 or not any(advantages)
    for name, gradient in theirs[1].items():
        assert torch.allclose(ours[1][name], gradient, atol=1e-5 * size, rtol=1e-4), name


def test_equal_groups_and_padding_are_not_computed(make_trainer):
    trainer, computed = make_trainer(grpo.ThriftyGRPOTrainer), []
    trainer.model.register_forward_pre_hook(
        lambda module, args, kwargs: computed.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    inputs = make_rollouts(SOME)
    find_gradients(trainer, inputs)
    teaching = [row for row, advantage in enumerate(SOME) if advantage]
    real = int(inputs["completion_mask"][teaching].sum() + inputs["prompt_mask"][teaching].sum())
    assert real <= sum(computed) < 0.4 * 64 * (PROMPT + COMPLETION)


def test_what_vllm_adds_keeps_its_rows(make_trainer):
    from trl import GRPOTrainer

    inputs = make_rollouts(SOME)
    inputs["old_per_token_logps"] = -2 - torch.rand(len(SOME), COMPLETION)
    ours, theirs = (find_gradients(make_trainer(kind), inputs) for kind in (grpo.ThriftyGRPOTrainer, GRPOTrainer))
    assert ours[0] == pytest.approx(theirs[0], abs=1e-6) and ours[0] != 0
    for name, gradient in theirs[1].items():
        assert torch.allclose(ours[1][name], gradient, atol=1e-6, rtol=1e-4), name


def test_pictures_and_other_inputs_are_left_to_trl(make_trainer):
    trainer = make_trainer(grpo.ThriftyGRPOTrainer)
    assert trainer._sums_tokens(make_rollouts(SOME)) and not trainer._sums_tokens(make_rollouts(SOME) | {"num_images": []})


def test_what_is_rewarded_is_what_evaluation_reads_of_the_ids_and_so_is_what_ended(make_trainer):
    from rlready.sampling.engine import read_completion

    trainer, rewarded = make_trainer(grpo.ThriftyGRPOTrainer), []
    tokenizer, end = trainer.processing_class, 7  # as a chat template's own end token would be
    trainer.stop, trainer.eos_token_ids = ("c",), [tokenizer.eos_token_id, end]

    def reward(completions, **_):
        rewarded.extend(message["content"] for (message,) in completions)
        return [1.0] * len(completions)

    trainer.reward_funcs = [reward]
    trainer.model.train()
    trainer._metrics["train"]["completions/clipped_ratio"].append(1.0)
    a, b, c = (tokenizer.convert_tokens_to_ids(letter) for letter in "abc")
    drawn = [[a, b, c], [a, b, tokenizer.eos_token_id], [b, end], [a, b, a]]
    # What TRL makes of them by a response template: a thought apart, and no text beside it.
    parsed = [[{"role": "assistant", "reasoning_content": "ab", "content": ""}]] * 4
    trainer._calculate_rewards([{"answer": "ab"}] * 4, ["a prompt"] * 4, parsed, drawn)
    read = [read_completion(tokenizer, ids, trainer.eos_token_ids, ("c",)) for ids in drawn]
    assert rewarded == [text for text, _ in read] and rewarded[:2] == ["ab", "ab"] and rewarded[3] == "aba"
    assert [ended for _, ended in read] == [True, True, True, False]
    assert trainer._metrics["train"]["completions/clipped_ratio"] == [0.25]
