"""What a problem computes: its numbers with the signs and operators between them, whichever way these are written.

`7+3`, `7-3` and `7 \\times 3` have the same words and digits, and are three problems.
"""

import re

# Words that are operators or signs, LaTeX's commands among them (`contamination.list_words` leaves out the backslash).
OPERATORS = frozenset(
    re.findall(r"\w+", "plus minus times div divided cdot pm mp le leq leqslant ge geq geqslant ne neq negative positive")
)
ALIKE = str.maketrans(
    dict.fromkeys("\u2212\u2010\u2011\u2012\u2013", "-")
    | dict.fromkeys("×⋅·∙∗", "*")
    | dict.fromkeys("÷∕⁄", "/")
    | {"≤": "<", "≥": ">"}
)
SPELLED = {
    "*": r"\\(?:times|cdot|ast)(?![a-zA-Z])|\btimes\b",
    "/": r"\\div(?![a-zA-Z])|\bdivided\s+by\b|\bover\b",
    "+": r"\bplus\b",
    "-": r"\bminus\b|\bnegative\b",
    "<": r"\\(?:le|leq|leqslant|lt)(?![a-zA-Z])",
    ">": r"\\(?:ge|geq|geqslant|gt)(?![a-zA-Z])",
}
ENGLISH = [(re.compile(pattern, re.IGNORECASE), sign) for sign, pattern in SPELLED.items()]
BRACES = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
FRACTION = re.compile(rf"\\[dtc]?frac\s*(?:{BRACES}|(\w))\s*(?:{BRACES}|(\w))")
FRACTIONS_IN_ONE_ANOTHER = 3
NO_OPERATORS = (
    r"\^\s*\{?\s*\\circ",  # degrees
    r"(?<=[^\W\d_])-(?=[^\W\d_]{3})",  # hyphens: x-axis, two-digit, 10-sided
    r"(?<=[^\W\d_]{2})-(?=[^\W\d_])",
    r"(?<=\d)[\s$})]*-(?=[^\W\d_]{2})",
    r"--+",
    r"^\s*[-*+]\s+(?=[A-Za-z])",  # bullets, and what else Markdown, HTML and LaTeX mark
    r"\*\*+|</?\w+>|[\^_]\{\s*\}|&",
)
NONE = re.compile("|".join(NO_OPERATORS), re.MULTILINE)
# Signs beside a number, the other operators between two: what stands among letters is often left out, or written in other ways.
BESIDE = re.compile(r"\d+|[-+<>](?=[\s(\[{$]*\d)|(?<=\d)[\s)\]}$]*(?:[-+<>]|[*/^](?=[\s(\[{$]*\d))")
LOOKS = re.compile(r"[^\d+*/^<>-]")


def list_operators(text: str) -> str:
    """Returns the numbers of a text with the operators and signs beside them, in one spelling: `2x^3-1/2` is `23-1/2`."""
    text = text.translate(ALIKE)
    for _ in range(FRACTIONS_IN_ONE_ANOTHER):
        text = FRACTION.sub(r" \1\2/\3\4 ", text)
    for pattern, sign in ENGLISH:
        text = pattern.sub(sign, text)
    return LOOKS.sub("", "".join(BESIDE.findall(NONE.sub(" ", text))))
