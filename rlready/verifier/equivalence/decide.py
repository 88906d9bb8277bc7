"""The exact check: reads two LaTeX answers and compares them, without math-verify or its libraries.

Fractions are compared exactly, other numbers to as many digits as needed, symbols at random points; lists, sets, intervals,
equations, matrices, quantities and words by their structure. What it cannot read equals only the same text.
"""

import re
from functools import lru_cache

from rlready.verifier.equivalence.compare import drop_base, is_equal, normalise_value, solves
from rlready.verifier.equivalence.identity import JUMPS, KINKS, is_rounded_from, list_symbols, walk
from rlready.verifier.equivalence.parser import HUNDRED, Node, Unreadable, make_number
from rlready.verifier.equivalence.parts import Group, Value
from rlready.verifier.equivalence.reading import read
from rlready.verifier.equivalence.spelling import normalise, respell

PLAIN = re.compile(
    r"([-+]?)\s*(?:\\\$)?(?:\\frac\{(\d{1,60})\}\{(\d{1,60})\}|((?:[1-9]\d{0,2}(?:,\d{3}){1,2}|\d{1,60})?(?:\.\d{1,60})?)"
    r"(?:[eE]([-+]?\d{1,2})|/(\d{1,60}))?)"
)
PERCENT = (("%", 1),)
# Numbers or thousands: a list if the reference is a list, or has four parts or more; else one number.
GROUPED = re.compile(r"[1-9]\d{0,2}(,[1-9]\d\d)+")


def read_plain(text: str) -> Node | None:
    """Returns the value of a plain number such as `1,080`, `$3.50`, `-7/2`, `\\frac{1}{2}` or `2e-3`, or None."""
    match = PLAIN.fullmatch(respell(text))
    if not match or (match[2] is None and match[4] in ("", ".")):
        return None
    sign, top, bottom, digits, exponent, denominator = match.groups()
    bottom = bottom or denominator
    if bottom and int(bottom) == 0:
        return None
    value = make_number(top or digits + (f"e{exponent}" if exponent else ""))
    if bottom:
        value = Node("num", (value.args[0] / int(bottom), None))
    return Node("num", (-value.args[0], value.args[1])) if sign == "-" else value


def is_same_plain(a: Node, b: Node) -> bool:
    """Returns True if two plain numbers are equal; a long decimal equals what rounds to it."""
    (x, decimals), (y, others) = a.args, b.args
    if (decimals is None) != (others is None):
        return bool(abs(x - y) * 2 * 10 ** (decimals or others) <= 1)
    return bool(x == y)


@lru_cache(4096)
def understand(text: str) -> Value:
    """Returns the value of an answer; raises Unreadable if it has none of the known forms."""
    try:
        return normalise_value(read(text))
    except Exception as error:  # hostile text may raise anything
        raise Unreadable from error


def decide(found: str, reference: str) -> tuple[bool, str, bool]:
    """Compares an answer with a reference answer.

    Returns whether they are equal; what is unreadable (`reference`, `answer` or ""), so that only the same text is equal; and
    whether this is doubtful, because random points prove little: if a function jumps, or only one answer has kinks.
    """
    same = normalise(found) == normalise(reference) != ""
    values = []
    for name, text in (("reference", reference), ("answer", found)):
        try:
            values.append(understand(text))
        except Unreadable:
            return same, name, False
    if same:
        return True, "", False
    if values[0].kind == "list" or (reference.count(",") > 2 and GROUPED.fullmatch(reference)):
        for place, text in enumerate((reference, found)):
            if GROUPED.fullmatch(text):
                values[place] = Group("list", tuple(map(make_number, text.split(","))))
    expected, answer = values
    if expected.kind == "class" and len(expected.items) == 2 and isinstance(answer, Node):
        expected = expected.items[1]  # the modulus may be left out
    unnamed, given = (value.items[-1] if value.kind == "named" else value for value in (expected, answer))
    if given.kind == "unit" and given.items[1] == PERCENT and isinstance(unnamed, Node) and not _may_be_percentage(unnamed):
        given = Node("/", (given.items[0], HUNDRED))
        answer = Group("named", (*answer.items[:-1], given)) if answer.kind == "named" else given
    if unnamed.kind == "base" and isinstance(given, Node):  # the base of a reference may be left out
        expected = drop_base(expected)
        answer = Node("sym", (found,)) if re.fullmatch(r"\d*[A-F][\dA-F]*", found) else answer
    try:
        if expected.kind == "named" and expected.items[4] and answer.kind not in ("named", "relation"):
            # The equation of a curve is not a value: `x+y=7` is not 7, but may be `7-x`.
            left, value = expected.items[3], expected.items[-1]
            return left is not None and solves(answer, Group("relation", ("=", left, value))), "", False
        equal = is_equal(*_strip_names(answer, expected)) or _is_rounded(expected, answer)
    except Exception:
        # More digits, terms or brackets than are computed.
        return False, "answer", False
    if not equal or expected == answer:
        return equal, "", False  # the same tree needs no points
    kinks, jumps = ([_contains(value, calls) for value in values] for calls in (KINKS, JUMPS))
    return True, "", any(jumps) or any(kinks) != all(kinks)


def _may_be_percentage(reference: Node) -> bool:
    """Returns True if a percent sign may have been left out: of a decimal or mixed number, but not of a fraction or root."""
    written = reference.args[0] if reference.op == "neg" else reference
    numbers = all(part.op in ("num", "+", "/") for part in walk(written))
    return (numbers and written.op != "/") or bool(list_symbols(reference))


def _strip_names(a: Value, b: Value) -> tuple[Value, Value]:
    """Returns two values without their names if one name is in words and the other a symbol: `S=12`, `\\text{Area}=12`."""
    if a.kind == b.kind == "named":
        named = [(name, left, curve) for name, _, _, left, curve, _ in (a.items, b.items)]
        words = any(left is None and (name[0] == "(" or (name.isalpha() and len(name) > 3)) for name, left, _ in named)
        if words and any(left is not None and not curve for _, left, curve in named):
            return a.items[-1], b.items[-1]
    return a, b


def _is_rounded(reference: Value, found: Value) -> bool:
    """Returns True if a reference answer is a decimal number that the exact value of an answer rounds to.

    The reference must have at least three digits and two decimals, and the value must not be a finite decimal. An answer that
    is a rounded reference is not right: it was asked for exactly.
    """
    unit: tuple[tuple[str, int], ...] = ()
    if reference.kind == "unit":
        reference, unit, _ = reference.items
    if found.kind == "unit":
        found, other, _ = found.items
        if unit and other != unit:
            return False
    elif unit == PERCENT and isinstance(found, Node):
        found = Node("*", (found, HUNDRED))
    if found.kind == "named":
        found = found.items[-1]
    if found.kind == "ratio" and len(found.items) == 2:
        found = Node("/", found.items)
    decimals = 1 if unit == PERCENT else 2
    return isinstance(reference, Node) and isinstance(found, Node) and is_rounded_from(reference, found, decimals)


def _contains(value: object, calls: set[str]) -> bool:
    """Returns True if a value contains one of the functions, of a symbol."""
    if isinstance(value, Node):
        return any(part.op == "call" and part.args[0] in calls and list_symbols(part) for part in walk(value))
    parts = value.items[-1:] if isinstance(value, Group) and value.kind == "named" else getattr(value, "items", value)
    return isinstance(parts, tuple) and any(_contains(part, calls) for part in parts)
