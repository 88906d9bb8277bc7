"""Logs of no tool: JSONL, JSON, CSV or Parquet with one row per sample or per problem; and rlready's own samples.parquet."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlready.errors import InputError
from rlready.measured.log import Reading, Sample
from rlready.measured.records import Row, is_message, read_rows, read_score, read_target, read_text

PROBLEM, REFERENCE = ("problem", "problem_id", "id"), ("reference", "answer", "target", "ground_truth")
COMPLETION, TEXT = ("completion", "response", "output"), ("question", "text", "prompt")
EXPECTED = "problem and correct; problem, correct and samples; or problem, completion and reference"


def is_plain(row: Row, score: str | None) -> bool:
    """Returns True if a row names a problem and what became of it."""
    judged = all(any(name in row for name in names) for names in (COMPLETION, REFERENCE))
    return any(name in row for name in PROBLEM) and (judged or "correct" in row or score in row)


def read_plain(files: list[Path], score: str | None) -> dict[str, Reading]:
    """Reads rows of samples (`correct` or completion and reference) or of counts (`correct` of `samples`), in one pass.

    `score` names the column that says whether a sample is right, by default correct. Returns the samples by candidate, in the
    order of the rows; an empty name if the rows name none. Raises InputError if a row lacks what the others have, or its counts
    are impossible, or only some rows name a candidate.
    """
    score = score or "correct"
    found: dict[str, list[tuple[str, Row]]] = {}
    for where, row in read_rows(*files):
        rows = found.setdefault(_read(row, ("candidate",), _write_id) or "", [])
        rows.extend((where, one) for one in _spread(row, where, score))
        if "" in found and len(found) > 1:
            raise InputError(f"{where}: some rows name a candidate and others do not; name it in all of them, or in none")

    def read(rows: list[tuple[str, Row]]) -> Iterator[Sample]:
        counted = set()
        for where, row in rows:
            if row.get("samples") not in (None, "") and (problem := _read(row, PROBLEM, _write_id)) in counted:
                raise InputError(f"{where}: an earlier row has counts of {problem} too; write one row per problem")
            counted.add(_read(row, PROBLEM, _write_id))
            yield from _list_samples(row, where, score)

    return {name: Reading("plain", read(rows)) for name, rows in found.items()}


def _spread(row: Row, where: str, score: str) -> list[Row]:
    """Returns a row per sample, if a row lists the completions of its problem, what became of each, or both."""
    lists = {name: value for name in (score, *COMPLETION) if isinstance(value := row.get(name), list) and not is_message(value)}
    if not lists:
        return [row]
    if len({len(values) for values in lists.values()}) > 1 or (score in row and score not in lists) or not all(lists.values()):
        raise InputError(f"{where}: {' and '.join(dict.fromkeys([*lists, score]))} must be lists of one length, not empty")
    if tokens := next((name for name in lists if name != score and isinstance(lists[name][0], int)), None):
        raise InputError(f"{where}: {tokens} lists numbers, not texts; decode the tokens")
    return [{**row, "samples": None, **dict(zip(lists, values, strict=True))} for values in zip(*lists.values(), strict=True)]


def _list_samples(row: Row, where: str, score: str) -> Iterator[Sample]:
    problem = _read(row, PROBLEM, _write_id)
    if not problem:
        raise InputError(f"{where}: names no problem; expected {EXPECTED}")
    told: dict[str, Any] = {"problem": problem, "where": where, "text": _read(row, TEXT, read_text)}
    if row.get("temperature") not in (None, ""):
        told["settings"] = (("temperature", _read_number(row["temperature"], "temperature", where)),)
    if row.get("samples") not in (None, ""):
        correct, samples = (int(_read_number(row.get(key), key, where, whole=True)) for key in ("correct", "samples"))
        if not 0 <= correct <= samples or not samples:
            raise InputError(f"{where}: {correct} correct of {samples} samples is impossible")
        yield from (Sample(**told, right=number < correct, scored=True, counted=True) for number in range(samples))
        return
    completion, reference = _read(row, COMPLETION, read_text), _read(row, REFERENCE, read_target)
    if score not in row and (completion is None or reference is None):
        raise InputError(f"{where}: has neither {score!r} nor a completion and a reference; expected {EXPECTED}")
    right, scored = read_score(row.get(score), where), score in row
    yield Sample(**told, completion=completion, reference=reference, right=right, scored=scored, row=repr(row))


def read_own(files: list[Path], score: str | None) -> Reading:
    """Reads samples.parquet of a run of rlready: the samples at temperature 1, judged as they were."""
    samples = (
        Sample(
            problem=row["problem_id"],
            where=where,
            right={"right": True, "wrong": False}.get(row["verdict"]),
            scored=True,
            text=row["prompt"],
            completion=row["completion"],
            reference=row["gold"],
            finished=row["finished"],
            tokens=row["tokens"],
            settings=(("temperature", row["temperature"]),),
        )
        for where, row in read_rows(*files)
        if row["temperature"] is None or row["temperature"] > 0
    )
    return Reading("rlready", samples)


def _read(row: Row, names: tuple[str, ...], how: Callable[[Any], str]) -> str | None:
    """Returns the first of these columns that the row has, as text; None if it has none, or the value is missing."""
    value = next((row[name] for name in names if name in row), None)
    return None if value is None or value != value else how(value)


def _write_id(value: Any) -> str:
    """Returns an id as text; tables write integers as floats if one of them is missing."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _read_number(value: Any, name: str, where: str, whole: bool = False) -> float:
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        number = float(value)
        if int(number) == number or not whole:  # int refuses NaN and infinity
            return number
    raise InputError(f"{where}: {name} is {value!r}, not a {'whole number' if whole else 'number'}")
