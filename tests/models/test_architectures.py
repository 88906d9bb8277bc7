"""Tiny models of the recipes' architectures, with chat templates of the same form: engine, end tokens, and the whole DAG."""

import json

import pytest
import torch
import yaml
from helpers.runs import run
from helpers.tokenizer import make_byte_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from rlready.models.load import load_model, load_tokenizer, save_model
from rlready.models.prompts import encode_example, encode_prompt, find_eos_token_id
from rlready.sampling.engine import Draw
from rlready.sampling.transformers_engine import TransformersEngine

# Llama 3 writes a header before each turn and ends turns and texts differently.
LLAMA3 = """{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>

{{ message['content'] | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""
MISTRAL = """{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST]{{ message['content'] }}[/INST]
{%- elif message['role'] == 'assistant' %}{{ message['content'] | trim + eos_token }}
{%- else %}{{ raise_exception('Only user and assistant roles are supported') }}{% endif %}{% endfor %}"""
# Qwen 3 writes an empty thought into the last answer, and its base model ends texts with another token than turns.
QWEN3 = """{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['role'] == 'assistant' and loop.last %}<think>

</think>

{% endif %}{{ message['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
KINDS = {
    "llama": {
        "special": ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"],
        "tokens": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        "template": LLAMA3,
        "ends": ["<|end_of_text|>", "<|eot_id|>"],
        "end": "<|eot_id|>",
        "config": {"rope_theta": 500000.0},
    },
    "mistral": {
        "special": ["<s>", "</s>", "[INST]", "[/INST]"],
        "tokens": {"bos_token": "<s>", "eos_token": "</s>"},
        "template": MISTRAL,
        "ends": ["</s>"],
        "end": "</s>",
        "config": {"head_dim": 24, "sliding_window": None},
    },
    "qwen3": {
        "special": ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"],
        "tokens": {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
        "template": QWEN3,
        "ends": ["<|endoftext|>"],
        "end": "<|im_end|>",
        "config": {"head_dim": 24, "tie_word_embeddings": True},
    },
}


def make_model(kind, folder):
    """Writes a random model of an architecture, heads not a divisor of the width where the real one's are not, by bytes."""
    entry = KINDS[kind]
    fast = make_byte_tokenizer(entry["template"], entry["special"], **entry["tokens"])
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.06,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.convert_tokens_to_ids(entry["ends"]),
        **entry["config"],
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    return make_model(kind, tmp_path_factory.mktemp(kind) / "model")


def test_the_prompt_is_the_template_with_one_beginning_and_the_end_is_the_templates(kind, folder):
    tokenizer, entry = load_tokenizer(str(folder)), KINDS[kind]
    prompt = encode_prompt(tokenizer, "How many?", "word")
    turns = [{"role": "user", "content": "How many?"}]
    assert tokenizer.decode(prompt) == tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    if tokenizer.bos_token:
        assert prompt.count(tokenizer.bos_token_id) == 1
    assert tokenizer.convert_ids_to_tokens(find_eos_token_id(tokenizer)) == entry["end"]
    example = encode_example(tokenizer, {"question": "How many?", "solution": "Two.", "format": "word"})
    assert tokenizer.decode(example["input_ids"]) == tokenizer.decode(prompt) + "Two." + entry["end"]


def test_the_embedded_engine_decodes_what_generate_does(folder):
    model, tokenizer = load_model(str(folder)), load_tokenizer(str(folder))
    engine = TransformersEngine(model, tokenizer)
    questions = ["a", "a longer question", "RS:abcd?", "the longest question of them all, by far"]
    prompts = [encode_prompt(tokenizer, question, "boxed") for question in questions]
    drawn = engine.sample(prompts, questions, Draw(1, 40, temperature=0))
    reference = AutoModelForCausalLM.from_pretrained(folder)  # without our attention
    for prompt, (completion,) in zip(prompts, drawn, strict=True):
        given = torch.tensor([prompt])
        whole = reference.generate(
            given,
            attention_mask=torch.ones_like(given),
            do_sample=False,
            max_new_tokens=40,
            eos_token_id=engine.ends.tolist(),
            pad_token_id=tokenizer.pad_token_id,
        )
        assert completion.ids == whole[0, len(prompt) :].tolist()


def test_what_is_trained_is_decoded_and_stops(kind, folder, tmp_path):
    model, tokenizer = load_model(str(folder)).train(), load_tokenizer(str(folder))
    row = {"question": "How many pens?", "solution": "3+4=7, so \\boxed{7}.", "format": "boxed"}
    example = {name: torch.tensor([ids]) for name, ids in encode_example(tokenizer, row).items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        model(**example).loss.backward()
        optimizer.step()
    save_model(model.eval(), tokenizer, tmp_path / "trained")

    prompt = encode_prompt(tokenizer, row["question"], row["format"])
    ((completion,),) = TransformersEngine.load(str(tmp_path / "trained")).sample([prompt], ["q"], Draw(1, 60, temperature=0))
    assert (completion.text, completion.finished) == (row["solution"], True)
    assert tokenizer.convert_ids_to_tokens(completion.ids[-1]) == KINDS[kind]["end"]
    # Whoever takes the checkpoint elsewhere finds the same end in its generation_config.
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "trained")
    plain = AutoTokenizer.from_pretrained(tmp_path / "trained")
    whole = loaded.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=60)
    assert plain.decode(whole[0, len(prompt) :]) == row["solution"] + KINDS[kind]["end"]


def test_the_whole_dag_runs(folder, tmp_path):
    """With two benchmarks, so that the result is their mean."""
    own = tmp_path / "own.jsonl"
    rows = [{"question": f"RS:{letter}bcd?", "answer": "abcd", "format": "word"} for letter in "acdfg"]
    own.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = dict.fromkeys(("curate_sft_data", "curate_rl_data", "curate_evaluation_data"), "builtin:list-machine")
    counts = dict.fromkeys(("heldout", "rl", "predictor", "benchmark"), 4)
    parameters = words | {f"curate_{name}_problems": count for name, count in counts.items()}
    parameters |= {
        "curate_evaluation_data": f"builtin:list-machine, {own}",
        "base_model": str(folder),
        "sweep_candidates": [{"epochs": 1}],
        "sweep_examples": [16],
        "sweep_learning_rates": [1e-3],
        "curate_sft_examples": 16,
        "sft_batch_size": 4,
        "sampling_max_tokens": 16,
        "predictors_samples": 4,
        "gate_k": 4,
        "gate_mode": "off",
        "rl_steps": 1,
        "rl_prompts_per_step": 2,
        "rl_num_generations": 2,
        "benchmark_samples": 1,
    }
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump({"parameters": parameters}))
    _, outcomes, _, ran = run(recipe, tmp_path / "work")
    assert outcomes[1]["rl"]["steps"] == 1
    scored = outcomes[1]["benchmark"]
    assert [(name, 1 <= count <= 4) for name, count, *_ in scored["benchmarks"]] == [
        ("builtin:list-machine", True),
        ("own", True),
    ]
    assert scored["pass_at_1"] == sum(one[2] for one in scored["benchmarks"]) / 2
    assert "By benchmark" in (ran / "report.md").read_text()
