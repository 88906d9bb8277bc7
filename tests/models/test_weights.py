"""Checkpoints whose files do not hold the model that they claim: refused in one line before anything is measured."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from rlready.errors import InputError
from rlready.models import architecture
from rlready.models.architecture import PLAIN, count_positions, inspect_architecture, read_architecture
from rlready.models.load import fetch_weights, find_model, load_model, load_tokenizer
from rlready.models.prompts import check_tokens
from rlready.models.weights import check_adapters, read_headers
from rlready.records.candidate import BaseModel

FILE = "model.safetensors"
NAME = "model.layers.0.mlp.up_proj.weight"


def prefix(wrapper):
    return lambda weights, config: ({wrapper + name: weight for name, weight in weights.items()}, config)


def inside(part, wrapper):
    return lambda weights, config: ({n.replace(part, wrapper + part): weight for n, weight in weights.items()}, config)


def without(name):
    return lambda weights, config: ({other: weight for other, weight in weights.items() if other != name}, config)


def changed(name, change):
    return lambda weights, config: (weights | {name: change(weights[name])}, config)


def configured(**changes):
    return lambda weights, config: (weights, config | changes)


MISFITS = {
    "torch.compile": (prefix("_orig_mod."), r"missing.*_orig_mod\. \(torch\.compile\): save the unwrapped model"),
    "DDP": (prefix("module."), r"names have module\. \(DistributedDataParallel\)"),
    "FSDP": (inside("mlp.", "_fsdp_wrapped_module."), r"names have _fsdp_wrapped_module\. \(FSDP\)"),
    "another wrapper": (prefix("actor."), r"names have actor\. \(a wrapper\): save the unwrapped model"),
    "adapters": (
        lambda w, c: ({f"base_model.model.{n}": t for n, t in w.items()} | {"base_model.model.lora_A.w": torch.ones(1)}, c),
        "adapters are not merged",
    ),
    "a layer missing": (without(NAME), rf"1 tensors are missing \({NAME}\)"),
    "no layer of its own": (lambda w, c: (w | {"value_head.weight": torch.ones(1, 32)}, c), "value_head.weight"),
    "untied": (configured(tie_word_embeddings=False), r"missing \(lm_head.weight\)"),
    "more layers": (configured(num_hidden_layers=2), "tensors are missing .model.layers.1"),
    "no tensors": (lambda w, c: ({}, c), "tensors are missing"),
    "heads that do not divide": (configured(num_attention_heads=4, num_key_value_heads=3), "4 is no multiple of .* 3"),
    "an odd head": (configured(head_dim=15), "head_dim 15 is odd"),
    "another shape": (changed(NAME, lambda w: w[:-1].clone()), rf"{NAME} has the shape \[\d+, 32\].*describes \[\d+, 32\]"),
    "another architecture": (configured(model_type="gpt2", architectures=["GPT2LMHeadModel"]), "do not fit its config.json"),
    "an unknown one": (
        configured(model_type="myllama"),
        "model_type myllama is unknown.*does not run code",
    ),
    "quantised": (
        configured(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        r"quantised \(bitsandbytes\)",
    ),
    "no frequencies": (configured(rope_theta=0, rope_parameters=None), "rope_theta is 0, and must be above 0"),
    "a pad token without embedding": (configured(pad_token_id=5000), "cannot be built: Padding_idx must be within"),
    "integers": (changed(NAME, lambda w: w.to(torch.uint8)), f"{NAME} is stored as U8: quantised"),
}
NO_NUMBERS = {
    "NaN": (changed(NAME, lambda w: w.index_fill(0, torch.tensor(3), torch.nan)), f"{NAME} holds NaN"),
    "infinity": (changed("model.norm.weight", lambda w: w * torch.inf), "model.norm.weight holds NaN or infinity"),
    "a square that overflows": (changed("model.norm.weight", lambda w: w * 1e30), "norm.weight holds .* beyond 1e.18"),
    "zeros": (changed(NAME, torch.zeros_like), f"{NAME} is zero throughout"),
    "a norm of zeros": (changed("model.norm.weight", torch.zeros_like), "model.norm.weight is zero throughout"),
}


def write(source, folder, change):
    shutil.copytree(source, folder)
    weights, config = change(load_file(folder / FILE), json.loads((folder / "config.json").read_text()))
    save_file(weights, folder / FILE)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(("change", "message"), MISFITS.values(), ids=MISFITS)
def test_weights_that_do_not_fit_their_configuration_are_refused_by_their_headers(change, message, tiny_model, tmp_path):
    with pytest.raises(InputError, match=message) as refused:
        find_model(str(write(tiny_model, tmp_path / "model", change)), "")
    assert "\n" not in str(refused.value) and str(tmp_path / "model") in str(refused.value)


@pytest.mark.parametrize(("change", "message"), NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_weights_that_are_no_numbers_are_refused_before_and_when_they_are_loaded(change, message, tiny_model, tmp_path):
    folder = write(tiny_model, tmp_path / "model", change)
    for check in (lambda path: find_model(path, ""), load_model):
        with pytest.raises(InputError, match=message):
            check(str(folder))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_values_are_read_in_every_precision_up_to_a_size(dtype, tmp_path, monkeypatch):
    weights = {"empty": torch.ones(0, 2), "lora_B": torch.zeros(2, 2), "norm": torch.ones(3), "w": torch.tensor([[0.0, -0.1]])}
    weights = {name: weight.to(dtype) for name, weight in weights.items()}
    save_file(weights, tmp_path / FILE)
    assert read_headers(tmp_path).keys() == weights.keys()
    save_file(weights | {"norm": torch.tensor([1.0, torch.inf]).to(dtype)}, tmp_path / FILE)
    with pytest.raises(InputError, match="norm holds NaN or infinity"):
        read_headers(tmp_path)
    monkeypatch.setattr("rlready.models.weights.MOST_READ", 8)
    assert read_headers(tmp_path).keys() == weights.keys()
    with pytest.raises(InputError, match="norm holds NaN or infinity"):
        read_headers(tmp_path, whole=True)


def test_a_norm_of_zeros_is_an_ordinary_start_where_it_multiplies_by_one_more(tmp_path):
    save_file({"norm.weight": torch.zeros(3), "norm.bias": torch.zeros(3)}, tmp_path / FILE)
    for kind in ("gemma3_text", "qwen3_next", "llama"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        with pytest.raises(InputError, match="norm.weight is zero") if kind == "llama" else contextlib.nullcontext():
            read_headers(tmp_path)


def test_what_is_loaded_is_checked_too(tiny_model, tmp_path):
    """A model from the hub is not looked at before."""
    folder = write(tiny_model, tmp_path / "model", without(NAME))
    with pytest.raises(InputError, match=f"missing .{NAME}"):
        load_model(str(folder))


def test_a_model_in_shards_needs_every_one(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    load_model(str(tiny_model)).save_pretrained(folder, max_shard_size="20kB")
    (folder / FILE).unlink()
    assert len(list(folder.glob("model-*"))) > 1
    find_model(str(folder), "")
    last = max(folder.glob("model-*"))
    last.rename(tmp_path / "shard")
    with pytest.raises(InputError, match=f"{last.name}, which model.safetensors.index.json names, is missing"):
        find_model(str(folder), "")
    last.write_bytes((tmp_path / "shard").read_bytes()[:-8])
    with pytest.raises(InputError, match=rf"{last.name} is truncated or damaged, .*; copy it again"):
        find_model(str(folder), "")


@pytest.mark.parametrize("change", [{"data_offsets": [8, 24]}, {"shape": [-1, 2]}])
def test_a_header_whose_shapes_and_places_differ_is_refused(change, tmp_path):
    save_file({"w": torch.ones(3, 2)}, tmp_path / FILE)
    content = (tmp_path / FILE).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header = json.dumps({"w": header["w"] | change, "v": header["w"] | {"shape": [6]}}).encode()
    (tmp_path / FILE).write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    with pytest.raises(InputError, match=f"{FILE} is truncated or damaged, .*copy it again"):
        read_headers(tmp_path)


@pytest.mark.parametrize("name", [FILE, "tokenizer.json", "config.json"])
def test_a_pointer_of_git_lfs_is_told_by_its_name(name, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1234\n")
    with pytest.raises(InputError, match=f"{name} is a Git LFS pointer.*git lfs pull"):
        find_model(str(folder), "")


@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json"])
def test_a_file_that_is_not_json_is_refused_by_its_name(name, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / name).write_text("{")
    with pytest.raises(InputError, match=f"^{name} of {folder} is not JSON"):
        find_model(str(folder), "")


ADAPTERS = {"q_proj.lora_A": [2, 4], "q_proj.lora_B": [6, 2], "v_proj.lora_A": [2, 4], "v_proj.lora_B": [3, 2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"v_proj.lora_A": None, "v_proj.lora_B": None}, "holds no adapters of l.0.v_proj, which target_modules names"),
        ({"v_proj.lora_B": None}, "of l.0.v_proj it holds lora_A only"),
        ({"q_proj.lora_B": [5, 2]}, r"adapters of l.0.q_proj are for the shape \[5, 4\], and the base model has \[6, 4\]"),
        ({"k_proj.lora_A": [2, 4], "k_proj.lora_B": [6, 2]}, "l.0.k_proj .* has no such layer; name the base model"),
    ],
)
def test_adapters_need_all_their_parts_and_the_layers_of_their_base(change, message):
    base = {"l.0.q_proj.weight": ("F32", [6, 4]), "l.0.v_proj.weight": ("F32", [3, 4]), "norm.weight": ("F32", [4])}
    adapters = {f"base_model.model.l.0.{n}.weight": ("F32", s) for n, s in (ADAPTERS | change).items() if s}
    with pytest.raises(InputError, match=message) if message else contextlib.nullcontext():
        check_adapters(adapters, {"target_modules": ["q_proj", "v_proj"]}, base, "a")
    with pytest.raises(InputError, match=r"its norm.weight has the shape \[5\], and that of the base model \[4\]"):
        check_adapters({"base_model.model.norm.weight": ("F32", [5])}, {}, base, "a")
    check_adapters(adapters, {}, {"of.another.layout.weight": ("F32", [1, 1])}, "a")


def test_adapters_beside_weights_are_not_taken_for_the_model(tiny_model, tmp_path):
    """transformers would load the base model that adapter_config.json names."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="holds adapters .*merge them"):
        find_model(str(folder), "")


