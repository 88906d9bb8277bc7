"""The types of values in records that a plain type says too little of; `serialization` checks them when it reads a record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

ROUNDING = 1e-9  # by which a share may exceed 1: sums of floats are not exact


@dataclass(frozen=True)
class Check:
    """What a value must be, in words and as a test of a value that has the plain type."""

    expected: str
    holds: Callable[[Any], bool]


def one_of(*texts: str) -> Check:
    """Returns the check that a text is one of these."""
    return Check(f"one of {', '.join(texts)}", texts.__contains__)


def _is_interval(ends: Sequence[float | None]) -> bool:
    return len(ends) == 2 and (None in ends or ends[0] <= ends[1])  # type: ignore[operator]


Count = Annotated[int, Check("a whole number, 0 or more", lambda value: value >= 0)]
Amount = Annotated[float, Check("a number, 0 or more", lambda value: value >= 0)]
Share = Annotated[float, Check("a number between 0 and 1", lambda value: -ROUNDING <= value <= 1 + ROUNDING)]
Interval = Annotated[Sequence[float | None], Check("two numbers, the lower one first", _is_interval)]
Pair = Annotated[list[float | None], Check("a step and its value", lambda pair: len(pair) == 2 and pair[0] is not None)]
CurvePoint = Annotated[list[float], Check("k and Pass@k", lambda pair: len(pair) == 2 and pair[0] >= 1 >= pair[1] >= 0)]


def find_count_fault(problems: int | None, samples: int | None, lists: Sequence[Sequence | None]) -> str:
    """Returns what is wrong with lists of one entry per problem, the first of which counts right samples; None is unknown."""
    sizes = {len(one) for one in lists if one is not None} | (set() if problems is None else {problems})
    if len(sizes) > 1:
        return f"the counts by problem are of {' and '.join(map(str, sorted(sizes)))} problems"
    most = max(lists[0] or [0])
    return f"{most} right samples of {samples} are impossible" if samples is not None and most > samples else ""


def find_mean_fault(mean: float | None, correct: Sequence[int], samples: int | None, weights: Sequence[float]) -> str:
    """Returns that a stored Pass@1 is not the weighted mean of the right samples by problem, as far as all are known."""
    if mean is None or not correct or not samples or not weights:
        return ""
    found = sum(count * weight for count, weight in zip(correct, weights, strict=True)) / samples
    return "" if abs(found - mean) < ROUNDING else f"Pass@1 is {mean:g}, but {found:g} by the right samples of each problem"
