r"""Reads an answer: numbers, lists, sets, intervals, equations, matrices, quantities with a unit, and words."""

import itertools
import re
from collections.abc import Iterable

from rlready.verifier.equivalence.identity import is_same, list_symbols
from rlready.verifier.equivalence.parser import HUNDRED, Node, parse, require
from rlready.verifier.equivalence.parts import (
    OPEN,
    Group,
    Value,
    find_bracket,
    flatten,
    has_symbols,
    is_interval,
    is_text,
    list_marks,
    make_pieces,
    mirror,
    split,
)
from rlready.verifier.equivalence.quantities import (
    HEDGES,
    MINUS,
    REALS,
    is_name,
    read_matrix,
    read_moment,
    read_name,
    read_quantity,
    read_words,
)
from rlready.verifier.equivalence.spelling import SPACE
from rlready.verifier.equivalence.tokens import tokenize

JOINERS = (",", ";", '"and', '"or', "\\vee", "\\\\")
EQUALS = {"=": "=", "\\equiv": "=", "\\approx": "≈"}
RELATIONS = EQUALS | {"<": "<", ">": ">", "\\le": "≤", "\\ge": "≥", "\\ne": "≠"}
FLIPPED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤"}
INTEGER = re.compile(r"(?:for|where|with) (?:(?:any|some|every|all|an)? ?integers? ([a-z])|([a-z]) (?:is )?an integer)")
# The letter of an option before its value: certain in text, with a single bracket or a colon; else it may be a factor.
OPTION = re.compile(
    rf"\s*(?:\\(?:text|math)\w*\s*\{{\s*(?:\(?[A-Ja-j]\)|[A-J][.:])\s*(\}})?|[A-Ja-j]\)|[A-J][.:](?={SPACE.pattern}))"
    rf"(?:{SPACE.pattern})*(?!or\b|and\b|[\s}},;]|[A-J]\W*$)(.+)",
    re.DOTALL,
)
LABEL = re.compile(rf"\s*\([a-jA-J]\)(?:{SPACE.pattern})+(?=[-\d\\.({{])(.*)", re.DOTALL)
OPENING = re.compile(
    r"(?:(?:so|thus|hence|therefore|then|only|exactly|there (?:are|is))(?: only| exactly)?|(?:the )?year"
    r"|(?:[a-z]|it|the (?:(?:value|number) of \w+|\w+(?: value)?)) (?:is|are|equals)"
    r"|(?:its |total )?(?:area|volume|perimeter|value|probability|sum|number|length|radius|distance|total|result) is"
    r"|(?:the )?(?:final |correct )?answer(?: is)?)(?= |$)"
)
OUTWARD = (("]", "["), ("]", "]"), ("[", "["))  # open intervals with brackets turned outward
MODULO = {"\\pmod", "\\bmod", "\\mod", '"mod', '"modulo'}
CLAUSE = re.compile(r'"for"(?:all|any|every|some("real)?"constant)|"where[a-z]"is"an?("real|"arbitrary)*"constant$')
MOST_PARTS = 64  # of a list
NATURAL = re.compile(r"mathbb (?:N|Z_?\+)")
REMARKS = {'"or': '"or', "=": "=", "\\approx": "\\approx", '"approximately': "\\approx", '"about': "\\approx"}


def read(text: str) -> Value:
    """Reads an answer; raises Unreadable if it has none of the known forms."""
    if option := OPTION.fullmatch(text):
        inside = "\\text{" if option[0].lstrip().startswith("\\") and not option[1] else ""
        return read(inside + option[2])
    if label := LABEL.fullmatch(text):
        value = read(label[1])
        require(value.kind in ("number", "unit") and not has_symbols(value), "a label or a factor")
        return value
    if moment := read_moment(text):
        return moment
    tokens = tokenize(text)
    require(tokens, "nothing")
    tokens = _strip_opening(tokens)
    if "\\in" in tokens and len(split(tokens, JOINERS)) == 1:
        sides = split(tokens, ("\\in",))
        if len(sides) == 2 and all(token.lstrip("@").isalpha() or token in "(,)" for token in sides[0]):
            tokens = sides[1]
    return read_tokens(tokens)


