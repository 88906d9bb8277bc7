"""Names of quantities, such as `x`, `AB`, `P(X=2)`, `f(x)` or `Area of ABC`."""

import itertools
import re

from rlready.verifier.equivalence.expression import Node, Unreadable, parse
from rlready.verifier.equivalence.tokens import FUNCTIONS

HEDGES = {"not", "no", "maybe", "perhaps", "possibly", "if", "but", "neither", "nor", "unless", "wrong", "incorrect"}
IN_NAMES = {f"\\{name}" for name in ("frac", "Pr", "cap", "cup", "sqrt", "in", "cdot", "times", "gcd", "lcm", "max", "min")}
IN_NAMES |= {"\\{", "\\}", "\\ge", "\\le", "\\ne"}
LENGTH = re.compile(r"^(?:m(?=@angle)|\|(?=[A-Z]{2}\|$)|@overline (?=[A-Z]{2}$))|(?<=^\|[A-Z]{2})\|$")
UNSOLVED = frozenset(("-", "+", "*", "\\cdot", "\\times", "^", "\\sqrt", "\\ln", "\\log", "\\lg", "\\exp"))


def is_name(tokens: list[str]) -> bool:
    """Returns True if tokens name a quantity, such as `AB`, `P(X=2)`, `m+n` or `Area of ABC`, and do not compute one."""
    if not tokens:
        return False
    if len(tokens) == 1:
        return tokens[0].isalpha() or tokens[0] in ("\\max", "\\min") or (tokens[0][0] in '@`"' and _names(tokens[0]))
    letters: set[str] = set()
    opened: list[bool] = []
    previous = ""
    for place, token in enumerate(tokens):
        if token == "(":
            opened.append(previous.isalpha() or previous[:1] in ("@", '"') or previous in IN_NAMES)
        elif token == ")" and opened:
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
    return bool(letters) and not _is_of_unknown(letters, tokens)


def _is_of_unknown(letters: set[str], tokens: list[str]) -> bool:
    r"""Returns True if a name computes something from one unknown, so that its equation is not solved: `\sqrt{x}`, `-x`."""
    (letter, *others) = letters
    applied = (letter, "(") in itertools.pairwise(tokens)
    if others or applied or len(letter) > 1 or not letter.islower():
        return False
    return not UNSOLVED.isdisjoint(tokens) or (letter in "xy" and "|" in tokens)


def _names(token: str) -> bool:
    return token != "@pi" and token[1:].lower() not in HEDGES


def is_expression(name: list[str]) -> bool:
    """Returns True if a name may be one side of a curve's equation: `x+y`, `xy`, `x^2`, not `x`, `AB`, `f(x)` or `a/b`."""
    depth, outside = 0, []
    for token in name:
        depth += (token in "([{") - (token in ")]}")
        if depth == 0:
            outside.append(token)
    variables = [token for token in outside if token.isalpha() and token.islower()]
    if any(token.lstrip("\\") in FUNCTIONS for token in outside):
        variables += [token for token in outside if token[0] == "@" and token[1:].isalpha()]
    return bool({"+", "-", "^"} & set(outside)) or len(variables) > 1


def parse_name(name: list[str]) -> Node | None:
    """Returns a name as an expression, or None if it is words or the name of a function."""
    try:
        return None if "(" in name else parse(name)
    except Unreadable:
        return None


def write_name(name: list[str]) -> str:
    r"""Returns a name as text; segments and angles are their size, however written: `|AB|`, `\overline{AB}`, `m\angle A`."""
    return LENGTH.sub("", "".join(name).replace('"', ""))


def split_name(name: list[str]) -> tuple[str, tuple[str, ...]]:
    """Returns the function and the variables of a name such as `f(x)`, or the name and no variables."""
    variables, commas = tuple(name[2:-1:2]), name[3:-1:2]
    if variables and name[1] == "(" and name[-1] == ")" and "".join(variables).isalpha() and set(commas) <= {","}:
        return name[0], variables
    return "".join(name).replace('"', ""), ()
