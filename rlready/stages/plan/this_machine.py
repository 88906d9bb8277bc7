"""What a run needs of a machine without GPUs, estimated before anything is loaded: memory, disk, candidates at a time."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from rlready.config import Experiment
from rlready.errors import InputError
from rlready.models.architecture import Shape
from rlready.sampling.choose import choose_engine, count_replicas
from rlready.stages.plan.gpu_cost import Lengths, count_checkpoint, estimate_training, find_change
from rlready.stages.plan.overrides import find_gpu_overrides
from rlready.stages.plan.sweep import expand_sweep
from rlready.training.processes import check_packing, count_processes

SIDE_BY_SIDE = 2  # candidates that kfp.local runs at a time, at most
PROCESS = 1.5e9  # bytes of Python, torch and workspaces, besides weights and activations
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")
GPU = Path("/dev/nvidiactl")


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


def count_side_by_side(need: dict[str, float], room: FreeMemory | None) -> int:
    """Returns how many candidates fit into the free memory at the same time: at least one."""
    if room is None or not need or SIDE_BY_SIDE * max(need.values()) <= room.free:
        return SIDE_BY_SIDE
    return 1


def find_remedy(experiment: Experiment, shape: Shape, lengths: Lengths, stage: str, free: float) -> list[str]:
    """Returns the mildest change of parameters with which a training stage fits into memory (bytes); none if none is enough."""
    settings, name = getattr(experiment, stage), f"{stage}_per_device_batch_size"
    share = settings.batch_size // (experiment.training.processes or 1)
    device = settings.per_device_batch_size or share
    changes: list[dict] = [{name: rows} for rows in range(device - 1, 0, -1) if share % rows == 0]
    changes += [{name: 1, "training_gradient_checkpointing": True}]
    changes += [changes[-1] | {"training_lora_rank": 16}]
    return find_change(experiment, changes, lambda changed: estimate_memory(changed, shape, lengths)[stage] <= free)


def describe_machine(
    experiment: Experiment, shape: Shape | None, lengths: Lengths, candidates: int, room: FreeMemory | None
) -> tuple[list[str], list[str], int]:
    """Returns lines to show, a line with a remedy for each stage that does not fit, and how many candidates fit at once."""
    if room is None or shape is None:
        return [], [], SIDE_BY_SIDE
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
