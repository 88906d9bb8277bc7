"""Single answers: numbers with or without a unit, percent sign or number base; times of day; words; names of quantities."""

import itertools
import re
from fractions import Fraction

from rlready.verifier.equivalence.parser import Node, Unreadable, make_number, parse, require
from rlready.verifier.equivalence.parts import EVERYTHING, INFINITY, LEFT, RIGHT, Group, Value, find_bracket, split
from rlready.verifier.equivalence.tokens import FUNCTIONS
from rlready.verifier.equivalence.units import CURRENCIES, ONES, SCALES, TENS, find_unit, read_unit

MOST_WORDS = 5  # more are prose, which can say the same in many ways
PHRASES = dict.fromkeys(("infinity", "infinite", "infinitelymany"), INFINITY)
NOTHING = ("none", "emptyset", "theemptyset", "nosolution", "nosolutions", "norealsolution", "norealsolutions")
NUMERALS = [*ONES, *(ten + one for ten in TENS for one in ("", *ONES[1:10]))]
PARTS = enumerate("half third fourth fifth sixth seventh eighth ninth tenth".split(), 2)  # noqa: SIM905
FACTORS = {**SCALES, "halve": Fraction(1, 2), "quarter": Fraction(1, 4), **{name: Fraction(1, part) for part, name in PARTS}}
FACTOR = re.compile(rf"({'|'.join(ONES)})({'|'.join(FACTORS)})s?")
BASE = re.compile(r"[({]?(-?[\dA-F.,]+)[)}]?(?:_\{?\(?(?:base)?|\(?base)([a-z]+|\d+)\)?\}?", re.ASCII)
MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905
DATE = re.compile(
    r"(?:(\d{1,2})(?:st|nd|rd|th)? (?:of )?)?([a-z]{3,9})\.?(?: (\d{1,2})(?:st|nd|rd|th)?)?(?:,? (\d{4}))?", re.IGNORECASE
)
TIME = re.compile(
    r"(\d{1,2})\s*:\s*([0-5]\d)(?:\s*:\s*([0-5]\d))?\s*(?:([ap])\.?\s*m\.?)?|(\d{1,2})\s*([ap])\.?\s*m\.?", re.IGNORECASE
)
ZERO = make_number("0")
HALVES = {
    "": EVERYTHING,
    "positive": (((ZERO, True), RIGHT),),
    "nonnegative": (((ZERO, False), RIGHT),),
    "negative": ((LEFT, (ZERO, False)),),
}
REAL_NUMBERS = re.compile(
    r"(?:set)?(?:of)?(?:all|any|every)?(?:the)?(|positive|negative|nonnegative)real(?:number|value)?[a-z]?"
)
INTEGERS = re.compile(r"(?:set)?(?:of)?(?:all)?(?:the)?integers?")
REALS = {"@mathbb R": EVERYTHING, "@mathbb R_ge0": HALVES["nonnegative"]}
REALS |= dict.fromkeys(("@mathbb R+", "@mathbb R_+", "@mathbb R_>0"), HALVES["positive"])
MATRICES = ("matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array")
MINUS = ('"minus', '"negative')
HEDGED = """
not no never cannot maybe perhaps possibly probably nearly almost than if when since because but neither nor unless wrong
incorrect false error mistake rejected excluded unknown unclear guess guessing try wait let say suppose supposing assume
assuming assumed given hypothesis conjecture
"""
HEDGES = set(HEDGED.split())  # before a value, they do not call it the answer
IN_NAMES = {f"\\{name}" for name in ("frac", "Pr", "cap", "cup", "sqrt", "in", "cdot", "times", "gcd", "lcm", "max", "min")}
IN_NAMES |= {"\\{", "\\}", "\\ge", "\\le", "\\ne"}
LENGTH = re.compile(r"^(?:m(?=@angle)|\|(?=[A-Z]{2}\|$)|@overline (?=[A-Z]{2}$))|(?<=^\|[A-Z]{2})\|$")
UNSOLVED = frozenset(("-", "+", "*", "\\cdot", "\\times", "^", "\\sqrt", "\\ln", "\\log", "\\lg", "\\exp"))


