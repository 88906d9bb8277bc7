"""Recurrent and hybrid models against transformers' own generate and their own probabilities."""

import pytest
import torch
from helpers.tokenizer import make_byte_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from rlready.errors import InputError
from rlready.models.architecture import check_recurrence, is_recurrent
from rlready.sampling import transformers_engine
from rlready.sampling.engine import Draw, cut_at_stop
from rlready.sampling.transformers_engine import TransformersEngine

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}"
HALF = ["linear_attention", "full_attention"]
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
DELTA = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
KINDS = {
    "mamba": {"state_size": 8},
    "mamba2": {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 2},
    "falcon_h1": {"mamba_d_ssm": 64, **MAMBA},
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"], "num_local_experts": 0, "shared_intermediate_size": 64, **MAMBA
    },
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "qwen3_next": {"layer_types": HALF, **DELTA, **EXPERTS},
    "qwen3_5_text": {"layer_types": HALF, **DELTA},
}  # fmt: skip
PROMPTS = [list(b"a long prompt"), list(b"RS"), list(b"RS:abcd?"), list(b"RS:abce?")]
KEYS = ["a", "b", "c", "d"]


@pytest.fixture(scope="module", params=KINDS)
def engine(request):
    tokenizer = make_byte_tokenizer(TEMPLATE, ["</s>"], eos_token="</s>", pad_token="</s>")
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.2}
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    config = AutoConfig.for_model(request.param, **{**sizes, **ends, **KINDS[request.param]})
    model = AutoModelForCausalLM.from_config(config).eval()
    assert "slower" in check_recurrence(config.model_type, is_recurrent(config, model))
    return TransformersEngine(model, tokenizer)


def test_greedy_equals_generate_for_prompts_of_several_lengths(engine):
    drawn = engine.sample(PROMPTS, KEYS, Draw(1, 24, temperature=0))
    for prompt, (completion,) in zip(PROMPTS, drawn, strict=True):
        ids, ends = torch.tensor([prompt]), engine.ends.tolist()
        whole = engine.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=24,
            eos_token_id=ends,
            pad_token_id=ends[0],
        )
        assert completion.ids == whole[0, len(prompt) :].tolist()


def test_samples_depend_on_the_seed_and_not_on_the_batch_and_have_the_models_probability(engine, monkeypatch):
    whole = engine.sample(PROMPTS, KEYS, Draw(6, 20))
    stop = [whole[0][0].text[-1]]
    cut = engine.sample(PROMPTS, KEYS, Draw(6, 20, stop=stop))
    assert [[c.text for c in some] for some in cut] == [[cut_at_stop(c.text, stop)[0] for c in some] for some in whole]
    for prompt, completions in zip(PROMPTS, whole, strict=True):
        for completion in completions[:2]:
            with torch.no_grad():
                logits = engine.model(torch.tensor([prompt + completion.ids])).logits[0].double().log_softmax(-1)
            expected = sum(logits[len(prompt) - 1 + i, token].item() for i, token in enumerate(completion.ids))
            assert completion.logprob == pytest.approx(expected, abs=1e-3)
    monkeypatch.setattr(transformers_engine, "LARGEST_BATCH", 5)
    assert engine.sample(PROMPTS, KEYS, Draw(6, 20)) == whole
    assert engine.sample(PROMPTS[:2], KEYS[:2], Draw(4, 20)) == [completions[:4] for completions in whole[:2]]
    assert engine.sample(PROMPTS, KEYS, Draw(6, 20, seed=1)) != whole


def test_architectures_with_a_cache_of_their_own_are_refused():
    with pytest.raises(InputError, match=r"\(rwkv\) needs a cache of its own, as only vllm has"):
        check_recurrence("rwkv", True)
