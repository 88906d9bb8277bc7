"""What an experiment needs of GPUs, or of a machine without them: memory, disk and hours, estimated before anything is loaded.

Estimates, not measurements: nothing here has been compared with a run on GPUs. Memory is what torch keeps, in the precision
in which the stages load and train, plus a margin. GPU-hours are a range, from the best share of a GPU's speed in published
runs to a third of it.
"""

import itertools
import operator
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil

from rlready.config import Experiment, Training
from rlready.errors import InputError
from rlready.models.architecture import Shape
from rlready.sampling.choose import choose_engine, count_replicas
from rlready.stages.plan.overrides import find_gpu_overrides
from rlready.stages.plan.sweep import expand_sweep
from rlready.training.processes import check_packing, count_processes, divide_batch

# CUDA's context, NCCL's and cuBLAS's buffers, and fragmentation.
MARGIN = 4e9
# H100 SXM: dense bfloat16 operations and bytes of memory a second (NVIDIA's data sheet).
PEAK, BANDWIDTH = 989e12, 3.35e12
# Llama 3 was trained at 38 to 43% of that (arXiv 2407.21783, table 4); few GPUs and short runs reach less.
TRAINING_SHARES = (0.4, 0.13)
# Decoding reads all weights and caches for every token of a batch; engines reach about three quarters of the bandwidth.
DECODING_SHARES = (0.75, 0.25)
MOST_SEQUENCES = 256  # that vLLM decodes at once by default
STAGES = ("sft", "predictors", "rl", "benchmark")
SIDE_BY_SIDE = 2  # candidates that kfp.local runs at a time, at most
PROCESS = 1.5e9  # bytes of Python, torch and workspaces, besides weights and activations
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")
GPU = Path("/dev/nvidiactl")


@dataclass(frozen=True)
class Lengths:
    """Tokens of the data that was read: means for the work, and maxima for the memory."""

    prompt: float  # mean
    completion: float  # mean of the solutions, truncated at sampling_max_tokens
    longest: float  # SFT example, prompt included
    longest_prompt: float

    def guess_sample(self, most: int) -> float:
        """Returns the tokens of the mean sample, halfway to the limit: a model that has not learned to stop reaches it."""
        return (self.completion + most) / 2


@dataclass(frozen=True)
class GpuRequest:
    """What one stage needs of each GPU, and how long one candidate takes."""

    parts: dict[str, float]  # bytes by what they hold
    hours: tuple[float, float]  # GPU-hours of one candidate, minimum and maximum
    note: str = ""  # e.g. how many sequences fit

    @property
    def memory(self) -> float:
        """Total bytes."""
        return sum(self.parts.values())


def estimate_states(shape: Shape, training: Training, processes: int, autocast: bool = True) -> dict[str, float]:
    """Returns bytes of what training keeps on each of `processes` devices between steps, by what they hold.

    All weights: 16 bytes per parameter, as ZeRO counts them (https://arxiv.org/abs/1910.02054, section 3.1): float32 weights,
    gradients and Adam's two moments, or under DeepSpeed bfloat16 weights and gradients with float32 copies.
    Without DeepSpeed, `autocast` also keeps bfloat16 copies of the weights, from the forward to the backward pass.
    Adapters: frozen bfloat16 weights, and 16 bytes for each parameter of the adapters.
    """
    stage, frozen = training.zero_stage, 0
    trained = shape.parameters
    if training.lora_rank:
        frozen, trained = shape.parameters, shape.count_adapters(training.lora_rank)
    wide = 4 if training.lora_rank or not stage else 2
    weights, gradients, optimizer = wide * trained, wide * trained, (16 - 2 * wide) * trained
    shared = {"weights": stage >= 3, "gradients": stage >= 2, "optimizer": stage >= 2}
    whole = {"weights": weights + 2 * frozen, "gradients": gradients, "optimizer": optimizer}
    states = {name: size / (processes if shared[name] else 1) for name, size in whole.items()}
    return states | ({"copies": 2 * trained} if autocast and not stage and not training.lora_rank else {})


def count_checkpoint(shape: Shape, training: Training) -> float:
    """Returns bytes of a checkpoint of a training, which holds the weights that are trained and the optimizer's states."""
    states = estimate_states(shape, training, 1)
    frozen = 2 * shape.parameters if training.lora_rank else 0
    return states["weights"] - frozen + states["optimizer"]