def _strip_opening(tokens: list[str]) -> list[str]:
    r"""Returns tokens without an introduction: `\therefore`, `so`, `The answer is`."""
    while tokens[0] in ("\\therefore", "\\implies", "\\Rightarrow", "\\Longrightarrow", "\\forall", "=", ":") and tokens[1:]:
        tokens = tokens[1:]
    words = itertools.takewhile(lambda token: token[0] == '"' or token.isalpha(), tokens)
    opening = OPENING.match(" ".join(words).replace('"', "").lower())
    cut = len(opening[0].split()) if opening else 0
    while cut and tokens[cut : cut + 1] in ([","], [":"], ["="]):
        cut += 1
    tokens = tokens[cut:] or tokens
    negative = tokens[0].lower() in MINUS and tokens[1:] and tokens[1][0] != '"'
    return ["-", *tokens[1:]] if negative else tokens


def read_tokens(tokens: list[str]) -> Value:
    """Returns the value of tokens; see `read`."""
    tokens = _unwrap(tokens)
    if modulo := [place for place, token in enumerate(tokens) if token in MODULO and 0 < place < len(tokens) - 1]:
        return _read_class(tokens[: modulo[0]], tokens[modulo[0] + 1 :])
    if is_text(tokens) and len(split(tokens, JOINERS)) == 1:
        return read_words(tokens)
    if '"except' in tokens[1:-1]:
        place = tokens.index('"except')
        whole, left_out = read_tokens(tokens[:place]), read_tokens(tokens[place + 1 :])
        left_out = Group("set", tuple(flatten([left_out]))) if left_out.kind in ("list", "number") else left_out
        return Group("minus", (whole, left_out))
    tokens = _open_remark(tokens)
    parts = split(tokens, JOINERS)
    if len(parts) > 1:
        return _read_list(tokens, parts)
    if condition := _find_condition(tokens):
        return _join([read_tokens(tokens[: condition[0]]), read_tokens(condition[1])])
    in_sets = itertools.accumulate((token == "\\{") - (token == "\\}") for token in tokens)  # with signs of their own
    if any(token in ("\\pm", "\\mp") and not depth for token, depth in zip(tokens, in_sets, strict=True)):
        return _read_signs(tokens)
    tokens = _strip_clause(tokens)
    if tokens[0] == "\\approx" and len(tokens) > 1:
        tokens = tokens[1:]
    if len(sides := split(tokens, RELATIONS)) > 1:
        return read_relation(sides, [RELATIONS[token] for token in list_marks(tokens, RELATIONS)])
    if tokens[1:2] == ["\\in"]:
        return Group("member", (tokens[0], read_tokens(tokens[2:])))
    if len(parts := split(tokens, ("\\cup",))) > 1:
        return Group("union", tuple(map(read_tokens, parts)))
    parts = split(tokens, ("\\setminus",))
    difference = split(tokens, ("-",)) if len(parts) != 2 else []
    if len(difference) == 2 and all(part[:1] == ["\\{"] or part == ["@mathbb R"] for part in difference):
        parts = difference
    if len(parts) == 2:
        return Group("minus", tuple(map(read_tokens, parts)))
    if len(parts := split(tokens, (":", '"to'))) > 1:
        return _read_ratio(tokens, parts)
    return _read_single(tokens)


def _open_remark(tokens: list[str]) -> list[str]:
    r"""Returns tokens with the other form of a value as after a comma: `\frac14\text{ (or }0.25)`, `\sqrt3\ (\approx1.73)`."""
    for place in range(1, len(tokens) - 2):
        if tokens[place] == "(" and tokens[place + 1] in REMARKS and find_bracket(tokens[place:]) == len(tokens) - place - 1:
            return [*tokens[:place], REMARKS[tokens[place + 1]], *tokens[place + 2 : -1]]
    return tokens


