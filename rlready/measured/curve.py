"""The reward of RL over its steps, as another trainer or tracker logged it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rlready.data.files import open_file
from rlready.errors import InputError
from rlready.measured.records import Row, name_faults, read_rows
from rlready.measured.tools import read_reward
from rlready.stats.plateau import average_blocks

# Of TRL and plain rows; of verl; of NeMo-RL, and of TRL where Weights & Biases has its logs.
KEYS = ("reward", "critic/score/mean", "train/reward")
# The trainer's own step comes before those of Weights & Biases, which count calls of its log, of other metrics too.
STEPS = ("step", "train/global_step", "_step", "Step")
RUNS = ("Run ID", "run_id")  # in exports of MLflow
METRICS = "metrics"  # folder of a run in MLflow's file store: one file per metric, with lines of timestamp, value and step
TENSORBOARD = {"Wall time", "Step", "Value"}  # columns of its CSV files, which have the tag in their names only
Entry = tuple[str, str, Row]  # where it is, the run if the file names it, and the values by name


def read_curve(path: Path) -> tuple[str, list[list[float | None]]]:
    """Returns the first of KEYS that a file has, and pairs [last step, mean reward] of blocks of steps, as `RlRecord` has them.

    The file is one of those in docs/guide/record.md. Raises InputError if it cannot be read, has no reward, a reward without a
    step, or the rewards of several runs.
    """
    with name_faults(path):
        entries = list(_list_entries(path))
    key = next((key for key in KEYS if any(key in values for _, _, values in entries)), None)
    if key is None:
        found = ", ".join(list(dict.fromkeys(name for _, _, values in entries for name in values))[:12])
        raise InputError(f"{path}: no step has one of {', '.join(KEYS)}; it has {found or 'nothing'}")
    rewards: dict[int, float | None] = {}  # a resumed training may log a step again
    runs = set()
    for where, run, values in entries:
        if values.get(key) in (None, ""):
            continue
        runs.add(run)
        rewards[_read_step(values, key, where)] = read_reward(values[key], where)
    if len(runs) > 1:
        raise InputError(f"{path}: {key} of the runs {', '.join(sorted(runs))}; a curve is of one run")
    return key, average_blocks(sorted(rewards.items()))


def _read_step(values: Row, key: str, where: str) -> int:
    for name in STEPS:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if (step := float(values[name])).is_integer():
                return int(step)
    raise InputError(f"{where}: {key} without a whole number as {', '.join(STEPS[:-1])} or {STEPS[-1]}")


def _list_entries(path: Path) -> Iterator[Entry]:
    """Yields every logged step, whatever the form of the file."""
    if not path.suffix and METRICS in path.parts:
        name = "/".join(path.parts[len(path.parts) - path.parts[::-1].index(METRICS) :])
        with open_file(None, str(path)) as file:
            for number, line in enumerate(file, 1):
                _, value, step, *_ = [*line.decode().split(), "", "", ""]
                yield f"{path} line {number}", "", {name: value, "step": step}
        return
    for where, row in read_rows(path):
        if isinstance(row.get("metrics"), list):  # an answer of MLflow's REST API
            yield from (_read_metric(where, metric) for metric in row["metrics"])
        elif {"value", "step"} <= row.keys() and ("key" in row or "metric" in row):
            yield _read_metric(where, row)
        elif row.keys() == TENSORBOARD:
            yield where, "", {KEYS[0]: row["Value"], "step": row["Step"]}
        elif steps := {key: row[key] for key in KEYS if isinstance(row.get(key), dict)}:
            yield from (
                (where, "", {key: value, "step": step}) for key, found in steps.items() for step, value in found.items()
            )
        elif charted := [(name, key) for name in row for key in KEYS if name.endswith(f" - {key}")]:
            axis = {step: row[step] for step in STEPS if step in row}
            yield from ((where, name.removesuffix(f" - {key}"), {key: row[name], **axis}) for name, key in charted)
        else:
            yield from ((where, "", {**row, **data}) for data in row.get("log_history") or [row.get("data", {})])


def _read_metric(where: str, metric: Row) -> Entry:
    run = next((str(metric[name]) for name in RUNS if metric.get(name)), "")
    return where, run, {str(metric.get("key", metric.get("metric"))): metric["value"], "step": metric["step"]}
