r"""LaTeX and plain text as tokens: numbers, letters, commands, and words.

A token is a string. Words of upright or plain text begin with `"`, single upright letters that may be a unit with a grave
accent, and symbols of several characters with `@`: `x_{0}`, `\dot x` and `f'` are `@x_0`, `@dot x` and `@f'`.
"""

import itertools
import re

from rlready.verifier.equivalence.spelling import SPACE, TEXT, respell
from rlready.verifier.equivalence.units import LETTERS, NO_UNIT_IF_BARE, SCALES, find_unit

NUMBER = r"\d+(?:\.\d*)?(?:[eE][-+]?\d{1,3}(?![\d.A-Za-z]))?|\.\d+(?:[eE][-+]?\d{1,3}(?![\d.A-Za-z]))?"
# A comma between digits belongs to the number if three follow and no bracket or comma marks a list.
GROUPED = r"(?<![\d.,(\[{])[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?(?![\d,)\]}])|(?<=\{)[1-9]\d{0,2}(?:,\d{3})+(?=\})"
PIECE = re.compile(
    rf"(?P<text>{TEXT.pattern.replace('([^{}]*)', '(?:[^{}]|{[^{}]*})*')})|(?P<space>{SPACE.pattern})+"
    rf'|(?P<number>{GROUPED}|{NUMBER})|(?P<run>[A-Za-z]+)|(?P<quoted>"[^"]*")|(?P<other>\\[a-zA-Z]+|\\.|[^\s])',
    re.DOTALL | re.ASCII,
)
INSIDE = re.compile(r"\\[a-zA-Z]+|[A-Za-zΩμ元]+(?:[-'][A-Za-z]+)*|\d+(?:\.\d+)?|\S", re.ASCII)
FUNCTIONS = set(re.findall(r"\w+", "sin cos tan cot sec csc sinh cosh tanh coth exp ln log lg sqrt cis"))
FUNCTIONS |= {f"arc{name}" for name in ("sin", "cos", "tan", "cot", "sec", "csc")}
COMMANDS = FUNCTIONS | {"pi", "infty", "max", "min", "gcd", "lcm"}
SPELLED = {name: f"\\{name}" for name in COMMANDS}
SPELLED |= {"infinity": "\\infty", "asin": "\\arcsin", "acos": "\\arccos", "atan": "\\arctan"}
RUSSIAN = {"tg": "\\tan", "ctg": "\\cot", "arctg": "\\arctan", "arcctg": "\\arccot"}
SPELLED_IN_TEXT = FUNCTIONS | {"max", "min", "gcd", "lcm", *RUSSIAN}
JOINERS = {"or", "and"}
ENDS = {"1": "st", "2": "nd", "3": "rd"}
ACCENTS = {f"\\{name}" for name in re.findall(r"\w+", "dot ddot hat bar vec tilde overline underline overset")}
ALPHABETS = {"\\mathcal", "\\mathbb", "\\mathscr", "\\mathfrak"}
SETS = ("R", "Z", "N", "Q", "C")  # after a sign of membership
LETTER_NAMES = r"""
\alpha \beta \gamma \Gamma \delta \Delta \epsilon \zeta \eta \theta \Theta \iota \kappa \lambda \Lambda \mu \nu \xi \Xi \rho
\sigma \Sigma \tau \upsilon \phi \Phi \chi \psi \Psi \omega \Omega \ell \hbar \nabla \angle \triangle \odot \oplus \prime
\partial \imath \jmath \Re \Im \star"""
GREEK = set(LETTER_NAMES.split())
UNIT_VECTORS = {f"@{accent} {name}": name[0] for accent in ("hat", "vec") for name in ("i", "j", "k", "imath", "jmath")}
DERIVATIVE = re.compile(r"(?:d|partial)(?:\^\d)?(?:[A-Za-z]|[a-z]+)?/(?:d|partial)(?:[A-Za-z]|[a-z]+)(?:\^\d)?")
PROSE = re.compile(r"[A-Za-z][A-Za-z'\s.,;:!?-]*")
LETTER = re.compile(r"[^\W\d_]")
TEXT_BODY = re.compile(r"\\(?:text|mathrm)\s*\{")


