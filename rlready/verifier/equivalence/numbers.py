r"""The value of an expression at one point of its symbols: a fraction where possible, else a number of many digits.

Nothing here is unbounded: powers, factorials, sums and digits have limits, beyond which an expression is `Unreadable`.
"""

import math
import random
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeAlias

from rlready.verifier.equivalence.expression import Node, Unreadable

Number: TypeAlias = Any  # a Fraction, or mpmath's mpf or mpc, for which there are no types

MOST_BITS = 60_000  # of an exact power
LARGEST_FRACTION = 400_000  # bits of an exact sum, product or quotient
MOST_DIGITS = 6_000  # of a number that is not exact
MOST_TERMS = 2_000  # of all sums and products of an expression together
MOST_COUNT = 5_000  # whose factorial is computed exactly
LARGEST_EXPONENT = 10**6
LARGEST_RESULT = 10**7  # bits before the point
SLOW_DIGITS = 2_000  # to which a factorial of no integer is computed
TRIGONOMETRIC = {"sin", "cos", "tan", "cot", "sec", "csc"}
NAMES = {
    "cis": "expj",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arccot": "acot",
    "arcsec": "asec",
    "arccsc": "acsc",
}


class Undefined(Exception):
    """An expression has no value at a point: a division by zero, or a result that is not real where only reals count."""


@lru_cache(1)
def open_context() -> Any:
    """Returns mpmath's numbers, apart from those that sympy uses and not loaded where nothing needs them."""
    import mpmath

    return mpmath.MPContext()


