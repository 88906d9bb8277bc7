"""Training in two processes, with DeepSpeed or with adapters ends like training in one, and fails in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from helpers.training import SOURCE, curate_few, list_arguments

from rlready.config import Rl, Sft, Training, parse_parameters
from rlready.errors import InputError
from rlready.models.load import BUILTIN as FOLDERS
from rlready.models.load import find_model, load_model, load_tokenizer
from rlready.models.prompts import encode_example
from rlready.records.outcome import Candidate
from rlready.stages.sft.train import train
from rlready.stats.generalization_loss import mean_loss, measure_losses
from rlready.training.processes import count_processes, divide_batch


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return curate_few(tmp_path_factory.mktemp("data") / "data", 32)


def start(stage, data, folder, probe=None, **parameters):
    """Starts three epochs of SFT (batches of 8) or three steps of GRPO (4 prompts, 8 samples) of the built-in model.

    Given the folder of a `probe`, RL goes on from there.
    """
    folder.mkdir(exist_ok=True)
    candidate = Candidate("c", 3, "random", 32, 1e-3, 0)
    given = {"sft_batch_size": 8, "rl_steps": 3, "rl_prompts_per_step": 4, "rl_learning_rate": 1e-3}
    experiment = parse_parameters(given | {"sampling_max_tokens": 40} | parameters)
    arguments = list_arguments(stage, candidate, experiment, SOURCE, find_folder(), data, folder)
    if probe:
        arguments |= {"before": str(probe / "outcome.json"), "probe": str(probe / "model")}
    config = folder / "run.json"
    config.write_text(json.dumps(arguments))
    environment = os.environ | {"RLREADY_CHECKPOINTS": str(folder / "checkpoints"), "OMP_NUM_THREADS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "rlready.run.launch", stage, "--config", str(config)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def find_folder():
    return str(FOLDERS[SOURCE])


def finish(process, folder):
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output[-3000:]
    outcome = json.loads((folder / "outcome.json").read_text())
    return outcome["rl"] or outcome["sft"]


def measure_distance(one, other):
    """Returns the largest difference of two model folders' weights."""
    ours, theirs = load_model(str(one)).state_dict(), load_model(str(other)).state_dict()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