def _read_class(residues: list[str], modulus: list[str]) -> Group:
    r"""Reads `x\equiv 5\pmod 7`, `1, 3 (\text{mod } 4)`."""
    if residues[-1] == "(" and modulus[-1] == ")":
        residues, modulus = residues[:-1], modulus[:-1]
    *named, residues = split(residues, ("\\equiv", "="))
    require(all(map(is_name, named)), "a congruence that is not solved")
    found = read_tokens(residues)
    values = found.items if found.kind == "list" else (found,)
    require(all(isinstance(value, Node) for value in values), "residues")
    return Group("class", (parse(_unwrap(modulus)), *values))


def _unwrap(tokens: list[str]) -> list[str]:
    while tokens[:1] == ["{"] and find_bracket(tokens) == len(tokens) - 1:
        tokens = tokens[1:-1]
    require(tokens, "nothing")
    return tokens


def _read_list(tokens: list[str], parts: list[list[str]]) -> Value:
    """Reads parts between commas, semicolons, `and` and `or`; intervals and inequalities with `or` are a union."""
    parts = [part for part in parts if part]
    require(0 < len(parts) <= MOST_PARTS, "a list")
    marks = set(list_marks(tokens, JOINERS))
    if "\\ne" in parts[0] and marks <= {",", '"and'} and not any(list_marks(part, {*RELATIONS, "\\in"}) for part in parts[1:]):
        parts[1:] = [[*parts[0][: parts[0].index("\\ne") + 1], *part] for part in parts[1:]]  # `x \ne 1, 2`
    values = [read_tokens(part) for part in parts]
    if len(values) == 1 or (marks == {'"or'} and _are_same_number(values)):
        return values[0]
    if '"or' in marks and marks <= {'"or', ","} and any(is_interval(value) for value in values):
        return Group("union", tuple(values))
    kinds = [value.kind for value in values]
    if parts[0][1:] == ["\\in", "@mathbb R"] and marks == {","} and set(kinds[1:]) <= {"reals"}:
        return Group("common", tuple(values[1:]))
    if (marks == {'"and'} or (marks == {","} and "\\ne" in tokens)) and set(kinds) == {"reals"}:
        return Group("common", tuple(values))
    return _join(flatten(values))


def _are_same_number(values: list[Value]) -> bool:
    """Returns True if values are one number in several forms: `\\frac14 or 0.25`."""
    hundredths = [Node("/", (value.items[0], HUNDRED)) if value.items[1:2] == ((("%", 1),),) else value for value in values]
    numbers = [number for number in hundredths if isinstance(number, Node)]
    return len(numbers) == len(values) and all(is_same(number, numbers[0]) for number in numbers)


def _join(values: list[Value]) -> Value:
    """Returns a list, or the first of two values if the other only says that the index of a sequence is a natural number."""
    if [value.kind for value in values] == ["equation", "member"] and values[0].items[0]:
        (name, *_), (index, numbers) = values[0].items[0], values[1].items
        if name.endswith(f"_{index}") and isinstance(numbers, Node) and NATURAL.match(str(numbers.args[0])):
            return values[0]
    return Group("list", tuple(values))


def _read_signs(tokens: list[str]) -> Value:
    """Reads an expression with `\\pm` as a list; the parts of a tuple have independent signs."""
    ways: Iterable[list[str]] = _choose_signs(tokens)
    inner = tokens[1:-1] if tokens[0] in OPEN and find_bracket(tokens) == len(tokens) - 1 else []
    if len(parts := split(inner, (",", ";"))) > 1:
        require(sum("\\pm" in part for part in parts) <= 5, "signs")
        chosen = itertools.product(*map(_choose_signs, parts))
        ways = ([tokens[0], *[token for part in way for token in (",", *part)][1:], tokens[-1]] for way in chosen)
    values = tuple(map(read_tokens, ways))
    return Group("common" if "\\ne" in tokens else "list", values) if len(values) > 1 else values[0]