def find_currency(token: str) -> str | None:
    """Returns the currency of a sign or a word before a number, or None."""
    unit = find_unit(token[1:]) if token[0] == '"' and len(token) > 1 else None
    return CURRENCIES.get(token) or (unit if unit in set(CURRENCIES.values()) else None)


def read_quantity(tokens: list[str]) -> Value:
    """Reads an expression with a currency, scale, unit, percent or degree sign, or number base."""
    sign = tokens[:1] if tokens[0] in "+-" else []
    if tokens[len(sign) : len(sign) + 1] == ["("] and find_bracket(rest := tokens[len(sign) :]) == len(rest) - 1:
        inner = read_quantity(rest[1:-1])
        if inner.kind == "unit" and sign == ["-"]:
            return Group("unit", (Node("neg", inner.items[:1]), *inner.items[1:]))
        return Node("neg", (inner,)) if inner.kind == "number" and sign == ["-"] else inner
    places = [place for place in range(2, len(tokens)) if tokens[place][0].isdigit() and tokens[place - 1][0] == '"']
    if places and tokens[0][0].isdigit() and all(find_unit(tokens[place - 1][1:]) for place in places):
        # `1 hour 30 minutes`, as with an `and`.
        ends = zip([0, *places], [*places, len(tokens)], strict=True)
        return Group("list", tuple(read_quantity(tokens[start:end]) for start, end in ends))
    currency = find_currency(tokens[len(sign)]) if len(tokens) > len(sign) + 1 else None
    if currency:
        inner = read_quantity(sign + tokens[len(sign) + 1 :])
        value, unit, weak = inner.items if inner.kind == "unit" else (inner, (), None)
        if not isinstance(value, Node) or weak is not None:
            raise Unreadable("a sum of money")
        return Group("unit", (value, tuple(sorted([(currency, 1), *unit])), None))
    if based := _read_base(tokens):
        return based
    for start in range(1, len(tokens)):
        first = tokens[start + 1] if tokens[start] == "/" and start + 1 < len(tokens) else tokens[start]
        if first[0] not in '"`°%' and first not in CURRENCIES:
            continue
        unit = read_unit(tokens[start:])
        if unit and not (unit == (("°", 1),) and any(token.lstrip("\\") in FUNCTIONS for token in tokens)):
            weak = parse(tokens) if tokens[start][0] == "`" else None
            return Group("unit", (_read_scaled(tokens[:start]), unit, weak))
    return _read_scaled(tokens)


def _read_base(tokens: list[str]) -> Group | None:
    """Reads digits, which may be letters, and the number base after them."""
    match = BASE.fullmatch(re.sub('["@`]', "", "".join(tokens)))
    if not match:
        return None
    digits, base = match[1].lstrip("-").replace(",", ""), match[2]
    base = str(NUMERALS.index(base)) if base in NUMERALS[2:] else base
    numbers = [token for token in tokens if token[0].isdigit() and token != match[2]]
    if not base.isdigit() or (digits.isalpha() and len(digits) < 2) or (len(numbers) > 1 and not re.search("[A-F]", digits)):
        return None
    if any(digit != "." and int(digit, 16) >= int(base) for digit in digits):
        return None
    value = Node("sym", (digits,)) if re.search("[A-F]", digits) else make_number(digits)
    return Group("base", (value, match[1][0] == "-", base))


def _read_scaled(tokens: list[str]) -> Node:
    word = tokens[-1].lower().removesuffix("s")
    if word[:1] == '"' and word[1:] in SCALES and len(tokens) > 1:
        return Node("*", (parse(tokens[:-1]), make_number(str(SCALES[word[1:]]))))
    return parse(tokens)