def test_an_encoder_is_no_language_model(tmp_path):
    for kind, message in (("bert", "a bert reads texts in both directions"), ("gpt_neox", None)):
        AutoConfig.for_model(kind).save_pretrained(tmp_path / kind)
        with pytest.raises(InputError, match=message) if message else contextlib.nullcontext():
            read_architecture({"pretrained_model_name_or_path": str(tmp_path / kind)})


def test_tokens_need_an_embedding(tiny_model):
    tokenizer = load_tokenizer(str(tiny_model))
    rows = len(tokenizer)
    check_tokens(tokenizer, [tokenizer.eos_token_id], rows)
    with pytest.raises(InputError, match=f"the end token is number {rows}, and the model has {rows} embeddings"):
        check_tokens(tokenizer, [tokenizer.eos_token_id, rows], rows)
    with pytest.raises(InputError, match="chat template's token|pad token"):
        check_tokens(tokenizer, [], 3)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_decoder_is_what_transformers_makes_of_it(kind, tied, tmp_path, monkeypatch):
    small = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    small |= {"num_key_value_heads": 2, "vocab_size": 50, "head_dim": 16, "tie_word_embeddings": tied}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **small)).save_pretrained(tmp_path)
    location, config = {"pretrained_model_name_or_path": str(tmp_path)}, json.loads((tmp_path / "config.json").read_text())
    with monkeypatch.context() as patched:
        patched.delattr(architecture, "read_architecture")  # transformers is not needed
        plain = inspect_architecture(location, config, read_headers(tmp_path))
    monkeypatch.setattr(architecture, "_list_tensors", lambda config: None)
    assert plain == inspect_architecture(location, config, read_headers(tmp_path))


def test_positions_are_those_of_the_configuration_stretched_where_it_says_so(tiny_model):
    from transformers import GPT2Config

    config = read_architecture({"pretrained_model_name_or_path": str(tiny_model)})
    assert count_positions(config) == (config.max_position_embeddings, False)
    config.rope_parameters = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    assert count_positions(config) == (512, False)
    assert count_positions(GPT2Config(n_positions=64)) == (64, True)


def test_the_weights_of_a_hub_model_are_found_in_the_hubs_cache(tiny_model, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--org--name"
    snapshot = shutil.copytree(tiny_model, cached / "snapshots" / ("c" * 40))
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text("c" * 40)
    index = {"weight_map": {NAME: FILE}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert fetch_weights(BaseModel("org/name", "main", "d")) == snapshot
    assert fetch_weights(tiny_model) == Path(tiny_model)
