r"""Whether two answers that were read mean the same, after settling what their equations say."""

import re

from rlready.verifier.equivalence.expression import DOTS, Node, make_number
from rlready.verifier.equivalence.identity import is_proportional, is_same, is_solution, list_symbols, rename
from rlready.verifier.equivalence.numbers import Evaluator, Undefined
from rlready.verifier.equivalence.parts import Group, Value, has_symbols, is_interval
from rlready.verifier.equivalence.reals import is_same_set, list_pieces

DEGREE = Node("/", (Node("const", ("pi",)), make_number("180")))
HUNDRED = make_number("100")
FALSE = Group("false", ())
NUMBERED = re.compile(r"^@|_\d$")  # of the name of one of several roots
ORDINATES = {"y", "z", "r", "rho"}


def normalise_value(value: Value) -> Value:
    """Returns a value with every equation in it replaced by what it says.

    `2+3=5` is 5, `x = 10/2 = 5` is 5 named x, `\\frac{1}{3} \\approx 0.33` is a third, `2x+y=1` a relation,
    `(x+1)^2=x^2+2x+1` the latter, `6=5` false.
    """
    if isinstance(value, Node):
        return value
    if value.kind != "equation":
        return Group(
            value.kind, tuple(normalise_value(item) if isinstance(item, Node | Group) else item for item in value.items)
        )
    names, sides, marks = value.items
    values = [normalise_value(side) for side in sides]
    if names is None and len(values) == 2 and any(map(has_symbols, values)):
        first, last = values
        if marks == ("=",) and isinstance(first, Node) and isinstance(last, Node) and is_same(first, last):
            return last  # an identity, such as what was given and what it was brought to
        return Group("relation", ("=", *values))
    exact = [values[0]] + [side for side, mark in zip(values[1:], marks, strict=True) if mark == "="]
    if not has_symbols(exact[-1]):
        # A formula before the number that it gives cannot be checked here.
        exact = [side for side in exact if not has_symbols(side)]
    rounded = [side for side, mark in zip(values[1:], marks, strict=True) if mark == "≈"]
    if not all(approximates(side, exact[0]) for side in rounded) or not all(is_equal(side, exact[-1]) for side in exact):
        return FALSE
    if names and isinstance(exact[-1], Node) and names[3] and list_symbols(names[3]) & list_symbols(exact[-1]):
        # `x = x^2-2` names nothing.
        return exact[-1] if is_same(names[3], exact[-1]) else Group("relation", ("=", names[3], exact[-1]))
    return Group("named", (*names, exact[-1])) if names else exact[-1]


def approximates(value: Value, exact: Value) -> bool:
    """Returns True if a decimal number is another value rounded or cut off."""
    if isinstance(value, Group) and isinstance(exact, Group) and value.kind == exact.kind == "unit":
        return value.items[1] == exact.items[1] and approximates(value.items[0], exact.items[0])
    if not isinstance(value, Node) or not isinstance(exact, Node) or has_symbols(value) or has_symbols(exact):
        return isinstance(value, Group) and is_equal(value, exact)
    node = value.args[0] if value.op == "neg" else value
    if node.op != "num":
        return is_same(value, exact)
    decimals, scaled = 0, node.args[0]
    while scaled.denominator != 1 and decimals < 50:
        decimals, scaled = decimals + 1, scaled * 10
    evaluator = Evaluator(100, {})
    try:
        difference = evaluator.evaluate(Node("+", (value, Node("neg", (exact,)))))
    except Undefined:
        return False
    return bool(abs(evaluator.approximate(difference)) * 10 ** max(decimals, 1) < 1)


