"""Whether two LaTeX answers mean the same: the second check of the verifier, which shares no code with math-verify.

It reads LaTeX into exact fractions, or numbers of 250 digits with random values for the symbols, and compares tuples, sets,
intervals, matrices, equations, units and words by their structure. What it cannot read is equal only to the same text.
"""

import math
import random
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

SIGNIFICANT = 6  # decimals and digits from which a decimal number stands for any value that rounds to it
DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d{1,60})?(?:\.\d{1,60})?"
NUMBER = re.compile(rf"([-+]?)({DIGITS})(?:(?:[eE]|\*10\^)\{{?([-+]?\d{{1,2}})\}}?|/([-+]?{DIGITS}))?")
FRACTION = re.compile(r"^([-+]?)\\frac\{(\d+)\}\{(\d+)\}$")
SPACE = re.compile(r"(?<!\\)\\[,;:!> ]|\\q?quad\b|~|\s")
TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox|hbox)\s*\{([^{}]*)\}")
SAME = {"\\left": "", "\\right": "", "\\displaystyle": "", "\\leq": "\\le", "\\geq": "\\ge", "\\neq": "\\ne"}
SAME |= {"\\dfrac": "\\frac", "\\tfrac": "\\frac", "\\cfrac": "\\frac", "\\degree": "^\\circ"}
SAME |= {"\\leqslant": "\\le", "\\geqslant": "\\ge"}


def normalise(text: str) -> str:
    """Returns LaTeX without what changes only its looks, so that equal strings mean the same answer."""
    text = re.sub(r"(?<=\d)(?:\s|~|\\[ ;:>]|\\q?quad\b|\\,(?!\d{3}))+(?=\d)", "␣", text)
    text = re.sub(r"\\[a-zA-Z]+", lambda match: SAME.get(match[0], match[0]), text)
    text = SPACE.sub("", TEXT.sub(r"\1", text.replace("{,}", ",")))
    text = text.replace("\\$", "").replace("$", "").replace("\\%", "%").replace("^{\\circ}", "^\\circ").rstrip(".,")
    option = re.fullmatch(r"\(([A-Z])\)", text)
    return option[1] if option else text


class Rounded(Fraction):
    """A decimal number long enough to stand for any value that rounds to it."""

    decimals = 0


def parse_decimal(text: str) -> Fraction:
    """Returns the value of digits with or without a decimal point."""
    _, _, decimals = text.partition(".")
    if len(decimals) < SIGNIFICANT or len(text.replace(".", "").lstrip("-+0")) < SIGNIFICANT:
        return Fraction(text)
    value = Rounded(text)
    value.decimals = len(decimals)
    return value


def parse_number(text: str) -> Fraction | None:
    """Returns the exact value of a plain number such as `1,080`, `$3.50`, `-7/2`, `\\frac{1}{2}` or `2e-3`, or None."""
    text = FRACTION.sub(r"\1\2/\3", normalise(text)).replace("\\times", "*").replace("\\cdot", "*")
    match = NUMBER.fullmatch(text)
    if not match or match[2] in ("", ".") or match[4] in ("", "+", "-"):
        return None
    sign, digits, power, denominator = match.groups()
    value = parse_decimal(sign + digits.replace(",", ""))
    try:
        if denominator:
            return value / Fraction(denominator.replace(",", ""))
        return value * Fraction(10) ** int(power) if power else value
    except ZeroDivisionError:
        return None


def is_close(a, b) -> bool:
    """Says whether two numbers are equal: exactly for fractions, to 100 digits for others, rounded for long decimals."""
    rounded = [x.decimals for x in (a, b) if isinstance(x, Rounded)]
    exact = isinstance(a, Fraction) and isinstance(b, Fraction)
    if not exact:
        a, b = _approximate(a), _approximate(b)
    if len(rounded) == 1:
        return bool(abs(a - b) * 2 * 10 ** rounded[0] <= 1)
    # Below the absolute bound there is only what rounding leaves of zero.
    scale = max(abs(a), abs(b))
    return bool(a == b or (not exact and (abs(a - b) <= scale * 1e-100 or scale < 1e-200)))


