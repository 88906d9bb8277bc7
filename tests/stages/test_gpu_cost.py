"""Estimates of memory and hours against what transformers, peft and torch really hold; and what plan says of them."""

import os
import subprocess
import sys

import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM

from rlready.config import Training, parse_parameters
from rlready.config.recipes import load_recipe
from rlready.errors import Unreachable
from rlready.models.architecture import read_shape
from rlready.placement.placement import count_bytes
from rlready.stages.plan.checkpoints import SHAPES
from rlready.stages.plan.needs import Lengths, count_checkpoint, estimate_needs, estimate_states, find_remedies
from rlready.stages.plan.plan import make_plan

CONFIGS = yaml.safe_load(SHAPES.read_text())
RECIPES = ("llama3-8b", "mistral-nemo-12b", "qwen3-4b")
SMALL = {
    "hidden_size": 96,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
}
KINDS = {"llama": {}, "mistral": {"head_dim": 32}, "qwen3": {"head_dim": 32, "tie_word_embeddings": True}}


def make_config(kind, **changes):
    return AutoConfig.for_model(kind, **SMALL | KINDS[kind] | changes)


@pytest.mark.parametrize("config", [*CONFIGS.values(), *(make_config(kind).to_dict() for kind in KINDS)])
def test_parameters_are_those_of_the_model(config):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    assert read_shape(config).parameters == sum(parameter.numel() for parameter in model.parameters())


def test_every_recipe_of_a_large_model_has_its_shape():
    assert {load_recipe(name, [])["base_model"] for name in RECIPES} == CONFIGS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_are_those_of_peft(kind):
    from peft import LoraConfig, get_peft_model

    config = make_config(kind)
    adapters = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_config(config), adapters)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert read_shape(config.to_dict()).count_adapters(8) == trained


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_is_that_of_the_model(kind):
    config = make_config(kind)
    model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    with torch.no_grad():
        layers = model(torch.zeros((1, 10), dtype=torch.long), use_cache=True).past_key_values.layers
    held = sum(tensor.nbytes for layer in layers for tensor in (layer.keys, layer.values))
    assert read_shape(config.to_dict()).cache * 10 == held


