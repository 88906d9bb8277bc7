"""The reward of RL over its steps, as another trainer logged it."""

from pathlib import Path

from rlready.errors import InputError
from rlready.measured.records import read_rows
from rlready.measured.rollouts import read_reward
from rlready.stats.plateau import average_blocks

KEYS = ("reward", "critic/score/mean", "train/reward")  # of TRL and plain rows, of verl, of NeMo-RL


def read_curve(path: Path) -> tuple[str, list[list[float | None]]]:
    """Reads a trainer_state.json, the metrics that verl's file logger writes, or rows with `step` and a reward.

    Returns:
        The first of KEYS that the file has, and pairs [last step, mean reward] of blocks of steps, as `RlRecord` has them.

    Raises:
        InputError: If the file cannot be read, or has no reward, or a reward without a step.
    """
    entries = [
        (where, {**row, **data}) for where, row in read_rows(path) for data in row.get("log_history") or [row.get("data", {})]
    ]
    key = next((key for key in KEYS if any(key in entry for _, entry in entries)), None)
    if key is None:
        raise InputError(f"{path}: no step has one of {', '.join(KEYS)}")
    rewards: dict[int, float | None] = {}  # a resumed training may log a step again
    for where, entry in entries:
        if entry.get(key) in (None, ""):
            continue
        try:
            step = int(entry["step"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: {key} without a whole number as step") from error
        rewards[step] = read_reward(entry[key], where)
    return key, average_blocks(sorted(rewards.items()))
