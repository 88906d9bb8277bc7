"""What must be the same in two logs before their candidates are compared."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlready.data.identity import identify
from rlready.errors import InputError
from rlready.measured.log import SETTINGS, MeasuredLog


def align(logs: Mapping[str, MeasuredLog], k: int) -> dict[str, MeasuredLog]:
    """Returns the logs, by candidate, with their problems in the order of the first.

    Raises InputError with one line per log of other problems, other settings or fewer than k samples.
    """
    first_name, first = next(iter(logs.items()))
    faults = [fault for log in logs.values() for fault in _find_faults(first_name, first, log, k)]
    if faults:
        raise InputError("\n".join(faults))
    aligned = {}
    for name, log in logs.items():
        place = {problem: number for number, problem in enumerate(log.problems)}
        aligned[name] = _take(log, [place[problem] for problem in first.problems])
    return aligned


def list_unknown(logs: Mapping[str, MeasuredLog]) -> list[str]:
    """Returns what not all logs say, so that it could not be compared, in sentences."""
    missing = [name for name in SETTINGS if not all(name in log.settings for log in logs.values())]
    lines = [f"Not in all logs, so not compared: {', '.join(missing)}."] if missing else []
    if not all(text for log in logs.values() for text in log.texts):
        lines.append("Not all logs have the text of the problems; they are compared by id only.")
    return lines


def _find_faults(first_name: str, first: MeasuredLog, log: MeasuredLog, k: int) -> list[str]:
    faults = []
    if log.samples < k:
        faults.append(f"{log.path}: {log.samples} samples per problem, Pass@{k} needs {k}; lower --k (gate_k), or sample more")
    own = set(log.problems)
    lost, more = [problem for problem in first.problems if problem not in own], own - set(first.problems)
    if lost or more:
        faults.append(
            f"{log.path}: the problems differ from {first_name}'s: {len(lost)} of its {len(first.problems)} are missing,"
            f" {len(more)} are new, e.g. {(lost or sorted(more))[0]}; compare logs of the same problems"
        )
        return faults
    texts = dict(zip(first.problems, first.texts, strict=True))
    for problem, text in zip(log.problems, log.texts, strict=True):
        if text and texts[problem] and not _is_same(text, texts[problem] or "", first.tool == log.tool):
            faults.append(f"{log.path}: problem {problem} has a different text in {first_name}'s log")
            break
    return faults + compare_settings(first_name, first.settings, log)


def compare_settings(first_name: str, first: Mapping[str, Any], log: MeasuredLog) -> list[str]:
    """Returns a line for each setting with which the samples of a log and others were not drawn alike."""
    return [
        f"{log.path}: {setting} is {value}, {first_name}'s is {first[setting]}: Pass@k depends on it"
        for setting, value in log.settings.items()
        if first.get(setting, value) != value
    ]


def find_problems(log: MeasuredLog, rows: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Returns the place in a log of each problem that rlready samples, by id or text; None if it is not there.

    The texts of the log may have instructions around the problem.
    """
    places = {identify(text): place for place, text in enumerate(log.texts) if text}
    places |= {problem: place for place, problem in enumerate(log.problems)}
    texts = sorted(((" ".join(text.split()), place) for place, text in enumerate(log.texts) if text), key=lambda t: len(t[0]))
    found: list[int | None] = []
    for row in rows:
        place = places.get(row["problem_id"])
        if place is None:
            question = " ".join(row["question"].split())
            inside = re.compile(rf"(?<![\w.+-]){re.escape(question)}(?!\w)")
            place = next((at for text, at in texts if question in text and inside.search(text)), None)
        found.append(None if place in found else place)
    return found


def select(log: MeasuredLog, rows: Sequence[Mapping[str, Any]]) -> MeasuredLog:
    """Returns a log of only the problems that rlready samples, under their ids and in their order.

    Raises InputError if one of them is not in the log.
    """
    places = [place for place in find_problems(log, rows) if place is not None]
    if len(places) < len(rows):
        raise InputError(
            f"{log.path}: has {len(places)} of the {len(rows)} problems on which others are sampled; only the same problems"
            " compare: sample on those of the log (curate_predictor_data), or rank the logs on their own"
        )
    return replace(_take(log, places), problems=[row["problem_id"] for row in rows], texts=[row["question"] for row in rows])


def _is_same(one: str, other: str, one_tool: bool) -> bool:
    """Returns True if two texts are of one problem; another tool may log its instructions with it."""
    one, other = " ".join(one.split()), " ".join(other.split())
    return one == other or (not one_tool and (one in other or other in one))


def _take(log: MeasuredLog, places: Sequence[int]) -> MeasuredLog:
    """Returns a log of only the problems at these places, in this order."""
    return replace(
        log,
        problems=[log.problems[place] for place in places],
        correct=[log.correct[place] for place in places],
        texts=[log.texts[place] for place in places],
    )