# Two processes add the same gradients in another order: float32 rounding, which Adam's first steps (of the size of the
# learning rate whatever the gradient's) turn into a part of a step where a gradient is nearly zero.
@pytest.mark.parametrize(("stage", "series"), [("sft", "trajectory"), ("rl", "rewards")])
def test_two_processes_end_like_one(stage, series, data, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    first = start(stage, data, one, training_processes=1)
    second = start(stage, data, two, training_processes=2, **{f"{stage}_per_device_batch_size": 2 if stage == "sft" else 8})
    alone, together = finish(first, one), finish(second, two)
    assert together["steps"] == alone["steps"]
    assert [y for _, y in together[series]] == pytest.approx([y for _, y in alone[series]], abs=1e-4)
    assert len({y for _, y in alone[series]}) > 1  # it has learned something, or the series says nothing
    assert measure_distance(one / "model", two / "model") < 1e-3
    assert not list((two / "checkpoints").iterdir())


@pytest.mark.processes
@pytest.mark.parametrize(
    "how",
    [
        {"training_processes": 2},
        {"training_lora_rank": 4},
        {"training_lora_rank": 4, "training_processes": 2},
        {"training_processes": 2, "training_zero_stage": 2},
        {"training_processes": 2, "training_zero_stage": 3},
    ],
    ids=lambda how: " ".join(f"{name.removeprefix('training_')} {value}" for name, value in how.items()),
)
def test_validation_and_the_legs_of_a_race_are_those_of_one_process(how, data, tmp_path):
    if "training_zero_stage" in how:
        pytest.importorskip("deepspeed", reason="pip install deepspeed")
    many = {"rl_steps": 4, "rl_eval_steps": 1}
    alone = start("rl", data, tmp_path / "alone", **many, **how | {"training_processes": 1, "training_zero_stage": 0})
    whole = start("rl", data, tmp_path / "whole", **many, **how)
    alone, whole = finish(alone, tmp_path / "alone"), finish(whole, tmp_path / "whole")
    assert [point["step"] for point in whole["validation"]["points"]] == [0, 1, 2, 3, 4]
    first, last = (record["validation"]["points"] for record in (alone, whole))
    assert first[0] == last[0] and whole["validation"]["tokens"] > 0
    # Later weights differ by rounding, which turns a sample now and then.
    for one, other in zip(first, last, strict=True):
        assert other["pass_at_1"] == pytest.approx(one["pass_at_1"], abs=0.02)
    probe = finish(start("rl", data, tmp_path / "probe", **many, race_steps=2, **how), tmp_path / "probe")
    assert probe["steps"] == 2 and not list((tmp_path / "probe" / "model").glob("*.safetensors"))
    ended = start("rl", data, tmp_path / "ended", tmp_path / "probe", **many, race_steps=2, **how)
    ended = finish(ended, tmp_path / "ended")
    assert ended["validation"]["points"] == whole["validation"]["points"] and ended["rewards"] == whole["rewards"]
    assert measure_distance(tmp_path / "ended" / "model", tmp_path / "whole" / "model") == 0


@pytest.mark.processes
@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_adapters_end_as_an_ordinary_checkpoint(stage, data, tmp_path):
    record = finish(start(stage, data, tmp_path / "lora", training_lora_rank=4), tmp_path / "lora")
    model = tmp_path / "lora" / "model"
    assert not list(model.glob("adapter*"))
    assert 0 < measure_distance(model, find_folder()) < 1
    if stage == "sft":
        import pyarrow.parquet as pq

        tokenizer = load_tokenizer(str(model))
        heldout = [encode_example(tokenizer, row) for row in pq.read_table(data / "heldout.parquet").to_pylist()]
        loss = mean_loss(measure_losses(load_model(str(model)), heldout, tokenizer.pad_token_id))
        # The last point of the trajectory was measured with adapters beside the weights, this one with both in one.
        assert record["trajectory"][-1][1] == pytest.approx(loss, abs=1e-5)
        assert record["trajectory"][-1][1] != record["trajectory"][0][1]


@pytest.mark.processes
@pytest.mark.parametrize("stage", [2, 3])
def test_zero_trains_as_without_deepspeed(stage, data, tmp_path):
    pytest.importorskip("deepspeed", reason="pip install deepspeed")
    one, two = tmp_path / "one", tmp_path / "two"
    first = start("sft", data, one)
    second = start("sft", data, two, training_processes=2, training_zero_stage=stage)
    alone, together = finish(first, one), finish(second, two)
    losses = [[y for _, y in record["trajectory"]] for record in (alone, together)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)
    assert measure_distance(one / "model", two / "model") < 2e-3


def find_ranks(process):
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "rlready.training.processes" in " ".join(child.cmdline())]


def wait_for_ranks(process, folder):
    for _ in range(2400):
        if list((folder / "checkpoints").glob("*/checkpoint-*/trainer_state.json")):
            return sorted(find_ranks(process), key=lambda rank: rank.environ()["RANK"])
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    raise AssertionError("no checkpoint")


@pytest.mark.processes
def test_a_killed_process_ends_all_in_one_line_and_the_same_command_goes_on(data, tmp_path):
    many = {"training_processes": 2, "rl_steps": 30}
    process = start("rl", data, tmp_path, **many)
    ranks = wait_for_ranks(process, tmp_path)
    assert len(ranks) == 2
    ranks[1].send_signal(signal.SIGKILL)
    output, _ = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "process 1 of 2 was killed by SIGKILL (out of memory?); run the same command again to resume" in output
    assert not (tmp_path / "model").exists() and not (tmp_path / "outcome.json").exists()
    assert not any(rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE for rank in ranks)

    process = start("rl", data, tmp_path, **many)
    ranks = wait_for_ranks(process, tmp_path)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(ranks, timeout=10)
    assert not alive
    went_on = finish(start("rl", data, tmp_path, **many), tmp_path)
    # An untrained model is hardly ever right, so RL ends before its steps for want of a signal; where, nobody's death changes.
    at_once = finish(start("rl", data, tmp_path / "at once", **many | {"training_processes": 1}), tmp_path / "at once")
    assert (went_on["steps"], went_on["stopped"]) == (at_once["steps"], at_once["stopped"])


