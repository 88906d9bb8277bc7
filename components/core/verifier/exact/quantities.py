r"""Reads single answers: numbers with or without a unit, percent sign or number base; times of day; words."""

import re
from fractions import Fraction

from rlready.components.core.verifier.exact.expression import Node, Unreadable, make_number, parse
from rlready.components.core.verifier.exact.parts import EVERYTHING, INFINITY, Group, find_bracket
from rlready.components.core.verifier.exact.tokens import FUNCTIONS
from rlready.components.core.verifier.exact.units import CURRENCIES, SCALES, read_unit

MOST_WORDS = 5  # more are prose, which says the same in many ways
PHRASES = dict.fromkeys(("infinity", "infinite", "infinitelymany"), INFINITY)
NOTHING = ("emptyset", "theemptyset", "nosolution", "nosolutions", "norealsolution", "norealsolutions")
BASES = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
NUMERALS = {name: str(number) for number, name in enumerate(["zero", "one", *BASES])}
BASE = re.compile(r"[({]?(-?[\d.]+)[)}]?(_\{?\(?(?:\"base)?\"?|\(?\"base\"?)(\w+)\)?\}?")
TIME = re.compile(
    r"(\d{1,2})\s*:\s*([0-5]\d)(?:\s*:\s*([0-5]\d))?\s*(?:([ap])\.?\s*m\.?)?|(\d{1,2})\s*([ap])\.?\s*m\.?",
    re.IGNORECASE,
)


def read_quantity(tokens: list[str]):
    """Reads an expression with a currency, scale, unit, percent or degree sign, or number base."""
    sign = tokens[:1] if tokens[0] in "+-" else []
    if tokens[len(sign) : len(sign) + 1] == ["("] and find_bracket(rest := tokens[len(sign) :]) == len(rest) - 1:
        inner = read_quantity(rest[1:-1])
        if isinstance(inner, Group) and inner.kind == "unit" and sign == ["-"]:
            return Group("unit", (Node("neg", (inner.items[0],)), *inner.items[1:]))
        return Node("neg", (inner,)) if isinstance(inner, Node) and sign == ["-"] else inner
    rest = list(tokens)
    if len(tokens) > len(sign) + 1 and tokens[len(sign)] in CURRENCIES:
        unit, inner = CURRENCIES[tokens[len(sign)]], read_quantity(sign + tokens[len(sign) + 1 :])
        if isinstance(inner, Node):
            return Group("unit", (inner, ((unit, 1),), None))
        if inner.kind == "unit" and inner.items[2] is None:
            return Group("unit", (inner.items[0], tuple(sorted([(unit, 1), *inner.items[1]])), None))
        raise Unreadable("a sum of money")
    if match := BASE.fullmatch("".join(tokens)):
        digits, _, base = match.groups()
        numbers = [token for token in tokens if token[0].isdigit()]
        if base.lower() in BASES:
            numbers, base = [*numbers, base], str(BASES.index(base.lower()) + 2)
        if base.isdigit() and len(numbers) == 2:
            return Group("base", (make_number(digits.lstrip("-")), digits[0] == "-", base))
    for start in range(1, len(rest)):
        if rest[start][0] not in '"`°%' and rest[start] not in CURRENCIES:
            continue
        unit = read_unit(rest[start:])
        if unit and not (unit == (("°", 1),) and any(token.lstrip("\\") in FUNCTIONS for token in rest)):
            weak = parse(rest) if rest[start][0] == "`" else None
            return Group("unit", (_read_scaled(rest[:start]), unit, weak))
    return _read_scaled(rest)


def _read_scaled(tokens: list[str]) -> Node:
    if tokens[-1][0] == '"' and tokens[-1][1:].lower().removesuffix("s") in SCALES and len(tokens) > 1:
        scale = Fraction(SCALES[tokens[-1][1:].lower().removesuffix("s")])
        return Node("*", (parse(tokens[:-1]), Node("num", (scale, None))))
    return parse(tokens)


def read_words(tokens: list[str]):
    """Reads words; some of them are numbers or sets."""
    words = [token.lstrip('"') for token in tokens if token[0].isalpha() or token[0] == '"']
    words = words[1:] if words[1:] and words[0].lower() in ("a", "an", "the") else words
    joined = "".join(re.sub(r"[^\w]", "", word) for word in words)
    lower = joined.lower()
    if lower in PHRASES:
        return PHRASES[lower]
    if lower in NUMERALS:
        return make_number(NUMERALS[lower])
    if lower in NOTHING:
        return Group("set", ())
    if re.fullmatch(r"(?:theset)?(?:of)?(?:all)?(?:the)?real(?:number|value)?s?", lower):
        return Group("reals", (None, EVERYTHING))
    if sum(token[0] == '"' for token in tokens) > MOST_WORDS:
        raise Unreadable("prose")
    return Group("word", (joined,))


def read_time(text: str) -> Group | None:
    """Reads a time of day: one with seconds, `a.m.`, `p.m.` or a zero in front; others may be ratios."""
    match = TIME.fullmatch(re.sub(r"\\(?:text|mathrm)|\\[,;:!> ]|[{}~$]", " ", text).strip())
    if not match:
        return None
    hour, minute, second, half, only_hour, its_half = match.groups()
    half = (half or its_half or "").lower()
    if not half and second is None and not hour.startswith("0"):
        return None
    return Group("time", (int(hour or only_hour), int(minute or 0), int(second or 0), half))
