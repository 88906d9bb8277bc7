"""Whether two expressions have the same value: exactly, or to as many digits as needed, at random points of their symbols.

An identity of analytic functions that holds at a few random points holds everywhere (with a probability of about 1). If
functions jump or have kinks, more points are drawn, also far from zero.
"""

import random
from collections.abc import Iterator
from fractions import Fraction

from rlready.verifier.equivalence.evaluator import MOST_DIGITS, Evaluator, Number, Undefined
from rlready.verifier.equivalence.parser import Node, make_number, require

DIGITS = 50  # in the first evaluation
POINTS, TRIED = 3, 16  # points that must agree, and points that are tried, since an expression may be undefined at some
POINTS_OF_KINKS, TRIED_OF_KINKS = 40, 120
JUMPS = {"floor", "ceil", "gcd", "lcm"}
KINKS = {"abs", "max", "min"}
LONGEST_DECIMAL = 30  # digits after the point
TRANSCENDENTAL = {"exp", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log"}


def walk(node: Node) -> Iterator[Node]:
    """Yields a node and all nodes below it."""
    yield node
    for argument in node.args:
        if isinstance(argument, Node):
            yield from walk(argument)


def list_symbols(node: Node) -> set[str]:
    """Returns the names of the free symbols of an expression."""
    if node.op == "sym":
        return {node.args[0]}
    found = set().union(*(list_symbols(argument) for argument in node.args if isinstance(argument, Node)))
    return found - {node.args[0]} if node.op in ("sum", "prod") else found


def substitute(node: Node, values: dict[str, Node]) -> Node:
    """Returns an expression with values in the place of symbols."""
    if node.op == "sym":
        return values.get(node.args[0], node)
    return Node(node.op, tuple(substitute(part, values) if isinstance(part, Node) else part for part in node.args))


def is_same(a: Node, b: Node) -> bool:
    """Returns True if two expressions have the same value wherever both have one.

    A decimal number of at least six digits equals any value that rounds to it; a logarithm without a base is the natural or
    the common one; the constant of an integral may be `c` or `C`.
    """
    for rounded, exact in ((find_rounded(a), b), (find_rounded(b), a)):
        if rounded and not find_rounded(exact):
            return not list_symbols(exact) and _rounds_to(exact, *rounded)
    bare = any(part == Node("const", ("base",)) for node in (a, b) for part in walk(node))
    if any(_is_same_at_points(a, b, base) for base in (("e", "10") if bare else ("e",))):
        return True
    names = _match_constants(a, b)
    return bool(names) and _is_same_at_points(substitute(a, names), b, "e")


def find_rounded(node: Node) -> tuple[Fraction, int] | None:
    """Returns (value, decimals) of a decimal that is long enough to equal any value that rounds to it, or None."""
    if node.op == "neg" and (found := find_rounded(node.args[0])):
        return -found[0], found[1]
    return node.args if node.op == "num" and node.args[1] is not None else None


def _count_decimals(value: Fraction, most: int) -> int:
    """Returns the number of decimals of a number, at most `most`."""
    return next((decimals for decimals in range(most) if (value * 10**decimals).denominator == 1), most)


def is_rounded_from(reference: Node, exact: Node, least_decimals: int) -> bool:
    """Returns True if a decimal number of at least three digits is a rounded value that is not a finite decimal."""
    negative = reference.op == "neg"
    node = reference.args[0] if negative else reference
    if node.op != "num" or list_symbols(exact):
        return False
    value = node.args[0]
    decimals = _count_decimals(value, LONGEST_DECIMAL + 1)
    if not least_decimals <= decimals <= LONGEST_DECIMAL or value * 10**decimals < 100:
        return False
    try:
        number = Evaluator(DIGITS, {}).evaluate(exact)
    except Undefined:
        return False
    ends = isinstance(number, Fraction) and 10**LONGEST_DECIMAL % number.denominator == 0
    return not ends and _rounds_to(exact, -value if negative else value, decimals)


def is_near(value: Node, exact: Node) -> bool:
    """Returns True if a decimal number is an exact one rounded or truncated, or another number has its value."""
    node = value.args[0] if value.op == "neg" else value
    if node.op != "num":
        return is_same(value, exact)
    evaluator = Evaluator(2 * DIGITS, {})
    try:
        difference = evaluator.evaluate(Node("+", (value, Node("neg", (exact,)))))
    except Undefined:
        return False
    return bool(abs(evaluator.approximate(difference)) * 10 ** max(_count_decimals(node.args[0], DIGITS), 1) < 1)


def _rounds_to(exact: Node, value: Fraction, decimals: int) -> bool:
    evaluator = Evaluator(max(DIGITS, decimals + 20), {})
    number = evaluator.evaluate(exact)
    if isinstance(number, Fraction):
        return bool(abs(number - value) * 2 * 10**decimals <= 1)
    real = not (evaluator.math.isinf(number) or isinstance(number, evaluator.math.mpc))
    return bool(real and abs(number - evaluator.approximate(value)) * 2 * 10**decimals <= 1)


def _is_same_at_points(a: Node, b: Node, base: str) -> bool:
    symbols = sorted(list_symbols(a) | list_symbols(b))
    if not symbols:
        try:
            return _is_same_at(a, b, {}, False, base)
        except Undefined:
            return False
    nodes = [*walk(a), *walk(b)]
    called = {part.args[0] if part.op == "call" else part.op for part in nodes}
    kinks = not called.isdisjoint({*JUMPS, *KINKS, "root", "sum", "prod"})
    needed, tried = (POINTS_OF_KINKS, TRIED_OF_KINKS) if kinks else (POINTS, TRIED)
    complex_numbers = Node("const", ("i",)) in nodes
    for real in (False,) if complex_numbers else (True, False):
        agreed = 0
        for point in draw_points(symbols, nodes, tried):
            try:
                if not _is_same_at(a, b, point, real, base):
                    return False
            except Undefined:
                continue
            agreed += 1
            if agreed == needed:
                return True
        if agreed >= POINTS:
            return True
    return False


def draw_points(symbols: list[str], nodes: list[Node], number: int) -> Iterator[dict[str, Fraction]]:
    """Yields points: small positive ones, of either sign, below one, and as far out as the numbers in the expressions.

    A symbol that limits a sum is a positive integer.
    """
    limits = [part.args[place] for part in nodes if part.op in ("sum", "prod") for place in (1, 2)]
    counts = set().union(*map(list_symbols, limits))
    numbers = [abs(part.args[0]) for part in nodes if part.op == "num"]
    far = min(10**6, int(max(numbers, default=0)) * 2 + 3)
    for index in range(number):
        draw = random.Random(index)
        low, high = ((0.1, 3), (-3, 3), (0.02, 1), (-far, far))[index % 4]
        yield {
            name: Fraction(draw.randint(1, 30)) if name in counts else Fraction(round(draw.uniform(low, high) * 997) or 1, 997)
            for name in symbols
        }


def _is_same_at(a: Node, b: Node, point: dict[str, Fraction], real: bool, base: str) -> bool:
    """Compares two expressions at a point, twice: with more digits a difference by rounding shrinks, a true one does not."""
    digits = DIGITS
    differences: list[tuple[Number, Number]] = []
    while len(differences) < 2:
        evaluator = Evaluator(digits, point, real, base)
        x, y = evaluator.evaluate(a), evaluator.evaluate(b)
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return x == y
        x, y = evaluator.approximate(x), evaluator.approximate(y)
        if evaluator.math.isinf(x) or evaluator.math.isinf(y):
            return bool(x == y)
        if evaluator.needed > digits and not differences:
            digits = evaluator.needed
            require(digits <= MOST_DIGITS, "more digits than are computed")
            # A term that is lost again is zero but for rounding.
            evaluator = Evaluator(digits, point, real, base)
            x, y = (evaluator.approximate(evaluator.evaluate(node)) for node in (a, b))
        differences.append((abs(x - y), max(abs(x), abs(y))))
        digits *= 2
    (first, _), (second, scale) = differences
    tiny = evaluator.math.mpf(10) ** -(evaluator.digits - 15)
    shrinks = evaluator.math.mpf(10) ** -(evaluator.digits // 2 - 15)
    return bool(second <= scale * tiny or second <= first * shrinks)


def is_proportional(a: Node, b: Node, positive: bool) -> bool:
    """Returns True if one expression is a constant (`positive` or any but zero) times another at all points."""
    symbols, nodes = sorted(list_symbols(a) | list_symbols(b)), [*walk(a), *walk(b)]
    first, agreed = None, 0
    for point in draw_points(symbols, nodes, TRIED):
        evaluator = Evaluator(4 * DIGITS, point)
        try:
            x, y = evaluator.evaluate(a), evaluator.evaluate(b)
            ratio = evaluator.divide(x, y)
        except Undefined:
            continue
        if ratio == 0 or (positive and not ratio > 0):
            return False
        first, agreed = (ratio if first is None else first), agreed + 1
        if abs(evaluator.approximate(evaluator.divide(ratio, first)) - 1) > evaluator.math.mpf(10) ** (-3 * DIGITS):
            return False
        if agreed == POINTS or not symbols:
            return True
    return False


def is_solution(left: Node, right: Node, name: str, value: Node) -> bool:
    """Returns True if an equation, linear in a symbol, holds where the symbol has a value, and only there."""
    values = ({name: value}, {name: make_number("0")})
    holds, holds_at_zero = (is_same(substitute(left, one), substitute(right, one)) for one in values)
    return holds and not holds_at_zero and _is_linear(Node("+", (left, Node("neg", (right,)))), name)


def _match_constants(a: Node, b: Node) -> dict[str, Node]:
    """Returns the other spelling of an integral's constants (`c`, `C_1`), if they are linear beside functions of something."""
    ours, theirs = list_symbols(a) - list_symbols(b), list_symbols(b) - list_symbols(a)
    names = {name: name[0].swapcase() + name[1:] for name in ours}
    if not ours or set(names.values()) != theirs or any(name[0] not in "cC" for name in ours):
        return {}
    others = list_symbols(a) - ours
    functions = [part for part in walk(a) if (part.op == "call" and part.args[0] in TRANSCENDENTAL) or part.op == "^"]
    beside = any(list_symbols(part) & others for part in functions)
    matches = beside and all(_is_linear(a, name) for name in ours)
    return {ours: Node("sym", (theirs,)) for ours, theirs in names.items()} if matches else {}


def _is_linear(node: Node, name: str) -> bool:
    zero, one, two = (substitute(node, {name: make_number(number)}) for number in "012")
    return _is_same_at_points(Node("+", (zero, two)), Node("*", (make_number("2"), one)), "e")