@lru_cache(1)
def open_context():
    """Returns mpmath with 250 digits, apart from the one that sympy uses and not loaded where nothing needs it."""
    import mpmath

    context = mpmath.MPContext()
    context.dps = 250
    return context


def _approximate(number):
    return open_context().mpf(number.numerator) / number.denominator if isinstance(number, Fraction) else number


class Unreadable(Exception):
    """The second check does not know what a text means."""


@dataclass(frozen=True)
class Group:
    """A value that is no number: a kind such as `()`, `{}`, `list`, `union`, `matrix`, `=`, `unit`, and its parts."""

    kind: str
    items: tuple


TOKEN = re.compile(TEXT.pattern.replace("([^{}]*)", "[^{}]*") + r"|\\[a-zA-Z]+|\\.|\d+(?:\.\d*)?|\.\d+|\S", re.DOTALL)
OPEN = {"(": "()", "[": "()", "{": "{}", "\\{": "{}", "\\langle": "()"}
CLOSE = (")", "]", "}", "\\}", "\\rangle")
RELATIONS = {mark: mark for mark in "=<>≤≥≠"}
RELATIONS |= {"\\le": "≤", "\\ge": "≥", "\\lt": "<", "\\gt": ">", "\\ne": "≠"}
FLIPPED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤"}
FUNCTIONS = {name: name for name in re.findall(r"\w+", "sin cos tan cot sec csc sinh cosh tanh exp ln log lg")}
FUNCTIONS |= {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}
NO_FACTOR = re.findall(r"\S+", r"\cdot \times \div \} \rangle \rfloor \rceil \rvert \% \\")
MIXED = re.compile(r"\d\d|\d?\{\d+\}\{\d+\}|\d\{\d+\}")
GREEK = re.compile(
    r"\\(?:alpha|beta|[Gg]amma|[Dd]elta|(?:var)?epsilon|zeta|eta|(?:var|)theta|kappa|[Ll]ambda|mu|nu|xi|rho|[Ss]igma|tau"
    r"|(?:var)?phi|[Pp]hi|chi|[Pp]si|[Oo]mega|ell)"
)
WORDS = """millimeter=mm centimeter=cm meter=m metre=m kilometer=km inch=in inche=in foot=ft feet=ft mile=mi gram=g
kilogram=kg second=s sec=s minute=min hour=h hr=h degree=° deg=° circ=° dollar=$ usd=$ cent=¢"""
UNITS = dict(word.split("=") for word in re.findall(r"\S+", WORDS))
HEDGES = {"or", "and", "not", "maybe", "perhaps", "possibly", "if", "but", "no"}
POINTS = 3


def is_confirmed(found: str, answer: str) -> bool:
    """Says whether the second check finds two LaTeX answers equal.

    Each is read and evaluated at several random points of its symbols, with fractions where possible and 250 digits
    otherwise, by a reader that knows nothing of math-verify, its parser or sympy.
    """
    try:
        return is_equal(*([read(tokenize(text), point) for point in range(POINTS)] for text in (found, answer)))
    except Exception:
        # Whatever hostile text leads to is no confirmation.
        return False


