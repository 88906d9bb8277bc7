"""Why a stage failed, in one line that says what lowers what it lacked."""

import errno
import re
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from rlready.errors import InputError, StageFailed

RETRIES = "RLREADY_RETRIES"  # tries of a stage after one that died or raised, in the same container
# What makes a stage need less memory, the cheapest first.
LOWER = {
    "sft": "sft_per_device_batch_size, training_gradient_checkpointing, training_lora_rank",
    "predictors": "sampling_max_tokens, predictors_samples",
    "rl": "rl_per_device_batch_size, rl_num_generations, sampling_max_tokens, training_gradient_checkpointing",
    "benchmark": "sampling_max_tokens, benchmark_samples",
}
FULL = 1 << 20  # bytes; a disk with fewer free is full
ROOM = "free some (`rlready clean` removes what old runs left), or ask for more storage"
# What torch.save says where the disk took only a part of what it wrote.
CUT_OFF = re.compile(r"PytorchStreamWriter failed writing|inline_container.*unexpected pos")
EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def describe_error(stage: str, error: Exception, places: Iterable[Path] = ()) -> str:
    """Returns one line about an exception that ended a stage.

    Args:
        stage: What raised it.
        error: The exception.
        places: Folders to which the stage writes.
    """
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
    """Says whether an exception came of a full disk; safetensors and torch.save raise errors of their own for it."""
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError):
        return error.errno in full
    said = str(error)
    return any(f"(os error {number})" in said for number in full) or bool(CUT_OFF.search(said))


def describe_death(stage: str, code: int, starved: bool, places: Iterable[Path] = ()) -> str:
    """Returns one line about a process that ended without an answer.

    Args:
        stage: What it ran.
        code: Its exit status; below 0 the signal that killed it.
        starved: Whether the kernel killed a process for memory meanwhile.
        places: Folders to which it wrote.
    """
    full = find_full(places)
    disk = f"no space is left on the disk of {full}; {ROOM}"
    if code >= 0:
        told = disk if full else "the log above may tell why"
        return f"its process ended with status {code} and said nothing; {told}"
    killed = f"its process was killed ({signal.Signals(-code).name})"
    if starved:
        return f"{killed}, out of memory; {_advise(stage)}"
    if full:
        return f"{killed}; {disk}"
    return f"{killed}, probably out of memory; {_advise(stage)}" if -code == signal.SIGKILL else killed


def find_full(places: Iterable[Path]) -> Path | None:
    """Returns the first of some folders whose disk is full; of one that is not there, its nearest parent counts."""
    for place in places:
        there = next((folder for folder in (place, *place.parents) if folder.is_dir()), None)
        if there and shutil.disk_usage(there).free < FULL:
            return place
    return None


def _advise(stage: str) -> str:
    lower = LOWER.get(stage)
    return f"lower {lower}, or give it more memory" if lower else "give it more memory"


def count_kills() -> int:
    """Returns how many processes of this container, or of this machine's control group, the kernel has killed for memory."""
    for path in map(Path, EVENTS):
        try:
            counts = dict(line.split() for line in path.read_text().splitlines())
            return int(counts.get("oom_kill", 0))
        except (OSError, ValueError):
            continue
    return 0