class Evaluator:
    """Computes expressions at one point.

    Attributes:
        digits: To which numbers that are not exact are computed.
        needed: Digits that would show every term that was lost beside a larger one, and every exact number whole.
    """

    def __init__(self, digits: int, point: dict[str, Fraction], real: bool = False, base: str = "e"):
        """Sets the point.

        Args:
            digits: To which numbers that are not exact are computed.
            point: Value of each symbol.
            real: Whether a result that is not real is `Undefined`.
            base: That of a logarithm written without one: `e` or `10`.
        """
        self.math = open_context()
        self.math.dps = self.digits = self.needed = digits
        self.point: dict[str, Number] = dict(point)
        self.real = real
        self.base = base
        self.terms = 0

    def evaluate(self, node: Node) -> Number:
        """Returns a Fraction, mpf or mpc.

        Raises:
            Undefined: If there is none.
            Unreadable: If it is too large, or of a kind that is not known.
        """
        match node.op:
            case "num":
                return node.args[0]
            case "sym":
                return self.point[node.args[0]]
            case "const":
                return self._get_constant(node.args[0])
            case "neg":
                return -self.evaluate(node.args[0])
            case "deg":
                return self._multiply(self.evaluate(node.args[0]), self.math.pi / 180)
            case "+":
                value = self.evaluate(node.args[0])
                for term in node.args[1:]:
                    value = self._add(value, self.evaluate(term))
                return value
            case "*":
                return self._multiply(*map(self.evaluate, node.args))
            case "/":
                return self.divide(*map(self.evaluate, node.args))
            case "^":
                return self._check(self._power(*map(self.evaluate, node.args)))
            case "call":
                return self._check(self._call(node.args[0], [self.evaluate(argument) for argument in node.args[1:]]))
        return self._accumulate(node)

    def approximate(self, number: Number) -> Number:
        """Returns a number as one of `digits` digits, and notes how many an exact one would need."""
        if not isinstance(number, Fraction):
            return number
        size = max(number.numerator.bit_length(), number.denominator.bit_length())
        self.needed = max(self.needed, int(size * 0.61) + 40 if size > 64 else 0)
        return self.math.mpf(number.numerator) / number.denominator

    def _check(self, value: Number) -> Number:
        if isinstance(value, Fraction):
            return value
        if not self.math.isfinite(value):
            raise Undefined
        if isinstance(value, self.math.mpc):
            if value.imag == 0:
                return value.real
            if self.real:
                raise Undefined
        return value

    def _get_constant(self, name: str) -> Number:
        if name == "inf":
            return self.math.inf
        if name == "base":
            return Fraction(10) if self.base == "10" else +self.math.e
        return {"pi": +self.math.pi, "e": +self.math.e, "i": self.math.mpc(0, 1)}[name]

    def _add(self, a: Number, b: Number) -> Number:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return limit_size(a + b)
        a, b = self._approximate_both(a, b)
        if a and b:
            gap = abs(self.math.mag(a) - self.math.mag(b)) * 0.30103
            if gap > self.digits - 10:
                self.needed = max(self.needed, int(gap) + 40)
        return a + b

    def _approximate_both(self, a: Number, b: Number) -> tuple[Number, Number]:
        a, b = self.approximate(a), self.approximate(b)
        if self.math.isinf(a) or self.math.isinf(b):
            raise Unreadable("arithmetic with infinity")
        return a, b

    def _multiply(self, a: Number, b: Number) -> Number:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return limit_size(a * b)
        a, b = self._approximate_both(a, b)
        return a * b

    def divide(self, a: Number, b: Number) -> Number:
        """Returns a quotient; raises Undefined where there is none."""
        if b == 0:
            raise Undefined
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return limit_size(a / b)
        a, b = self._approximate_both(a, b)
        return a / b

    def _power(self, base: Number, exponent: Number) -> Number:
        if base == 0 and (isinstance(exponent, self.math.mpc) or exponent <= 0):
            raise Undefined
        if isinstance(base, Fraction) and isinstance(exponent, Fraction):
            size = max(base.numerator.bit_length(), base.denominator.bit_length())
            if exponent.denominator == 1 and size * abs(exponent) < MOST_BITS:
                return base ** int(exponent)
            if 1 < exponent.denominator <= 10 and base > 0 and (root := find_root(base, exponent.denominator)):
                return self._power(root, Fraction(exponent.numerator))
        base, exponent = self._approximate_both(base, exponent)
        if abs(exponent) > LARGEST_EXPONENT or (base and abs(self.math.mag(base) * exponent) > LARGEST_RESULT):
            raise Unreadable("a power too large")
        return self.math.power(base, exponent)

    def _call(self, name: str, values: list[Number]) -> Number:
        if name.startswith("unknown "):
            return self._call_unknown(name, values)
        if name in ("max", "min", "gcd", "lcm"):
            return self._choose(name, values)
        value = values[0]
        match name:
            case "root":
                return self._take_root(*values)
            case "abs":
                return abs(value)
            case "floor" | "ceil":
                return self._round(value, name)
            case "factorial":
                return self._factorial(value)
            case "binomial":
                return self._choose_subset(*values)
            case "log":
                if value == 0 or values[1] in (0, 1):
                    raise Undefined
                number, base = self._approximate_both(*values)
                return self.math.log(number) / self.math.log(base)
        if value == 0 and name in ("cot", "csc", "coth", "arcsec", "arccsc"):
            raise Undefined
        value, _ = self._approximate_both(value, Fraction(0))
        if value and self.math.mag(value) > (24 if name in ("exp", "sinh", "cosh", "tanh", "coth") else 100_000):
            raise Unreadable("an argument too large")
        if name in ("tanh", "coth"):
            up, down = self.math.exp(value), self.math.exp(-value)
            signs = (self._add(up, -down), self._add(up, down))
            return self.divide(*signs) if name == "tanh" else self.divide(*signs[::-1])
        return getattr(self.math, NAMES.get(name, name))(value)

    def _take_root(self, value: Number, degree: Number) -> Number:
        if not isinstance(degree, Fraction) or degree == 0:
            return self._power(value, self.divide(Fraction(1), degree))
        if isinstance(value, Fraction) and value < 0 and degree % 2 == 1:
            return -self._power(-value, 1 / degree)
        if not isinstance(value, Fraction | self.math.mpc) and value < 0 and degree % 2 == 1:
            return -self._power(-value, 1 / degree)
        return self._power(value, 1 / degree)

    def _round(self, value: Number, name: str) -> Fraction:
        if not isinstance(value, Fraction):
            if isinstance(value, self.math.mpc) or self.math.mag(value) > self.digits:
                raise Unreadable("the floor of such a number")
            nearest = self.math.nint(value)
            if abs(value - nearest) < self.math.mpf(10) ** (-self.digits // 2):
                return Fraction(int(nearest))
            return Fraction(int(self.math.floor(value) if name == "floor" else self.math.ceil(value)))
        return Fraction(math.floor(value) if name == "floor" else math.ceil(value))

    def _factorial(self, value: Number) -> Number:
        if is_count(value):
            return Fraction(math.factorial(int(value)))
        if isinstance(value, Fraction) and value.denominator == 1 and value < 0:
            raise Undefined
        if abs(value) > LARGEST_EXPONENT or self.digits > SLOW_DIGITS:
            raise Unreadable("a factorial too large")
        return self.math.factorial(self.approximate(value))

    def _choose_subset(self, top: Number, bottom: Number) -> Number:
        if is_count(top) and is_count(bottom):
            return Fraction(math.comb(int(top), int(bottom)))
        if max(abs(top), abs(bottom)) > LARGEST_EXPONENT or self.digits > SLOW_DIGITS:
            raise Unreadable("a binomial too large")
        return self.math.binomial(self.approximate(top), self.approximate(bottom))

    def _choose(self, name: str, values: list[Number]) -> Number:
        if not all(isinstance(value, Fraction) for value in values):
            values = [self.approximate(value) for value in values]
            if name in ("gcd", "lcm") or any(isinstance(value, self.math.mpc) for value in values):
                raise Unreadable(name)
        if name in ("max", "min"):
            return {"max": max, "min": min}[name](values)
        if any(value.denominator != 1 for value in values):
            raise Unreadable(name)
        return Fraction({"gcd": math.gcd, "lcm": math.lcm}[name](*map(int, values)))

    def _call_unknown(self, name: str, values: list[Number]) -> Number:
        """Returns the value of a function that nothing is known of: one that differs for other names and arguments."""
        draw = random.Random(f"{name} {len(values)}")
        total = Fraction(draw.randint(1, 999), 1000)
        for value in values:
            for term in (value, self._multiply(value, value), self._multiply(total, value)):
                total = self._add(total, self._multiply(Fraction(draw.randint(1, 999), 1000), term))
        return total

    def _accumulate(self, node: Node) -> Number:
        """Returns a sum or product over integers; over others, a value that only the same limits and terms have."""
        variable, first, last, term = node.args
        low, high = self.evaluate(first), self.evaluate(last)
        outside = self.point.get(variable)
        if is_count(low) and is_count(high):
            self.terms += max(0, int(high - low) + 1)
            if self.terms > MOST_TERMS:
                raise Unreadable("a sum too long")
            total = Fraction(node.op == "prod")
            for index in range(int(low), int(high) + 1):
                self.point[variable] = Fraction(index)
                value = self.evaluate(term)
                total = self._multiply(total, value) if node.op == "prod" else self._add(total, value)
        else:
            draw, terms = random.Random(node.op), [low, Fraction(7, 5) if high == self.math.inf else high]
            for _ in range(3):
                self.point[variable] = Fraction(draw.randint(1, 999), 1000)
                terms.append(self.evaluate(term))
            total = self._call_unknown(f"{node.op} {high == self.math.inf}", terms)
        self.point[variable] = outside
        return total


def limit_size(value: Fraction) -> Fraction:
    """Returns a fraction, or raises Unreadable for one of too many digits."""
    if value.numerator.bit_length() + value.denominator.bit_length() > LARGEST_FRACTION:
        raise Unreadable("a fraction too large")
    return value


def is_count(value: Number) -> bool:
    """Returns True if a number is an integer from 0 to `MOST_COUNT`."""
    return isinstance(value, Fraction) and value.denominator == 1 and 0 <= value <= MOST_COUNT


def find_root(value: Fraction, degree: int) -> Fraction | None:
    """Returns the root of a positive fraction where that is a fraction, or None."""
    parts = []
    for part in (value.numerator, value.denominator):
        if part.bit_length() > MOST_BITS:
            return None
        root = math.isqrt(part) if degree == 2 else round_root(part, degree)
        if root**degree != part:
            return None
        parts.append(root)
    return Fraction(*parts)


def round_root(number: int, degree: int) -> int:
    """Returns the largest integer whose power is at most a positive number, by Newton's method."""
    root = 1 << -(-number.bit_length() // degree)
    while (closer := ((degree - 1) * root + number // root ** (degree - 1)) // degree) < root:
        root = closer
    return root