def count_kept(config, rows, checkpointing):
    """Returns bytes that a forward pass under bfloat16 autocast keeps for the backward pass, parameters aside."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=torch.zeros((rows, 64), dtype=torch.long)).last_hidden_state
    assert hidden.requires_grad
    return sum(size for address, (size, _) in kept.items() if address not in own)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_are_those_that_the_backward_pass_needs(kind):
    config = make_config(kind)
    shape = read_shape(config.to_dict())
    # Twice as many rows: what does not grow with them, as the bfloat16 copies of the weights, falls out.
    whole = (count_kept(config, 8, False) - count_kept(config, 4, False)) / (4 * 64)
    assert shape.count_activations(False) == pytest.approx(whole, rel=0.02)
    inputs = (count_kept(config, 8, True) - count_kept(config, 4, True)) / (4 * 64)
    one_layer = (whole - 8 * shape.hidden) / shape.layers
    assert shape.count_activations(True) == pytest.approx(inputs + one_layer, rel=0.02)


def test_states_are_those_that_adam_holds():
    config = make_config("llama")
    model = AutoModelForCausalLM.from_config(config)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.zeros((1, 4), dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    held = {
        "weights": sum(p.nbytes for p in model.parameters()),
        "gradients": sum(p.grad.nbytes for p in model.parameters()),
        "optimizer": sum(t.nbytes for state in optimizer.state.values() for t in state.values() if t.dim()),
    }
    shape = read_shape(config.to_dict())
    states = estimate_states(shape, Training(), 8)
    assert states.pop("copies") == 2 * shape.parameters  # autocast's, which a CPU has not
    assert states == held
    assert sum(estimate_states(shape, Training(zero_stage=3), 8).values()) == 16 * shape.parameters / 8
    assert sum(estimate_states(shape, Training(zero_stage=2), 8).values()) == (2 + 14 / 8) * shape.parameters
    adapters = shape.count_adapters(4)
    assert sum(estimate_states(shape, Training(lora_rank=4), 1).values()) == 2 * shape.parameters + 16 * adapters
    assert count_checkpoint(shape, Training(lora_rank=4)) == 12 * adapters  # without the frozen weights


@pytest.mark.parametrize("name", RECIPES)
def test_a_large_recipe_fits_its_gpus_and_the_remedies_fit_where_it_does_not(name):
    config = CONFIGS[load_recipe(name, [])["base_model"]]
    shape, lengths, memory = read_shape(config), Lengths(256, 4096, 8192, 256), count_bytes("80Gi")
    tokens = dict.fromkeys(("sft", "predictors", "rl", "benchmark"), 1e8)

    def estimate(experiment, gpus=8):
        return estimate_needs(experiment, shape, lengths, tokens, dict.fromkeys(tokens, gpus), dict.fromkeys(tokens, memory))

    experiment = parse_parameters(load_recipe(name, []))
    needs = estimate(experiment)
    assert all(0 < need.memory <= memory for need in needs.values())
    assert all(0 < need.hours[0] < need.hours[1] for need in needs.values())
    without = ["training_zero_stage=0", "training_gradient_checkpointing=false"]
    worse = parse_parameters(load_recipe(name, without))
    assert estimate(worse)["sft"].memory > memory
    remedies = [text.removeprefix("--set ") for text in find_remedies(worse, estimate, "sft", memory)]
    assert remedies and estimate(parse_parameters(load_recipe(name, without + remedies)))["sft"].memory <= memory
    assert find_remedies(worse, lambda e: estimate(e, gpus=1), "sft", 4e9) == []


def plan(*arguments, endpoint="http://127.0.0.1:1"):
    """Runs rlready plan where the hub is out of reach; returns (exit status, output, errors)."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": "/nowhere", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "rlready.cli", "plan", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_plan_says_what_would_be_submitted_without_a_hub():
    status, shown, errors = plan("--recipe", "llama3-8b")
    assert (status, errors) == (0, "")
    assert "not checked base_model: could not reach the hub for meta-llama/Meta-Llama-3-8B-Instruct" in shown
    assert "and 10 more" in shown and "acereason:train (not checked)" in shown
    assert "8.03 billion parameters (rlready's table)" in shown
    assert "sft                  9 x  8 x nvidia.com/gpu, 32 CPUs, 512Gi" in shown  # the base model is measured once
    assert "placement.sft.storage: 225Gi, placement.rl.storage: 225Gi" in shown
    assert "core-seconds" not in shown


def test_plan_refuses_a_model_that_does_not_fit_and_says_what_would():
    without = ("--set", "training_zero_stage=0")
    status, shown, errors = plan("--recipe", "llama3-8b", *without)
    assert status == 2
    first, second = errors.splitlines()
    assert first.startswith("rlready: sft: needs ") and "one has 86 (placement.sft.gpu_memory)" in first
    assert first.endswith("; --set training_zero_stage=2") and second.startswith("rlready: rl: needs ")
    assert plan("--recipe", "llama3-8b", "--set", "training_zero_stage=3")[0] == 0
    assert "would be submitted" in shown


def test_a_shape_that_is_not_known_is_said(tmp_path):
    recipe = tmp_path / "other.yaml"
    recipe.write_text("parameters: {base_model: somebody/else}\nplacement: {sft: {gpus: 1}}")
    status, shown, _ = plan("--recipe", str(recipe))
    assert status == 0 and "no estimate: the shape of somebody/else is not known" in shown


def test_a_run_does_not_start_from_what_could_not_be_checked(monkeypatch):
    import huggingface_hub

    def refuse(*arguments, **more):
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(Unreachable, match="could not reach the hub for Qwen/Qwen3-4B-Base"):
        make_plan(load_recipe("qwen3-4b", []))
