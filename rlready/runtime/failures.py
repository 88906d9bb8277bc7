"""Why a stage failed, in one line with what to change."""

import contextlib
import errno
import re
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from rlready.errors import InputError, StageFailed

RETRIES = "RLREADY_RETRIES"  # retries of a stage that died or raised, in the same container
# What lowers the memory of a stage.
ADVICE = {
    "sft": "lower sft_per_device_batch_size or training_lora_rank, set training_gradient_checkpointing",
    "predictors": "lower sampling_max_tokens or predictors_samples",
    "rl": "lower rl_per_device_batch_size, rl_num_generations or sampling_max_tokens, set training_gradient_checkpointing",
    "benchmark": "lower sampling_max_tokens or benchmark_samples",
}
FULL = 1 << 20  # bytes; a disk with fewer free is full
ROOM = "free some (`rlready clean` removes what old runs left), or request more storage"
# How torch.save fails if the disk takes only a part, and safetensors.
CUT_OFF = re.compile(
    rf"PytorchStreamWriter failed writing|inline_container.*unexpected pos|\(os error ({errno.ENOSPC}|{errno.EDQUOT})\)"
)
EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def describe_error(stage: str, error: Exception, places: Iterable[Path] = ()) -> str:
    """Returns one line about an exception that ended a stage, which writes to the folders `places`."""
    if isinstance(error, (InputError, StageFailed)):
        return str(error)
    named = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"out of memory ({named[:300]}); {_advise(stage)}"
    if lacks_space(error):
        place = getattr(error, "filename", None) or find_full(places)
        return f"no space is left on the disk{f' of {place}' if place else ''} ({named[:300]}); {ROOM}"
    return named


def lacks_space(error: Exception) -> bool:
    """Returns True if a full disk caused an exception; safetensors and torch.save raise errors of their own."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return bool(CUT_OFF.search(str(error)))


def describe_death(stage: str, code: int, starved: bool, places: Iterable[Path] = ()) -> str:
    """Returns one line about the process of a stage, which wrote to the folders `places`, that ended without an answer.

    A code below 0 is the signal that killed it; `starved` says that the kernel killed a process for memory meanwhile.
    """
    full = find_full(places)
    disk = f"no space is left on the disk of {full}; {ROOM}" if full else ""
    if code >= 0:
        return f"its process ended with status {code} and no message; {disk or 'see the log above'}"
    killed = f"its process was killed ({signal.Signals(-code).name})"
    if starved or (-code == signal.SIGKILL and not full):
        return f"{killed}, {'' if starved else 'probably '}out of memory; {_advise(stage)}"
    return "; ".join(filter(None, (killed, disk)))


def find_full(places: Iterable[Path]) -> Path | None:
    """Returns the first folder whose disk is full; if a folder is missing, its nearest parent counts."""
    for place in places:
        there = next((folder for folder in (place, *place.parents) if folder.is_dir()), None)
        if there and shutil.disk_usage(there).free < FULL:
            return place
    return None


def _advise(stage: str) -> str:
    return f"{ADVICE[stage]}, or give it more memory" if stage in ADVICE else "give it more memory"


def count_kills() -> int:
    """Returns how many processes of this container or control group the kernel has killed for memory."""
    for path in map(Path, EVENTS):
        with contextlib.suppress(OSError, ValueError):
            return int(dict(line.split() for line in path.read_text().splitlines()).get("oom_kill", 0))
    return 0