def is_equal(a: Value, b: Value) -> bool:
    """Returns True if two values, each a Node or a Group, are equal; the same either way round."""
    if isinstance(a, Node) and isinstance(b, Node):
        return is_same(a, b)
    if "false" in (get_kind(a), get_kind(b)):
        return False
    for one, other in ((a, b), (b, a)):
        unnamed = get_kind(other) not in ("named", "list", "relation", "union", "reals", "set")
        if isinstance(one, Group) and one.kind == "named" and unnamed:
            left = one.items[3]
            solved = left is not None and solves(other, Group("relation", ("=", left, one.items[-1])))
            return solved or is_equal(one.items[-1], other)
    if is_interval(a) or is_interval(b):
        pieces, others = list_pieces(a), list_pieces(b)
        if pieces is not None and others is not None:
            return _share_variable(a, b) and is_same_set(pieces, others)
    if isinstance(a, Group) and isinstance(b, Group) and a.kind == b.kind:
        return _compare_same(a, b)
    return _compare_kinds(a, b) or _compare_kinds(b, a)


def get_kind(value: Value) -> str:
    """Returns the kind of a Group, or `number` for a Node."""
    return value.kind if isinstance(value, Group) else "number"


def _share_variable(a: Value, b: Value) -> bool:
    """Returns True if inequalities in two sets are for one variable: `x<3` is not `y<3`."""
    return len(_list_variables(a) | _list_variables(b)) < 2


def _list_variables(value: object) -> set[str]:
    if not isinstance(value, Group):
        return set()
    if value.kind == "reals":
        return {value.items[0]} - {None}
    return set().union(*map(_list_variables, value.items))


def _compare_same(a: Group, b: Group) -> bool:
    """Compares two values of one kind."""
    match a.kind:
        case "word":
            return _is_same_word(a.items[0], b.items[0])
        case "unit":
            weak = a.items[2] and b.items[2] and is_same(a.items[2], b.items[2])
            if {a.items[1], b.items[1]} == {(("°", 1),), (("rad", 1),)}:
                degrees, radians = (a, b) if a.items[1] == (("°", 1),) else (b, a)
                return is_equal(Node("*", (degrees.items[0], DEGREE)), radians.items[0])
            return bool(weak) or (a.items[1] == b.items[1] and is_equal(a.items[0], b.items[0]))
        case "base":
            return a.items == b.items
        case "list" | "set" | "union":
            return _compare_lists(a, b)
        case "named":
            return _compare_named(a, b)
        case "relation":
            return _is_same_relation(a, b)
        case "member":
            return a.items[0] == b.items[0] and is_equal(a.items[1], b.items[1])
        case "time":
            return _is_same_time(a.items, b.items)
        case "reals":
            return False
    return len(a.items) == len(b.items) and all(map(_is_same_part, a.items, b.items))


def _compare_kinds(a: Value, b: Value) -> bool:
    """Compares two values of which the first is of the more special kind."""
    if not isinstance(a, Group):
        return False
    kind, other = a.kind, get_kind(b)
    others = b.items if isinstance(b, Group) else ()
    if kind == "unit" and other == "number":
        return _compare_unit(a, b)
    if kind == "base" and other == "number":
        value, negative, _ = a.items
        return is_equal(Node("neg", (value,)) if negative else value, b)
    if kind == "ratio" and other == "number" and len(a.items) == 2:
        return is_equal(Node("/", a.items), b)
    if kind == "time" and other == "ratio" and len(others) < 4 and all(part.op == "num" for part in others):
        parts = [part.args[0] for part in others] + [0, 0]
        return _is_same_time(a.items, (*parts[:3], ""))
    if kind == "set" and other == "number" and len(a.items) == 1:
        return _is_same_part(a.items[0], b)
    if kind == "set" and isinstance(b, Group) and other == "[]" and len(others) > 2:
        return _compare_lists(a, b)
    if kind == "relation" and other == "number":
        return solves(b, a)
    if kind == "named" and isinstance(b, Group) and other == "relation":
        return _compare_with_relation(a, b)
    if kind == "named":
        return is_equal(_expand(a), b) if other == "list" else is_equal(a.items[-1], b)
    if kind == "list":
        if isinstance(b, Group) and other in ("set", "union"):
            return _compare_lists(a, b)
        return len(other) == 2 and len(a.items) == len(others) and all(map(is_equal, a.items, others))
    if kind == "matrix" and len(other) == 2:
        rows = [row.items for row in a.items]
        if min(len(rows), len(rows[0])) > 1:  # a list of lists
            lists = [item.items if len(get_kind(item)) == 2 else () for item in others]
            return [*map(len, rows)] == [*map(len, lists)] and all(map(is_equal, sum(rows, ()), sum(lists, ())))
        vector = rows[0] if len(rows) == 1 else [row[0] for row in rows] if all(len(r) == 1 for r in rows) else None
        return vector is not None and len(vector) == len(others) and all(map(is_equal, vector, others))
    return False


