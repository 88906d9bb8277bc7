"""What a run needs of this machine: activations against torch, what fits, one candidate at a time, and the remedies."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlready.config import parse_parameters
from rlready.config.recipes import load_recipe
from rlready.models.architecture import read_shape
from rlready.stages.plan import needs
from rlready.stages.plan.needs import (
    FreeMemory,
    Lengths,
    count_side_by_side,
    describe_machine,
    estimate_disk,
    estimate_memory,
    find_lacking,
    look_at_machine,
)

SMOLLM = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
LENGTHS = Lengths(90, 110, 330, 200)
GIVEN = ["sampling_max_tokens=128"]
CHECKPOINTS = ("separate", "every-epoch")


def make_experiment(*changes):
    return parse_parameters(load_recipe("smollm2-gsm8k", [*GIVEN, *changes]))


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_activations_in_float32_are_those_that_the_backward_pass_keeps(kind):
    small = {name: SMOLLM[name] for name in ("num_key_value_heads", "num_attention_heads")}
    small |= {"hidden_size": 72, "intermediate_size": 256, "num_hidden_layers": 3, "vocab_size": 300, "head_dim": 8}
    config = AutoConfig.for_model(kind, **small)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}

    def count(rows):
        kept = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            hidden = model.model(input_ids=torch.zeros((rows, 64), dtype=torch.long)).last_hidden_state
        assert hidden.requires_grad
        return sum(size for address, (size, _) in kept.items() if address not in own)

    whole = (count(8) - count(4)) / (4 * 64)
    shape = read_shape(config.to_dict())
    assert shape.count_activations(False, autocast=False) == pytest.approx(whole, rel=0.03)


def test_rl_of_a_small_model_takes_what_was_measured_and_the_batch_lowers_it():
    """All 32 completions at once were measured at 15 GB, 8 at a time run beside each other on 16 GB."""
    shape = read_shape(SMOLLM)
    whole = estimate_memory(make_experiment("rl_per_device_batch_size=0"), shape, LENGTHS)
    assert whole["rl"] == pytest.approx(16.5e9, rel=0.15)
    parts = estimate_memory(make_experiment("rl_per_device_batch_size=8"), shape, LENGTHS)
    assert parts["rl"] < 8e9 and parts["sft"] == whole["sft"]


def test_candidates_run_beside_each_other_only_where_both_fit():
    need = {"sft": 4e9, "rl": 6e9}
    assert [count_side_by_side(need, FreeMemory(16e9, free, 1e12)) for free in (11.9e9, 12.1e9, 3e9)] == [1, 2, 1]


@pytest.mark.parametrize("free", [4e9, 5e9, 8e9, 14e9])
def test_what_does_not_fit_names_options_with_which_it_does(free):
    shape, room = read_shape(SMOLLM), FreeMemory(32e9, free, 1e12)
    _, wrong, _ = describe_machine(make_experiment("rl_per_device_batch_size=0"), shape, LENGTHS, 2, room)
    (line,) = [line for line in wrong if line.startswith("rl:")]
    changes = [text for text in line.split("; ")[1].replace("--set ", "").split() if "=" in text]
    assert changes[0].startswith("rl_per_device_batch_size=")
    fitted = make_experiment("rl_per_device_batch_size=0", *changes)
    assert estimate_memory(fitted, shape, LENGTHS)["rl"] <= free
    rows = int(changes[0].partition("=")[2])  # of 32, as many as fit
    milder = make_experiment(f"rl_per_device_batch_size={2 * rows}")
    assert rows == 16 or estimate_memory(milder, shape, LENGTHS)["rl"] > free


def test_too_little_memory_or_disk_is_said_and_enough_is_not():
    shape, experiment = read_shape(SMOLLM), make_experiment()
    lines, wrong, count = describe_machine(experiment, shape, LENGTHS, 2, FreeMemory(64e9, 60e9, 1e12))
    assert not wrong and count == 2 and "two candidates at a time" in lines[0]
    _, wrong, _ = describe_machine(experiment, shape, LENGTHS, 2, FreeMemory(64e9, 60e9, 2e9))
    assert len(wrong) == 1 and wrong[0].startswith("disk: ") and "number of candidates" in wrong[0]
    assert estimate_disk(experiment, shape, 20) - estimate_disk(experiment, shape, 10) == 2 * 10 * 4 * shape.parameters
    changes = ([], ["race_steps=10"], ["rl_keep=best"])
    least, raced, best = (estimate_disk(make_experiment(*some), shape, 2) for some in changes)
    assert raced - least == 2 * 12 * shape.parameters  # with AdamW's state
    assert best - least == 2 * 2 * 4 * shape.parameters  # in both checkpoints of two trainings
    assert least - estimate_disk(experiment, shape, 2, 1) == 2 * 12 * shape.parameters  # two of one training
    # Models of three checkpoints beside those of the training, two times.
    epochs = [make_experiment("sweep_candidates=", "sweep_epochs=1,2,3", f"sweep_checkpoints={how}") for how in CHECKPOINTS]
    separate, shared = (estimate_disk(one, shape, 3) for one in epochs)
    assert shared - separate == 2 * 3 * 4 * shape.parameters
    assert describe_machine(experiment, None, LENGTHS, 2, FreeMemory(1, 1, 1)) == ([], [], 2)


def test_candidates_take_turns_on_a_machine_with_gpus_since_each_stage_takes_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(needs, "GPU", tmp_path)
    for shape in (read_shape(SMOLLM), None):
        assert describe_machine(make_experiment(), shape, LENGTHS, 2, look_at_machine(tmp_path)) == ([], [], 1)


def test_this_machine_has_some_memory_and_disk(tmp_path):
    room = look_at_machine(tmp_path / "not" / "there")
    assert room is None or (0 < room.free <= room.memory and room.disk > 0)


@pytest.mark.parametrize(("limit", "used", "free"), [(8, 6, 3), (8, 9, 1), (64, 1, 20)])
def test_a_container_has_what_its_limit_leaves_and_the_page_cache(limit, used, free, tmp_path, monkeypatch):
    seen = SimpleNamespace(total=32, available=20, cached=1)
    monkeypatch.setattr(needs, "GPU", tmp_path / "no-gpu")
    monkeypatch.setattr(needs.psutil, "virtual_memory", lambda: seen)
    for name, size in (("LIMITS", limit), ("USED", used)):
        (tmp_path / name).write_text(f"{size}\n")
        monkeypatch.setattr(needs, name, (str(tmp_path / name),))
    room = look_at_machine(tmp_path)
    assert (room.memory, room.free) == (min(limit, 32), free)


@pytest.mark.parametrize("count", ["1", "2"])
def test_the_pipeline_runs_as_many_candidates_at_a_time_as_it_is_told(count):
    code = (
        "from rlready.pipelines.experiment import experiment; import re;"
        "print(set(re.findall(r'parallelism_limit: (\\d+)', str(experiment.pipeline_spec))))"
    )
    environment = os.environ | {"RLREADY_SIDE_BY_SIDE": count}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == f"{{'{count}'}}", done.stderr


def test_what_a_machine_lacks_is_said_by_the_settings_that_need_it(monkeypatch):
    def name(gpus, *given):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        return [line.partition(":")[0] for line in find_lacking(make_experiment(*given))]

    packed, fast = "sft_packing=true", "rl_trainer_overrides={tf32: true}"
    assert name(0, packed, "sampling_tensor_parallel=2", fast) == [
        "sft_packing",
        "sampling_tensor_parallel",
        fast.split("=")[0],
    ]
    assert name(2, "training_processes=3", "sampling_replicas=3", fast) == ["sampling_replicas", "training_processes"]
    assert not name(0, "training_processes=2", "sampling_replicas=2") and not name(0)


def test_of_a_few_long_examples_plan_says_to_leave_them_out_instead_of_taking_a_smaller_model():
    room = FreeMemory(32e9, 24e9, 1e11)
    for lengths, said in ((Lengths(90, 110, 1_000_000, 200), "--set curate_max_tokens="), (LENGTHS, None)):
        wrong = describe_machine(make_experiment("rl_steps=0"), read_shape(SMOLLM), lengths, 1, room)[1]
        assert [said in line and "1,000,000 tokens" in line for line in wrong] == ([True] if said else [])
