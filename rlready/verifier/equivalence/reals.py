"""Sets of real numbers (intervals, single numbers, unions and differences) in one form: lists of pieces."""

from rlready.verifier.equivalence.expression import Node, Unreadable
from rlready.verifier.equivalence.identity import is_same, list_symbols
from rlready.verifier.equivalence.numbers import Evaluator, Number, Undefined
from rlready.verifier.equivalence.parts import EVERYTHING, Value, is_permutation

Piece = tuple[Node, bool, Node, bool]  # low, whether it belongs to the piece, high, whether it does


def list_pieces(value: Value) -> list[Piece] | None:
    """Returns the pieces of a value that is a set of real numbers, or None for any other value."""
    kind, items = value.kind, value.items
    if kind == "reals":
        return list(items[1])
    if kind == "union":
        parts = [pieces for item in items if (pieces := list_pieces(item)) is not None]
        return sum(parts, []) if len(parts) == len(items) else None
    if kind == "common":
        common = [EVERYTHING[0]]
        for item in items:
            common = [_intersect(piece, other) for piece in common for other in list_pieces(item) or ()]
        return [piece for piece in common if _holds_any(piece)]
    if kind == "minus":
        whole, removed = map(list_pieces, items)
        return None if whole is None or removed is None else _subtract(whole, removed)
    if kind == "named" and isinstance(items[-1], Node) and len(items[0].lstrip("@")) == 1:
        return [(items[-1], True, items[-1], True)]
    if kind == "set" and all(isinstance(item, Node) for item in items):
        return [(item, True, item, True) for item in items]
    if len(kind) == 2 and len(items) == 2 and all(isinstance(item, Node) for item in items):
        return [(items[0], kind[0] == "[", items[1], kind[1] == "]")]
    return None


def is_same_set(a: list[Piece], b: list[Piece]) -> bool:
    """Returns True if two lists of pieces cover the same numbers."""
    a, b = _merge(a), _merge(b)
    return len(a) == len(b) and is_permutation(a, b, _is_same_piece)


def _is_same_piece(a: Piece, b: Piece) -> bool:
    return a[1] == b[1] and a[3] == b[3] and is_same(a[0], b[0]) and is_same(a[2], b[2])


def _measure(end: Node) -> Number:
    evaluator = Evaluator(60, {})
    try:
        value = evaluator.approximate(evaluator.evaluate(end))
    except Undefined as error:
        raise Unreadable("an end") from error
    if isinstance(value, evaluator.math.mpc):
        raise Unreadable("an end that is not real")
    return value


def _merge(pieces: list[Piece]) -> list[Piece]:
    """Returns pieces in order, and joined where they touch; unchanged if an end contains a symbol."""
    if any(list_symbols(end) for piece in pieces for end in (piece[0], piece[2])):
        return pieces
    measured = sorted(((_measure(piece[0]), not piece[1], _measure(piece[2]), piece) for piece in pieces), key=lambda x: x[:3])
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
    low, high = _measure(piece[0]), _measure(piece[2])
    return low < high or (low == high and piece[1] and piece[3])


def _intersect(a: Piece, b: Piece) -> Piece:
    """Returns what two pieces share; it may be empty, with its low end above its high one."""
    low, low_closed = max((a[:2], b[:2]), key=lambda end: (_measure(end[0]), not end[1]))
    high, high_closed = min((a[2:], b[2:]), key=lambda end: (_measure(end[0]), end[1]))
    return low, low_closed, high, high_closed