@pytest.mark.processes
def test_what_does_not_divide_is_refused_in_one_line(data, tmp_path):
    process = start("sft", data, tmp_path, training_processes=2, sft_batch_size=9)
    output, _ = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "sft: sft_batch_size: a step of 9 does not divide among 2 processes" in output
    assert not (tmp_path / "outcome.json").exists()


def test_a_share_that_does_not_divide_is_named():
    with pytest.raises(InputError, match="sft_per_device_batch_size: 3 does not divide 8, the share of one of 2 processes"):
        divide_batch("sft", Sft(batch_size=16, per_device_batch_size=3), 2)
    assert divide_batch("rl", Rl(prompts_per_step=4, num_generations=8, per_device_batch_size=8), 2) == (8, 2)


def test_two_processes_on_one_device_are_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(InputError, match="training_processes: 2 processes on 1 GPUs; two processes on one device"):
        count_processes(Training(processes=2))
    assert count_processes(Training()) == 1


def test_deepspeed_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"ZeRO 3 needs deepspeed.*rlready\[gpu\]"):
        count_processes(Training(zero_stage=3))


@pytest.mark.parametrize(
    ("difference", "ratio", "stops"),
    [(0.02, 1.01, False), (0.3, 1.0, True), (0.01, 5.0, True), (float("nan"), 1.0, True), (0.0, float("nan"), True)]
    # What TRL logs for a mean over nothing but NaN.
    + [(None, 1.0, True), (0.0, None, True)],
)
def test_rl_stops_where_the_sampler_does_not_follow_the_policy(difference, ratio, stops):
    from rlready.stages.rl.grpo import SamplerCheck

    logs = {"sampling/sampling_logp_difference/mean": difference, "sampling/importance_sampling_ratio/mean": ratio}
    state = SimpleNamespace(global_step=7)
    if stops:
        with pytest.raises(RuntimeError, match="step 7: the sampler's weights do not follow the policy"):
            SamplerCheck().on_log(None, state, None, logs)
    else:
        SamplerCheck().on_log(None, state, None, logs)


def test_packed_rows_keep_the_loss_on_completions_and_examples_to_themselves(data):
    from datasets import Dataset
    from trl.data_utils import pack_dataset
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    tokenizer, model = load_tokenizer(find_folder()), load_model(find_folder())
    rows = pq.read_table(data / "heldout.parquet").to_pylist()
    examples = [encode_example(tokenizer, row) for row in rows]
    longest = max(len(example["input_ids"]) for example in examples)
    packed = list(pack_dataset(Dataset.from_list(examples), 2 * longest, "bfd"))
    assert len(packed) < len(examples)
    collate = DataCollatorForLanguageModeling(tokenizer.pad_token_id, padding_free=True)
    total = count = 0
    for row in packed:
        batch = collate([row])
        scored = int((batch["labels"] != -100).sum())
        with torch.inference_mode():
            # The model tells examples apart by their positions, as flash attention does; with a cache it would not.
            total += float(model(**batch, use_cache=False).loss) * scored
        count += scored
    assert count == sum(label != -100 for example in examples for label in example["labels"])
    assert total / count == pytest.approx(mean_loss(measure_losses(model, examples, tokenizer.pad_token_id)), abs=1e-5)


def test_packing_is_refused_without_flash_attention(data, tmp_path):
    settings = parse_parameters({"sft_packing": True})
    with pytest.raises(InputError, match="sft_packing: .* needs a GPU and flash-attn"):
        train(Candidate("c", 3, "random", 32, 1e-3, 0), find_model(SOURCE, "main"), settings, data, tmp_path / "model")
