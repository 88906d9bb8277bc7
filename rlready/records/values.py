"""The types of values in records that a plain type says too little of; `serialization` checks them when it reads a record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

LINKED = ("data", "base_model", "settings")  # the links that are objects; the others are texts
ROUNDING = 1e-9  # by which a share may exceed 1: sums of floats are not exact


@dataclass(frozen=True)
class Requirement:
    """What a value must be, in words and as a test of a value that has the plain type."""

    expected: str
    holds: Callable[[Any], bool]


def one_of(*texts: str) -> Requirement:
    """Returns the requirement that a text is one of these."""
    return Requirement(f"one of {', '.join(texts)}", texts.__contains__)


def _is_interval(ends: Sequence[float | None]) -> bool:
    return len(ends) == 2 and (None in ends or ends[0] <= ends[1])  # type: ignore[operator]


def _are_links(links: dict[str, Any]) -> bool:
    sets, base, settings = (links.get(name, {}) for name in LINKED)
    if not all(isinstance(one, dict) for one in (sets, base, settings)):
        return False
    sized = all(isinstance(one, dict) and type(one.get("rows")) is int and "digest" in one for one in sets.values())
    texts = [*base.values(), *(value for name, value in links.items() if name not in LINKED)]
    return sized and all(isinstance(text, str) for text in texts)


Count = Annotated[int, Requirement("a whole number, 0 or more", lambda value: value >= 0)]
Amount = Annotated[float, Requirement("a number, 0 or more", lambda value: value >= 0)]
Share = Annotated[float, Requirement("a number between 0 and 1", lambda value: -ROUNDING <= value <= 1 + ROUNDING)]
Interval = Annotated[Sequence[float | None], Requirement("two numbers, the lower one first", _is_interval)]
ShareInterval = Annotated[Sequence[Share | None], Requirement("two numbers, the lower one first", _is_interval)]
Links = Annotated[
    dict[str, Any],
    Requirement("texts, and as base_model, data and settings objects; rows and digest of each data set", _are_links),
]
Solved = Annotated[int, Requirement("0 or 1", lambda value: value in (0, 1))]
Pair = Annotated[list[float | None], Requirement("a step and its value", lambda pair: len(pair) == 2 and pair[0] is not None)]
CurvePoint = Annotated[list[float], Requirement("k and Pass@k", lambda pair: len(pair) == 2 and pair[0] >= 1 >= pair[1] >= 0)]


def find_count_fault(problems: int | None, samples: int | None, lists: Sequence[Sequence | None]) -> str:
    """Returns what is wrong with lists of one entry per problem, the first of which counts right samples; None is unknown."""
    sizes = {len(one) for one in lists if one is not None} | (set() if problems is None else {problems})
    if len(sizes) > 1:
        return f"the counts by problem are of {' and '.join(map(str, sorted(sizes)))} problems"
    most = max(lists[0] or [0])
    return f"{most} right samples of {samples} are impossible" if samples is not None and most > samples else ""


def find_mean_fault(
    mean: float | None, correct: Sequence[int] | None, samples: int | None, weights: Sequence[float] | None = None
) -> str:
    """Returns that a stored Pass@1 is not the mean of the right samples by problem, as far as all are known."""
    if mean is None or not correct or not samples:
        return ""
    weights = weights or [1 / len(correct)] * len(correct)
    found = sum(count * weight for count, weight in zip(correct, weights, strict=True)) / samples
    return "" if abs(found - mean) < ROUNDING else f"Pass@1 is {mean:g}, but {found:g} by the right samples of each problem"
