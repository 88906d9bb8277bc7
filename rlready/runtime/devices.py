"""The devices that a stage computes on."""

import os
from typing import TypedDict


class Device(TypedDict):
    """The kind of device, and how many of them are in use."""

    device: str
    devices: int


def describe_device() -> Device:
    """Returns the GPUs, or else the CPU threads, that all processes of a training use; each process has one GPU."""
    import torch

    processes = int(os.environ.get("WORLD_SIZE", "0"))
    if torch.cuda.is_available():
        return {"device": torch.cuda.get_device_name(0), "devices": processes or torch.cuda.device_count()}
    return {"device": "CPU thread", "devices": max(1, processes) * torch.get_num_threads()}
