"""Division of an optimizer step's batch among processes and devices."""

from rlready.errors import InputError


def divide_batch(name: str, batch: int, device_batch: int, processes: int) -> tuple[int, int]:
    """Divides the batch of an optimizer step among processes, and each share into micro-batches.

    Args:
        name: Parameter of the batch, for the message.
        batch: Examples per optimizer step.
        device_batch: Examples per micro-batch; 0: all of a process's share.
        processes: How many train together.

    Returns:
        (examples per micro-batch, gradient accumulation steps).

    Raises:
        InputError: If something does not divide.
    """
    share, rest = divmod(batch, processes)
    if rest:
        raise InputError(f"{name}: a step of {batch} does not divide among {processes} processes")
    if device_batch > 0 and share % device_batch:
        raise InputError(
            f"{name.split('_')[0]}_per_device_batch_size: {device_batch} does not divide {share}, the share of one of"
            f" {processes} processes in a step of {batch}"
        )
    size = device_batch or share
    return size, share // size