def solves(value: Value, relation: Group) -> bool:
    """Returns True if a value is a formula that the equation of a curve gives for its ordinate: `1-2x` of `2x+y=1`."""
    mark, *sides = relation.items
    if mark != "=" or len(sides) != 2 or not isinstance(value, Node) or not all(isinstance(side, Node) for side in sides):
        return False
    if not list_symbols(value):
        return False
    missing = set().union(*map(list_symbols, sides)) - list_symbols(value)
    return missing < ORDINATES and len(missing) == 1 and is_solution(sides[0], sides[1], missing.pop(), value)


def _compare_unit(a: Group, b: Value) -> bool:
    """Compares a quantity with a bare number: the unit may be left out, percent and degrees are numbers too."""
    value, unit, weak = a.items
    if weak is not None:
        return isinstance(b, Node) and is_same(weak, b)
    if is_equal(value, b):
        return True
    if not isinstance(b, Node):
        return False
    if unit == (("%", 1),):
        return is_same(Node("/", (value, HUNDRED)), b)
    return unit == (("°", 1),) and is_same(Node("*", (value, DEGREE)), b)


def _is_same_time(a: tuple, b: tuple) -> bool:
    """Returns True if two times (hour, minute, second, `a`, `p` or nothing) are the same, of 12 or of 24 hours."""
    if a[1:3] != b[1:3]:
        return False
    halves = [time[0] % 12 + 12 * (time[3] == "p") if time[3] else time[0] for time in (a, b)]
    return halves[0] == halves[1] or (a[0] == b[0] and "" in (a[3], b[3]))


def _is_same_word(a: str, b: str) -> bool:
    """Returns True if two words are the same; letters that may be symbols are told apart by their case."""
    if a == b:
        return True
    return a.lower() == b.lower() and (
        len(a) > 3 or a.lower() == "yes" or (len(a) > 1 and any(word.istitle() for word in (a, b)))
    )


def _compare_lists(a: Group, b: Group) -> bool:
    """Compares lists in any order, but one with several names in their order: `x=1, y=2` is not `2, 1`."""
    if len(a.items) != len(b.items):
        return False
    for one, other in ((a, b), (b, a)):
        if _has_names(one) and not any(get_kind(item) == "named" for item in other.items):
            return all(map(is_equal, one.items, other.items))
    bound = [[item.items for item in value.items if get_kind(item) == "member"] for value in (a, b)]
    if [len(members) for members in bound] == [1, 1] and bound[0][0][1] == bound[1][0][1]:
        # What an integer is called, `k` or `n`, does not matter where both say that it is any.
        a, b = (_bind(value, members[0][0]) for value, members in zip((a, b), bound, strict=True))
    if DOTS in a.items or DOTS in b.items:
        return all(map(is_equal, a.items, b.items))
    rest = list(b.items)
    for item in a.items:
        partner = next((place for place, other in enumerate(rest) if _is_same_part(item, other)), None)
        if partner is None:
            return False
        del rest[partner]
    return True


def _is_same_part(a: Value, b: Value) -> bool:
    """Returns True if two members of lists are the same: there `\\{1\\}` is not 1, as it may be where it stands alone."""
    sets = [
        get_kind(value.items[-1] if isinstance(value, Group) and value.kind == "named" else value) == "set" for value in (a, b)
    ]
    return sets[0] == sets[1] and is_equal(a, b)


