"""What a stage computed on, for the ledger."""


def describe_device() -> dict[str, str | int]:
    """Returns the kind of device and how many of them this process uses: GPUs, or else CPU threads."""
    import torch

    if torch.cuda.is_available():
        return {"device": torch.cuda.get_device_name(0), "devices": torch.cuda.device_count()}
    return {"device": "CPU thread", "devices": torch.get_num_threads()}
