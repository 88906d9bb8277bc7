r"""Names of quantities, such as `x`, `AB`, `P(X=2)`, `f(x)` or `Area of ABC`."""

from rlready.components.core.verifier.exact.expression import Node, Unreadable, parse
from rlready.components.core.verifier.exact.tokens import FUNCTIONS

HEDGES = {"not", "no", "maybe", "perhaps", "possibly", "if", "but", "neither", "nor", "unless", "wrong", "incorrect"}
IN_NAMES = ("\\frac", "\\Pr", "\\cap", "\\cup", "\\sqrt", "\\in", "\\{", "\\}")


def is_name(tokens: list[str]) -> bool:
    """Says whether tokens name a quantity, as in `AB`, `P(X=2)`, `m+n` or `Area of ABC`, and compute none."""
    if not tokens:
        return False
    if len(tokens) == 1:
        return tokens[0].isalpha() or (tokens[0][0] in '@`"' and tokens[0] != "@pi" and tokens[0][1:] not in HEDGES)
    letters, depth, previous = set(), 0, ""
    for token in tokens:
        if token[0] == '"' and token[1:].lower() in HEDGES:
            return False
        depth += (token in ("(", "|")) - (token == ")") if token != "|" or depth == 0 else -1
        if token[0].isdigit():
            # An argument, or a power among other letters: `P(2)`, `x^2+y^2`.
            if not (depth > 0 or (previous == "^" and len(letters | {t for t in tokens if t.isalpha()}) > 1)):
                return False
        elif token.isalpha() or token[0] in '@`"':
            letters.add(token)
        elif token[0] == "\\" and token not in IN_NAMES and token[1:] not in FUNCTIONS:
            return False
        previous = token
    return bool(letters - {"e", "i", "@pi"})


def parse_name(name: list[str]) -> Node | None:
    """Returns a name as an expression, unless it is that of a function or words."""
    try:
        return None if "(" in name else parse(name)
    except Unreadable:
        return None


def split_name(name: list[str]) -> tuple[str, tuple[str, ...]]:
    """Returns the function and its variables of a name such as `f(x)`, or the name and none."""
    if len(name) > 3 and name[1] == "(" and name[-1] == ")" and all(part.isalpha() for part in name[2:-1:2]):
        return name[0], tuple(name[2:-1:2])
    return "".join(name).replace('"', ""), ()
