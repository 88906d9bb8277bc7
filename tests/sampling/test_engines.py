"""Which engine samples, where stop strings end a completion, and several processes against one."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Pipe
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig

from rlready.config import Benchmark, Curate, Gate, Predictors, Samples, Sampling
from rlready.errors import InputError
from rlready.models.load import count_parameters, find_model, load_model, write_pointer
from rlready.models.prompts import encode_prompt
from rlready.records.outcome import BaseModel, Candidate
from rlready.sampling.choose import choose_engine, open_engine
from rlready.sampling.engine import Draw, cut_at_stop
from rlready.sampling.sharded_engine import Replica, ShardedEngine, divide_devices
from rlready.sampling.transformers_engine import TransformersEngine
from rlready.stages.benchmark import stage as benchmark
from rlready.stages.curate.curate import curate
from rlready.stages.predictors.measure import measure

CANDIDATE = Candidate("c", 0, "random", 1, 1e-6, 0)
SOURCE = "builtin:list-machine"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "model"
    write_pointer(folder, find_model(SOURCE, ""))
    return str(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "data"
    counts = dict.fromkeys(("heldout_problems", "rl_problems", "predictor_problems", "benchmark_problems"), 7)
    curate(Curate(sft_data=SOURCE, rl_data=SOURCE, evaluation_data=SOURCE, sft_examples=16, **counts), {}, out)
    return out


@pytest.fixture(scope="module")
def pair(model):
    """Two processes for all tests that end none: each takes ten seconds to import torch."""
    with open_engine(model, Sampling(replicas=2)) as engine:
        yield engine


@pytest.fixture
def open_pair(pair, monkeypatch):
    """Has stages that are to sample in two processes find those of `pair`."""

    def find(folder, sampling, *embedded):
        return contextlib.nullcontext(pair) if sampling.replicas == 2 else open_engine(folder, sampling, *embedded)

    for stage in (benchmark, sys.modules[measure.__module__]):
        monkeypatch.setattr(stage, "open_engine", find)


@pytest.mark.parametrize(
    ("asked", "parameters", "gpus", "installed", "engine", "reason"),
    [
        ({}, 8e9, 0, True, "transformers", "no GPU"),
        ({}, 8e9, 1, True, "vllm", "8,000.0M parameters on a GPU"),
        ({}, 8e9, 1, False, "transformers", r"not installed .*rlready\[gpu\]"),
        ({}, 3e5, 1, True, "transformers", "done before vllm has started"),
        ({"tensor_parallel": 2}, 3e5, 2, True, "vllm", "tensor_parallel is 2"),
        ({"engine": "vllm"}, 3e5, 0, True, "vllm", "set by sampling_engine"),
        ({"engine": "transformers", "replicas": 2}, 8e9, 2, True, "transformers", "set by sampling_engine"),
    ],
)
def test_the_engine_and_why(monkeypatch, asked, parameters, gpus, installed, engine, reason):
    set_machine(monkeypatch, gpus, installed)
    chosen, why = choose_engine(Sampling(**asked), parameters)
    assert chosen == engine
    assert re.search(reason, why)


@pytest.mark.parametrize(
    ("asked", "gpus", "installed", "message"),
    [
        ({"engine": "vllm"}, 1, False, r"vllm is not installed; pip install 'rlready\[gpu\]'"),
        ({"tensor_parallel": 2}, 1, True, "2 GPUs for one copy of the model, this machine has 1"),
        ({"tensor_parallel": 2}, 0, True, "this machine has 0"),
        ({"tensor_parallel": 2}, 2, False, "only vllm spreads a model"),
        ({"replicas": 2}, 1, True, "two processes on one device are refused: set it to 1"),
        ({"replicas": 3, "tensor_parallel": 2}, 4, True, "3 copies on 2 GPUs each are 6, this machine has 4"),
    ],
)
def test_what_the_machine_lacks_is_said_before_the_model_loads(monkeypatch, model, asked, gpus, installed, message):
    set_machine(monkeypatch, gpus, installed)
    with pytest.raises(InputError, match=message):
        open_engine(model, Sampling(**asked))


def test_a_base_model_and_its_checkpoints_are_of_one_size_whatever_their_files(monkeypatch, model, tmp_path):
    loaded = load_model(model)
    for name, dtype in (("whole", torch.float32), ("half", torch.bfloat16)):
        loaded.to(dtype).save_pretrained(tmp_path / name)
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    config["torch_dtype"] = config.pop("dtype")  # as older versions wrote it
    (tmp_path / "half" / "config.json").write_text(json.dumps(config))
    size = sum(parameter.numel() for parameter in loaded.parameters())
    assert [count_parameters(folder) for folder in (model, tmp_path / "whole", tmp_path / "half")] == [size] * 3
    # A pointer to the hub is read there, and what cannot be read has no size: no engine is chosen by a guess.
    read = AutoConfig.from_pretrained
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *_, **where: read(tmp_path / "whole"))
    write_pointer(tmp_path / "hub", BaseModel("owner/name", "commit", "commit"))
    assert count_parameters(tmp_path / "hub") == size
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *_, **where: read(tmp_path / "nowhere"))
    assert count_parameters(tmp_path / "hub") is None
    set_machine(monkeypatch, 1, True)
    with pytest.raises(InputError, match="auto chooses by the model's size, which its configuration lacks"):
        open_engine(str(tmp_path / "hub"), Sampling())


def test_records_say_which_engine_drew_and_in_which_precision(model, data, tmp_path):
    with open_engine(model, Sampling()) as engine:
        assert engine.identity == "transformers float32"
        half = TransformersEngine(engine.model.to(torch.bfloat16), engine.tokenizer)
        assert half.identity == "transformers bfloat16"
    assert score(1, Sampling(max_tokens=8), data, model, tmp_path).engine == "transformers float32"


def score(count, sampling, data, model, out):
    given = SimpleNamespace(benchmark=Benchmark(count), sampling=sampling, samples=Samples())
    return benchmark.measure(CANDIDATE, given, data, model, out)[0]


def set_machine(monkeypatch, gpus, installed):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)


def test_every_copy_gets_devices_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
    assert [e["CUDA_VISIBLE_DEVICES"] for e in divide_devices(2, 2)] == ["3,5", "6,7"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert [e["OMP_NUM_THREADS"] for e in divide_devices(1, 3)] == ["2", "2", "2"]


def test_a_process_killed_in_the_middle_of_a_message_is_reported_as_killed():
    replica = Replica.__new__(Replica)
    replica.messages, other = Pipe()
    replica.process = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    os.write(other.fileno(), struct.pack("!i", 100) + b"half of it")
    other.close()
    what, said = replica.receive()
    assert what == "error" and "was killed by signal 9" in said
    replica.messages.close()


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("abcd", [], ("abcd", False)),
        ("abcd", ["x"], ("abcd", False)),
        ("abcd", ["c"], ("ab", True)),
        ("abcabc", ["bc"], ("a", True)),
        ("abcd", ["bcd", "c"], ("ab", True)),  # c is complete first
        ("abcd", ["c", "bc"], ("a", True)),  # both are complete at once: the longer one
    ],
)
def test_the_text_ends_before_the_stop_string_that_is_complete_first(text, stop, expected):
    assert cut_at_stop(text, stop) == expected


@pytest.mark.parametrize("stop", [["#"], ["S"], ["c", "#a"], ["nowhere"]])
def test_stop_strings_cut_what_is_drawn_without_them(model, stop):
    with open_engine(model, Sampling()) as engine:
        prompts = [encode_prompt(engine.tokenizer, f"{moves}:abcd?", "word") for moves in ("RS", "SSR", "R")]
        whole = engine.sample(prompts, ["a", "b", "c"], Draw(8, 40))
        cut = engine.sample(prompts, ["a", "b", "c"], Draw(8, 40, stop=stop))
        decode = engine.tokenizer.decode
    for before, after in zip(sum(whole, []), sum(cut, []), strict=True):
        text, found = cut_at_stop(before.text, stop)
        assert after.text == text
        assert after.finished == (found or before.finished)
        assert after.ids == before.ids[: len(after.ids)]
        if found:  # not a token more than completes the stop string
            assert any(s in decode(after.ids) for s in stop)
            assert not any(s in decode(after.ids[:-1], skip_special_tokens=True) for s in stop)
        else:
            assert after.ids == before.ids
    assert any(c.finished and len(c.ids) < len(b.ids) for b, c in zip(sum(whole, []), sum(cut, []), strict=True)) == (
        stop != ["nowhere"]
    )


@pytest.mark.parametrize("mode", ["fixed", "sequential"])
def test_two_processes_measure_what_one_does(open_pair, model, data, mode, tmp_path):
    def run(replicas):
        settings = {"predictors": Predictors(sampling=mode, samples=4), "gate": Gate(k=2, min_pass_at_k=0.5)}
        given = SimpleNamespace(**settings, sampling=Sampling(max_tokens=40, replicas=replicas), samples=Samples())
        return strip(measure(CANDIDATE, given, data, model, tmp_path / str(replicas)))

    one = run(1)
    assert run(2) == one
    assert one["by_products"]["verifier_checks"] == 1  # the sequential test shows what it knows of the verifier too


def test_two_processes_score_what_one_does(open_pair, model, data, tmp_path):
    one, two = (score(4, Sampling(max_tokens=40, replicas=n), data, model, tmp_path / str(n)) for n in (1, 2))
    assert strip(two) == strip(one)


def strip(record):
    values = dataclasses.asdict(record)
    if entropy := values.get("by_products", {}).get("entropy"):
        values["by_products"] |= {"entropy": pytest.approx(entropy, rel=1e-5), "verdicts_per_second": None}
    return values | {"seconds": None}


def test_more_processes_than_prompts(pair):
    prompt = encode_prompt(pair.tokenizer, "RS:abcd?", "word")
    seen = []
    (drawn,) = pair.sample([prompt], ["a"], Draw(3, 40), lambda done, tokens: seen.append((done, tokens)))
    assert seen[-1] == (3, sum(len(completion.ids) for completion in drawn))
    assert pair.sample([prompt] * 3, ["b", "a", "b"], Draw(3, 40))[1] == drawn


def test_a_killed_process_is_one_line_and_takes_the_others_along(model):
    with ShardedEngine(model, Sampling(), "transformers", 2) as engine:
        prompt = encode_prompt(engine.tokenizer, "RS:abcd?", "word")
        engine.sample([prompt] * 2, ["a", "b"], Draw(1, 4))
        threading.Timer(0.5, os.kill, (engine.replicas[1].process.pid, signal.SIGKILL)).start()
        with pytest.raises(InputError, match=r"process 2 of 2 was killed by signal 9 \(out of memory\?\).*replicas") as e:
            for step in range(1000):
                engine.sample([prompt] * 64, [f"{step} {n}" for n in range(64)], Draw(64, 100))
        assert "\n" not in str(e.value)
        assert [worker.process.poll() for worker in engine.replicas] == [-9, -9]


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path, model):
    with ShardedEngine(model, Sampling(), "transformers", 1) as engine:
        engine.close()
        engine.replicas[0].__init__({"model": str(tmp_path), "sampling": {}, "engine": "transformers", "replicas": 1}, {})
        with pytest.raises(InputError, match="process 1 of 1 failed"):
            engine.sample([[1]], ["a"], Draw(1, 4))


def test_processes_die_with_their_parent(model):
    code = (
        "import sys, time; from rlready.config import Sampling;"
        "from rlready.sampling.sharded_engine import ShardedEngine;"
        f"engine = ShardedEngine({model!r}, Sampling(), 'transformers', 2);"
        "print(*[worker.process.pid for worker in engine.replicas], flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    time.sleep(2)
    parent.kill()
    parent.wait()
    deadline = time.time() + 60
    while any(is_alive(pid) for pid in workers) and time.time() < deadline:
        time.sleep(0.2)
    assert not any(is_alive(pid) for pid in workers)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