def is_equal(a: list, b: list) -> bool:
    """Says whether two answers, each evaluated at the same points, are equal at all of them."""
    kinds = [x[0].kind if isinstance(x[0], Group) else "" for x in (a, b)]
    if kinds == ["", ""]:
        return all(map(is_close, a, b))
    for one, other, kind, other_kind in ((a, b, *kinds), (b, a, *reversed(kinds))):
        if kind == "unit" and other_kind != "unit":
            if is_equal(_part(one, 0), other):
                return True
            percent = one[0].items[1] == "%"
            return percent and other_kind == "" and is_equal([x.items[0] / 100 for x in one], other)
        if kind == "=" and other_kind not in ("=", "list", "{}"):
            return one[0].items[0] == "assigns" and is_equal(_part(one, -1), other)
        if kind == "{}" and other_kind == "" and len(one[0].items) == 1:
            return is_equal(_part(one, 0), other)
        if kind == ":" and other_kind == "":
            return is_equal([x.items[0] / x.items[1] for x in one], other)
    if "list" in kinds and kinds != ["list", "list"]:
        kinds = [kind if kind != "list" else kinds[1 - i] for i, kind in enumerate(kinds)]
        if kinds[0] not in ("()", "{}"):
            return False
    if kinds[0] != kinds[1] or len(a[0].items) != len(b[0].items):
        return False
    kind = kinds[0]
    if kind == "word":
        return a[0].items == b[0].items
    if kind == "unit":
        return a[0].items[1] == b[0].items[1] and is_equal(_part(a, 0), _part(b, 0))
    if kind in ("list", "{}", "union"):
        return _match(_parts(a), _parts(b))
    if kind in "=≠<≤":
        return _is_same_relation(a, b, kind)
    return all(map(is_equal, _parts(a), _parts(b)))


def _part(values: list, index: int) -> list:
    return [value.items[index] for value in values]


def _parts(values: list) -> list[list]:
    return [_part(values, index) for index in range(len(values[0].items))]


def _match(a: list, b: list) -> bool:
    """Says whether each part has a partner, in any order."""
    rest = list(b)
    for one in a:
        partner = next((index for index, other in enumerate(rest) if is_equal(one, other)), None)
        if partner is None:
            return False
        del rest[partner]
    return not rest


def _is_same_relation(a: list, b: list, kind: str) -> bool:
    """Says whether the differences of the sides are in one proportion at all points, a positive one for inequalities."""
    if len(a[0].items) != 3:
        return all(map(is_equal, _parts(a)[1:], _parts(b)[1:]))
    ratios = [(x.items[1] - x.items[2]) / (y.items[1] - y.items[2]) for x, y in zip(a, b, strict=True)]
    return (
        is_equal(ratios[1:], ratios[:-1]) and not is_close(ratios[0], Fraction(0)) and (kind in "=≠" or ratios[0] > 0)
    )


def tokenize(text: str) -> list[str]:
    """Splits LaTeX into commands, texts, numbers and characters, without what changes only its looks."""
    text = re.sub(r"\\[a-zA-Z]+", lambda match: SAME.get(match[0], match[0]), text)
    text = text.replace("{,}", ",").replace("{\\circ}", "\\circ").replace(",\\!", ",")
    text = re.sub(r"(?<!\\)\\!", "", text)
    text = re.sub(rf"{SPACE.pattern}|\\?\$", " ", text)
    text = re.sub(r"(?<=\{)\d{1,3}(,\d{3})+(?=\})", lambda match: match[0].replace(",", ""), text)
    text = re.sub(r"(?<![\d.,([{])\d{1,3}(,\d{3})+(?![\d,)\]}])", lambda match: match[0].replace(",", ""), text)
    text = re.sub(r"(\d)[eE]([-+]?\d+)\b", r"\1\\cdot 10^{\2}", text)
    text = re.sub(
        r",?\s*\\(?:text|mathrm|mbox)\s*\{[\s,]*(?:and|or)\s*\}|,?\s*(?<=[\s}])(?:and|or)(?=[\s\\])", ",", text
    )
    tokens = TOKEN.findall(text.strip().rstrip(".,"))
    return tokens[2:] if tokens[1:2] == ["\\in"] else tokens


