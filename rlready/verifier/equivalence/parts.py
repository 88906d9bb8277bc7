"""Values that are not numbers, sets of real numbers as pieces of the real line, and tokens split outside brackets."""

import itertools
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from rlready.verifier.equivalence.evaluator import Evaluator, Number, Undefined
from rlready.verifier.equivalence.identity import is_same, list_symbols
from rlready.verifier.equivalence.parser import Node, Unreadable, require

OPEN = ("(", "[", "{", "\\{", "\\langle", "\\lfloor", "\\lceil", "\\begin")
CLOSE = (")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil", "\\end")
DEPTHS = dict.fromkeys(OPEN, 1) | dict.fromkeys(CLOSE, -1)
INFINITY = Node("const", ("inf",))
EVERYTHING = ((Node("neg", (INFINITY,)), False, INFINITY, False),)  # the real line, in pieces (low, closed, high, closed)
Part = TypeVar("Part")


@dataclass(frozen=True)
class Group:
    """A value that is not a number."""

    # List, set, union, minus, common, matrix, row, unit, base, word, ratio, time, named, relation, equation, member, class,
    # false; two brackets for a tuple or an interval; or reals, as (their variable or None, pieces).
    kind: str
    items: tuple[Any, ...]  # its parts: values, and text that belongs to the kind


Value = Node | Group
Piece = tuple[Node, bool, Node, bool]  # low, whether it is included, high, the same


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


def is_permutation(a: Iterable[Part], b: Iterable[Part], are_same: Callable[[Part, Part], bool]) -> bool:
    """Returns True if each part of one can be paired with the same part of the other."""
    rest = list(b)
    for part in a:
        partner = next((place for place, other in enumerate(rest) if are_same(part, other)), None)
        if partner is None:
            return False
        del rest[partner]
    return not rest


def is_text(tokens: list[str]) -> bool:
    """Returns True if tokens are words without a number or formula."""
    others = [token for token in tokens if token[0] != '"']
    signs = all(token in (".", "'", "-", "!", "?", "`") or (len(token) == 1 and token.isalpha()) for token in others)
    return signs and len(others) < len(tokens)


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


def compare_sets(a: Value, b: Value) -> bool | None:
    """Returns whether two sets of real numbers are the same, or None if either may be something else."""
    if not is_interval(a) and not is_interval(b):
        return None
    pieces, others = _list_pieces(a), _list_pieces(b)
    if pieces is None or others is None:
        return None
    if len(_list_variables(a) | _list_variables(b)) > 1:  # `x<3` is not `y<3`
        return False
    pieces, others = _merge_pieces(pieces), _merge_pieces(others)
    return len(pieces) == len(others) and is_permutation(pieces, others, _is_same_piece)


def make_pieces(place: int, bounds: list[Node], marks: list[str]) -> tuple | None:
    """Returns the pieces (low, closed, high, closed) of the solution of an inequality, its variable at a place."""
    (low, _, high, _), closed = EVERYTHING[0], [mark == "≤" for mark in marks]
    if marks == ["≠"]:
        return (low, False, bounds[0], False), (bounds[0], False, high, False)
    if len(marks) == 2:
        return ((bounds[0], closed[0], bounds[1], closed[1]),) if place == 1 else None
    return ((low, False, bounds[0], closed[0]),) if place == 0 else ((bounds[0], closed[0], high, False),)


def mirror(pieces: tuple) -> tuple:
    """Returns the pieces of the solution if the variable is an absolute value."""
    require(len(pieces) == 1, "two excluded absolute values")
    low, low_closed, high, high_closed = pieces[0]
    below, above = Node("neg", (high,)), Node("neg", (low,))
    if low == EVERYTHING[0][0]:
        return ((below, high_closed, high, high_closed),)
    return (below, high_closed, above, low_closed), pieces[0]


def _list_variables(value: object) -> set[str]:
    if not isinstance(value, Group):
        return set()
    if value.kind == "reals":
        return {value.items[0]} - {None}
    return set().union(*map(_list_variables, value.items))


def _list_pieces(value: Value) -> list[Piece] | None:
    """Returns the pieces of a value that is a set of real numbers, or None for any other value."""
    kind, items = value.kind, value.items
    if kind == "reals":
        return list(items[1])
    if kind == "union":
        parts = [pieces for item in items if (pieces := _list_pieces(item)) is not None]
        return sum(parts, []) if len(parts) == len(items) else None
    if kind == "common":
        common = [EVERYTHING[0]]
        for item in items:
            common = [_intersect(piece, other) for piece in common for other in _list_pieces(item) or ()]
        return [piece for piece in common if _holds_any(piece)]
    if kind == "minus":
        whole, removed = map(_list_pieces, items)
        return None if whole is None or removed is None else _subtract(whole, removed)
    if kind == "named" and isinstance(items[-1], Node) and len(items[0].lstrip("@")) == 1:
        return [(items[-1], True, items[-1], True)]
    if kind == "set" and all(isinstance(item, Node) for item in items):
        return [(item, True, item, True) for item in items]
    if len(kind) == 2 and len(items) == 2 and all(isinstance(item, Node) for item in items):
        return [(items[0], kind[0] == "[", items[1], kind[1] == "]")]
    return None


def _is_same_piece(a: Piece, b: Piece) -> bool:
    return a[1] == b[1] and a[3] == b[3] and is_same(a[0], b[0]) and is_same(a[2], b[2])


def measure(end: Node) -> Number:
    """Returns the approximate value of a real number; raises Unreadable if it is none."""
    evaluator = Evaluator(60, {})
    try:
        value = evaluator.approximate(evaluator.evaluate(end))
    except Undefined as error:
        raise Unreadable("an end") from error
    require(not isinstance(value, evaluator.math.mpc), "an end that is not real")
    return value


def _merge_pieces(pieces: list[Piece]) -> list[Piece]:
    """Returns pieces in order, and joined where they touch; unchanged if an end contains a symbol."""
    if any(list_symbols(end) for piece in pieces for end in (piece[0], piece[2])):
        return pieces
    measured = sorted(((measure(piece[0]), not piece[1], measure(piece[2]), piece) for piece in pieces), key=lambda x: x[:3])
    merged: list[list] = []
    for low, opens, high, piece in measured:
        if low > high or (low == high and (opens or not piece[3])):
            raise Unreadable("an interval without numbers")
        if merged:
            last_high, last = merged[-1]
            if low < last_high or (is_same(last[2], piece[0]) and (last[3] or piece[1])):
                if high > last_high or (high == last_high and piece[3]):
                    merged[-1] = [high, (last[0], last[1], piece[2], piece[3])]
                continue
        merged.append([high, piece])
    return [piece for _, piece in merged]


def _subtract(whole: list[Piece], removed: list[Piece]) -> list[Piece]:
    for low, low_closed, high, high_closed in removed:
        below, above = (EVERYTHING[0][0], False, low, not low_closed), (high, not high_closed, EVERYTHING[0][2], False)
        whole = [_intersect(piece, side) for piece in whole for side in (below, above)]
    return [piece for piece in whole if _holds_any(piece)]


def _holds_any(piece: Piece) -> bool:
    low, high = measure(piece[0]), measure(piece[2])
    return low < high or (low == high and piece[1] and piece[3])


def _intersect(a: Piece, b: Piece) -> Piece:
    """Returns what two pieces share; it may be empty, with its low end above its high one."""
    low, low_closed = max((a[:2], b[:2]), key=lambda end: (measure(end[0]), not end[1]))
    high, high_closed = min((a[2:], b[2:]), key=lambda end: (measure(end[0]), end[1]))
    return low, low_closed, high, high_closed
