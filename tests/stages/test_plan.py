"""What plan refuses, in one line each, before anything starts; and how a sweep expands."""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT
from helpers.laptop import laptop
from helpers.rows import make_gsm8k_rows
from safetensors.numpy import save_file

from rlready.config import Curate, list_parameters, parse_parameters, read_settings, write_settings
from rlready.config.parameters import Sampling, Sweep
from rlready.config.recipes import list_recipes, load_recipe, parse_overrides
from rlready.errors import InputError
from rlready.models.load import find_model
from rlready.records.candidate import BaseModel, Candidate
from rlready.records.serialization import from_json, to_json
from rlready.stages.plan import model
from rlready.stages.plan import stage as plan_stage
from rlready.stages.plan.checkpoints import find_checkpoint, measure
from rlready.stages.plan.overrides import find_gpu_overrides
from rlready.stages.plan.plan import describe_plan, make_plan
from rlready.stages.plan.sources import look_at_sources
from rlready.stages.plan.sweep import expand_sweep
from rlready.stages.plan.workload import Tokens, find_truncated, summarize_lengths

SEQUENTIAL = {"predictors_sampling": "sequential", "gate_min_pass_at_k_over_base": -1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gate_k": 512}, "Pass@512 needs at least 512 samples"),
        ({"gate_rank_by": "luck"}, "'luck' is not one of pass_at_k, pass_at_1, generalization_loss"),
        ({"gate_max_rl_runs": -1}, "gate_max_rl_runs: -1 must be 0 or more"),
        ({"gate_audit_fraction": 1.5}, r"gate_audit_fraction: 1.5 lies outside \[0, 1\]"),
        ({"gate_max_verifier_disagreement": -0.1}, r"lies outside \[0, 1\]"),
        (
            {"gate_rank_by": "generalization_loss", "sweep_candidates": [], "sweep_subsets": ["shortest", "longest"]},
            "shortest, longest: losses are not comparable",
        ),
        ({"predictors_sampling": "lazy"}, "'lazy' is not one of fixed, sequential"),
        ({"predictors_sampling": "sequential"}, "set gate_min_pass_at_k_over_base to null"),
        (SEQUENTIAL | {"gate_min_pass_at_k": 0.0}, "must lie between 0 and 1"),
        (SEQUENTIAL | {"gate_max_rl_runs": 2}, "cannot rank"),
        (SEQUENTIAL | {"gate_min_coverage_kept": 0.5}, "has no counts to compare with the base model's"),
        ({"gate_min_coverage_kept": 1.5}, "gate_min_coverage_kept: 1.5 lies outside"),
        ({"predictors_sequential_alpha": 0.5}, "must lie between 0 and 0.5"),
        ({"sampling_stop": [""]}, "an empty text would end every completion"),
        (SEQUENTIAL | {"predictors_sequential_budget": 10}, "10 samples are fewer than one problem may need"),
        ({"sweep_candidates": [], "sweep_epochs": list(range(1, 66))}, "65 candidates, but 64 fit in one run"),
        ({"gate_k": 48}, "neither a power of two nor predictors_samples"),
        ({"gate_min_pass_at_k": 1.2}, r"gate_min_pass_at_k: 1.2 lies outside \[0, 1\]"),
        ({"gate_max_loss_rise": 0.9}, "must be at least 1"),
        ({"gate_mode": "strict"}, "'strict' is not one of enforce, audit, off"),
        ({"gate_kk": 3}, "unknown parameter 'gate_kk'; did you mean gate_k"),
        ({"gate_k": "many"}, "gate_k: expected int, got 'many'"),
        ({"sweep_epochs": 2}, r"sweep_epochs: expected list, got 2; write \[2\]"),
        ({"gate_min_pass_at_k": float("nan")}, "expected a finite number"),
        ({"rl_steps": -1}, "rl_steps: -1 lies outside"),
        ({"race_steps": 400}, "race_steps: 400 must be less than rl_steps, 400"),
        ({"race_steps": 100, "rl_eval_steps": 0}, "race_steps: a race needs validation: rl_eval_steps"),
        ({"race_keep": 2}, "race_keep: without race_steps there is no race"),
        ({"sampling_engine": "sglang"}, "'sglang' is not one of auto, transformers, vllm"),
        ({"sampling_engine": "transformers", "sampling_tensor_parallel": 2}, "2 GPUs per copy need vllm"),
        ({"sampling_tensor_parallel": 0}, "sampling_tensor_parallel: 0 must be at least 1"),
        ({"sampling_replicas": -1}, r"sampling_replicas: -1 must be 0"),
        ({"sampling_gpu_memory_utilization": 0.0}, r"lies outside \(0, 1\]"),
        ({"sampling_stop": ["", 3]}, r"sampling_stop: expected texts, got \['', 3\]"),
        ({"curate_decontaminate": [["math_500"]]}, "curate_decontaminate: expected texts"),
        ({"rl_num_generations": 1}, "rl_num_generations: 1 must be at least 2"),
        ({"rl_prompts_per_step": 5000}, "curate_rl_problems has 512 of them"),
        ({"predictors_samples": 10**9}, "predictors_samples: 1000000000 is more than 10000000"),
        ({"curate_sft_examples": 0}, "is infinite"),
        ({"curate_max_tokens": 1}, r"none of the first \d+ SFT traces lies between 0 and 1 tokens; they have \d+ to \d+"),
        ({"curate_min_tokens": 9999}, "none of the first .* between 9999 and any number of tokens"),
        ({"sweep_candidates": [{"epochs": 1}, {"epochs": 1}]}, "given twice"),
        ({"sweep_candidates": [{"epoch": 1}]}, "sweep_candidates, item 0"),
        ({"sweep_candidates": [{"measured": "a.jsonl", "revision": "main"}]}, "revision is of a model, and none is given"),
        ({"sweep_candidates": [{"epochs": 1.5}]}, "epochs must be a whole number"),
        ({"sweep_candidates": [], "sweep_learning_rates": ["2e-5"]}, "got the text '2e-5'; write 2e-5 without quotes"),
        ({"sweep_candidates": [{"subset": "best"}]}, "subset must be one of random"),
        ({"sweep_candidates": [{"examples": 1025}]}, "a subset cannot be larger than the data"),
        ({"sweep_candidates": [], "sweep_epochs": []}, "sweep_epochs: empty"),
        ({"base_model": "builtin:other"}, "unknown builtin"),
        ({"base_model": "./nowhere"}, "neither a folder nor a hub id"),
        ({"curate_sft_data": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"curate_sft_data": "what is this"}, "is neither a .jsonl, .* file or folder, .* nor one of"),
    ],
)
def test_plan_refuses(changes, message):
    with pytest.raises(InputError, match=message):
        make_plan(laptop(**changes))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("tokenizer.json", "has no tokenizer.json"),
        ("chat_template.jinja", "has no chat template"),
        ("model.safetensors", "has no .*safetensors"),
        ("config.json", "has no config.json"),
    ],
)
def test_plan_refuses_a_model_folder_that_lacks_something(tiny_model, tmp_path, missing, message):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(InputError, match=message):
        make_plan(laptop(base_model=str(folder)))