def split(tokens: list[str], marks) -> list[list[str]]:
    """Splits tokens at the marks that stand outside all brackets."""
    parts, depth = [[]], 0
    for token in tokens:
        depth += (token in OPEN) - (token in CLOSE) + (token == "\\begin") - (token == "\\end")
        if depth == 0 and token in marks:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def read(tokens: list[str], point: int):
    """Returns the value of an answer, a number or a Group, at one point of its symbols.

    Raises:
        Unreadable: If it is none of the forms known here.
    """
    words = [re.sub(r"[^\w&]+", " ", _unwrap(token)) for token in tokens]
    letters = all(re.fullmatch(r"[a-zA-Z'-]|\\(text|math|mbox|hbox).*", token, re.DOTALL) for token in tokens)
    if letters and tokens and (len(tokens) > 2 or any(len(word.strip()) > 1 for word in words)):
        return Group("word", ("".join(words).casefold().replace(" ", ""),))
    if len(split(tokens, (",", ";"))) > 1:
        return Group("list", tuple(read(part, point) for part in split(tokens, (",", ";"))))
    if "\\pm" in tokens:
        signs = (("+", "-"), ("-", "+"))
        either = [[{"\\pm": plus, "\\mp": minus}.get(token, token) for token in tokens] for plus, minus in signs]
        return Group("list", tuple(read(part, point) for part in either))
    if len(split(tokens, RELATIONS)) > 1:
        return _read_relation(tokens, point)
    if len(split(tokens, ("\\cup",))) > 1:
        return Group("union", tuple(read(part, point) for part in split(tokens, ("\\cup",))))
    if len(split(tokens, (":",))) == 2:
        return Group(":", tuple(evaluate(part, point) for part in split(tokens, (":",))))
    if tokens[:1] == ["\\begin"]:
        return _read_matrix(tokens, point)
    if tokens and tokens[0] in OPEN and tokens[-1] in CLOSE:
        parts = split(tokens[1:-1], (",", ";"))
        kind = OPEN[tokens[0]]
        if kind == "{}" and tokens[0] == "\\{":
            return Group("{}", tuple(read(part, point) for part in parts) if parts != [[]] else ())
        if kind == "()" and len(parts) > 1:
            kind = ("[" if tokens[0] == "[" else "(") + ("]" if tokens[-1] == "]" else ")")
            return Group(kind, tuple(read(part, point) for part in parts))
    if tokens in (["\\emptyset"], ["\\varnothing"]):
        return Group("{}", ())
    return _read_quantity(tokens, point)


def evaluate(tokens: list[str], point: int):
    """Returns the number that an expression is at one point of its symbols.

    Raises:
        Unreadable: If it is not wholly understood.
    """
    reader = Reader(tokens, point)
    value = reader.read_sum()
    if reader.tokens:
        raise Unreadable(reader.tokens[-1])
    return value


def _unwrap(token: str) -> str:
    match = TEXT.fullmatch(token)
    return match[1] if match else token


def _read_relation(tokens: list[str], point: int) -> Group:
    sides = split(tokens, RELATIONS)
    kinds = [RELATIONS[token] for token in tokens if token in RELATIONS]
    if len(kinds) != len(sides) - 1:
        raise Unreadable("a relation in brackets")
    if set(kinds) <= {">", "≥"}:
        sides, kinds = sides[::-1], [FLIPPED[kind] for kind in kinds[::-1]]
    if set(kinds) == {"="}:
        name = [token for token in sides[0] if token not in "(){}_,"]
        assigns = all(re.fullmatch(r"[a-zA-Z\d]|\\[a-z]+\b.*", token) for token in name) and not sides[0][0].isdigit()
        assigns = assigns and (len(name) == 1 or "(" in sides[0] or "_" in sides[0])
        if not assigns and len(sides) != 2:
            raise Unreadable("a chain of equations")
        left = _name(sides[0], point) if assigns and "(" in sides[0] else read(sides[0], point)
        values = [[read(side, point)] for side in sides[1:]]
        if not all(is_equal(value, values[-1]) for value in values):
            raise Unreadable("an equation that does not hold")
        return Group("=", ("assigns" if assigns else "relates", left, values[-1][0]))
    if set(kinds) <= {"<", "≤"}:
        single = [len(side) == 1 and side[0].isalpha() for side in sides]
        brackets = "".join({"<": "()", "≤": "[]"}[kind] for kind in kinds)
        infinity = evaluate(["\\infty"], point)
        if single == [False, True, False]:
            return Group(brackets[0] + brackets[3], (evaluate(sides[0], point), evaluate(sides[2], point)))
        if single == [True, False]:
            return Group("(" + brackets[1], (-infinity, evaluate(sides[1], point)))
        if single == [False, True]:
            return Group(brackets[0] + ")", (evaluate(sides[0], point), infinity))
    values = tuple(read(side, point) for side in sides)
    return Group(kinds[0], ("relates", *values)) if len(kinds) == 1 else Group("chain " + "".join(kinds), values)


