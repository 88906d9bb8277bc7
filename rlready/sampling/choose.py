"""Which engine samples a model on this machine, and why."""

import importlib.util
from pathlib import Path

from rlready.config import Sampling
from rlready.errors import InputError
from rlready.models.load import count_parameters
from rlready.records.candidate import BaseModel
from rlready.sampling.engine import Engine

VLLM_FROM = 100e6  # parameters; see choose_engine
INSTALL = "pip install 'rlready[gpu]'"


def choose_engine(sampling: Sampling, parameters: int | None) -> tuple[str, str]:
    """Returns (transformers or vllm, why) for this machine and the size of the model, None if unknown.

    auto takes vllm on a GPU from VLLM_FROM parameters: its start takes longer than a small model's whole stage (270 s on two
    busy cores, most of it compilation). The size is a judgement, not measured on a GPU. Raises InputError if vllm is not
    installed, there are too few GPUs for one copy of the model, or auto cannot decide.
    """
    import torch

    gpus, installed = torch.cuda.device_count(), importlib.util.find_spec("vllm") is not None
    if sampling.engine == "vllm" and not installed:
        raise InputError(f"sampling_engine: vllm is not installed; {INSTALL}, or set sampling_engine to transformers")
    if sampling.tensor_parallel > max(1, gpus):
        raise InputError(
            f"sampling_tensor_parallel: {sampling.tensor_parallel} GPUs for one copy of the model, this machine has {gpus}"
        )
    if sampling.engine != "auto":
        return sampling.engine, "set by sampling_engine"
    if sampling.tensor_parallel > 1:
        if not installed:
            raise InputError(f"sampling_tensor_parallel: only vllm spreads a model over GPUs; {INSTALL}, or set it to 1")
        return "vllm", f"sampling_tensor_parallel is {sampling.tensor_parallel}"
    if not gpus:
        return "transformers", "no GPU"
    if parameters is None:
        raise InputError(
            "sampling_engine: auto chooses by the model's size, which its configuration lacks; set it to transformers or vllm"
        )
    size = f"{parameters / 1e6:,.1f}M parameters"
    if parameters < VLLM_FROM:
        return "transformers", f"{size}: a model below {VLLM_FROM / 1e6:,.0f}M is done before vllm has started"
    if not installed:
        return "transformers", f"vllm is not installed (it would suit {size} on a GPU: {INSTALL})"
    return "vllm", f"{size} on a GPU"


def choose_for(model: str | Path | BaseModel, sampling: Sampling) -> tuple[str, str]:
    """Returns what `choose_engine` does, for a model, whose size is read only if there is a GPU."""
    import torch

    return choose_engine(sampling, count_parameters(model) if torch.cuda.device_count() else None)


def count_replicas(sampling: Sampling) -> int:
    """Returns how many copies of the model share the prompts; raises InputError if they need more GPUs."""
    import torch

    gpus, needed = torch.cuda.device_count(), sampling.replicas * sampling.tensor_parallel
    if gpus and needed > gpus:
        raise InputError(
            f"sampling_replicas: {sampling.replicas} copies on {sampling.tensor_parallel} GPUs each are {needed}, this"
            f" machine has {gpus}; two processes on one device are refused: set it to {gpus // sampling.tensor_parallel}"
        )
    return sampling.replicas or max(1, gpus // sampling.tensor_parallel)


def open_engine(model: str, sampling: Sampling, embedded: Engine | None = None) -> Engine:
    """Returns an engine for a model folder, to be closed after use, and prints which one and why.

    An embedded engine of this model that is open already is returned if it is the right one, otherwise closed before the other
    starts, so that the model is never in memory twice. Raises InputError if this machine lacks what is configured.
    """
    name, reason = choose_for(model, sampling)
    replicas = count_replicas(sampling)
    print(f"sampling with {name} ({reason}){f', {replicas} processes' if replicas > 1 else ''}", flush=True)
    if name == "transformers" and replicas == 1:
        from rlready.sampling.transformers_engine import TransformersEngine

        return embedded or TransformersEngine.load(model)
    if embedded:
        embedded.close()
    if replicas > 1:
        from rlready.sampling.sharded_engine import ShardedEngine

        return ShardedEngine(model, sampling, name, replicas)
    from rlready.sampling.vllm_engine import VllmEngine

    return VllmEngine.load(model, sampling)