def test_plan_refuses_a_revision_of_a_folder(tiny_model):
    with pytest.raises(InputError, match=f"^base_model: revision 'v1' is of a hub model, and {tiny_model} is a folder"):
        make_plan(laptop(base_model=str(tiny_model), base_revision="v1"))


def test_the_digest_of_a_model_is_that_of_its_content(tiny_model, tmp_path):
    copy = shutil.copytree(tiny_model, tmp_path / "elsewhere" / "copy", copy_function=shutil.copyfile)  # other times
    digest = find_model(str(tiny_model), "main").digest
    assert find_model(str(copy), "main").digest == digest
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert find_model(str(copy), "main").digest != digest


def write_model(tiny_model, folder, name, change):
    """Returns a copy of a model folder with another text or other keys in one of its files."""
    shutil.copytree(tiny_model, folder)
    path = folder / name
    kept = json.loads(path.read_text()) if isinstance(change, dict) else {}
    path.write_text(json.dumps(kept | change) if isinstance(change, dict) else change)
    return str(folder)


PARTS = "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("generation_config.json", {"do_sample": False, "temperature": 0.9}, "does not save .* `temperature` is set to .0.9"),
        ("generation_config.json", {"pad_token_id": -1}, "does not save .* `pad_token_id` should be positive"),
        ("generation_config.json", {"eos_token_id": "2"}, "eos_token_id is '2', not a number"),
        ("generation_config.json", {"eos_token_id": 10**20}, "eos_token_id is 1000"),
        ("generation_config.json", {"pad_token_id": []}, r"pad_token_id is \[\], not a number"),
        ("generation_config.json", {"temperature": 0}, "does not save .* `temperature` is set to .0"),
        ("generation_config.json", {"suppress_tokens": 0}, "'int' object is not iterable"),
        ("generation_config.json", "null", "is not an object of JSON"),
        ("tokenizer_config.json", "null", "is not an object of JSON"),
        ("tokenizer_config.json", {"pad_token": {}}, "does not read pad_token {}"),
        ("tokenizer_config.json", {"model_max_length": "512"}, "does not read model_max_length '512'"),
        ("tokenizer_config.json", {"extra_special_tokens": "<a>"}, "does not read extra_special_tokens '<a>'"),
        ("config.json", {"vocab_size": "64"}, "the values are not those of that architecture"),
        ("config.json", {"attention_dropout": "0"}, "the values are not those of that architecture"),
        ("config.json", {"dtype": ["x"]}, "transformers cannot read its config.json"),
        ("tokenizer_config.json", {"eos_token": None}, "has no end token"),
        ("config.json", {"hidden_size": "sixty"}, "the values are not those of that architecture"),
        ("config.json", {"vocab_size": -3}, "cannot be built: Trying to create tensor with negative dimension"),
        ("generation_config.json", {"eos_token_id": 99999}, "the end token is number 99999"),
        ("chat_template.jinja", "{% for m in messages %}{{ m.content }}", "syntax error in line 1"),
        ("chat_template.jinja", "{{ raise_exception('no user') }}", "fails for a question of the user: no user"),
        ("chat_template.jinja", "{{ messages[2].content }}", "fails for a question of the user: "),
        ("chat_template.jinja", PARTS, "does not write the content of a turn that is a text"),
        ("chat_template.jinja", "{{ messages[0].content }}", "does not write the content of a turn"),
        ("chat_template.jinja", "{% for m in messages %}{{ m.content | e }}{% endfor %}", "escapes or shortens it"),
        (
            "chat_template.jinja",
            "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}",
            "ends without 'assistant:'",
        ),
        (
            "chat_template.jinja",
            "{{ strftime_now('%d %b') }}{% for m in messages %}{{ m.content }}{% endfor %}",
            "writes today's date",
        ),
    ],
)
def test_plan_refuses_a_model_that_cannot_be_asked_or_saved(tiny_model, tmp_path, name, change, message):
    with pytest.raises(InputError, match=message):
        make_plan(laptop(base_model=write_model(tiny_model, tmp_path / "model", name, change)))