def read_words(tokens: list[str]) -> Value:
    """Reads words; some are numbers or sets."""
    if tokens[1:] and tokens[0].lower() in ("-", *MINUS):
        value = read_words(tokens[1:])
        require(tokens[0] != "-" or isinstance(value, Node), "the negative of a word")
        if isinstance(value, Node) and (value.op != "sym" or tokens[0] == "-"):
            return Node("neg", (value,))
    words = [token.lstrip('"') for token in tokens if token[0].isalpha() or token[0] == '"']
    words = words[1:] if words[1:] and words[0].lower() in ("a", "an", "the") else words
    joined = re.sub(r"\W", "", "".join(words))
    lower = joined.lower()
    if lower in PHRASES:
        return PHRASES[lower]
    for cut in range(len(words), max(0, len(words) - 3), -1):
        number, unit = _read_numeral("".join(words[:cut])), read_unit([f'"{word}' for word in words[cut:]])
        if number and (unit or cut == len(words)):
            return Group("unit", (number, unit, None)) if unit else number
    if lower in NOTHING:
        return Group("set", ())
    if reals := REAL_NUMBERS.fullmatch(lower):
        return Group("reals", (None, HALVES[reals[1]]))
    if INTEGERS.fullmatch(lower):
        return Node("sym", ("mathbb Z",))
    require(sum(token[0] == '"' for token in tokens) <= MOST_WORDS, "prose")
    return Group("word", (joined,)) if len(joined) > 1 else Node("sym", (joined,))


def _read_numeral(words: str) -> Node | None:
    """Returns the value of `seven`, `twenty-one`, `one hundred`, `half` or `two-thirds`, or None for other words."""
    word = words.replace("-", "").lower()
    if word in NUMERALS:
        return make_number(str(NUMERALS.index(word)))
    match = FACTOR.fullmatch("onehalf" if word == "half" else word)
    return Node("num", (Fraction(ONES.index(match[1]) * FACTORS[match[2]]), None)) if match else None


def read_moment(text: str) -> Group | None:
    """Reads a day of a month, with or without its year, or a time of day; None for all others.

    A time has seconds, `a.m.`, `p.m.` or a leading zero in its hour or minute; others may be ratios.
    """
    text = " ".join(re.sub(r"\\(?:text|mathrm)|\\[,;:!> ]|[{}~$]", " ", text).split())
    if time := TIME.fullmatch(text):
        hour, minute, second, half, only_hour, its_half = time.groups()
        half = (half or its_half or "").lower()
        if half or second is not None or hour.startswith("0") or minute.startswith("0"):
            return Group("time", (int(hour or only_hour), int(minute or 0), int(second or 0), half))
    date = DATE.fullmatch(text)
    if not date or bool(date[1]) == bool(date[3]):
        return None
    months = [month for month in MONTHS if date[2].lower() in (month, month[:3])]
    return Group("word", (f"{months[0]} {date[1] or date[3]} {date[4] or ''}",)) if months else None


def read_matrix(tokens: list[str]) -> Group:
    """Reads a matrix, with any brackets and a factor before it."""
    if tokens[0] not in ("(", "[", "\\begin"):
        place = next(place for place, token in enumerate(tokens) if token in ("(", "[", "\\begin"))
        factor = parse([*tokens[:place], "(", "1", ")"])
        scaled = [tuple(Node("*", (factor, entry)) for entry in row.items) for row in read_matrix(tokens[place:]).items]
        return Group("matrix", tuple(Group("row", row) for row in scaled))
    if tokens[0] in ("(", "[") and find_bracket(tokens) == len(tokens) - 1:
        tokens = tokens[1:-1]
    name = tokens[2].strip('"') if len(tokens) > 3 else ""
    require(tokens[0] == "\\begin" and name in MATRICES, "an environment")
    require(tokens[-4:] == ["\\end", "{", tokens[2], "}"], "an environment that does not end")
    body = tokens[4:-4]
    body = body[find_bracket(body) + 1 :] if name == "array" else body
    rows = [row for row in split(body, ("\\\\",)) if row]
    return Group("matrix", tuple(Group("row", tuple(map(parse, split(row, ("&",))))) for row in rows))


