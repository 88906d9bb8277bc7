r"""Reads single answers: numbers with or without a unit, percent sign or number base; times of day; words."""

import re
from fractions import Fraction

from rlready.verifier.equivalence.expression import Node, Unreadable, make_number, parse
from rlready.verifier.equivalence.parts import EVERYTHING, INFINITY, Group, Value, find_bracket
from rlready.verifier.equivalence.tokens import FUNCTIONS
from rlready.verifier.equivalence.units import CURRENCIES, SCALES, find_unit, read_unit

MOST_WORDS = 5  # more are prose, which says the same in many ways
PHRASES = dict.fromkeys(("infinity", "infinite", "infinitelymany"), INFINITY)
NOTHING = ("none", "emptyset", "theemptyset", "nosolution", "nosolutions", "norealsolution", "norealsolutions")
BASES = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
NUMERALS = {name: str(number) for number, name in enumerate(["zero", "one", *BASES])}
BASE = re.compile(r"[({]?(-?[\dA-F.,]+)[)}]?(?:_\{?\(?(?:base)?|\(?base)([a-z]+|\d+)\)?\}?", re.ASCII)
MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905
DATE = re.compile(
    r"(?:(\d{1,2})(?:st|nd|rd|th)? (?:of )?)?([a-z]{3,9})\.?(?: (\d{1,2})(?:st|nd|rd|th)?)?(?:,? (\d{4}))?",
    re.IGNORECASE,
)
TIME = re.compile(
    r"(\d{1,2})\s*:\s*([0-5]\d)(?:\s*:\s*([0-5]\d))?\s*(?:([ap])\.?\s*m\.?)?|(\d{1,2})\s*([ap])\.?\s*m\.?",
    re.IGNORECASE,
)


ZERO = make_number("0")
HALVES = {
    "": EVERYTHING,
    "positive": ((ZERO, False, INFINITY, False),),
    "nonnegative": ((ZERO, True, INFINITY, False),),
    "negative": ((Node("neg", (INFINITY,)), False, ZERO, False),),
}
REALS = {"@mathbb R": EVERYTHING, **dict.fromkeys(("@mathbb R+", "@mathbb R_+", "@mathbb R_>0"), HALVES["positive"])}


def find_currency(token: str) -> str | None:
    """Returns the currency that a sign or a word before a number means, or None."""
    unit = find_unit(token[1:]) if token[0] == '"' and len(token) > 1 else None
    return CURRENCIES.get(token) or (unit if unit in set(CURRENCIES.values()) else None)


def read_quantity(tokens: list[str]) -> Value:
    """Reads an expression with a currency, scale, unit, percent or degree sign, or number base."""
    sign = tokens[:1] if tokens[0] in "+-" else []
    if tokens[len(sign) : len(sign) + 1] == ["("] and find_bracket(rest := tokens[len(sign) :]) == len(rest) - 1:
        inner = read_quantity(rest[1:-1])
        if isinstance(inner, Group) and inner.kind == "unit" and sign == ["-"]:
            return Group("unit", (Node("neg", (inner.items[0],)), *inner.items[1:]))
        return Node("neg", (inner,)) if isinstance(inner, Node) and sign == ["-"] else inner
    places = [place for place in range(2, len(tokens)) if tokens[place][0].isdigit() and tokens[place - 1][0] == '"']
    if places and tokens[0][0].isdigit() and all(find_unit(tokens[place - 1][1:]) for place in places):
        # `1 hour 30 minutes`, as if an `and` stood between.
        ends = zip([0, *places], [*places, len(tokens)], strict=True)
        return Group("list", tuple(read_quantity(tokens[start:end]) for start, end in ends))
    rest = list(tokens)
    currency = find_currency(tokens[len(sign)]) if len(tokens) > len(sign) + 1 else None
    if currency:
        inner = read_quantity(sign + tokens[len(sign) + 1 :])
        if isinstance(inner, Node):
            return Group("unit", (inner, ((currency, 1),), None))
        if inner.kind == "unit" and inner.items[2] is None:
            return Group("unit", (inner.items[0], tuple(sorted([(currency, 1), *inner.items[1]])), None))
        raise Unreadable("a sum of money")
    if based := _read_base(tokens):
        return based
    for start in range(1, len(rest)):
        if rest[start][0] not in '"`°%' and rest[start] not in CURRENCIES:
            continue
        unit = read_unit(rest[start:])
        if unit and not (unit == (("°", 1),) and any(token.lstrip("\\") in FUNCTIONS for token in rest)):
            weak = parse(rest) if rest[start][0] == "`" else None
            return Group("unit", (_read_scaled(rest[:start]), unit, weak))
    return _read_scaled(rest)


def _read_base(tokens: list[str]) -> Group | None:
    """Reads digits, of letters too, with the number base behind them."""
    match = BASE.fullmatch(re.sub('["@`]', "", "".join(tokens)))
    if not match:
        return None
    digits, base = match[1].lstrip("-").replace(",", ""), match[2]
    base = str(BASES.index(base) + 2) if base in BASES else base
    numbers = [token for token in tokens if token[0].isdigit() and token != match[2]]
    if not base.isdigit() or (digits.isalpha() and len(digits) < 2) or (len(numbers) > 1 and not re.search("[A-F]", digits)):
        return None
    if any(digit != "." and int(digit, 16) >= int(base) for digit in digits):
        return None
    value = Node("sym", (digits,)) if re.search("[A-F]", digits) else make_number(digits)
    return Group("base", (value, match[1][0] == "-", base))


def _read_scaled(tokens: list[str]) -> Node:
    if tokens[-1][0] == '"' and tokens[-1][1:].lower().removesuffix("s") in SCALES and len(tokens) > 1:
        scale = Fraction(SCALES[tokens[-1][1:].lower().removesuffix("s")])
        return Node("*", (parse(tokens[:-1]), Node("num", (scale, None))))
    return parse(tokens)


def read_words(tokens: list[str]) -> Value:
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
    if reals := re.fullmatch(
        r"(?:theset)?(?:of)?(?:all)?(?:the)?(|positive|negative|non-?negative)real(?:number|value)?s?", lower
    ):
        return Group("reals", (None, HALVES[reals[1]]))
    if sum(token[0] == '"' for token in tokens) > MOST_WORDS:
        raise Unreadable("prose")
    return Group("word", (joined,))


def _read_date(text: str) -> Group | None:
    """Reads a day of a month, with or without its year."""
    match = DATE.fullmatch(text)
    if not match or bool(match[1]) == bool(match[3]):
        return None
    month = next((month for month in MONTHS if match[2].lower() in (month, month[:3])), None)
    if not month:
        return None
    return Group("word", (f"{month} {match[1] or match[3]} {match[4] or ''}",))


def read_moment(text: str) -> Group | None:
    """Reads a time of day or a date; None for everything else."""
    text = _strip(text)
    return _read_time(text) or _read_date(text)


def _strip(text: str) -> str:
    return " ".join(re.sub(r"\\(?:text|mathrm)|\\[,;:!> ]|[{}~$]", " ", text).split())


def _read_time(text: str) -> Group | None:
    """Reads a time of day: one with seconds, `a.m.`, `p.m.` or a zero in front; others may be ratios."""
    match = TIME.fullmatch(text)
    if not match:
        return None
    hour, minute, second, half, only_hour, its_half = match.groups()
    half = (half or its_half or "").lower()
    if not half and second is None and not hour.startswith("0"):
        return None
    return Group("time", (int(hour or only_hour), int(minute or 0), int(second or 0), half))