def test_plan_names_the_models_whose_values_it_does_not_read(tiny_model, monkeypatch):
    monkeypatch.setattr("rlready.stages.plan.plan.MOST_READ", 8)
    texts = make_plan(laptop(base_model=str(tiny_model))).texts
    assert f"{tiny_model}: the values of files over 1 GB are checked when the weights are loaded" in texts


def test_plan_reads_end_tokens_where_transformers_does(tiny_model, tmp_path):
    folder = write_model(tiny_model, tmp_path / "model", "config.json", {"eos_token_id": 5000})
    make_plan(laptop(base_model=folder))
    (tmp_path / "model" / "generation_config.json").unlink()
    with pytest.raises(InputError, match="the end token is number 5000"):
        make_plan(laptop(base_model=folder))


def test_plan_does_not_wait_for_a_chat_template_that_does_not_end(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(model, "TEMPLATE_SECONDS", 0.2)
    inner = "{% for b in range(99999) %}" * 3 + "{% endfor %}" * 3
    with pytest.raises(InputError, match="fails for a question of the user: it has not ended after 0.2 s"):
        make_plan(laptop(base_model=write_model(tiny_model, tmp_path / "model", "chat_template.jinja", inner)))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("generation_config.json", {"do_sample": True, "temperature": 0.7, "top_p": 0.8}),
        (
            "chat_template.jinja",
            "{% set date = strftime_now('%d') if false else '1' %}{{ date }}{{ bos_token }}"
            "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{{ eos_token }}",
        ),
    ],
)
def test_plan_takes_a_model_that_only_looks_odd(tiny_model, tmp_path, name, change):
    make_plan(laptop(base_model=write_model(tiny_model, tmp_path / "model", name, change)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rl_trainer_overrides": {"top_entropy_quantile": 2}}, "top_entropy_quantile is a share, at most 1, not 2"),
        ({"sft_trainer_overrides": {"no_such_field": 1}}, "sft_trainer_overrides: SFTConfig has no no_such_field"),
        ({"sft_trainer_overrides": {"warmup_ratio": 0.1}}, r"SFTConfig has no warmup_ratio; did you mean warmup_steps\?"),
        ({"sft_trainer_overrides": {"optim_args": "momentum=0.9"}}, "'momentum=0.9' changes nothing of the optimizer AdamW"),
        ({"rl_trainer_overrides": {"top_entropy_quantile": 0.0}}, "top_entropy_quantile is a number above 0, not 0"),
        ({"rl_trainer_overrides": {"packing": True}}, "rl_trainer_overrides: GRPOConfig has no packing"),
        ({"sft_trainer_overrides": {"num_train_epochs": 2}}, "num_train_epochs cannot be overridden: sweep_epochs"),
        ({"sft_trainer_overrides": {"max_length": 64}}, "no example is truncated"),
        ({"rl_trainer_overrides": {"temperature": 0.7}}, "RL samples at temperature 1"),
        ({"rl_trainer_overrides": {"num_generations": 4}}, "num_generations cannot be overridden: rl_num_generations"),
        (
            {"rl_trainer_overrides": {"chat_template_kwargs": {"thinking": False}}},
            "prompts and end tokens are those of the evaluation",
        ),
        ({"rl_trainer_overrides": {"eval_strategy": "steps"}}, "the trainer has no evaluation set"),
        ({"rl_trainer_overrides": {"loss_type": "dapo2"}}, "loss_type 'dapo2' is not one of grpo, dapo"),
        ({"rl_trainer_overrides": {"beta": -0.1}}, "beta is a number of at least 0, not -0.1"),
        ({"rl_trainer_overrides": {"epsilon_high": -1.0}}, "epsilon_high is a number of at least 0, not -1"),
        ({"sft_trainer_overrides": {"neftune_noise_alpha": "x"}}, "neftune_noise_alpha is a number of at least 0, not 'x'"),
        ({"sft_trainer_overrides": {"bf16": "yes"}}, "bf16 is true or false, not 'yes'"),
        ({"sft_trainer_overrides": {"adam_beta1": 2.0}}, "refuses adam_beta1: Invalid beta parameter"),
        ({"rl_trainer_overrides": {"disable_dropout": "false"}}, "disable_dropout is true or false, not 'false'"),
        (
            {"rl_trainer_overrides": {"mask_truncated_completions": True}, "sampling_stop": ["."]},
            "completions that sampling_stop ends as truncated",
        ),
        ({"sft_trainer_overrides": {"ddp_backend": "gloo"}}, "ddp_backend cannot be overridden: training_processes"),
        ({"sft_trainer_overrides": {"data_seed": 1}}, "data_seed cannot be overridden: sweep_seeds"),
        ({"sft_trainer_overrides": {"push_to_hub": True}}, "models stay where the pipeline writes them"),
        ({"sft_trainer_overrides": {"lr_scheduler_type": "wsd"}}, "refuses lr_scheduler_type: wsd is not a valid"),
        ({"sft_trainer_overrides": {"lr_scheduler_type": "reduce_lr_on_plateau"}}, "requires an eval strategy"),
        ({"sft_trainer_overrides": {"lr_scheduler_kwargs": {"no_such": 1}}}, "refuses lr_scheduler_kwargs"),
        ({"sft_trainer_overrides": {"optim": "adamw_bnb_8bit"}}, "refuses optim"),
        ({"sft_trainer_overrides": {"train_sampling_strategy": "longest"}}, "'longest' is not one of random, sequential"),
        ({"rl_trainer_overrides": {"reward_weights": [0.5, 0.5]}}, "the verifier is the only reward"),
        ({"rl_trainer_overrides": {"vllm_importance_sampling_mode": "x"}}, "'x' is not one of token_truncate"),
        ({"sft_trainer_overrides": {"liger_kernel_config": "rope"}}, r"is dict\[str, bool\] | None, not 'rope'"),
        ({"rl_trainer_overrides": {"epsilon": 2}}, "epsilon is a share, at most 1, not 2"),
        ({"rl_trainer_overrides": {"delta": 0.5}}, "delta 0.5 must be above 1"),
        ({"rl_trainer_overrides": {"sapo_temperature_pos": 1.1}}, "nothing with the loss_type dapo, only with sapo"),
        ({"rl_trainer_overrides": {"label_smoothing_factor": 0.1}}, "RL has no labels to smooth"),
        (
            {"sft_trainer_overrides": {"loss_type": "dft", "label_smoothing_factor": 0.1}},
            "label_smoothing_factor does nothing with the loss_type dft, only with nll",
        ),
        (
            {"rl_trainer_overrides": {"vllm_max_model_length": 512}, "sampling_engine": "transformers"},
            "vllm_max_model_length does nothing while sampling_engine is transformers",
        ),
        ({"sft_trainer_overrides": {"weight_decay": 1e6}}, "takes all of a weight"),
        ({"sft_trainer_overrides": {"adam_epsilon": 0}}, "adam_epsilon is a number above 0, not 0"),
        ({"sft_trainer_overrides": {"pad_to_multiple_of": 0}}, "pad_to_multiple_of is a number above 0"),
        (
            {"sft_trainer_overrides": {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1.0}}},
            "the learning rate of step 2 would be .*, not between 0 and 0.001",
        ),
        ({"sft_trainer_overrides": {"dataloader_num_workers": 10**6}}, "dataloader_num_workers is at most 512, not 1000000"),
        ({"sft_trainer_overrides": {"dataloader_persistent_workers": True}}, "persistent_workers option needs num_workers > 0"),
        ({"sft_trainer_overrides": {"dataset_num_proc": 0}}, "dataset_num_proc is a number above 0, not 0"),
        ({"sft_trainer_overrides": {"pad_to_multiple_of": True}}, r"pad_to_multiple_of is int \| str \| None, not True"),
        (
            {"sft_trainer_overrides": {"gradient_checkpointing_kwargs": {"a": 1}}, "training_gradient_checkpointing": True},
            "gradient_checkpointing_kwargs: a is none of .*, use_reentrant",
        ),
        ({"sft_trainer_overrides": {"dataloader_drop_last": True}}, "all candidates have the same batch"),
        ({"sft_trainer_overrides": {"gradient_checkpointing_kwargs": {"selective": True}}}, "does nothing without training_"),
        ({"sft_trainer_overrides": {"bf16": True, "fp16": True}}, "bf16 and fp16 are both true; choose one"),
        ({"sweep_epochs": [1_000_000], "sweep_candidates": []}, "epochs must be at most 1000"),
        ({"sweep_seeds": [2**64]}, "seed must be at most 4294967295"),
        ({"sampling_seed": 2**64}, r"sampling_seed: 18446744073709551616 lies outside \[0, 4294967295\]"),
        ({"rl_steps": 1_000_001}, r"rl_steps: 1000001 lies outside \[0, 1000000\]"),
        ({"rl_learning_rate": 100.0}, "rl_learning_rate: 100 must lie below 1"),
        ({"rl_trainer_overrides": {"save_steps": 5}}, "save_steps cannot be overridden: a killed run resumes"),
        ({"sft_trainer_overrides": {"gradient_accumulation_steps": 3}}, "does not divide the step of 32"),
        (
            {"sft_trainer_overrides": {"per_device_train_batch_size": 4}, "training_processes": 2},
            "per_device_train_batch_size 4 does not divide the step of 32 among 2 processes",
        ),
        ({"sft_trainer_overrides": {"per_device_train_batch_size": 1.5}}, "must be a whole number"),
        ({"sft_per_device_batch_size": 5}, "sft_per_device_batch_size: 5 does not divide 32"),
        ({"rl_per_device_batch_size": 24, "training_processes": 2}, "24 does not divide 64"),
    ],
)
def test_plan_refuses_overrides_that_collide_are_unknown_or_do_not_divide(changes, message):
    with pytest.raises(InputError, match=message):
        make_plan(laptop(sft_batch_size=32, rl_prompts_per_step=16, rl_num_generations=8, **changes))