def is_name(tokens: list[str]) -> bool:
    """Returns True if tokens name a quantity, such as `AB`, `P(X=2)`, `m+n` or `Area of ABC`, and do not compute one."""
    if not tokens:
        return False
    if tokens[0] == "\\lim" or tokens == ["\\int"]:
        return True  # what is not computed here
    if tokens[0] == "\\int":  # without `dx` it is no integral
        return any(token[0] == "d" and token.isalpha() for token in tokens)
    if len(tokens) == 1:
        return tokens[0].isalpha() or tokens[0] in ("\\max", "\\min") or (tokens[0][0] in '@`"' and _names(tokens[0]))
    letters: set[str] = set()
    opened: list[bool] = []
    previous = ""
    for place, token in enumerate(tokens):
        if token in ("(", "["):
            opened.append(previous.isalpha() or previous[:1] in ("@", '"') or previous in IN_NAMES)
        elif token in (")", "]") and opened:
            opened.pop()
        elif token[0].isdigit():
            # An argument, or a power among other letters: `P(2)`, `x^2+y^2`.
            others = letters | {other for other in tokens[place:] if other.isalpha()}
            if not (opened and all(opened)) and not (not opened and previous == "^" and len(others) > 1):
                return False
        elif token.isalpha() or token[0] in '@`"':
            if token[0] == '"' and not _names(token):
                return False
            letters.add(token)
        elif token[0] == "\\" and token not in IN_NAMES and token[1:] not in FUNCTIONS:
            return False
        previous = token
    letters -= {"e", "i", "@pi"}
    letter = next(iter(letters), "")
    applied = (letter, "(") in itertools.pairwise(tokens)
    if len(letters) != 1 or applied or len(letter) > 1 or not letter.islower():
        return bool(letters)
    # What computes something from one unknown is no name, since its equation is not solved: `\sqrt{x}`, `-x`.
    return UNSOLVED.isdisjoint(tokens) and not (letter in "xy" and "|" in tokens)


def _names(token: str) -> bool:
    return token != "@pi" and token[1:].lower() not in HEDGES


def read_name(tokens: list[str]) -> tuple[str, str, tuple[str, ...], Node | None, bool]:
    r"""Returns (text, function, variables, expression or None, whether it may be one side of a curve's equation) of a name.

    Notations of a size are removed from the text: `|AB|`, `\overline{AB}`, `m\angle A`. Sides of curves are `x+y`, `xy` and
    `x^2`, but not `x`, `AB`, `f(x)` and `a/b`.
    """
    text = "".join(tokens).replace('"', "")
    variables, commas = tuple(tokens[2:-1:2]), tokens[3:-1:2]
    called = variables and tokens[1] == "(" and tokens[-1] == ")" and "".join(variables).isalpha() and set(commas) <= {","}
    applied = any(after == "(" and (token.isalpha() or token[0] in '@`"\\') for token, after in itertools.pairwise(tokens))
    try:
        expression = None if applied else parse(tokens)
    except Unreadable:
        expression = None
    return LENGTH.sub("", text), *((tokens[0], variables) if called else (text, ())), expression, _is_curve(tokens)


def _is_curve(name: list[str]) -> bool:
    depths = itertools.accumulate((token in "([{") - (token in ")]}") for token in name)
    outside = [token for token, depth in zip(name, depths, strict=True) if depth == 0]
    variables = [token for token in outside if token.isalpha() and token.islower()]
    if any(token.lstrip("\\") in FUNCTIONS for token in outside):
        variables += [token for token in outside if token[0] == "@" and token[1:].isalpha()]
    return bool({"+", "-", "^"} & set(outside)) or (len(variables) > 1 and not {":", "/"} & set(outside))
