"""External results: RL that ran in another system, read from a CSV file."""

import csv
import difflib
import math
from collections.abc import Collection
from pathlib import Path

from rlready.errors import InputError
from rlready.records.outcome import ElsewhereRecord

NEEDED = ("candidate", "score", "standard_error", "cost")
KNOWN = (*NEEDED, "device")
MOST_FAULTS = 20  # lines shown; if every row is wrong, the cause is the same


def read_results(path: Path, candidates: Collection[str]) -> dict[str, ElsewhereRecord]:
    """Reads a CSV file of results with the columns candidate, score, standard_error, cost and, optionally, device.

    Score and standard error are shares between 0 and 1, the cost is in device-hours. Error and cost may be empty: unknown.
    Returns the results by candidate, at least one; all of them are among `candidates`.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file: {error}") from error
    columns = lines[0][1] if lines else []
    _check_columns(path, columns)
    results: dict[str, ElsewhereRecord] = {}
    faults: list[str] = []
    for line, cells in lines[1:]:
        if len(cells) != len(columns):
            faults.append(f"{path}, line {line}: {len(cells)} cells, but the header has {len(columns)}")
            continue
        row = dict(zip(columns, cells, strict=True))
        found = [f"{path}, line {line}, {fault}" for fault in _find_faults(row, candidates, results)]
        faults += found
        if not found:
            deviation, hours = (float(row[name]) if row[name] else None for name in ("standard_error", "cost"))
            device = " ".join(row.get("device", "").split())
            results[row["candidate"]] = ElsewhereRecord(float(row["score"]), deviation, hours, device)
    if len(faults) > MOST_FAULTS:
        faults[MOST_FAULTS:] = [f"and {len(faults) - MOST_FAULTS} more"]
    if faults:
        raise InputError("\n".join(faults))
    if not results:
        raise InputError(f"{path}: no rows below the header")
    return results


def explain_unknown(name: str, candidates: Collection[str]) -> str:
    """Returns that a name is no candidate's, and which one may be meant."""
    near = difflib.get_close_matches(name, candidates, 1)
    known = f"did you mean {near[0]}?" if near else f"the run has {', '.join(candidates)}"
    return f"{name!r} is not a candidate of this run; {known}"


def _check_columns(path: Path, columns: list[str]) -> None:
    if not columns:
        raise InputError(f"{path}: empty; expected the columns {', '.join(NEEDED)}")
    if len(columns) == 1 and (mark := next((mark for mark in ";\t|" if mark in columns[0]), None)):
        raise InputError(f"{path}: separated by {mark!r}; expected commas")
    for name in columns:
        if name not in KNOWN or columns.count(name) > 1:
            what = "occurs twice" if name in KNOWN else f"is not one of {', '.join(KNOWN)}"
            raise InputError(f"{path}: the column {name!r} {what}")
    if missing := [name for name in NEEDED if name not in columns]:
        raise InputError(f"{path}: no column {', '.join(missing)}; expected {', '.join(NEEDED)} (cells may be empty)")


def _find_faults(row: dict[str, str], candidates: Collection[str], earlier: Collection[str]) -> list[str]:
    """Returns what is wrong in a row, each beginning with its column."""
    name, faults = row["candidate"], []
    if name in earlier:
        faults.append(f"candidate: {name} already has a row; one result per candidate")
    elif name not in candidates:
        faults.append(f"candidate: {explain_unknown(name, candidates)}")
    for column, most in (("score", 1.0), ("standard_error", 1.0), ("cost", math.inf)):
        text = row[column]
        if not text and column != "score":
            continue
        try:
            value = float(text)
        except ValueError:
            faults.append(
                f"{column}: {text!r} is not a number" if text else f"{column}: empty; leave out candidates without a result"
            )
            continue
        if not (math.isfinite(value) and 0 <= value <= most):
            bounds = "between 0 and 1 (0.44 for 44%)" if most == 1 else "0 or more device-hours"
            faults.append(f"{column}: {text}, expected a finite number, {bounds}")
    return faults
