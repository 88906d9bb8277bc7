"""Training in several processes: how many, what each computes, and how torch's elastic agent runs them."""

import ctypes
import importlib
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from rlready.config import Training
from rlready.errors import InputError


def count_processes(training: Training) -> int:
    """Returns how many processes train here; raises InputError if they need more GPUs, or DeepSpeed is missing."""
    import torch

    gpus = torch.cuda.device_count()
    count = training.processes or max(1, gpus)
    if gpus and count > gpus:
        raise InputError(
            f"training_processes: {count} processes on {gpus} GPUs; two processes on one device are refused: set it to"
            f" {gpus}, or to 0 for one per GPU"
        )
    if training.zero_stage and importlib.util.find_spec("deepspeed") is None:
        raise InputError(
            f"training_zero_stage: ZeRO {training.zero_stage} needs deepspeed, which is not installed; pip install"
            " 'rlready[gpu]', or set it to 0"
        )
    return count


def check_packing() -> None:
    """Raises InputError if the examples of a packed row cannot be kept apart on this machine."""
    from transformers.utils import is_flash_attn_2_available

    if not is_flash_attn_2_available():
        raise InputError(
            "sft_packing: keeping the examples of a row apart needs a GPU and flash-attn; install it, or set it to false"
        )


def describe_device() -> dict[str, Any]:
    """Returns the GPUs, or else the CPU threads, that all processes of a training use, as a record's `device` and `devices`."""
    import torch

    processes = int(os.environ.get("WORLD_SIZE", "0"))  # each has one GPU
    if torch.cuda.is_available():
        return {"device": torch.cuda.get_device_name(0), "devices": processes or torch.cuda.device_count()}
    return {"device": "CPU thread", "devices": max(1, processes) * torch.get_num_threads()}


def needs_processes(training: Training) -> bool:
    """Returns True if training runs in processes of its own: several, with DeepSpeed, or on some of the GPUs only."""
    import torch

    if "RANK" in os.environ:  # this is one of them
        return False
    # One process that sees several GPUs would split every batch among threads (transformers' DataParallel).
    return count_processes(training) > 1 or bool(training.zero_stage) or torch.cuda.device_count() > 1


def count_ranks() -> int:
    """Returns how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_main() -> bool:
    """Returns True if this process writes the outputs; every process does the work."""
    return int(os.environ.get("RANK", 0)) == 0


def divide_batch(stage: str, settings: Any, processes: int) -> tuple[int, int]:
    """Divides the optimizer step of `sft` or `rl`, whose parameters are given, among processes, and that into micro-batches.

    Returns (examples or completions per micro-batch, gradient accumulation steps); raises InputError if one does not divide.
    """
    name, step = "sft_batch_size", settings.batch_size
    if stage == "rl":  # a process samples whole groups, so that its samples do not depend on the number of processes
        name, step = "rl_prompts_per_step", settings.prompts_per_step
    if step % processes:
        raise InputError(f"{name}: a step of {step} does not divide among {processes} processes (training_processes)")
    share = settings.batch_size // processes
    size = settings.per_device_batch_size or max(1, share)
    if share % size:
        part = "the size of a step"
        if processes > 1:
            part = f"the share of one of {processes} processes in a step of {settings.batch_size}"
        raise InputError(f"{stage}_per_device_batch_size: {size} does not divide {share}, {part}")
    return size, share // size


def run_processes(stage: str, arguments: dict, count: int) -> None:
    """Runs a stage, `run(**arguments)`, in several processes, which die with this one; the first failure ends them all.

    Raises InputError of a process, and RuntimeError if a process failed otherwise or was killed.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "run.json"
        config.write_text(json.dumps(arguments))
        here = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "local_addr": "localhost"}
        logs = DefaultLogsSpecs(log_dir=str(Path(folder) / "logs"))
        agent = LaunchConfig(1, 1, nproc_per_node=count, max_restarts=0, logs_specs=logs, **here)  # type: ignore[arg-type]
        try:
            elastic_launch(agent, sys.executable)("-m", "rlready.training.processes", stage, str(config))
        except ChildFailedError as error:
            # If one is killed the others lose their connection, and the agent ends them: the cause is another signal, if any.
            failures = sorted(error.failures.items(), key=lambda item: item[1].timestamp)
            by_agent = [item for item in failures if item[1].exitcode == -signal.SIGTERM]
            killed = [item for item in failures if item[1].exitcode < 0 and item not in by_agent]
            failed = [item for item in failures if item[1].exitcode > 0]
            rank, failure = (killed + failed + by_agent)[0]
            if failure.exitcode < 0:
                name = signal.Signals(-failure.exitcode).name
                advice = " (out of memory?)" if name == "SIGKILL" else ""
                what = f"was killed by {name}{advice}; run the same command again to resume"
            elif failure.message.startswith("InputError: "):
                raise InputError(failure.message.removeprefix("InputError: ")) from None
            else:
                what = f"failed: {failure.message}"
            raise RuntimeError(f"process {rank} of {count} {what}") from None


def _run_rank(stage: str, config: str) -> None:
    """Runs one process; its failure goes to the file that the agent reads."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: the process ends with its agent, even if that is killed
    try:
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        else:
            os.environ.setdefault("DS_ACCELERATOR", "cpu")
        importlib.import_module(f"rlready.stages.{stage}.stage").run(**json.loads(Path(config).read_text()))
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    except Exception as error:
        if not isinstance(error, InputError):
            traceback.print_exc()
        failure = {"message": f"{type(error).__name__}: {error}", "timestamp": int(time.time())}
        Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps(failure))
        sys.stdout.flush()
        os._exit(1)  # at once, since the others may wait for this one
    if not is_main():
        # gloo's threads may abort it while the interpreter ends, which would end the main process while it saves.
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    _run_rank(*sys.argv[1:])
