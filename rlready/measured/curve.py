"""The reward of RL over its steps, as another trainer or tracker logged it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlready.errors import InputError
from rlready.measured.records import find_suffix, open_text, read_rows
from rlready.measured.rollouts import read_reward
from rlready.stats.plateau import average_blocks

# Of TRL and plain rows; of verl; of NeMo-RL, and of TRL where Weights & Biases has its logs.
KEYS = ("reward", "critic/score/mean", "train/reward")
METRICS = "metrics"  # folder of a run in MLflow's file store: one file per metric, with lines of timestamp, value and step


def read_curve(path: Path) -> tuple[str, list[list[float | None]]]:
    """Returns the first of KEYS that a file has, and pairs [last step, mean reward] of blocks of steps, as `RlRecord` has them.

    The file is a trainer_state.json; the JSONL of verl's file logger; NeMo-RL's TensorBoard logs as JSON ({key: {step:
    value}}); an MLflow metric history (rows with key, value and step, or a file of a run's folder `metrics`); a Weights &
    Biases history (rows with _step); or rows with step and a reward. Raises InputError if it cannot be read, or has no reward,
    or a reward without a step.
    """
    entries = list(_list_entries(path))
    key = next((key for key in KEYS if any(key in entry for _, entry in entries)), None)
    if key is None:
        raise InputError(f"{path}: no step has one of {', '.join(KEYS)}")
    rewards: dict[int, float | None] = {}  # a resumed training may log a step again
    for where, entry in entries:
        if entry.get(key) in (None, ""):
            continue
        try:
            step = int(entry["step"] if "step" in entry else entry["_step"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: {key} without a whole number as step") from error
        rewards[step] = read_reward(entry[key], where)
    return key, average_blocks(sorted(rewards.items()))


def _list_entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (where, values by name) of every logged step, whatever the form of the file."""
    if not find_suffix(path) and METRICS in path.parts:
        yield from _read_metric_file(path)
        return
    for where, row in read_rows(path):
        if {"key", "value", "step"} <= row.keys():
            yield where, {str(row["key"]): row["value"], "step": row["step"]}
        elif steps := {key: row[key] for key in KEYS if isinstance(row.get(key), dict)}:
            yield from ((where, {key: value, "step": step}) for key, found in steps.items() for step, value in found.items())
        else:
            yield from ((where, {**row, **data}) for data in row.get("log_history") or [row.get("data", {})])


def _read_metric_file(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    parents = path.parts
    name = "/".join(parents[len(parents) - parents[::-1].index(METRICS) :])
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            _, value, step, *_ = [*line.split(), "", "", ""]
            yield f"{path} line {number}", {name: value, "step": step}
