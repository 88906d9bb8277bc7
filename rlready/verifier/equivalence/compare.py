r"""Whether two answers mean the same, after normalising their equations."""

import re
from collections.abc import Sequence
from functools import partial

from rlready.verifier.equivalence.identity import is_near, is_proportional, is_same, is_solution, list_symbols, substitute, walk
from rlready.verifier.equivalence.parser import DOTS, HUNDRED, Node, make_number
from rlready.verifier.equivalence.parts import Group, Value, compare_sets, has_symbols, is_permutation, measure, split

PI = Node("const", ("pi",))
DEGREE = Node("/", (PI, make_number("180")))
FALSE = Group("false", ())
NUMBERED = re.compile(r"^@|_\d(?:,\d)*$")  # what the name of one of several roots has beside the name
ORDINATES = {"y", "z", "r", "rho"}


def normalise_value(value: Value) -> Value:
    """Returns a value with every equation in it replaced by its meaning.

    `2+3=5` is 5, `x = 10/2 = 5` is 5 named x, `\\frac{1}{3} \\approx 0.33` is a third, `2x+y=1` a relation,
    `(x+1)^2=x^2+2x+1` the latter, `6=5` false.
    """
    if isinstance(value, Node):
        return value
    if value.kind != "equation":
        items = (normalise_value(item) if isinstance(item, Group) else item for item in value.items)
        return Group(value.kind, tuple(items))
    names, sides, marks = value.items
    values = [normalise_value(side) for side in sides]
    if names is None and len(values) == 2 and any(map(has_symbols, values)):
        first, last = values
        if marks == ("=",) and isinstance(first, Node) and isinstance(last, Node) and is_same(first, last):
            return last  # an identity, such as a given expression and its simplification
        return Group("relation", ("=", *values))
    exact = [values[0]] + [side for side, mark in zip(values[1:], marks, strict=True) if mark == "="]
    if not has_symbols(exact[-1]):
        # A formula before the number that it gives cannot be checked here.
        exact = [side for side in exact if not has_symbols(side)]
    rounded = [side for side, mark in zip(values[1:], marks, strict=True) if mark == "≈"]
    if not all(approximates(side, exact[0]) for side in rounded) or not all(is_equal(side, exact[-1]) for side in exact):
        return FALSE
    if names and isinstance(exact[-1], Node) and names[3] and list_symbols(names[3]) & list_symbols(exact[-1]):
        # `x = x^2-2` names nothing, and `x = x` says nothing.
        if names[3] == exact[-1]:
            return FALSE
        return exact[-1] if is_same(names[3], exact[-1]) else Group("relation", ("=", names[3], exact[-1]))
    return Group("named", (*names, exact[-1])) if names else exact[-1]


def approximates(value: Value, exact: Value) -> bool:
    """Returns True if a decimal number is another value rounded or truncated."""
    if value.kind == exact.kind == "unit":
        return value.items[1] == exact.items[1] and approximates(value.items[0], exact.items[0])
    if not isinstance(value, Node) or not isinstance(exact, Node) or has_symbols(value) or has_symbols(exact):
        return isinstance(value, Group) and is_equal(value, exact)
    return is_near(value, exact)


def is_equal(a: Value, b: Value) -> bool:
    """Returns True if two values are equal; symmetric."""
    if isinstance(a, Node) and isinstance(b, Node):
        if is_same(a, b):
            return True
        # `90^\circ-\alpha` and `90-\alpha` differ only in that one has signs of degrees.
        marked = [any(part.op == "deg" for part in walk(node)) for node in (a, b)]
        return marked[0] != marked[1] and bool(list_symbols(a)) and is_same(_drop_degrees(a), _drop_degrees(b))
    if "false" in (a.kind, b.kind):
        return False
    for one, other in ((a, b), (b, a)):
        if one.kind == "named" and other.kind not in ("named", "list", "relation", "union", "reals", "set"):
            left = one.items[3]
            solved = left is not None and solves(other, Group("relation", ("=", left, one.items[-1])))
            return solved or is_equal(one.items[-1], other)
    if (same := compare_sets(a, b)) is not None:
        return same
    if isinstance(a, Group) and isinstance(b, Group) and a.kind == b.kind:
        return _compare_same(a, b)
    return _compare_kinds(a, b) or _compare_kinds(b, a)


def _drop_degrees(node: Node) -> Node:
    parts = tuple(_drop_degrees(part) if isinstance(part, Node) else part for part in node.args)
    return Node("+", parts) if node.op == "deg" else Node(node.op, parts)


