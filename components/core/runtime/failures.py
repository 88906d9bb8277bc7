"""Why a stage failed, in one line that says what lowers what it lacked."""

import errno
import signal
from pathlib import Path

from rlready.components.config import InputError

# What makes a stage need less memory, the cheapest first.
LOWER = {
    "sft": "sft_per_device_batch_size, training_gradient_checkpointing, training_lora_rank",
    "predictors": "sampling_max_tokens, predictors_samples",
    "rl": "rl_per_device_batch_size, rl_num_generations, sampling_max_tokens, training_gradient_checkpointing",
    "benchmark": "sampling_max_tokens, benchmark_samples",
}
EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


class StageFailed(RuntimeError):
    """The work of a stage failed in other processes or pods; the message says all, and another try may succeed."""


def describe_error(stage: str, error: Exception) -> str:
    """Returns one line about an exception that ended a stage."""
    if isinstance(error, (InputError, StageFailed)):
        return str(error)
    named = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"out of memory ({named[:300]}); {_advise(stage)}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left on the disk ({named[:300]}); free some, or ask for more storage"
    return named


def describe_death(stage: str, code: int, starved: bool) -> str:
    """Returns one line about a process that ended without an answer.

    Args:
        stage: What it ran.
        code: Its exit status; below 0 the signal that killed it.
        starved: Whether the kernel killed a process for memory meanwhile.
    """
    if code >= 0:
        return f"its process ended with status {code} and said nothing; the log above may tell why"
    name = signal.Signals(-code).name
    if starved or -code == signal.SIGKILL:
        sure = "out of memory" if starved else "probably out of memory"
        return f"its process was killed ({name}), {sure}; {_advise(stage)}"
    return f"its process was killed ({name})"


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
