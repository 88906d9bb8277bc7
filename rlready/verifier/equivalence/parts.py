"""Values that are no numbers, and how tokens fall into parts at marks outside all brackets."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from rlready.verifier.equivalence.expression import Node
from rlready.verifier.equivalence.identity import list_symbols

OPEN = ("(", "[", "{", "\\{", "\\langle", "\\lfloor", "\\lceil", "\\begin")
CLOSE = (")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil", "\\end")
INFINITY = Node("const", ("inf",))
EVERYTHING = ((Node("neg", (INFINITY,)), False, INFINITY, False),)  # the real line, in pieces (low, closed, high, closed)


@dataclass(frozen=True)
class Group:
    """A value that is no number.

    Attributes:
        kind: list, set, union, minus, common, matrix, row, unit, base, word, ratio, time, named, relation, equation,
            member, false; two brackets for a tuple or an interval; or reals, as (their variable or None, pieces).
        items: Its parts: values, and text that belongs to the kind.
    """

    kind: str
    items: tuple[Any, ...]


Value = Node | Group


def split(tokens: list[str], marks: Container[str]) -> list[list[str]]:
    """Splits tokens at the marks that stand outside all brackets."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token in OPEN) - (token in CLOSE)
        if depth == 0 and token in marks:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def find_bracket(tokens: list[str]) -> int:
    """Returns the place of the bracket that closes the first token's, or -1."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token in OPEN) - (token in CLOSE)
        if depth == 0:
            return place
    return -1


def list_marks(tokens: list[str], marks: Container[str]) -> list[str]:
    """Returns the marks that stand outside all brackets."""
    found, depth = [], 0
    for token in tokens:
        depth += (token in OPEN) - (token in CLOSE)
        if depth == 0 and token in marks:
            found.append(token)
    return found


def is_text(tokens: list[str]) -> bool:
    """Returns True if tokens are words, and no number or formula is among them."""
    return any(token[0] == '"' for token in tokens) and all(
        token[0] == '"' or token in (".", "'", "-", "!", "?", "`", '"') or (len(token) == 1 and token.isalpha())
        for token in tokens
    )


def has_symbols(value: object) -> bool:
    """Returns True if a value, or a part of one, holds a symbol."""
    if isinstance(value, Node):
        return bool(list_symbols(value))
    parts = value.items if isinstance(value, Group) else value
    return isinstance(parts, tuple) and any(map(has_symbols, parts))


def is_interval(value: Value) -> bool:
    """Returns True if a value is a set of real numbers for sure: `(1,2)` may be a point."""
    if not isinstance(value, Group):
        return False
    ends = value.items if len(value.kind) == 2 and len(value.items) == 2 else ()
    closed = ends and value.kind in ("[)", "(]")
    return value.kind in ("reals", "union", "minus", "common") or closed or INFINITY in ends or Node("neg", (INFINITY,)) in ends


def flatten(values: list[Value]) -> list[Value]:
    """Returns values with the items of lists among them in their place, as `\\pm` gives."""
    return [
        item for value in values for item in (value.items if isinstance(value, Group) and value.kind == "list" else (value,))
    ]
