"""The value of an expression at one point of its symbols: a fraction if possible, else a number of many digits.

Everything is bounded: beyond the limits of powers, factorials, sums and digits an expression is `Unreadable`.
"""

import functools
import math
import operator
import random
from fractions import Fraction
from typing import Any, TypeAlias

from rlready.verifier.equivalence.parser import Node, Unreadable, require

Number: TypeAlias = Any  # a Fraction, or mpmath's mpf or mpc, which have no types
MOST_BITS = 60_000  # of an exact power
LARGEST_FRACTION = 400_000  # bits of an exact sum, product or quotient
MOST_DIGITS = 6_000  # of a number that is not exact
MOST_TERMS = 2_000  # of all sums and products of an expression together
MOST_COUNT = 5_000  # whose factorial is computed exactly
LARGEST_EXPONENT = 10**6
LARGEST_RESULT = 10**7  # bits before the point
SLOW_DIGITS = 2_000  # to which a factorial of no integer is computed


class Undefined(Exception):
    """An expression has no value at a point: a division by zero, or a result that is not real although it has to be."""


@functools.cache
def open_context() -> Any:
    """Returns an mpmath context of our own, since sympy changes the global one; imported only when needed."""
    import mpmath

    return mpmath.MPContext()


class Evaluator:
    """Computes expressions at one point.

    Attributes:
        digits: Number of digits of numbers that are not exact.
        point: Value of each symbol.
        real: Whether a result that is not real is `Undefined`.
        base: Base of a logarithm written without one: `e` or `10`.
        needed: Number of digits that would show every term that was lost in a sum, and every exact number in full.
    """

    def __init__(self, digits: int, point: dict[str, Fraction], real: bool = False, base: str = "e"):
        self.math = open_context()
        self.math.dps = self.digits = self.needed = digits
        self.point: dict[str, Number] = dict(point)
        self.real, self.base, self.terms = real, base, 0

    def evaluate(self, node: Node) -> Number:
        """Returns a Fraction, mpf or mpc; raises Undefined if there is none, Unreadable if it is too large or unknown."""
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
                return functools.reduce(self._add, map(self.evaluate, node.args))
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
        """Returns a number rounded to `digits` digits, and updates `needed`."""
        if not isinstance(number, Fraction):
            return number
        size = max(number.numerator.bit_length(), number.denominator.bit_length())
        self.needed = max(self.needed, int(size * 0.61) + 40 if size > 64 else 0)
        return self.math.mpf(number.numerator) / number.denominator

    def _check(self, value: Number) -> Number:
        if isinstance(value, Fraction):
            return value
        value = value.real if isinstance(value, self.math.mpc) and value.imag == 0 else value
        if not self.math.isfinite(value) or (self.real and isinstance(value, self.math.mpc)):
            raise Undefined
        return value

    def _get_constant(self, name: str) -> Number:
        if name == "base":
            return Fraction(10) if self.base == "10" else +self.math.e
        return self.math.mpc(0, 1) if name == "i" else +getattr(self.math, name)

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
        exact = isinstance(a, Fraction) and isinstance(b, Fraction)
        return limit_size(a * b) if exact else operator.mul(*self._approximate_both(a, b))

    def divide(self, a: Number, b: Number) -> Number:
        """Returns a quotient; raises Undefined if the divisor is 0."""
        if b == 0:
            raise Undefined
        exact = isinstance(a, Fraction) and isinstance(b, Fraction)
        return limit_size(a / b) if exact else operator.truediv(*self._approximate_both(a, b))

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
            case "factorial" | "binomial":
                return self._count(name, values)
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
        return getattr(self.math, "expj" if name == "cis" else name.replace("arc", "a"))(value)

    def _take_root(self, value: Number, degree: Number) -> Number:
        if not isinstance(degree, Fraction) or degree == 0:
            return self._power(value, self.divide(Fraction(1), degree))
        if not isinstance(value, self.math.mpc) and value < 0 and degree % 2 == 1:
            return -self._power(-value, 1 / degree)
        return self._power(value, 1 / degree)

    def _round(self, value: Number, name: str) -> Fraction:
        if isinstance(value, Fraction):
            return Fraction(getattr(math, name)(value))
        if isinstance(value, self.math.mpc) or self.math.mag(value) > self.digits:
            raise Unreadable("the floor of such a number")
        nearest = self.math.nint(value)
        close = abs(value - nearest) < self.math.mpf(10) ** (-self.digits // 2)
        return Fraction(int(nearest if close else getattr(self.math, name)(value)))

    def _count(self, name: str, values: list[Number]) -> Number:
        if all(map(is_count, values)):
            return Fraction((math.factorial if name == "factorial" else math.comb)(*map(int, values)))
        if name == "factorial" and isinstance(values[0], Fraction) and values[0].denominator == 1 and values[0] < 0:
            raise Undefined
        if max(map(abs, values)) > LARGEST_EXPONENT or self.digits > SLOW_DIGITS:
            raise Unreadable(f"a {name} too large")
        return getattr(self.math, name)(*map(self.approximate, values))

    def _choose(self, name: str, values: list[Number]) -> Number:
        if not all(isinstance(value, Fraction) for value in values):
            values = [self.approximate(value) for value in values]
            if name in ("gcd", "lcm") or any(isinstance(value, self.math.mpc) for value in values):
                raise Unreadable(name)
        if name in ("max", "min"):
            return max(values) if name == "max" else min(values)
        require(all(value.denominator == 1 for value in values), name)
        return Fraction(getattr(math, name)(*map(int, values)))

    def _call_unknown(self, name: str, values: list[Number]) -> Number:
        """Returns a value for an unknown function, which differs for other names and arguments."""
        draw = random.Random(f"{name} {len(values)}")
        total = Fraction(draw.randint(1, 999), 1000)
        for value in values:
            for term in (value, self._multiply(value, value), self._multiply(total, value)):
                total = self._add(total, self._multiply(Fraction(draw.randint(1, 999), 1000), term))
        return total

    def _accumulate(self, node: Node) -> Number:
        """Returns a sum or product over integers; with other limits, a value that only the same limits and terms have."""
        variable, first, last, term = node.args
        low, high = self.evaluate(first), self.evaluate(last)
        outside = self.point.get(variable)
        if is_count(low) and is_count(high):
            self.terms += max(0, int(high - low) + 1)
            require(self.terms <= MOST_TERMS, "a sum too long")
            total, combine = Fraction(node.op == "prod"), self._multiply if node.op == "prod" else self._add
            for index in range(int(low), int(high) + 1):
                self.point[variable] = Fraction(index)
                total = combine(total, self.evaluate(term))
        else:
            draw, terms = random.Random(node.op), [low, Fraction(7, 5) if high == self.math.inf else high]
            for _ in range(3):
                self.point[variable] = Fraction(draw.randint(1, 999), 1000)
                terms.append(self.evaluate(term))
            total = self._call_unknown(f"{node.op} {high == self.math.inf}", terms)
        self.point[variable] = outside
        return total


def limit_size(value: Fraction) -> Fraction:
    """Returns a fraction, or raises Unreadable if it has too many digits."""
    if value.numerator.bit_length() + value.denominator.bit_length() > LARGEST_FRACTION:
        raise Unreadable("a fraction too large")
    return value


def is_count(value: Number) -> bool:
    """Returns True if a number is an integer from 0 to `MOST_COUNT`."""
    return isinstance(value, Fraction) and value.denominator == 1 and 0 <= value <= MOST_COUNT


def find_root(value: Fraction, degree: int) -> Fraction | None:
    """Returns the root of a positive fraction if that is a fraction, or None."""
    parts = (value.numerator, value.denominator)
    if max(map(int.bit_length, parts)) > MOST_BITS:
        return None
    roots = [_round_root(part, degree) for part in parts]
    return Fraction(*roots) if all(root**degree == part for root, part in zip(roots, parts, strict=True)) else None


def _round_root(number: int, degree: int) -> int:
    """Returns the largest integer whose power is at most a positive number, by Newton's method."""
    root = math.isqrt(number) if degree == 2 else 1 << -(-number.bit_length() // degree)
    while (closer := ((degree - 1) * root + number // root ** (degree - 1)) // degree) < root:
        root = closer
    return root