def estimate_training(
    experiment: Experiment, shape: Shape, lengths: Lengths, stage: str, processes: int, autocast: bool = True
) -> dict[str, float]:
    """Returns bytes that SFT or RL keeps on each device, by what they hold, if all rows of a batch have the maximum length.

    Without `autocast` linear layers compute in float32, as on CPUs.
    """
    training = experiment.training
    longest = lengths.longest if stage == "sft" else lengths.longest_prompt + experiment.sampling.max_tokens
    rows, _ = divide_batch(stage, getattr(experiment, stage), processes)
    states = estimate_states(shape, training, processes, autocast)
    return states | {"activations": rows * longest * shape.count_activations(training.gradient_checkpointing, autocast)}


def estimate_needs(
    experiment: Experiment,
    shape: Shape,
    lengths: Lengths,
    tokens: dict[str, float],
    gpus: dict[str, int],
    memory: Mapping[str, float],
) -> dict[str, GpuRequest]:
    """Estimates what each stage that has GPUs needs of them.

    By stage: `tokens` of one candidate, `gpus` of a pod, and the `memory` of one GPU in bytes, 0 if unknown.
    """
    return {
        stage: _estimate_stage(experiment, shape, lengths, stage, tokens[stage], gpus[stage], memory[stage])
        for stage in STAGES
        if gpus.get(stage)
    }


def _estimate_stage(experiment: Experiment, shape: Shape, lengths: Lengths, stage: str, tokens, gpus, memory) -> GpuRequest:
    rl, training, sampling = experiment.rl, experiment.training, experiment.sampling
    parallel, sample = sampling.tensor_parallel, lengths.guess_sample(sampling.max_tokens)
    mean, weights = lengths.prompt + sample, 2 * shape.parameters / parallel
    if stage not in ("sft", "rl"):
        longest = (lengths.longest_prompt + sampling.max_tokens) * shape.cache / parallel
        caches = max(sampling.gpu_memory_utilization * memory - weights - MARGIN, longest)
        sequences, hours = _decode(shape, tokens, mean, caches, parallel)
        note = f"{sequences:.0f} sequences at once" if memory else ""
        return GpuRequest({"weights": weights, "caches": caches, "margin": MARGIN}, hours, note)
    parts = estimate_training(experiment, shape, lengths, stage, training.processes or gpus)
    if stage == "sft":
        seconds = _train(shape, tokens, lengths.prompt + lengths.completion, training)
        return GpuRequest(parts | {"margin": MARGIN}, _spread(seconds, TRAINING_SHARES))
    engine = max(rl.gpu_memory_utilization * memory, weights)
    validated = experiment.validation_samples * sample
    trained = tokens - validated
    # The sampler's log-probabilities are compared with the policy's: one more forward pass.
    seconds = _train(shape, trained, mean, training) + 2 * shape.parameters * trained / PEAK
    most = rl.batch_size * parallel / gpus  # that one copy of the model rolls out
    sequences, decoding = _decode(shape, trained * sample / mean + validated, mean, engine - weights, parallel, most)
    best, worst = (sum(hours) for hours in zip(_spread(seconds, TRAINING_SHARES), decoding, strict=True))
    note = f"{sequences:.0f} sequences at once" if memory else ""
    return GpuRequest(parts | {"vllm": engine, "margin": MARGIN}, (best, worst), note)


def _train(shape: Shape, tokens: float, length: float, training: Training) -> float:
    """Returns seconds at full speed: 6 operations per parameter and token, 12 LHQT of attention (arXiv 2204.02311, B)."""
    forward = 2 * shape.parameters + 4 * shape.layers * shape.heads * shape.head_dim * length
    # Adapters need no gradients of the weights; checkpointing repeats the forward pass.
    passes = 3 - bool(training.lora_rank) + training.gradient_checkpointing
    return passes * forward * tokens / PEAK


def _decode(
    shape: Shape, tokens: float, length: float, cache: float, tensor_parallel: int, most: float = MOST_SEQUENCES
) -> tuple[float, tuple[float, float]]:
    """Returns how many sequences, of `most`, are decoded at once, and GPU-hours of these tokens."""
    room = cache * tensor_parallel / (shape.cache * length)
    sequences = max(1.0, min(MOST_SEQUENCES, room, most))
    step = (2 * shape.parameters + sequences * length / 2 * shape.cache) / BANDWIDTH
    seconds = tokens / sequences * max(step, 2 * shape.parameters * sequences / PEAK)
    return sequences, _spread(seconds, DECODING_SHARES)


