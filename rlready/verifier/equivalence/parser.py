r"""A parser of arithmetic, by recursive descent: tokens become a tree."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from rlready.verifier.equivalence.tokens import FUNCTIONS

LONG = 6  # decimals and digits from which a decimal number equals any value that rounds to it
INVERSE = {name: f"arc{name}" for name in ["sin", "cos", "tan", "cot", "sec", "csc"]}
# Commands that begin no factor.
NO_FACTOR = set(re.findall(r"\S+", r"\cdot \times \div \} \rangle \rfloor \rceil \% \\ \choose \over \cup \cap"))
UNKNOWN_FUNCTIONS = {"f", "g"}  # these are applied to a bracket that follows; any other letter is multiplied by it
CONSTANTS = {"@pi": "pi", "\\pi": "pi", "\\infty": "inf", "e": "e", "i": "i"}
ALONE = {"(": ")", "[": "]", "{": "}"}
PROPER = re.compile(r"\\frac(?:\{(\d+)\}\{(\d+)\}|(\d)(\d)(?!\d)|\{(\d+)\}(\d)|(\d)\{(\d+)\})")


class Unreadable(Exception):
    """The exact check cannot read a text."""


def require(condition: object, what: str) -> None:
    """Raises Unreadable unless a condition holds; names what would be unreadable."""
    if not condition:
        raise Unreadable(what)


class Node(NamedTuple):
    """A part of an expression."""

    op: str  # num, sym, const, +, neg, *, /, ^, deg, call, sum or prod
    # Nodes; for num its value and its number of decimals (None unless it is a long decimal), for sym and const a name, for
    # call a name and nodes, for sum and prod (variable, first, last, term).
    args: tuple

    @property
    def kind(self) -> str:
        """The kind of value, as a `parts.Group` has."""
        return "number"

    @property
    def items(self) -> tuple[Any, ...]:
        """The parts, as a `parts.Group` has."""
        return ()


DOTS = Node("sym", ("\\ldots",))  # what is left out, the same in both answers


def make_number(text: str) -> Node:
    """Reads digits with a point, grouping commas, an exponent (`1.5e-3`) or repeating decimals (`0.1(6)`)."""
    digits, _, exponent = text.replace(",", "").lower().partition("e")
    whole, _, repeated = digits.rstrip(")").partition("(")
    _, _, decimals = whole.partition(".")
    # Reading a whole number as a fraction's text takes five times as long.
    value = Fraction(int(whole) if whole.isdecimal() else whole if whole not in ("", ".") else 0)
    if repeated:
        value += Fraction(int(repeated), (10 ** len(repeated) - 1) * 10 ** len(decimals))
    long = len(decimals) >= LONG and len(whole.replace(".", "").lstrip("0")) >= LONG and not repeated and not exponent
    if exponent:
        value *= Fraction(10) ** int(exponent)
    return Node("num", (value, len(decimals) if long else None))


MINUS_ONE = Node("neg", (make_number("1"),))
HUNDRED = make_number("100")


def parse(tokens: list[str]) -> Node:
    """Reads tokens as one expression; raises Unreadable if any of them is left."""
    parser = _Parser(tokens)
    tree = parser.read_whole()
    require(not parser.tokens, "what is left")
    return tree


class _Parser:
    def __init__(self, tokens: list[str]):
        self.tokens = tokens[::-1]
        self.bars = 0  # absolute values that are open
        self.bound: list[str] = []  # variables of sums around

    def read_sum(self) -> Node:
        terms = [self._read_product()]
        while self._peek() in ("+", "-"):
            terms.append(self._read_signed(self._read_product))
        return terms[0] if len(terms) == 1 else Node("+", tuple(terms))

    def read_whole(self) -> Node:
        """Reads a sum, or one over another with `\\choose` or `\\over`."""
        value = self.read_sum()
        if self._peek() not in ("\\choose", "\\over"):
            return value
        name, below = self.tokens.pop(), self.read_sum()
        return Node("call", ("binomial", value, below)) if name == "\\choose" else Node("/", (value, below))

    def _peek(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def _skip(self, token: str) -> bool:
        """Takes the next token if it is this one, and returns whether it was."""
        found = self._peek() == token
        if found:
            self.tokens.pop()
        return found

    def _take(self, token: str) -> None:
        require(self._skip(token), f"no {token}")

    def _read_signed(self, read: Callable[[], Node]) -> Node:
        negative = self.tokens.pop() == "-"
        value = read()
        return Node("neg", (value,)) if negative else value

    def _read_product(self, argument: bool = False) -> Node:
        """Reads factors; a function's argument ends at a sign of multiplication or another function."""
        if self._peek() in ("+", "-"):
            return self._read_signed(lambda: self._read_product(argument))
        first = self._peek()
        value = self._read_power()
        while token := self._peek():
            if token in ("*", "\\cdot", "\\times", "/", "\\div") and not argument:
                require(self.tokens.pop() != "\\times" or not first.startswith("@vec"), "a cross product")
                negative = self._skip("-")
                first = self._peek()
                right = self._read_power()
                value = Node("/" if token in ("/", "\\div") else "*", (value, right))
                value = Node("neg", (value,)) if negative else value
            elif self._starts_factor(token, first, value) and not (argument and token.lstrip("\\") in FUNCTIONS):
                first = token
                value = Node("*", (value, self._read_power()))
            else:
                break
        return value

    def _starts_factor(self, token: str, before: str, value: Node) -> bool:
        if token[0].isdigit() or token[0] == ".":
            # Two numbers side by side are not a product: `1 000`, `2 3`; nor is `x2`, which may be one of three things.
            raised = self.tokens[-2:-1] == ["^"] and not before[:1].isdigit()
            factor = value.args[1] if value.op == "*" else value
            imaginary = before == "i" and before not in self.bound
            return before in ALONE or raised or imaginary or (factor.op == "call" and factor.args[0] == "factorial")
        if token == "|":
            return self.bars == 0
        return token in ALONE or token[0] in "@`" or token.isalpha() or (token[0] == "\\" and token not in NO_FACTOR)

    def _read_power(self) -> Node:
        value = self._read_atom()
        raised = False
        while self._peek() in ("^", "!", "°"):
            token = self.tokens.pop()
            if token == "!":
                require(self._peek() != "!", "a double factorial")
                value = Node("call", ("factorial", value))
            elif token == "°":
                value = Node("deg", (value,))
            elif raised:
                raise Unreadable("a power of a power")
            else:
                value, raised = Node("^", (value, self._read_argument(whole=True))), True
        return value

    def _read_argument(self, whole: bool = False) -> Node:
        """Reads a command's argument: a group, or one digit or symbol."""
        token = self._peek()
        if token in ("-", "+") and whole:
            return self._read_signed(lambda: self._read_argument(whole))
        if token[:1].isdigit():
            self.tokens.pop()
            if not whole and token[1:]:
                self.tokens.append(token[1:])
            return make_number(token if whole else token[0])
        return self._read_atom()

    def _read_group(self, close: str) -> Node:
        bars, self.bars = self.bars, 0
        value = self.read_whole()
        self._take(close)
        self.bars = bars
        return value

    def _read_atom(self) -> Node:
        require(self.tokens, "the end")
        token = self.tokens.pop()
        if token[0].isdigit() or (token[0] == "." and len(token) > 1):
            return self._read_number(token)
        if token in ALONE:
            return self._read_group(ALONE[token])
        if token == "|":
            self.bars += 1
            value = self.read_sum()
            self._take("|")
            self.bars -= 1
            return Node("call", ("abs", value))
        if token in ("\\lfloor", "\\lceil"):
            return Node("call", (token[2:], self._read_group("\\r" + token[2:])))
        if token == "\\frac":
            return Node("/", (self._read_argument(), self._read_argument()))
        if token == "\\binom":
            return Node("call", ("binomial", self._read_argument(), self._read_argument()))
        if token == "\\sqrt":
            bracketed = self._skip("[") and not self._skip("]")
            degree = self._read_group("]") if bracketed else make_number("2")
            return Node("call", ("root", self._read_argument(), degree))
        if token in ("\\sum", "\\prod"):
            return self._read_big_operator(token[1:])
        name = token.lstrip("\\@`")
        if token[0] == "\\" and name in FUNCTIONS:
            return self._read_function(name)
        if name in ("max", "min", "gcd", "lcm") and self._peek() in ("(", "{", "\\{"):
            return self._read_call(name)
        if token == "\\ldots":
            return DOTS
        if token in CONSTANTS and token not in self.bound:
            return Node("const", (CONSTANTS[token],))
        if token[0] in "@`" or token.isalpha() or token in ("\\max", "\\min"):
            if (token in UNKNOWN_FUNCTIONS or re.match(r"@[fg][_']", token)) and self._peek() == "(":
                return self._read_call(name)
            if token in ("\\max", "\\min"):
                name += " " + self.tokens.pop() if self.tokens else ""
            index = next((index for index in self.bound if re.search(rf"_.*{re.escape(index)}", name)), None)
            if index:
                stem, _, subscript = name.partition("_")
                return Node("call", (f"unknown {stem}_{subscript.replace(index, '#')}", Node("sym", (index,))))
            return Node("sym", (name,))
        raise Unreadable(token)

    def _read_call(self, name: str) -> Node:
        close = {"(": ")", "{": "}", "\\{": "\\}"}[self.tokens.pop()]
        arguments = [self.read_sum()]
        while self._skip(","):
            arguments.append(self.read_sum())
        self._take(close)
        return Node("call", (name if name in ("max", "min", "gcd", "lcm") else f"unknown {name}", *arguments))

    def _read_number(self, token: str) -> Node:
        """Reads a number, or a mixed one: `2\\frac{1}{2}`, `2 1/2`."""
        value, following = make_number(token), self._peek()
        if not token.isdigit():
            return value
        if following[:1].isdigit():
            parts = [self.tokens.pop() for _ in range(min(3, len(self.tokens)))]
            if len(parts) < 3 or parts[1] != "/" or not (parts[0] + parts[2]).isdigit() or int(parts[0]) >= int(parts[2]):
                raise Unreadable("two numbers side by side")
            return Node("+", (value, Node("num", (Fraction(int(parts[0]), int(parts[2])), None))))
        if following == "\\frac" and (proper := PROPER.match("".join(self.tokens[-1:-13:-1]))):
            top, bottom = (int(digits) for digits in proper.groups() if digits)
            require(top < bottom, "a mixed number or a product")
            return Node("+", (value, self._read_atom()))
        return value

    def _read_function(self, name: str) -> Node:
        power = base = None
        while self._peek() in ("^", "_"):
            if self.tokens.pop() == "^":
                power = self._read_argument(whole=True)
            else:
                # `\log_49` has base 4, as LaTeX sets it; but `\log_10 x` is meant to have base 10.
                base = self._read_argument(whole=len(self.tokens) > 1)
        argument = self._read_atom() if self._peek() in ALONE else self._read_product(argument=True)
        if name in ("log", "lg", "ln"):
            bases = {"lg": make_number("10"), "ln": Node("const", ("e",)), "log": Node("const", ("base",))}
            call = Node("call", ("log", argument, bases[name] if base is None else base))
        elif base is not None:
            raise Unreadable("a function with a subscript")
        elif power == MINUS_ONE and name in INVERSE:
            return Node("call", (INVERSE[name], argument))
        else:
            call = Node("call", (name, argument))
        return call if power is None else Node("^", (call, power))

    def _read_big_operator(self, name: str) -> Node:
        r"""Reads `\sum_{k=1}^{n} term`; the term ends at a plus or minus."""
        first = last = None
        variable = ""
        for _ in range(2):
            mark = self.tokens.pop() if self.tokens else ""
            if mark == "_" and self.tokens[-1:] == ["{"] and self.tokens[-3:-2] == ["="]:
                self.tokens.pop()
                variable = self.tokens.pop().lstrip("@")
                self.tokens.pop()
                first = self._read_group("}")
            elif mark == "^":
                last = self._read_argument(whole=True)
        if first is None or last is None:
            raise Unreadable("a sum without limits")
        self.bound.append(variable)
        term = self._read_product()
        self.bound.pop()
        return Node(name, (variable, first, last, term))