def _compare_same(a: Group, b: Group) -> bool:
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
        case "class":
            (modulus, *residues), (other, *others) = a.items, b.items
            return is_same(modulus, other) and is_permutation(residues, others, partial(_is_congruent, modulus))
        case "member":
            return a.items[0] == b.items[0] and is_equal(a.items[1], b.items[1])
        case "time":
            return _is_same_time(a.items, b.items)
        case "reals":
            return False
    return len(a.items) == len(b.items) and all(map(_is_same_part, a.items, b.items))


def _compare_kinds(a: Value, b: Value) -> bool:
    """Compares two values, the first of the more special kind."""
    items, other, others = a.items, b.kind, b.items
    match a.kind:
        case "named" if other == "relation":
            return _compare_with_relation(a, b)
        case "named":
            return is_equal(_expand(a), b) if other == "list" else is_equal(items[-1], b)
        case "list" if other in ("set", "union"):
            return _compare_lists(a, b)
        case "set" if other == "[]" and len(others) > 2:
            return _compare_lists(a, b)
        case "list" | "()" if other in ("()", "[]") and (a.kind == "list" or len(others) > 2):
            return _are_equal(items, others)
        case "matrix" if len(other) == 2:
            return _compare_matrix([row.items for row in items], others)
        case "time" if other == "ratio" and len(others) < 4 and all(part.op == "num" for part in others):
            parts = [part.args[0] for part in others] + [0, 0]
            return parts[1] >= 10 and _is_same_time(items, (*parts[:3], ""))  # 8:5 is no time
    if isinstance(b, Group):
        return False
    match a.kind:
        case "unit":
            return _compare_unit(a, b)
        case "base":
            return items[2] == "10" and is_equal(drop_base(a), b)
        case "ratio":
            odds = items[1] == make_number("1") and items[0].op == "num"  # `18:1` is not 18
            return len(items) == 2 and not odds and is_equal(Node("/", items), b)
        case "set":
            return len(items) == 1 and _is_same_part(items[0], b)
    return a.kind == "relation" and solves(b, a)


def drop_base(value: Value) -> Value:
    """Returns a value with the digits, as if in base 10, in the place of a number in another base."""
    if isinstance(value, Group) and value.kind == "named":
        return Group("named", (*value.items[:-1], drop_base(value.items[-1])))
    if value.kind != "base":
        return value
    return Node("neg", value.items[:1]) if value.items[1] else value.items[0]


def _is_congruent(modulus: Node, a: Node, b: Node) -> bool:
    """Returns True if two numbers are in the same class; expressions with symbols must be equal."""
    turns = Node("/", (Node("+", (a, Node("neg", (b,)))), modulus))
    return is_same(a, b) or (not list_symbols(turns) and is_same(turns, Node("call", ("floor", turns))))


def _are_equal(a: Sequence[Value], b: Sequence[Value]) -> bool:
    return len(a) == len(b) and all(map(is_equal, a, b))


def _compare_matrix(rows: list[tuple[Value, ...]], others: tuple[Value, ...]) -> bool:
    """Compares a matrix with a list of lists, or a row or column with a list."""
    if min(len(rows), len(rows[0])) > 1:
        lists = [item.items if len(item.kind) == 2 else () for item in others]
        return [*map(len, rows)] == [*map(len, lists)] and all(map(is_equal, sum(rows, ()), sum(lists, ())))
    if len(rows) == 1:
        return _are_equal(rows[0], others)
    return all(len(row) == 1 for row in rows) and _are_equal([row[0] for row in rows], others)


def solves(value: Value, relation: Value) -> bool:
    """Returns True if a value is a formula that the equation of a curve gives for its ordinate: `1-2x` for `2x+y=1`."""
    mark, *sides = relation.items
    if mark != "=" or len(sides) != 2 or not isinstance(value, Node) or not all(isinstance(side, Node) for side in sides):
        return False
    if not list_symbols(value):
        return False
    missing = set().union(*map(list_symbols, sides)) - list_symbols(value)
    return missing < ORDINATES and len(missing) == 1 and is_solution(sides[0], sides[1], missing.pop(), value)


def _compare_unit(a: Value, b: Node) -> bool:
    """Compares a quantity with a bare number: the unit may be left out; percent and degrees are numbers, too."""
    value, unit, weak = a.items
    if weak is not None and is_same(weak, b):
        return True
    if is_equal(value, b) and not (unit == (("%", 1),) and not list_symbols(b) and 0 < abs(measure(b)) <= 1):  # 0.5 is not 0.5%
        return unit != (("°", 1),) or PI not in walk(value)
    if unit == (("%", 1),):
        return is_same(Node("/", (value, HUNDRED)), b)
    if unit == (("°", 1),):
        return is_same(Node("*", (value, DEGREE)), b)
    # In plain letters, `45 m^2`.
    letters = [Node("^", (Node("sym", (name,)), make_number(str(power)))) for name, power in unit if power > 0]
    return len(letters) == len(unit) and is_same(Node("*", (value, *letters)), b)