NO_GPU = "this machine has no GPU for fp16, torch_compile; leave it out, or run where there is one"


def test_overrides_that_leave_the_step_as_it_is_are_taken():
    whole = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}
    make_plan(laptop(sft_batch_size=32, sft_trainer_overrides=whole | {"weight_decay": 0.1, "lr_scheduler_type": "linear"}))
    make_plan(laptop(rl_prompts_per_step=16, rl_num_generations=8, rl_trainer_overrides={"beta": 0.1, "loss_type": "grpo"}))
    make_plan(laptop(sft_trainer_overrides={"warmup_steps": 0.1, "lr_scheduler_kwargs": {"num_cycles": 1.0}}))


def test_plan_refuses_a_router_loss_of_a_model_without_experts(tiny_model):
    with pytest.raises(InputError, match=f"router_aux_loss_coef is for mixtures of experts, and {tiny_model} is none"):
        make_plan(laptop(base_model=str(tiny_model), rl_trainer_overrides={"router_aux_loss_coef": 0.01}))


def test_plan_says_that_a_warm_up_takes_all_of_a_training():
    for stage, overrides in (("rl", {"warmup_steps": 400}), ("sft", {"warmup_steps": 9999, "adam_beta2": 0.95})):
        texts = make_plan(laptop(**{f"{stage}_trainer_overrides": overrides})).texts
        assert any(
            re.match(f"{stage}_trainer_overrides: warmup_steps .* takes all .* is never reached", line) for line in texts
        )
    assert not any("takes all" in line for line in make_plan(laptop()).texts)