def _choose_signs(tokens: list[str]) -> list[list[str]]:
    if "\\pm" not in tokens and "\\mp" not in tokens:
        return [tokens]
    signs = [{"\\pm": "+", "\\mp": "-"}, {"\\pm": "-", "\\mp": "+"}]
    signed = [tokens[place + 1 : place + 3] for place, token in enumerate(tokens) if token in signs[0]]
    if all(re.fullmatch(r"0+(\.0*)?|\.0+", part[0]) and part[1:] not in (["!"], ["^"]) for part in signed if part):
        signs = signs[:1]
    return [[sign.get(token, token) for token in tokens] for sign in signs]


def _strip_clause(tokens: list[str]) -> list[str]:
    """Returns tokens without a clause such as `for all integers n`, unless it restricts the answer."""
    for place in range(1, len(tokens)):
        clause = tokens[place] in ('"for', '"where') and CLAUSE.match("".join(tokens[place:]))
        if clause and not list_marks(tokens[place:], RELATIONS):
            return tokens[:place]
    return tokens


def _find_condition(tokens: list[str]) -> tuple[int, list[str]] | None:
    """Returns the position of `(k \\in Z)`, `for k \\in Z`, `where k is an integer` or the like, and `k \\in Z`."""
    for place in range(1, len(tokens)):
        if tokens[place] in ('"for', '"where', '"with') and tokens[1:2] != ["("]:
            words = " ".join(token.lstrip('"') for token in tokens[place:])
            if found := INTEGER.fullmatch(words):
                return place, [found[1] or found[2], "\\in", "@mathbb Z"]
    for place in range(1, len(tokens) - 3):
        if tokens[place] in ("(", '"for', '"where') and tokens[place + 2] == "\\in":
            rest = tokens[place + 1 :]
            if tokens[place] != "(":
                return place, rest
            return (place, rest[:-1]) if find_bracket(tokens[place:]) == len(rest) else None
    return None


def read_relation(sides: list[list[str]], marks: list[str]) -> Group:
    """Reads equations, chains of them and inequalities."""
    require(all(sides), "a relation without a side")
    if set(marks) <= {"=", "≈"}:
        if len(sides) == 2 and not is_name(sides[0]) and is_name(sides[1]):
            sides = sides[::-1]
        inverse = "\\begin" in sides[-1] and re.fullmatch(r"[A-Z]\^(\w|\{-?\w\})", "".join(sides[0]))  # `A^{-1}`
        named = read_name(sides[0]) if inverse or is_name(sides[0]) else None
        first = 1 if named else 0
        while first < len(sides) - 1 and is_name(sides[first]):
            first += 1
        # `compare.normalise_value` gives its meaning.
        return Group("equation", (named, tuple(map(read_tokens, sides[first:])), tuple(marks[first:])))
    if set(marks) <= {">", "≥"}:
        sides, marks = sides[::-1], [FLIPPED[mark] for mark in marks[::-1]]
    require(len(marks) != 2 or set(marks) <= {"<", "≤"}, "a chain of relations")
    variables = [side[1:-1] if side[0] == side[-1] == "|" else side for side in sides]
    single = [len(name) == 1 and (name[0].isalpha() or name[0][0] == "@") for name in variables]
    if single.count(True) == 1 and set(marks) <= {"<", "≤", "≠"}:
        place = single.index(True)
        name, absolute = variables[place][0], len(sides[place]) > 1
        bounds = [parse(side) for side in sides if side is not sides[place]]
        pieces = make_pieces(place, bounds, marks)
        if pieces and not any(name.lstrip("@") in list_symbols(bound) for bound in bounds):
            return Group("reals", (name, mirror(pieces) if absolute else pieces))
    return Group("relation", (" ".join(marks), *map(read_tokens, sides)))


def _read_ratio(tokens: list[str], parts: list[list[str]]) -> Group:
    if len(parts) == 2 and is_text(parts[0]):
        words = [word.lower() for word in "".join(parts[0]).split('"')]
        require(HEDGES.isdisjoint(words) and (":" in tokens or words[-1] == "equal"), "what is not said to be equal")
        return Group("named", ("".join(parts[0]).replace('"', ""), "", (), None, False, read_tokens(parts[1])))
    require(all(parts), "a ratio")
    return Group("ratio", tuple(map(parse, parts)))


