"""The engine against transformers' own generate and against the model's probabilities; the loss against plain logits."""

import itertools
from collections import Counter

import pytest
import torch

from rlready.config import Sampling
from rlready.list_machine.problems import generate_rows
from rlready.models.load import find_model, load_model, load_tokenizer
from rlready.models.prompts import encode_example, encode_prompt
from rlready.sampling import transformers_engine
from rlready.sampling.engine import Draw
from rlready.sampling.transformers_engine import TransformersEngine
from rlready.stats.generalization_loss import mean_loss, measure_losses


@pytest.fixture(scope="module")
def engine():
    base = find_model("builtin:list-machine", "")
    return TransformersEngine(load_model(base), load_tokenizer(base))


@pytest.fixture(scope="module")
def prompts(engine):
    rows = list(itertools.islice(generate_rows("evaluation", 3), 12))
    return [encode_prompt(engine.tokenizer, row["question"], "word") for row in rows]


def sample(engine, prompts, **draw):
    return engine.sample(prompts, [str(number) for number in range(len(prompts))], Draw(**draw))


def test_greedy_equals_generate(engine, prompts):
    ours = sample(engine, prompts, samples=1, max_tokens=60, temperature=0)
    for prompt, (completion,) in zip(prompts, ours, strict=True):
        ids = torch.tensor([prompt])
        whole = engine.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=60)
        assert completion.ids == whole[0, len(prompt) :].tolist()


def test_samples_depend_on_the_seed_and_not_on_the_batch(engine, prompts, monkeypatch):
    whole = sample(engine, prompts, samples=6, max_tokens=60)
    monkeypatch.setattr(transformers_engine, "LARGEST_BATCH", 5)
    assert sample(engine, prompts, samples=6, max_tokens=60) == whole
    assert [c[:4] for c in whole] == sample(engine, prompts, samples=4, max_tokens=60)
    assert sample(engine, prompts[:3], samples=6, max_tokens=60) == whole[:3]
    assert sample(engine, prompts, samples=6, max_tokens=60, seed=1) != whole


def test_candidates_draw_with_random_numbers_of_their_own_and_always_the_same(engine, prompts):
    def draw(candidate, samples):
        drawing = Draw.at_random(Sampling(max_tokens=40), samples, candidate)
        return [[c.ids for c in drawn] for drawn in engine.sample(prompts[:4], ["a", "b", "c", "d"], drawing)]

    base, other = draw("base", 8), draw("random-256x1", 8)
    assert draw("base", 3) == [drawn[:3] for drawn in base]  # after a kill, too
    same = [one == two for drawn, theirs in zip(base, other, strict=True) for one, two in zip(drawn, theirs, strict=True)]
    assert sum(same) < len(same) / 2


def test_samples_follow_the_probabilities_of_the_model(engine, prompts):
    prompt, n = prompts[0], 4000
    (drawn,) = sample(engine, [prompt], samples=n, max_tokens=3)
    counts = Counter(tuple(completion.ids) for completion in drawn)
    for ids, count in counts.most_common(5):
        with torch.no_grad():
            logits = engine.model(torch.tensor([prompt + list(ids)])).logits[0].double().log_softmax(-1)
        probability = sum(logits[len(prompt) - 1 + i, token] for i, token in enumerate(ids)).exp().item()
        assert abs(count / n - probability) < 4 * (probability * (1 - probability) / n) ** 0.5


def test_logprob_is_that_of_the_model_for_short_and_long_completions(engine, prompts):
    for prompt, completions in zip(prompts, sample(engine, prompts, samples=3, max_tokens=60), strict=True):
        for completion in completions:
            with torch.no_grad():
                logits = engine.model(torch.tensor([prompt + completion.ids])).logits[0].double().log_softmax(-1)
            expected = sum(logits[len(prompt) - 1 + i, token].item() for i, token in enumerate(completion.ids))
            assert completion.logprob == pytest.approx(expected, abs=1e-3)


def test_a_completion_that_hits_the_limit_is_not_finished(engine, prompts):
    for completions in sample(engine, prompts, samples=2, max_tokens=4):
        assert all(len(c.ids) == 4 and not c.finished for c in completions)
    assert all(c.finished for cs in sample(engine, prompts, samples=1, max_tokens=90, temperature=0) for c in cs)


def test_loss_equals_the_logits_of_each_example_alone_whatever_the_batch(engine, monkeypatch):
    rows = list(itertools.islice(generate_rows("sft", 3), 30))
    examples = [encode_example(engine.tokenizer, row | {"format": "word"}) for row in rows]
    expected = []
    for example in examples:
        with torch.no_grad():
            logits = engine.model(torch.tensor([example["input_ids"]])).logits[0].double().log_softmax(-1)
        scored = [(i, t) for i, t in enumerate(example["labels"]) if t != -100]
        expected.append((-sum(logits[i - 1, t].item() for i, t in scored), len(scored)))
    for tokens in (16_384, 100, 1):
        monkeypatch.setattr("rlready.stats.generalization_loss.TOKENS_PER_BATCH", tokens)
        measured = measure_losses(engine.model, examples, engine.tokenizer.pad_token_id)
        assert [count for _, count in measured] == [count for _, count in expected]
        assert [total for total, _ in measured] == pytest.approx([total for total, _ in expected], abs=1e-4)
    assert mean_loss(measured) == pytest.approx(sum(t for t, _ in expected) / sum(c for _, c in expected), abs=1e-5)


def test_the_prompt_has_no_loss_and_the_end_token_has(engine):
    example = encode_example(engine.tokenizer, {"question": "R:abcd?", "solution": "Rdcba#dcba", "format": "word"})
    scored = [t for t in example["labels"] if t != -100]
    assert engine.tokenizer.decode(scored) == "Rdcba#dcba<eos>"
    assert example["input_ids"][-1] == engine.tokenizer.eos_token_id


def test_loss_of_an_example_does_not_depend_on_its_neighbours_or_their_order(engine):
    rows = list(itertools.islice(generate_rows("sft", 4), 20))
    examples = [encode_example(engine.tokenizer, row | {"format": "word"}) for row in rows]
    alone = [measure_losses(engine.model, [e], engine.tokenizer.pad_token_id)[0] for e in examples]
    together = measure_losses(engine.model, examples[::-1] + examples, engine.tokenizer.pad_token_id)
    for part in (together[:20][::-1], together[20:]):
        assert [total for total, _ in part] == pytest.approx([total for total, _ in alone], abs=1e-4)
        assert [count for _, count in part] == [count for _, count in alone]
