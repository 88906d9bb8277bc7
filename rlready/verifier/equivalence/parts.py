"""Values that are not numbers, and how tokens are split at marks outside all brackets."""

import itertools
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from rlready.verifier.equivalence.expression import Node
from rlready.verifier.equivalence.identity import list_symbols

OPEN = ("(", "[", "{", "\\{", "\\langle", "\\lfloor", "\\lceil", "\\begin")
CLOSE = (")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil", "\\end")
DEPTHS = dict.fromkeys(OPEN, 1) | dict.fromkeys(CLOSE, -1)
INFINITY = Node("const", ("inf",))
EVERYTHING = ((Node("neg", (INFINITY,)), False, INFINITY, False),)  # the real line, in pieces (low, closed, high, closed)
Part = TypeVar("Part")


@dataclass(frozen=True)
class Group:
    """A value that is not a number.

    Attributes:
        kind: list, set, union, minus, common, matrix, row, unit, base, word, ratio, time, named, relation, equation,
            member, false; two brackets for a tuple or an interval; or reals, as (their variable or None, pieces).
        items: Its parts: values, and text that belongs to the kind.
    """

    kind: str
    items: tuple[Any, ...]


Value = Node | Group


def measure_depths(tokens: Iterable[str]) -> Iterator[int]:
    """Yields the number of brackets that are open after each token."""
    return itertools.accumulate(DEPTHS.get(token, 0) for token in tokens)


def split(tokens: Iterable[str], marks: Container[str]) -> list[list[str]]:
    """Splits tokens at the marks outside all brackets."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += DEPTHS.get(token, 0)
        if depth == 0 and token in marks:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def find_bracket(tokens: list[str]) -> int:
    """Returns the position of the bracket that closes the first token's, or -1."""
    return next((place for place, depth in enumerate(measure_depths(tokens)) if depth == 0), -1)


def list_marks(tokens: list[str], marks: Container[str]) -> list[str]:
    """Returns the marks outside all brackets."""
    return [token for token, depth in zip(tokens, measure_depths(tokens), strict=True) if depth == 0 and token in marks]


def is_permutation(a: Iterable[Part], b: Iterable[Part], is_same: Callable[[Part, Part], bool]) -> bool:
    """Returns True if each part of one can be paired with the same part of the other."""
    rest = list(b)
    for part in a:
        partner = next((place for place, other in enumerate(rest) if is_same(part, other)), None)
        if partner is None:
            return False
        del rest[partner]
    return not rest


def is_text(tokens: list[str]) -> bool:
    """Returns True if tokens are words without a number or formula."""
    return any(token[0] == '"' for token in tokens) and all(
        token[0] == '"' or token in (".", "'", "-", "!", "?", "`", '"') or (len(token) == 1 and token.isalpha())
        for token in tokens
    )


def has_symbols(value: object) -> bool:
    """Returns True if a value, or a part of one, contains a symbol."""
    if isinstance(value, Node):
        return bool(list_symbols(value))
    parts = value.items if isinstance(value, Group) else value
    return isinstance(parts, tuple) and any(map(has_symbols, parts))


def is_interval(value: Value) -> bool:
    """Returns True if a value is certainly a set of real numbers: `(1,2)` may be a point."""
    ends = value.items if len(value.kind) == 2 and len(value.items) == 2 else ()
    closed = ends and value.kind in ("[)", "(]")
    return value.kind in ("reals", "union", "minus", "common") or closed or INFINITY in ends or Node("neg", (INFINITY,)) in ends


def flatten(values: Iterable[Value]) -> list[Value]:
    """Returns values with the items of lists in the place of the lists, which `\\pm` gives."""
    return [item for value in values for item in (value.items if value.kind == "list" else (value,))]