def _read_single(tokens: list[str]) -> Value:
    """Reads a set, a tuple, an interval, a matrix, or a number with or without a unit."""
    if tokens in (["\\emptyset"], ["\\{", "\\}"]):
        return Group("set", ())
    if len(tokens) == 1 and tokens[0] in REALS:
        return Group("reals", (None, REALS[tokens[0]]))
    if "\\begin" in tokens:
        return _read_environment(tokens[1:] if tokens[0] == "\\{" and "\\}" not in tokens else tokens)
    if (tokens[0], tokens[-1]) in OUTWARD and not {"[", "]"} & set(tokens[1:-1]):
        tokens = [{"]": "("}.get(tokens[0], "["), *tokens[1:-1], {"[": ")"}.get(tokens[-1], "]")]
    if tokens[0] in OPEN and find_bracket(tokens) == len(tokens) - 1:
        inner, mark = tokens[1:-1], tokens[0]
        if mark == "\\{":
            return _read_set(inner)
        parts = split(inner, (",", ";"))
        if len(parts) > 1 and mark in ("(", "[", "\\langle"):
            kind = ("[" if mark == "[" else "(") + ("]" if tokens[-1] == "]" else ")")
            return Group(kind, tuple(map(read_tokens, parts)))
        if mark == "(" and is_text(inner):
            return read_words(inner)
    if re.fullmatch("[A-Z]|@[A-Z]_.*", tokens[0]) and tokens[1:2] == ["("] and len(split(tokens[2:-1], (",", ";"))) > 1:
        return read_relation([tokens[:1], tokens[1:]], ["="])  # a point, `P(1,2)`
    return read_quantity(tokens)


def _read_set(inner: list[str]) -> Value:
    r"""Reads the content of braces: parts, or `x \mid condition`."""
    for place in range(1, len(inner)):
        if inner[place] in ("|", ":") and (place == 1 or inner[1] == "\\in") and inner[0].lstrip("@").isalpha():
            domain, condition = inner[2:place], inner[place + 1 :]
            members = read_tokens(condition[2:] if condition[:2] == [inner[0], "\\in"] else condition)
            if members.kind == "reals":
                require(members.items[0] in (None, inner[0]), "a condition for another letter")
                members = Group("reals", (None, members.items[1]))  # its letter is bound
            return Group("within", (read_tokens(domain), members)) if domain and domain[0] not in REALS else members
    if len(sides := split(inner, ("|", ":"))) == 2 and sides[1][1:2] == ["\\in"]:
        return Group("list", (read_tokens(sides[0]), read_tokens(sides[1])))
    require(len(inner) <= 60 * MOST_PARTS, "a set")
    return Group("set", tuple(flatten([read_tokens(part) for part in split(inner, (",", ";"))])))


def _read_environment(tokens: list[str]) -> Value:
    """Reads a matrix, or the lines of `cases` and `aligned` without conditions as a list; `=` begins no line."""
    name = tokens[2].strip('"') if len(tokens) > 6 else ""
    if tokens[0] != "\\begin" or name not in ("cases", "aligned", "gathered", "array") or "=" not in tokens:
        return read_matrix(tokens)
    body = tokens[4 : len(tokens) - 1 - tokens[::-1].index("\\end")] if "\\end" in tokens else []
    body = body[find_bracket(body) + 1 :] if name == "array" else body
    require(name != "cases" or "&" not in body, "cases with conditions")
    body = [token for token in body if token != "&"]
    body = [token for token, after in itertools.zip_longest(body, body[1:]) if (token, after) != ("\\\\", "=")]
    lines = tuple(read_tokens(line) for line in split(body, ("\\\\", ",", ";")) if line)
    return Group("list", lines) if len(lines) > 1 else lines[0]