def _name(tokens: list[str], point: int):
    """Returns the value of `f(x)` as one symbol, since a product would equal that of `x(f)`."""
    return _draw("".join(tokens), point)


def _draw(name: str, point: int):
    return open_context().mpf(random.Random(f"{name} {point}").uniform(-3, 3))


def _read_matrix(tokens: list[str], point: int) -> Group:
    body = "".join(tokens)
    match = re.fullmatch(r"\\begin\{[pb]?matrix\}.*\\end\{[pb]?matrix\}", body, re.DOTALL)
    start, end = tokens.index("}") + 1, len(tokens) - tokens[::-1].index("\\end") - 1
    if not match:
        raise Unreadable("an environment")
    rows = [row for row in split(tokens[start:end], ("\\\\",)) if row]
    return Group(
        "matrix", tuple(Group("row", tuple(evaluate(cell, point) for cell in split(row, ("&",)))) for row in rows)
    )


def _read_quantity(tokens: list[str], point: int):
    """Reads an expression with a unit, percent sign, degree sign or number base behind it."""
    rest, unit = list(tokens), ""
    if rest[-1:] == ["%"] or rest[-1:] == ["\\%"]:
        rest, unit = rest[:-1], "%"
    elif rest[-2:] == ["^", "\\circ"] or rest[-1:] == ["°"]:
        if not any(token.lstrip("\\") in FUNCTIONS for token in rest):
            rest, unit = rest[: -1 if rest[-1] == "°" else -2], "°"
    elif "_" in rest[1:3] and re.fullmatch(r"-?[\d.]+_(\d+|\{\d+\})", "".join(rest)):
        place = rest.index("_")
        rest, unit = rest[:place], "base " + "".join(rest[place + 1 :]).strip("{}")
    else:
        start = next((index for index, token in enumerate(rest) if index and TEXT.fullmatch(token)), None)
        if start is None and re.fullmatch(r"[\d.]+[a-zA-Z]{2,}", "".join(rest)) and "".join(rest[1:]) in UNITS:
            start = 1
        if start and not any(token.isalpha() for token in rest[:start]) and _is_unit(rest[start:]):
            unit = " ".join(_unwrap(token) for token in rest[start:] if token not in "{}")
            rest, unit = rest[:start], _name_unit(unit)
    value = evaluate(rest, point)
    return Group("unit", (value, unit)) if unit else value


def _is_unit(tokens: list[str]) -> bool:
    """Says whether tokens name a unit, and are no remark that hedges the answer, such as `or 6`."""
    text = "".join(_unwrap(token) for token in tokens)
    words = set(re.findall(r"[a-z]+", text.casefold()))
    return bool(re.fullmatch(r"[^\d^]+(\^(\d|\{\d\}))?", text)) and not words & HEDGES and len(words) < 6


def _name_unit(text: str) -> str:
    """Returns one name for the ways to write a unit: `square inches` is `in^2`."""
    words = re.findall(r"[^\W\d]+|\d", text.casefold())
    power = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}.get(words[0], "") if words else ""
    names = [word if word in UNITS.values() else word.removesuffix("s") for word in words[bool(power) :]]
    return (
        " ".join([UNITS.get(name, UNITS.get(name + "s", name)) for name in names] + [power] * bool(power)).strip()
        or "?"
    )