def tokenize(text: str) -> list[str]:
    """Splits an answer into tokens."""
    text = respell(text)
    tokens: list[str] = []
    prose = bool(PROSE.fullmatch(text) and re.search(r"[A-Za-z]{3}", text))
    spaced = False
    for match in PIECE.finditer(text):
        kind = match.lastgroup
        if kind == "space":
            spaced = True
            continue
        piece = match[0]
        if kind == "text":
            tokens += _read_text(TEXT_BODY.sub("", piece, count=1)[:-1], tokens, spaced)
        elif kind == "quoted":
            tokens += _read_text(piece[1:-1], tokens, True)
        elif kind == "run":
            tokens += _read_run(piece, tokens, spaced, prose, text[match.end() : match.end() + 1])
        elif piece != "." or tokens[-1:] != ['"sq']:
            tokens.append(piece)
        spaced = False
    return _merge(tokens)


def _read_text(body: str, before: list[str], spaced: bool) -> list[str]:
    """Returns the tokens of upright text: numbers and signs as elsewhere, words as words."""
    inner = body.strip(" ~")
    spaced = spaced or inner != body or body[:1] == "~"
    if len(inner) == 1 and inner.isalpha() and inner.isascii():
        last = before[-1] if before else ""
        behind_unit = last[:1] in ('"', "`") or (last in ("/", "\\cdot") and before[-2:-1] and before[-2][0] in '"`')
        if inner in LETTERS and (behind_unit or (spaced and last and _ends_value(last))):
            return [f'"{inner}']
        return [f"`{inner}"] if inner in LETTERS and last and (_ends_value(last) or last == "\\circ") else [inner]
    if not re.search("[A-Za-z元Ω]", inner):
        return ([inner] if inner in (",", ";") else tokenize(inner)) if inner else []
    if re.search(r"[\\^=+<>{}]", inner):
        inner = inner.replace("\\$", "$ ")
    tokens = []
    for piece in INSIDE.findall(SPACE.sub(" ", inner)):
        minutes = piece == "min" and before and _ends_value(before[-1])
        if (piece in SPELLED_IN_TEXT and not minutes) or (piece[0] == "\\" and len(piece) > 1):
            tokens.append(RUSSIAN.get(piece) or SPELLED.get(piece, piece))
        elif tokens and ((piece == "." and tokens[-1][0] == '"') or _is_ordinal(tokens[-1], piece)):
            continue
        elif piece[0].isalpha():
            tokens.append(f'"{piece}' if len(piece) > 1 or piece in LETTERS or piece == "a" else piece)
        else:
            tokens.append(piece)
    ordinal = before and tokens and _is_ordinal(before[-1], tokens[0][1:])
    return tokens[1:] if ordinal else tokens


def _ends_value(token: str) -> bool:
    return token[0].isdigit() or token in (")", "}", "]") or token[0] == "."


def _is_ordinal(number: str, end: str) -> bool:
    teen = number[-2:-1] == "1"
    return number.isdigit() and end == ("th" if teen else ENDS.get(number[-1], "th"))


def _read_run(run: str, before: list[str], spaced: bool, prose: bool, after: str) -> list[str]:
    """Returns the tokens of a run of letters: a function, a unit, a word, or single letters."""
    last = before[-1] if before else ""
    if run in SPELLED:
        return [SPELLED[run]]
    if prose or run in JOINERS or (run.lower() == "no" and not before and not after):
        return [f'"{run}'] if len(run) > 1 or run == "a" else [run]
    if last in ("\\angle", "\\triangle"):
        return list(run)
    if last in ("/", "\\cdot") and before[-2:-1] and before[-2][0] == '"' and find_unit(run):
        return [f'"{run}']
    if last and _ends_value(last):
        if not spaced and _is_ordinal(last, run):
            return []
        if run[:2] == "or" and len(run) == 3:
            return ['"or', run[2]]
        if spaced and run == "sq":
            return ['"sq']
        known = find_unit(run) is not None or run in SCALES
        if known and run not in NO_UNIT_IF_BARE and (spaced or len(run) > 2 or run in ("cm", "km", "mm", "kg", "ft")):
            return [f'"{run}']
    unit = (last == '"sq' or (last[:1] == '"' and len(run) > 1)) and find_unit(run)
    letters = run != run.upper() and (not run[1:].islower() or not re.search("[aeiou]", run))  # of a product: `GMmv`, `xyzt`
    long = (len(run) >= 4 and not letters) or (len(run) == 3 and (spaced or not before) and after in ("", " ", ",", ":"))
    short = spaced and run in ("is", "to", "of", "if", "as", "at", "by", "in", "on")
    return [f'"{run}'] if unit or long or short else list(run)