def _is_same_time(a: tuple, b: tuple) -> bool:
    """Returns True if two times (hour, minute, second, `a`, `p` or nothing) of 12 or 24 hours are the same."""
    hours = [time[0] % 12 + 12 * (time[3] == "p") if time[3] else time[0] for time in (a, b)]
    return a[1:3] == b[1:3] and (hours[0] == hours[1] or (a[0] == b[0] and "" in (a[3], b[3])))


def _is_same_word(a: str, b: str) -> bool:
    """Returns True if two words are the same; the case of letters matters if they may be symbols: short ones, `ABCD`."""
    lower = a.lower()
    long = (len(a) > 3 and [*lower] != sorted(lower)) or lower == "yes" or (len(a) > 1 and (a.istitle() or b.istitle()))
    return a == b or (long and lower == b.lower())


def _compare_lists(a: Value, b: Value) -> bool:
    """Compares lists in any order, except that names keep theirs: `x=1, y=2` is not `2, 1`."""
    if len(a.items) != len(b.items):
        return False
    for one, other in ((a, b), (b, a)):
        if _has_names(one) and not any(item.kind == "named" for item in other.items):
            return all(map(is_equal, one.items, other.items))
    members = [[item.items for item in value.items if item.kind == "member"] for value in (a, b)]
    if [*map(len, members)] == [1, 1] and members[0][0][1] == members[1][0][1]:
        # The name of an integer, `k` or `n`, does not matter if both say that it is arbitrary.
        a, b = (_bind(value, name) for value, ((name, _),) in zip((a, b), members, strict=True))
    if DOTS in a.items or DOTS in b.items:
        return all(map(is_equal, a.items, b.items))
    return is_permutation(a.items, b.items, _is_same_part)


def _is_same_part(a: Value, b: Value) -> bool:
    """Returns True if two members of lists are the same; there `\\{1\\}` is not 1, as it may be elsewhere."""
    kinds = [(value.items[-1] if value.kind == "named" else value).kind for value in (a, b)]
    return (kinds[0] == "set") == (kinds[1] == "set") and is_equal(a, b)


def _bind(value: Value, name: str) -> Group:
    """Returns a list without the set of its bound variable, and with one name for all such variables."""
    return Group(value.kind, tuple(_rename(item, (name,)) for item in value.items if item.kind != "member"))


def _has_names(value: Value) -> bool:
    """Returns True if all parts have different names, of symbols that are not numbered roots."""
    names = [item.items[0] for item in value.items if item.kind == "named"]
    stems = {name.partition("_")[0] for name in names}
    return len(names) == len(value.items) == len(stems) > 1 and not any(len(name) > 3 and name.isalpha() for name in names)


def _expand(named: Value) -> Value:
    """Returns `(x,y) = (1,2)` as a list of `x = 1` and `y = 2`, and other values without their name."""
    name: str = named.items[0]
    value: Value = named.items[-1]
    parts = ["".join(part) for part in split(name[1:-1], ",")] if name[:1] == "(" and name[-1:] == ")" else []
    return Group("list", tuple(map(_name_part, parts, value.items))) if len(value.items) == len(parts) > 1 else value


def _name_part(name: str, value: Value) -> Group:
    function, bracket, rest = name.partition("(")
    return Group("named", (name, function, tuple(rest.rstrip(")").split(",")) if bracket else (), None, False, value))


def _compare_named(a: Group, b: Group) -> bool:
    """Compares values with names: the same name, functions of other variables, or a function and `y`."""
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
    relation, other_relation = Group("relation", ("=", left, value)), Group("relation", ("=", other_left, other_value))
    return _compare_with_relation(a, other_relation) or _compare_with_relation(b, relation)


def _compare_with_relation(named: Value, relation: Value) -> bool:
    """Compares a named value with an equation: they mean the same, or the equation gives the value for its ordinate."""
    name, *_, left, curve, value = named.items
    if left is None:
        return False
    if not curve and not has_symbols(value) and make_number("0") not in relation.items:
        return False  # `2x=10` is not solved; `x-5=0` may be a line
    same = _is_same_relation(Group("relation", ("=", left, value)), relation)
    return same or (name.lstrip("@") in ORDINATES and solves(value, relation))


def _rename(value: Value, variables: tuple[str, ...]) -> Value:
    if isinstance(value, Node):
        return substitute(value, {name: Node("sym", (f"#{place}",)) for place, name in enumerate(variables)})
    items = (_rename(item, variables) if isinstance(item, Node | Group) else item for item in value.items)
    return Group(value.kind, tuple(items))


def _is_same_relation(a: Value, b: Value) -> bool:
    """Returns True if two relations are the same, as written or after moving and multiplying terms."""
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