def _spread(seconds: float, shares: tuple[float, float]) -> tuple[float, float]:
    """Returns the minimum and maximum hours of work that takes so many seconds at full speed."""
    return seconds / shares[0] / 3600, seconds / shares[1] / 3600


def find_remedies(
    experiment: Experiment, estimate: Callable[[Experiment], dict[str, GpuRequest]], stage: str, memory: float
) -> list[str]:
    """Returns the changes of parameters with which a stage fits into a GPU's memory (bytes): the mildest one, else several."""
    changes = [{"sampling_tensor_parallel": 2}, {"sampling_tensor_parallel": 4}]
    if stage in ("sft", "rl"):
        changes = [{f"{stage}_per_device_batch_size": 1}, {"training_gradient_checkpointing": True}]
        changes += [{"training_zero_stage": 2}, {"training_zero_stage": 3}, {"training_lora_rank": 16}]
    together = list(itertools.accumulate(changes, operator.or_))[1:]
    return find_change(experiment, changes + together, lambda changed: estimate(changed)[stage].memory <= memory)


def find_change(experiment: Experiment, changes: list[dict], fits: Callable[[Experiment], bool]) -> list[str]:
    """Returns the first change of parameters with which an experiment fits, as options; none if there is no such change."""
    for change in changes:
        if fits(experiment.change(**change)):
            return [f"--set {name}={str(value).lower()}" for name, value in change.items()]
    return []


@dataclass(frozen=True)
class FreeMemory:
    """What a machine has, in bytes."""

    memory: float  # in total, or the limit of its container
    free: float  # of the memory, now
    disk: float  # free on the disk of the run's folder


def look_at_machine(folder: Path) -> FreeMemory | None:
    """Returns what this machine has for a run in a folder; None if it has a GPU."""
    if GPU.exists():
        return None
    while not folder.exists():
        folder = folder.parent
    seen = psutil.virtual_memory()
    most, used = (next(_read_numbers(paths), None) for paths in (LIMITS, USED))
    memory = min(seen.total, most or seen.total)
    # The page cache counts as used in a container, but the kernel can free it.
    free = min(seen.available, memory if used is None or most is None else max(0, most - used) + seen.cached)
    return FreeMemory(memory, min(free, memory), shutil.disk_usage(folder).free)


def find_lacking(experiment: Experiment) -> list[str]:
    """Returns a line on each setting that needs a GPU or a package that this machine does not have."""
    sampling, training = experiment.sampling, experiment.training
    # Only what is not a default, since each of these imports torch.
    checks: dict[Callable[[], object], bool] = {
        check_packing: experiment.sft.packing,
        partial(choose_engine, sampling, None): sampling.engine == "vllm" or sampling.tensor_parallel > 1,
        partial(count_replicas, sampling): sampling.replicas > 1,
        partial(count_processes, training): training.processes > 1 or training.zero_stage > 0,
    }
    lines = []
    for check in (check for check, needed in checks.items() if needed):
        try:
            check()
        except InputError as error:
            lines.append(str(error))
    return lines + find_gpu_overrides(experiment)


def _read_numbers(paths: tuple[str, ...]) -> Iterator[int]:
    for path in map(Path, paths):
        if path.exists() and (text := path.read_text().strip()).isdigit():
            yield int(text)


def estimate_memory(experiment: Experiment, shape: Shape, lengths: Lengths) -> dict[str, float]:
    """Returns bytes of each stage for one candidate on CPUs, in float32, if all rows of a batch have the maximum length.

    Sampling fits its batches to the free memory, so only its weights count.
    """
    processes = experiment.training.processes or 1
    sampling = 4 * shape.parameters * max(1, experiment.sampling.replicas) + PROCESS
    tunes, trains = any(candidate.epochs for candidate in expand_sweep(experiment.sweep)), experiment.rl.steps
    need = {}
    for stage in (stage for stage, runs in (("sft", tunes), ("rl", trains)) if runs):
        parts = estimate_training(experiment, shape, lengths, stage, processes, autocast=False)
        need[stage] = processes * (sum(parts.values()) + PROCESS)
    return need | {"predictors": sampling} | ({"benchmark": sampling} if trains else {})