def _find_close(tokens: list[str], start: int) -> int:
    """Returns the position of the brace that closes the one at `start`, or the number of tokens if none does."""
    depths = itertools.accumulate((token == "{") - (token == "}") for token in tokens[start:])
    return next((place for place, depth in enumerate(depths, start) if depth == 0), len(tokens))


def _merge(tokens: list[str]) -> list[str]:
    """Merges the tokens of one symbol or number: accents, subscripts, primes, derivatives, recurring decimals."""
    merged: list[str] = []
    place = 0
    while place < len(tokens):
        token = tokens[place]
        if token in ACCENTS and merged and re.fullmatch(r"\d*\.\d*", merged[-1]):
            digits, place = _take(tokens, place + 1)
            merged[-1:] = [f"{merged[-1]}({digits})"] if re.fullmatch(r"\d+", digits) else [merged[-1], token, digits]
            continue
        if token in ACCENTS or token in ALPHABETS:
            body, place = _take(tokens, place + 1)
            name = f"@{token[1:]} {body}" if body else token
            name = UNIT_VECTORS.get(name, name)
        elif token == "\\frac" and (derivative := _find_derivative(tokens, place)):
            name, place = derivative
        elif token == "^" and merged and _is_ordinal(merged[-1], _take(tokens, place + 1)[0]):
            _, place = _take(tokens, place + 1)
            continue
        elif token == "^" and tokens[place + 1 : place + 2] == ["\\circ"]:
            merged.append("°")
            place += 2
            continue
        elif token in ("\\angle", "\\triangle"):
            letters = list(itertools.takewhile(LETTER.fullmatch, tokens[place + 1 :]))
            name, place = f"@{token[1:]} {''.join(letters)}", place + 1 + len(letters)
        elif merged[-1:] == ["\\in"] and token in SETS:
            name, place = f"@mathbb {token}", place + 1
        elif token in GREEK or LETTER.fullmatch(token):
            name, place = f"@{token[1:]}" if token in GREEK else token, place + 1
        else:
            merged.append("°" if token == "\\circ" else token)
            place += 1
            continue
        marks, power, place = _take_marks(tokens, place)
        merged.append(f"@{name.lstrip('@')}{marks}" if marks else name)
        merged += power
    if merged[-1:] == ["@Omega"] and merged[-2:-1] and merged[-2][0].isdigit():
        merged[-1] = "`Omega"  # ohms, or an angular velocity
    return merged


def _take(tokens: list[str], place: int) -> tuple[str, int]:
    """Returns the argument at a position as one string without braces, and the position after it."""
    if tokens[place : place + 1] != ["{"]:
        return "".join(tokens[place : place + 1]).lstrip('"`\\'), place + 1
    end = _find_close(tokens, place)
    return "".join(token.lstrip('"`\\') for token in tokens[place + 1 : end] if token not in ("{", "}")), end + 1


def _take_marks(tokens: list[str], place: int) -> tuple[str, list[str], int]:
    """Returns the primes and the subscript after a symbol, a power between them, and the position after them."""
    primes, subscript = "", ""
    power: list[str] = []
    while place < len(tokens):
        token = tokens[place]
        if token == "'":
            primes, place = primes + "'", place + 1
        elif token == "_" and not subscript and place + 1 < len(tokens):
            body, place = _take(tokens, place + 1)
            subscript = f"_{body}"
        elif token == "^" and (match := re.match(r"\^\{?(\\prime|'|\*|\+)+\}?", "".join(tokens[place : place + 5]))):
            primes += "'" * match[0].count("prime") + match[0].strip("^{}").replace("\\prime", "")
            place += match[0].count("prime") + len(re.sub(r"\\prime", "", match[0]))
        elif token == "^" and "".join(tokens[place : place + 6]) == "^{-1}(" and tokens[place - 1] in ("f", "g", "h"):
            primes, place = "^-1", place + 5
        elif token == "^" and not power and not subscript:
            end = _find_close(tokens, place + 1) + 1 if tokens[place + 1 : place + 2] == ["{"] else place + 2
            if tokens[end : end + 1] != ["_"]:
                break
            power, place = tokens[place:end], end
        else:
            break
    return primes + subscript, power, place


def _find_derivative(tokens: list[str], place: int) -> tuple[str, int] | None:
    """Returns a fraction that is a derivative as a symbol such as `dM/dt`, and the position after it."""
    top, middle = _take(tokens, place + 1)
    bottom, end = _take(tokens, middle)
    return (f"@{top}/{bottom}", end) if DERIVATIVE.fullmatch(f"{top}/{bottom}") else None