def _bind(value: Group, name: str) -> Group:
    """Returns a list without what its bound variable belongs to, and with one name for all such variables."""
    items = [item for item in value.items if get_kind(item) != "member"]
    return Group(value.kind, tuple(_rename(item, (name,)) for item in items))


def _has_names(value: Group) -> bool:
    """Returns True if all parts have names, each another one, of symbols that are no numbered roots."""
    names = [item.items[0] for item in value.items if get_kind(item) == "named"]
    stems = {name.partition("_")[0] for name in names}
    return len(names) == len(value.items) == len(stems) > 1 and not any(len(name) > 3 and name.isalpha() for name in names)


def _expand(named: Group) -> Value:
    """Returns `(x,y) = (1,2)` as a list of `x = 1` and `y = 2`, or what it is."""
    name: str = named.items[0]
    value: Value = named.items[-1]
    parts = _split_names(name[1:-1]) if name[:1] == "(" and name[-1:] == ")" else []
    if len(parts) > 1 and isinstance(value, Group) and len(value.items) == len(parts):
        pairs = zip(parts, value.items, strict=True)
        return Group("list", tuple(Group("named", (part, *_split_call(part), None, False, item)) for part, item in pairs))
    return value


def _split_names(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _split_call(name: str) -> tuple[str, tuple[str, ...]]:
    function, bracket, rest = name.partition("(")
    return (function, tuple(rest.rstrip(")").split(","))) if bracket else (name, ())


def _compare_named(a: Group, b: Group) -> bool:
    """Compares values with names: of the same name, of functions with other variables, or of a function and `y`."""
    name, function, variables, left, _, value = a.items
    other, other_function, other_variables, other_left, _, other_value = b.items
    words = len(name) > 3 and name.isalpha() and name.lower() == other.lower()
    if words or name == other or NUMBERED.sub("", name) == other or name == NUMBERED.sub("", other):
        return is_equal(value, other_value)
    lower = "".join(variables + other_variables).islower()
    if variables and other_variables and function == other_function and len(variables) == len(other_variables) and lower:
        return is_equal(_rename(value, variables), _rename(other_value, other_variables))
    if bool(variables) != bool(other_variables):
        plain = other_function if variables else function
        return plain in ("y", function if variables else other_function) and is_equal(value, other_value)
    if left is None or other_left is None:
        return False
    return any(
        _compare_with_relation(one, Group("relation", ("=", second.items[3], second.items[-1])))
        for one, second in ((a, b), (b, a))
    )


def _compare_with_relation(named: Group, relation: Group) -> bool:
    """Compares a value with a name with an equation: they say the same, or it gives the value for its ordinate."""
    name, *_, left, curve, value = named.items
    if left is None:
        return False
    if not curve and not has_symbols(value) and make_number("0") not in relation.items:
        return False  # `2x=10` is not yet solved, as `x-5=0` may be: a line
    return _is_same_relation(Group("relation", ("=", left, value)), relation) or (
        name.lstrip("@") in ORDINATES and solves(value, relation)
    )


def _rename(value: Value, variables: tuple[str, ...]) -> Value:
    names = {name: f"#{place}" for place, name in enumerate(variables)}
    if isinstance(value, Node):
        return rename(value, names)
    return Group(
        value.kind, tuple(_rename(item, variables) if isinstance(item, Node | Group) else item for item in value.items)
    )


def _is_same_relation(a: Group, b: Group) -> bool:
    """Returns True if two relations are the same, side by side or after moving and multiplying terms."""
    (mark, *sides), (other_mark, *others) = a.items, b.items
    if mark != other_mark or len(sides) != len(others):
        return False
    if all(map(is_equal, sides, others)):
        return True
    if len(sides) != 2 or not all(isinstance(side, Node) for side in (*sides, *others)):
        return False
    if mark in "=≠" and all(map(is_equal, sides, others[::-1])):
        return True
    one, other = (Node("+", (left, Node("neg", (right,)))) for left, right in (sides, others))
    return bool(list_symbols(one) and list_symbols(other)) and is_proportional(one, other, positive=mark not in "=≠")
