"""Samples that a trainer logged: validation dumps of verl, completions of TRL, rollouts of open-instruct."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlready.errors import InputError
from rlready.measured.log import Reading, Sample
from rlready.measured.records import Row, read_rows

VERL, OPEN_INSTRUCT = {"input", "output", "score", "step"}, {"prompt_tokens", "response_tokens", "reward", "prompt_idx"}
TRL = {"step", "prompt", "completion", "advantage"}


def read_verl(files: list[Path], score: str | None) -> Reading:
    """Reads a dump of trainer.validation_data_dir; `acc` decides if it is there, else `score`. Raises as `_read`."""
    _, first = next(read_rows(files[0]))
    reward = score or ("acc" if "acc" in first else "score")

    def read_row(row: Row) -> dict[str, Any]:
        told = {"text": row["input"], "completion": row["output"]}
        return told if row.get("gts") is None else told | {"reference": str(row["gts"])}

    return _read("verl", files, reward, read_row)


def read_trl(files: list[Path], score: str | None) -> Reading:
    """Reads completions/*.parquet of log_completions; the only column of numbers decides. Raises as `_read`."""
    _, first = next(read_rows(files[0]))
    names = [name for name, value in first.items() if name not in TRL and isinstance(value, (int, float))]
    if score is None and len(names) != 1:
        raise InputError(f"{files[0]}: rewards are {', '.join(names) or 'not there'}; name one with --score")

    def read_row(row: Row) -> dict[str, Any]:
        return {"text": _join(row["prompt"]), "completion": _join(row["completion"])}

    return _read("TRL", files, score or names[0], read_row)


def read_open_instruct(files: list[Path], score: str | None) -> Reading:
    """Reads rollouts, whose prompts and answers are token ids; `reward` decides. Raises as `_read`."""

    def read_row(row: Row) -> dict[str, Any]:
        ids = row["response_tokens"]
        return {
            "text": json.dumps(row["prompt_tokens"]),
            "completion": json.dumps(ids),
            "tokens": len(ids),
            "finished": row["finish_reason"] != "length" if row.get("finish_reason") else None,
        }

    return _read("open-instruct", files, score or "reward", read_row)


def _read(tool: str, files: list[Path], reward: str, read_row: Callable[[Row], dict[str, Any]]) -> Reading:
    """Reads the samples of one step; a problem is known by its prompt, since these logs number samples only.

    Raises InputError if there are several steps, or the rewards take more than two values.
    """
    values: set[float] = set()
    steps = set()
    for where, row in read_rows(*files):
        if reward not in row:
            raise InputError(f"{where}: no {reward!r}; there are {', '.join(row)}")
        steps.add(row["step"])
        value = read_reward(row[reward], where)
        values |= set() if value is None else {value}
        if len(values) > 2:
            shown = ", ".join(f"{value:g}" for value in sorted(values))
            raise InputError(
                f"{where}: {reward} is {shown}: more than right and wrong; name a reward of two values with --score"
            )
    if len(steps) > 1:
        raise InputError(f"{files[0].parent}: holds the steps {', '.join(map(str, sorted(steps)))}; name the file of one")
    best = max(values, default=1.0)
    # Of rewards that are all alike, one above 0 is right.
    note = (
        f"{reward} of step {min(steps)}: {best:g} counts as right" if best > 0 else f"{reward} is never above 0: none is right"
    )

    def read() -> Iterator[Sample]:
        for where, row in read_rows(*files):
            told, value = read_row(row), read_reward(row[reward], where)
            problem = hashlib.sha256(told["text"].encode(errors="surrogatepass")).hexdigest()[:12]
            right = None if value is None else value == best and best > 0
            yield Sample(problem=problem, where=where, right=right, scored=True, **told)

    return Reading(tool, read(), [note])


def read_reward(value: Any, where: str) -> float | None:
    """Returns a reward; None if it is missing or not finite; raises InputError if it is not a number."""
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: the reward {value!r} is not a number") from error
    return number if math.isfinite(number) else None


def _join(said: Any) -> str:
    return said if isinstance(said, str) else json.dumps(said)