def test_overrides_for_gpus_are_refused_on_a_machine_without_one(monkeypatch):
    given = {"fp16": True, "torch_compile": True, "tf32": False}
    parameters = laptop(sft_trainer_overrides=given, rl_trainer_overrides={"loss_type": "cispo", "epsilon_high": 5.0})
    make_plan(parameters)  # for a cluster, which may have them
    for found in (True, False):
        monkeypatch.setattr("torch.cuda.is_available", lambda found=found: found)
        lines = find_gpu_overrides(parse_parameters(parameters))
        assert lines == ([] if found else [f"sft_trainer_overrides: {NO_GPU}"])


def test_what_the_trainers_are_given_is_decided_or_a_default():
    """Every argument that SFT and RL hand to TRL is refused as an override, or one of these defaults."""
    from rlready.stages.plan.overrides import DECIDED, DECIDED_FOR

    free = {"lr_scheduler_type", "logging_steps", "num_iterations", "beta", "loss_type", "scale_rewards"}
    free |= {"per_device_train_batch_size", "gradient_accumulation_steps"}
    for stage, file in {"sft": "train.py", "rl": "grpo.py"}.items():
        tree = ast.parse((ROOT / "rlready" / "stages" / stage / file).read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        (given,) = (call.keywords for call in calls if getattr(call.func, "id", "") == "build_arguments")
        names = {keyword.arg for keyword in given} - {None}
        assert "learning_rate" in names and names | {"output_dir"} <= DECIDED.keys() | DECIDED_FOR[stage].keys() | free


def test_yaml_reads_numbers_and_words_as_they_look(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("parameters: {gate_mode: off, rl_learning_rate: 1e-5, sweep_learning_rates: [1e-5, 2E-5]}")
    read = load_recipe(str(recipe), [])
    assert (read["gate_mode"], read["rl_learning_rate"], read["sweep_learning_rates"]) == ("off", 1e-5, [1e-5, 2e-5])
    given = ["sweep_candidates=[{epochs: 4, subset: longest}]", "sweep_learning_rates=[1e-4]", "gate_mode=off"]
    given += ["sft_trainer_overrides={weight_decay: 1e-2}", "sweep_subsets=random, longest", "curate_decontaminate="]
    read = load_recipe("laptop", given)
    assert [c.epochs for c in make_plan(read).candidates] == [4]
    assert read["sweep_learning_rates"] == [1e-4] and read["gate_mode"] == "off" and read["curate_decontaminate"] == []
    assert read["sft_trainer_overrides"] == {"weight_decay": 0.01} and read["sweep_subsets"] == ["random", "longest"]
    with pytest.raises(InputError, match="--set sweep_epochs=.1, 2: not YAML"):
        load_recipe("laptop", ["sweep_epochs=[1, 2"])
    with pytest.raises(InputError, match="sft_packing: expected bool, got 'yes'"):
        load_recipe("laptop", ["sft_packing=yes"])


def test_solutions_as_long_as_a_sample_are_not_truncated():
    rows = [{"solution": "so", "format": "word"}] * 3
    for most, lines in ((10, 0), (9, 1)):
        found = find_truncated(Sampling(max_tokens=most), Tokens(solutions=[10, 10, 3], exact=True), rows)
        assert len(list(found)) == lines


def test_the_longest_example_is_one_within_the_limits():
    tokens = Tokens(prompts={"sft": [1, 2]}, solutions=[9, 3], exact=True)
    for limit, longest in ((0, 10), (5, 6)):
        assert summarize_lengths(parse_parameters({"curate_max_tokens": limit}), tokens).longest == longest


def test_the_largest_model_decides_what_a_machine_needs(tiny_model):
    made = make_plan(laptop(sweep_candidates=[{"model": str(tiny_model), "name": "own"}]))
    sizes = {measure(made.base).parameters, made.models["own"].parameters}
    assert len(sizes) == 2 and made.largest.parameters == max(sizes)


def test_a_tilde_is_the_users_home(tiny_model, tmp_path, monkeypatch, gsm8k_file):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(tiny_model, tmp_path / "model")
    one, two = gsm8k_file("one.jsonl", make_gsm8k_rows(30)), gsm8k_file("two.jsonl", make_gsm8k_rows(30, 1, 100))
    own = "curate_sources={mine: {path: ~/two.jsonl}}"
    given = [
        "base_model=~/model",
        "curate_evaluation_data=~/one.jsonl, ~/two.jsonl",
        own,
        "curate_decontaminate=[mine]",
        "curate_predictor_problems=8",
    ]
    plan = make_plan(load_recipe("laptop", given))
    assert plan.base.location == str(tmp_path / "model")
    assert {str(one), str(two), "mine"} <= plan.revisions.keys()
    assert make_plan(laptop(base_model="~/model")).base == plan.base
    with pytest.raises(InputError, match="is of a hub model, and ~/model is a folder"):
        make_plan(laptop(base_model="~/model", base_revision="v1"))


def test_plan_counts_tokens_of_a_local_file(tiny_model, gsm8k_file):
    train, evaluation = gsm8k_file("a.jsonl", make_gsm8k_rows(60)), gsm8k_file("b.jsonl", make_gsm8k_rows(9, 1, 100))
    plan = make_plan(
        laptop(
            base_model=str(tiny_model), curate_sft_data=str(train), curate_rl_data="", curate_sft_examples=0,
            curate_evaluation_data=str(evaluation), sweep_candidates=[], sweep_examples=[16], curate_heldout_problems=8,
            curate_rl_problems=22, curate_predictor_problems=4, curate_benchmark_problems=5,
        )
    )  # fmt: skip
    assert plan.estimate["sft"]["tokens"] > 0 and plan.small
    assert set(plan.revisions) == {str(train), str(evaluation)}


@pytest.mark.parametrize("use", ["curate_rl_data", "curate_evaluation_data"])
def test_positions_are_compared_with_the_prompts_of_every_source(use, tiny_model, gsm8k_file):
    sft, rl, evaluation = (str(gsm8k_file(f"{n}.jsonl", make_gsm8k_rows(30, n, 100 * n))) for n in range(3))
    long = str(gsm8k_file("long.jsonl", [r | {"question": r["question"] * 9} for r in make_gsm8k_rows(30, 3, 300)]))
    data = {"curate_sft_data": sft, "curate_rl_data": rl, "curate_evaluation_data": evaluation, "curate_sft_examples": 0}
    sizes = {"curate_heldout_problems": 4, "curate_rl_problems": 22, "curate_predictor_problems": 4, "sweep_candidates": []}
    sizes |= {"curate_benchmark_problems": 5, "sweep_examples": [16], "base_model": str(tiny_model)}
    plain, asked = (make_plan(laptop(**sizes | given)).texts for given in (data, data | {use: long}))
    first, second = (
        int(re.search(r"the longest prompt and sampling_max_tokens are (\d+)", "\n".join(texts))[1]) for texts in (plain, asked)
    )
    assert first < 200 < 500 < second


def test_plan_says_that_sampling_would_end_before_the_answers_that_sft_teaches():
    plan = make_plan(laptop(sampling_max_tokens=2, sampling_stop=["#"]))
    first, second = (line for line in plan.texts if "SFT solutions" in line)
    assert re.match(r"(\d+) of the first \1 SFT solutions have more tokens than sampling_max_tokens \(2; ", first)
    assert re.match(r"sampling_stop: '#' is before the answer in (\d+) of the first \1 SFT solutions", second)
    assert not plan.small and not any("SFT solutions" in line for line in make_plan(laptop()).texts)


MULTIPLE_CHOICE = [
    {"question": "2+2", "choices": ["3", "4", "5", "6"], "answer": 1},
    {
        "problem": "1+1",
        "answer_option_list": [[{"aoVal": "A", "content": "2"}], [{"aoVal": "B", "content": "3"}]],
        "answer_value": "A",
    },
]


@pytest.mark.parametrize(("row", "options", "guessed"), [(MULTIPLE_CHOICE[0], 4, "1.000"), (MULTIPLE_CHOICE[1], 2, "1.000")])
def test_multiple_choice_is_scored_but_predicts_nothing(row, options, guessed, gsm8k_file):
    choices, words = gsm8k_file("choices.jsonl", [row]), "builtin:list-machine"
    with pytest.raises(InputError, match=f"multiple choice with {options} options: .* Pass@64 = {guessed}"):
        make_plan(laptop(curate_evaluation_data=str(choices)))
    asked = {"curate_predictor_data": words, "curate_benchmark_problems": 1}
    assert make_plan(laptop(curate_evaluation_data=str(choices), **asked))


@pytest.mark.parametrize(("wrong", "refused"), [(40, True), (8, False), (0, False)])
def test_solutions_that_end_in_another_answer_are_counted_and_if_nearly_all_do_refused(gsm8k_file, wrong, refused):
    rows = [
        {"question": f"How much is {n} and {n}?", "solution": f"It is \\boxed{{{2 * n}}}.", "answer": 1 if n < wrong else 2 * n}
        for n in range(40)
    ]
    curate = Curate(sft_data=str(gsm8k_file("a.jsonl", rows)), evaluation_data=str(gsm8k_file("b.jsonl", rows)))
    if refused:
        with pytest.raises(InputError, match="40 of the first 40 solutions .* such as 0 for 1; choose the column"):
            look_at_sources(curate)
    else:
        counted = [note for note in look_at_sources(curate).notes if "end in a different answer" in note]
        assert len(counted) == (wrong > 0) and all("8 of the first 40" in note for note in counted)


def test_references_that_are_all_prose_are_refused(tiny_model, gsm8k_file):
    prose = [
        {"question": f"Why {n}?", "answer": f"Because the {n} roots reach deep water and the light is strong."}
        for n in range(9)
    ]
    data = {"curate_sft_data": str(gsm8k_file("a.jsonl", make_gsm8k_rows(60))), "base_model": str(tiny_model)}
    with pytest.raises(InputError, match="all reference answers checked are prose, such as 'Because the 0 roots"):
        make_plan(laptop(**data, curate_evaluation_data=str(gsm8k_file("b.jsonl", prose))))


def test_data_too_small_for_the_splits_is_one_message_with_sizes_that_fit(tiny_model, gsm8k_file):
    train, evaluation = gsm8k_file("a.jsonl", make_gsm8k_rows(60)), gsm8k_file("b.jsonl", make_gsm8k_rows(9, 1, 100))
    files = {"curate_sft_data": str(train), "curate_rl_data": "", "curate_evaluation_data": str(evaluation)}
    asked = laptop(base_model=str(tiny_model), curate_sft_examples=0, sweep_candidates=[], rl_prompts_per_step=4, **files)
    with pytest.raises(InputError) as refused:
        make_plan(asked)
    with pytest.raises(InputError, match="a.jsonl: all its problems are evaluation problems too.*name other data"):
        make_plan(asked | {"curate_evaluation_data": str(train)})
    first, second, fitting = str(refused.value).splitlines()
    assert "a.jsonl: 60 usable problems, but the splits need 256 (curate_heldout_problems) + 576 (curate_rl_problems)" in first
    assert "b.jsonl: 9 usable problems, but the splits need 64 (curate_predictor_problems) + 256" in second
    options = shlex.split(fitting.removeprefix("sizes that fit:"))  # as a shell would
    assert set(options[::2]) == {"--set"}
    proposed = parse_overrides(options[1::2])
    assert sum(proposed[f"curate_{name}_problems"] for name in ("predictor", "benchmark")) == 9
    assert make_plan(asked | proposed)


def test_a_suite_whose_results_could_not_be_told_apart_is_refused(gsm8k_file):
    one, words = gsm8k_file("one.jsonl", make_gsm8k_rows(9)), "builtin:list-machine"
    with pytest.raises(InputError, match="two benchmarks, .* could not be told apart"):
        make_plan(laptop(curate_evaluation_data=f"{one}, {one}"))
    assert make_plan(laptop(curate_evaluation_data=f"{words},{one}", sweep_candidates=[{"epochs": n} for n in range(64)]))


def test_an_explicit_candidate_without_a_seed_is_repeated_with_every_seed():
    sweep = Sweep(candidates=[{"epochs": 2}, {"epochs": 0}, {"epochs": 4, "seed": 5}], examples=[8], seeds=[0, 1])
    assert [(c.epochs, c.seed) for c in expand_sweep(sweep)] == [(2, 0), (2, 1), (0, 0), (0, 1), (4, 5)]


def test_grid_expands_to_the_product_with_one_base_model():
    sweep = Sweep(epochs=[0, 2], subsets=["random", "longest"], examples=[8, 16], learning_rates=[1e-3], seeds=[0, 1])
    candidates = expand_sweep(sweep)
    assert len(candidates) == 2 + 2 * 2 * 2
    assert len({c.candidate_id for c in candidates}) == len(candidates)


def test_candidates_keep_their_identity_when_the_sweep_grows():
    few = expand_sweep(Sweep(epochs=[2], examples=[8], learning_rates=[1e-3]))
    many = expand_sweep(Sweep(epochs=[2, 4], examples=[8], learning_rates=[1e-3, 1e-2], seeds=[0, 7]))
    assert few[0] in many


def test_candidates_that_differ_by_their_epochs_alone_come_from_one_training():
    grid = {"epochs": [4, 0, 1], "examples": [8, 16], "learning_rates": [1e-3]}
    grid["attempts"] = {"random-8x1of4-lr0.001-s0": 3, "random-8x4-lr0.001-s0": 2}
    candidates = {one.candidate_id: one for one in expand_sweep(Sweep(**grid, checkpoints="every-epoch"))}
    assert [*candidates][:3] == ["random-8x4-lr0.001-s0", "random-16x4-lr0.001-s0", "no-sft-s0"]
    early, late = candidates["random-8x1of4-lr0.001-s0"], candidates["random-8x4-lr0.001-s0"]
    assert (early.epochs, early.kept_epochs, early.attempt) == (1, [1, 4], 3)
    assert early.training == late == from_json(Candidate, to_json(early.training)) and early.is_midway and not late.is_midway
    assert candidates["random-16x1of4-lr0.001-s0"].attempt == 1 and candidates["no-sft-s0"].training.is_base
    items = [{"epochs": 2, "examples": 8}, {"epochs": 2, "examples": 16}, {"epochs": 0}, {"model": "owner/name"}]
    sweeps = [Sweep(candidates=items, checkpoints=how) for how in ("separate", "every-epoch")]
    alone, shared = ([to_json(one) for one in expand_sweep(sweep)] for sweep in sweeps)
    # Without a second number of epochs nothing is shared, and cache keys stay as they were.
    assert alone == shared and "kept_epochs" not in "".join(alone)


def test_adapters_that_cannot_be_merged_are_refused_with_the_candidate_named_once(tmp_path):
    save_file({"prompt": np.ones((2, 4), np.float32)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "PROMPT_TUNING"}))
    with pytest.raises(
        InputError, match=rf"^mine: {tmp_path} holds adapters of the kind PROMPT_TUNING, which cannot be merged"
    ):
        find_checkpoint(BaseModel(str(tmp_path), "", ""), "mine", lambda look, name: look())


def test_a_training_is_planned_once_for_all_its_checkpoints():
    grid = {"sweep_candidates": [], "sweep_epochs": [1, 2, 4, 8], "sweep_examples": [64], "sweep_learning_rates": [0.001]}
    separate, shared = (make_plan(laptop(**grid, sweep_checkpoints=how)) for how in ("separate", "every-epoch"))
    assert [one.candidate_id for one in shared.measured] == ["no-sft-s0", "random-64x8-lr0.001-s0"]
    assert shared.settings["sft"] == separate.settings["sft"]
    tokens = [plan.estimate["sft"]["tokens"] for plan in (separate, shared)]
    assert tokens[1] / tokens[0] == pytest.approx(8 / 15, rel=1e-3)
    line = (
        "trainings   8 epochs in 1 training, instead of 15 in 4; checkpoints before the end, where the learning rate has not"
        " decayed yet: 3 candidates"
    )
    assert line in describe_plan(shared) and "trainings " not in describe_plan(separate)


def test_settings_survive_the_way_through_kfp():
    # KFP hands every number over as a double.
    def to_doubles(value):
        if isinstance(value, list):
            return [to_doubles(item) for item in value]
        if isinstance(value, dict):
            return {key: to_doubles(item) for key, item in value.items()}
        return float(value) if type(value) is int else value

    given = laptop(rl_trainer_overrides={"per_device_train_batch_size": 8})
    arrived = parse_parameters(to_doubles(given))
    assert arrived == parse_parameters(given)
    assert type(arrived.rl.trainer_overrides["per_device_train_batch_size"]) is int
    experiment = parse_parameters(laptop(gate_k=16))
    assert read_settings(write_settings(experiment, "gate")).gate == experiment.gate


def test_a_stage_has_no_attribute_for_what_it_was_not_given():
    experiment = parse_parameters(laptop())
    rl = read_settings(write_settings(experiment, "rl"))
    assert rl.sampling.max_tokens == 64 and "seed" not in repr(rl)
    for unread in ("rl.sampling.seed", "predictors.predictors.sequential_alpha", "predictors.gate", "benchmark.rl"):
        stage, section, *name = unread.split(".")
        with pytest.raises(AttributeError):
            held = getattr(read_settings(write_settings(experiment, stage)), section)
            getattr(held, *name)
    assert read_settings(write_settings(experiment, "predictors")).predictors.count_samples(10) == 1280


def test_without_rl_its_data_is_set_apart_where_there_is_enough(gsm8k_file):
    def read(rows, **changes):
        data = {"curate_sft_data": str(rows), "curate_rl_data": "", "curate_rl_problems": 30, "curate_heldout_problems": 9}
        wanted = {"sweep_candidates": [{"epochs": 1, "examples": 8}], "rl_steps": 0, "curate_sft_examples": 0}
        return read_settings(make_plan(laptop(**data | wanted | changes)).settings["curate"]).curate

    enough, few = gsm8k_file("a.jsonl", make_gsm8k_rows(60)), gsm8k_file("b.jsonl", make_gsm8k_rows(40))
    assert read(enough) == read(enough, rl_steps=4, rl_prompts_per_step=8)
    assert read(enough).rl_problems == 30 and read(enough).benchmark_problems == 256
    assert read(few).rl_problems == read(few).benchmark_problems == 0
    # Only RL needs that many: with it, too few are an error.
    with pytest.raises(InputError, match="40 usable problems, but the splits need 9 .* 30 .* 8"):
        read(few, rl_steps=4, rl_prompts_per_step=8)


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_parse(name):
    parse_parameters(load_recipe(name, []))


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("parameters: {gate_kay: 1}", [], "recipe.yaml: unknown parameter 'gate_kay'; did you mean gate_k"),
        ("parameters: {gate_k: [1]}", [], "gate_k: expected int"),
        ("parameters: [", [], "not YAML"),
        ("parameters:\n  gate_k: 1\n  gate_k: 2", [], "duplicate key 'gate_k' .*line 3"),
        ("gate_k: 1", [], "expected the keys description, parameters and placement"),
        ("parameters: {}", ["gate_k"], "expected key=value"),
        ("parameters: {}", ["gate_k=x"], "expected int, got 'x'"),
    ],
)
def test_bad_recipes_are_one_line(tmp_path, text, overrides, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(str(path), overrides)


def test_overrides_are_parsed_to_their_type():
    parameters = load_recipe("laptop", ["sweep_epochs=1,2", "gate_min_pass_at_k=1", 'rl_trainer_overrides={"beta": 0.1}'])
    assert parameters["sweep_epochs"] == [1, 2]
    assert isinstance(parameters["gate_min_pass_at_k"], float)
    assert parameters["rl_trainer_overrides"] == {"beta": 0.1}


def test_null_disables_every_threshold():
    given = dict.fromkeys((name for name, parameter in list_parameters().items() if parameter.off is not None), None)
    limits = parse_parameters(given).curate
    assert (limits.min_tokens, limits.max_tokens, limits.near_duplicates, limits.sft_examples) == (0, 0, 0.0, 0)
    assert not limits.needs_pass_rates


def test_the_laptop_recipe_is_planned_without_torch():
    code = (
        "import sys; from rlready.config.recipes import load_recipe; from rlready.stages.plan.plan import make_plan;"
        "make_plan(load_recipe('laptop', [])); print({'torch', 'transformers', 'trl'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_every_parameter_has_a_description_and_a_source():
    for parameter in list_parameters().values():
        assert parameter.description and parameter.source
        json.dumps(parameter.default)


def test_a_race_at_a_step_that_is_validated_anyway_leaves_results_comparable(tiny_model):
    plans = [make_plan(laptop(base_model=str(tiny_model), race_steps=steps)).experiment for steps in (0, 100, 200, 150)]
    assert plans[0] == plans[1] == plans[2] != plans[3]


def test_the_plan_fits_into_the_panel_of_kfps_ui(tmp_path):
    plan_stage.run(laptop(), "run", False, str(tmp_path / "plan.md"))
    opening, *lines, closing = (tmp_path / "plan.md").read_text().splitlines()
    assert (opening, closing) == ("```", "```")
    assert max(map(len, lines)) == 52 and lines[-1].startswith("total core-minutes")
    _, *long, _ = plan_stage.write_markdown("data  " + "word " * 30 + "``` end").splitlines()
    assert max(map(len, long)) <= 52 and " ".join(" ".join(long).split()) == "data " + "word " * 30 + "``` end"
    assert not [line for line in long if re.match(" {0,3}```", line)]
