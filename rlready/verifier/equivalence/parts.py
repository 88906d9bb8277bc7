"""Values that are not numbers, sets of real numbers as pieces of the real line, and tokens split outside brackets."""

import itertools
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from rlready.verifier.equivalence.evaluator import Evaluator, Number, Undefined
from rlready.verifier.equivalence.identity import is_same, list_symbols
from rlready.verifier.equivalence.parser import Node, Unreadable, require

OPEN = ("(", "[", "{", "\\{", "\\langle", "\\lfloor", "\\lceil", "\\begin")
CLOSE = (")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil", "\\end")
DEPTHS = dict.fromkeys(OPEN, 1) | dict.fromkeys(CLOSE, -1)
INFINITY = Node("const", ("inf",))
Cut = tuple[Node, bool]  # the real line is cut before (False) or after (True) a number
Piece = tuple[Cut, Cut]  # what is between two cuts: `(1,2]` between the one after 1 and the one after 2
LEFT: Cut = (Node("neg", (INFINITY,)), True)
RIGHT: Cut = (INFINITY, False)
EVERYTHING = ((LEFT, RIGHT),)
Part = TypeVar("Part")


@dataclass(frozen=True)
class Group:
    """A value that is not a number."""

    # List, set, within, union, minus, common, matrix, row, unit, base, word, ratio, time, named, relation, equation, member,
    # class, false; two brackets for a tuple or an interval; or reals, as (their variable or None, pieces).
    kind: str
    items: tuple[Any, ...]  # its parts: values, and text that belongs to the kind


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
    return is_permutation(_merge_pieces(pieces), _merge_pieces(others), _is_same_piece)


def _is_same_piece(a: Piece, b: Piece) -> bool:
    return (a[0][1], a[1][1]) == (b[0][1], b[1][1]) and is_same(a[0][0], b[0][0]) and is_same(a[1][0], b[1][0])


def make_pieces(place: int, bounds: list[Node], marks: list[str]) -> tuple[Piece, ...] | None:
    """Returns the pieces of the solution of an inequality, its variable at a place."""
    before, after = (bounds[0], marks[0] != "≤"), (bounds[-1], marks[-1] == "≤")
    if marks == ["≠"]:
        return (LEFT, (bounds[0], False)), ((bounds[0], True), RIGHT)
    if len(marks) == 2:
        return ((before, after),) if place == 1 else None
    return ((LEFT, after),) if place == 0 else ((before, RIGHT),)


def mirror(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Returns the pieces of the solution if the variable is an absolute value."""
    require(len(pieces) == 1, "two excluded absolute values")
    low, high = pieces[0]
    below, above = ((Node("neg", cut[:1]), not cut[1]) for cut in (high, low))
    return ((below, high),) if low == LEFT else ((below, above), pieces[0])


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
    if kind in ("union", "common", "minus"):
        return _combine(kind, list(map(_list_pieces, items)))
    if len(kind) == 2 and len(items) == 2 and all(isinstance(item, Node) for item in items):
        return [((items[0], kind[0] == "("), (items[1], kind[1] == "]"))]
    named = kind == "named" and len(items[0].lstrip("@")) == 1
    numbers = items[-1:] if named else items
    if (named or kind == "set") and all(isinstance(number, Node) for number in numbers):
        return [((number, False), (number, True)) for number in numbers]
    return None


def _combine(kind: str, parts: list[list[Piece] | None]) -> list[Piece] | None:
    """Returns the union of sets, what they have in common, or the first without the second; None if that is unknown."""
    if kind != "common" and None in parts:
        return None
    first, *others = [pieces or [] for pieces in parts]
    for pieces in others:
        if kind == "union":
            first = first + pieces
        elif kind == "common":
            first = [_intersect(piece, other) for piece in first for other in pieces]
        else:
            for low, high in pieces:
                first = [_intersect(piece, side) for piece in first for side in ((LEFT, low), (high, RIGHT))]
    return first if kind == "union" else [piece for piece in first if _is_filled(piece)]


@lru_cache(1024)
def measure(end: Node) -> Number:
    """Returns the approximate value of a real number; raises Unreadable if it is none."""
    evaluator = Evaluator(60, {})
    try:
        value = evaluator.approximate(evaluator.evaluate(end))
    except Undefined as error:
        raise Unreadable("an end") from error
    require(not isinstance(value, evaluator.math.mpc), "an end that is not real")
    return value


def _measure_cut(cut: Cut) -> tuple[Number, bool]:
    return measure(cut[0]), cut[1]


def _is_filled(piece: Piece) -> bool:
    return _measure_cut(piece[0]) < _measure_cut(piece[1])


def _intersect(a: Piece, b: Piece) -> Piece:
    """Returns what two pieces share; it may be empty, with its low end above its high one."""
    return max(a[0], b[0], key=_measure_cut), min(a[1], b[1], key=_measure_cut)


def _merge_pieces(pieces: list[Piece]) -> list[Piece]:
    """Returns pieces in order, and joined where they touch; unchanged if an end contains a symbol."""
    if any(list_symbols(end) for piece in pieces for end, _ in piece):
        return pieces
    require(all(map(_is_filled, pieces)), "an interval without numbers")
    merged: list[Piece] = []
    for low, high in sorted(pieces, key=lambda piece: (_measure_cut(piece[0]), _measure_cut(piece[1]))):
        start, end = merged[-1] if merged else (low, low)
        touches = measure(low[0]) < measure(end[0]) or (is_same(end[0], low[0]) and (end[1] or not low[1]))
        if merged and touches:
            merged[-1] = start, max(end, high, key=_measure_cut)
        else:
            merged.append((low, high))
    return merged