def estimate_disk(experiment: Experiment, shape: Shape, candidates: int, side_by_side: int = SIDE_BY_SIDE) -> float:
    """Returns bytes of the models that SFT and RL keep, of two checkpoints of each training that runs at the same time and of
    the candidates that it comes to, and of one checkpoint of each that pauses for a race."""
    sweep, model = expand_sweep(experiment.sweep), 4 * shape.parameters
    checkpoints = sum(bool(candidate.checkpoint) for candidate in sweep)
    models = candidates - checkpoints + candidates * bool(experiment.rl.steps)
    if not models:
        return 0.0
    checkpoint = count_checkpoint(shape, experiment.training) + (model if experiment.rl.keep == "best" else 0)
    paused = candidates if experiment.race.steps else 0
    copied = side_by_side * max(len(candidate.kept_epochs or ()) for candidate in sweep)
    return (models + copied) * model + (side_by_side * 2 + paused) * checkpoint


def count_side_by_side(need: dict[str, float], room: FreeMemory) -> int:
    """Returns how many candidates fit into the free memory at the same time: at least one."""
    return SIDE_BY_SIDE if SIDE_BY_SIDE * max(need.values(), default=0) <= room.free else 1


def find_remedy(experiment: Experiment, shape: Shape, lengths: Lengths, stage: str, free: float) -> list[str]:
    """Returns the mildest change of parameters with which a training stage fits into memory (bytes); none if none is enough."""
    settings, name = getattr(experiment, stage), f"{stage}_per_device_batch_size"
    share = settings.batch_size // (experiment.training.processes or 1)
    device = settings.per_device_batch_size or share
    changes: list[dict] = [{name: rows} for rows in range(device - 1, 0, -1) if share % rows == 0]
    changes += [{name: 1, "training_gradient_checkpointing": True}]
    changes += [changes[-1] | {"training_lora_rank": 16}]
    found = find_change(experiment, changes, lambda changed: estimate_memory(changed, shape, lengths)[stage] <= free)
    longest = lengths.longest / 2  # of a few long rows, no model fits the memory
    while stage == "sft" and not found and longest > 2 * lengths.longest_prompt + 4 * lengths.completion:
        if estimate_memory(experiment, shape, replace(lengths, longest=longest))[stage] <= free:
            most = int(longest - lengths.longest_prompt)
            return [f"--set curate_max_tokens={most} (the longest SFT example has {lengths.longest:,.0f} tokens)"]
        longest /= 2
    return found


def describe_machine(
    experiment: Experiment, shape: Shape | None, lengths: Lengths, candidates: int, room: FreeMemory | None
) -> tuple[list[str], list[str], int]:
    """Returns lines to show, a line with a remedy for each stage that does not fit, and how many candidates fit at once."""
    if room is None or shape is None:  # a stage takes all GPUs of a machine
        return [], [], 1 if room is None else SIDE_BY_SIDE
    need = estimate_memory(experiment, shape, lengths)
    side_by_side = count_side_by_side(need, room)
    disk = estimate_disk(experiment, shape, candidates, side_by_side)
    how = "two candidates at a time" if side_by_side > 1 else "one candidate at a time"
    sizes = ", ".join(f"{stage} {show_bytes(size)}" for stage, size in need.items())
    lines = [f"memory      {sizes} per candidate (estimate); {show_bytes(room.free)} free: {how}"]
    lines += [f"disk        {show_bytes(disk)} for models and checkpoints (estimate); {show_bytes(room.disk)} free"]
    wrong = []
    for stage, size in need.items():
        if size > room.free:
            remedy = find_remedy(experiment, shape, lengths, stage, room.free) if stage in ("sft", "rl") else []
            wrong += [
                f"{stage}: needs about {show_bytes(size)} of memory, and {show_bytes(room.free)} are free;"
                f" {' '.join(remedy) or 'use a smaller model or a machine with more memory'}"
            ]
    if disk > room.disk:
        wrong += [
            f"disk: models and checkpoints need about {show_bytes(disk)}, and {show_bytes(room.disk)} are free; free some,"
            " lower the number of candidates, or use another disk (--work)"
        ]
    return lines, wrong, side_by_side


def show_bytes(size: float) -> str:
    """Returns an amount in GB, or in MB if it is small."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