class Reader:
    """Evaluates an expression by recursive descent at one point of its symbols."""

    def __init__(self, tokens: list[str], point: int):
        self.math = open_context()
        self.tokens = tokens[::-1]
        self.point = point

    def read_sum(self):
        """Reads terms joined by plus and minus."""
        value = self._read_product()
        while self._peek() in ("+", "-"):
            sign = 1 if self.tokens.pop() == "+" else -1
            value = self._add(value, self._multiply(Fraction(sign), self._read_product()))
        return value

    def _peek(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def _is_count(self, value) -> bool:
        return isinstance(value, Fraction) and value.denominator == 1 and 0 <= value <= 5000

    def _take(self, token: str) -> None:
        if self._peek() != token:
            raise Unreadable(f"no {token}")
        self.tokens.pop()

    def _add(self, a, b):
        return a + b if isinstance(a, Fraction) and isinstance(b, Fraction) else _approximate(a) + _approximate(b)

    def _multiply(self, a, b):
        return a * b if isinstance(a, Fraction) and isinstance(b, Fraction) else _approximate(a) * _approximate(b)

    def _divide(self, a, b):
        return a / b if isinstance(a, Fraction) and isinstance(b, Fraction) else _approximate(a) / _approximate(b)

    def _power(self, base, exponent):
        if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
            size = max(base.numerator.bit_length(), base.denominator.bit_length())
            if size * abs(exponent) < 100_000:
                return Fraction(base) ** int(exponent)
        base, exponent = _approximate(base), _approximate(exponent)
        if abs(exponent) > 1e6:
            raise Unreadable("a power too large")
        return self.math.power(base, exponent)

    def _read_product(self, argument: bool = False):
        """Reads factors; those of a function's argument end at a sign of multiplication or another function."""
        if self._peek() in ("+", "-"):
            sign = 1 if self.tokens.pop() == "+" else -1
            return self._multiply(Fraction(sign), self._read_product(argument))
        first = self._peek()
        value = self._read_power()
        while token := self._peek():
            if token in ("*", "\\cdot", "\\times", "/", "\\div") and not argument:
                self.tokens.pop()
                sign = Fraction(1)
                if self._peek() == "-":
                    sign = Fraction(-1)
                    self.tokens.pop()
                right = self._multiply(sign, self._read_power())
                value = self._divide(value, right) if token in ("/", "\\div") else self._multiply(value, right)
            elif self._starts_factor(token, first) and not (argument and token.lstrip("\\") in FUNCTIONS):
                first = token
                value = self._multiply(value, self._read_power())
            else:
                break
        return value

    def _starts_factor(self, token: str, before: str) -> bool:
        if token[0].isdigit():
            # Two numbers side by side are no product: `1 000`, `2 3`.
            return before in ("(", "[", "{")
        return token in "([{" or token.isalpha() or (token[0] == "\\" and token not in NO_FACTOR) or token == "π"

    def _read_power(self):
        value = self._read_atom()
        while self._peek() in ("^", "!", "°"):
            token = self.tokens.pop()
            if token == "!":
                if self._is_count(value):
                    value = Fraction(math.factorial(int(value)))
                else:
                    value = self.math.factorial(_approximate(value))
            elif token == "°" or self._peek() == "\\circ":
                if token == "^":
                    self.tokens.pop()
                value = self._multiply(value, self.math.pi / 180)
            else:
                value = self._power(value, self._read_argument(whole=True))
        return value

    def _read_argument(self, whole: bool = False):
        """Reads what a command applies to: a group, or one digit or symbol."""
        token = self._peek()
        if token == "-" and whole:
            self.tokens.pop()
            return self._multiply(Fraction(-1), self._read_argument(whole))
        if token[:1].isdigit():
            self.tokens.pop()
            if not whole and token[1:]:
                self.tokens.append(token[1:])
            return Fraction(token if whole else token[0])
        return self._read_atom()

    def _read_group(self, close: str):
        value = self.read_sum()
        self._take(close)
        return value

    def _read_atom(self):
        if not self.tokens:
            raise Unreadable("the end")
        token = self.tokens.pop()
        name = token.lstrip("\\")
        if token[0].isdigit() or token[0] == ".":
            return self._read_number(token)
        if token in ("(", "[", "{"):
            return self._read_group({"(": ")", "[": "]", "{": "}"}[token])
        if token in ("|", "\\lvert", "\\vert"):
            return abs(self._read_group({"\\lvert": "\\rvert"}.get(token, token)))
        if token in ("\\lfloor", "\\lceil"):
            value = self._read_group("\\rfloor" if name == "lfloor" else "\\rceil")
            if not isinstance(value, Fraction):
                return self.math.floor(value) if name == "lfloor" else self.math.ceil(value)
            return Fraction(value.__floor__() if name == "lfloor" else value.__ceil__())
        if token == "\\frac":
            return self._divide(self._read_argument(), self._read_argument())
        if token == "\\binom":
            top, bottom = self._read_argument(), self._read_argument()
            if self._is_count(top) and self._is_count(bottom):
                return Fraction(math.comb(int(top), int(bottom)))
            return self.math.binomial(_approximate(top), _approximate(bottom))
        if token == "\\sqrt":
            return self._read_root()
        if name in FUNCTIONS and token[0] == "\\":
            return self._read_function(name)
        if token == "\\infty":
            return self.math.mpf("inf")
        if name in ("pi", "π"):
            return +self.math.pi
        if token == "e":
            return +self.math.e
        if token == "i":
            return self.math.mpc(0, 1)
        text = _unwrap(token)
        if text != token or token.isalpha() or GREEK.fullmatch(token):
            return self._read_symbol(text.strip())
        raise Unreadable(token)

    def _read_number(self, token: str):
        value = parse_decimal(token)
        nxt = self._peek()
        if nxt[:1].isdigit():
            return self._read_mixed(value, *(self.tokens.pop() for _ in range(3)))
        # As for people, two and a half: `2\frac{1}{2}`.
        if nxt == "\\frac" and value.denominator == 1 and MIXED.match("".join(self.tokens[-2:-9:-1])):
            return self._add(value, self._read_atom())
        return value

    def _read_mixed(self, whole: Fraction, top: str, slash: str, bottom: str) -> Fraction:
        if slash != "/" or not top.isdigit() or not bottom.isdigit() or int(top) >= int(bottom):
            raise Unreadable("two numbers side by side")
        return whole + Fraction(int(top), int(bottom))

    def _read_root(self):
        degree = Fraction(2)
        if self._peek() == "[":
            self.tokens.pop()
            degree = self._read_group("]")
        value = self._read_argument(whole=True)
        if isinstance(value, Fraction) and value < 0 and degree % 2 == 1:
            return -self._power(-value, 1 / degree)
        return self._power(value, 1 / degree)

    def _read_function(self, name: str):
        power, base = Fraction(1), None
        while self._peek() in ("^", "_"):
            if self.tokens.pop() == "^":
                power = self._read_argument(whole=True)
            else:
                base = self._read_argument(whole=True)
        if self._peek() in ("(", "{", "["):
            value = _approximate(self._read_atom())
        else:
            value = _approximate(self._read_product(argument=True))
        if base is not None or name == "lg":
            value = self.math.log(value) / self.math.log(10 if base is None else _approximate(base))
        elif power == -1:
            return getattr(self.math, "a" + FUNCTIONS[name])(value)
        else:
            value = getattr(self.math, FUNCTIONS[name])(value)
        return self._power(value, power)

    def _read_symbol(self, name: str):
        while self._peek() in ("_", "'"):
            name += self.tokens.pop()
            if name[-1] == "_":
                token = self.tokens.pop()
                name += token
                while token == "{" or (name.count("{") > name.count("}")):
                    token = self.tokens.pop()
                    name += token
        return _draw(name.replace("{", "").replace("}", ""), self.point)
