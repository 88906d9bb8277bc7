"""The id of a problem: of its words and signs, without what differs from copy to copy and cannot change the question."""

import hashlib
import re
import unicodedata

from rlready.data.characters import restore_backslashes

# Quotation marks and dashes that stand for one another, and characters without a width.
ALIKE = str.maketrans(
    dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
    | dict.fromkeys("\u2018\u2019\u201a\u2032", "'")
    | {"\u3002": "."}
    | dict.fromkeys("\u2212\u2010\u2011\u2012", "-")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", "")
)
# What NFKC would set beside other figures: `x²` is no `x2`, and `3½` no `31/2`.
RAISED_FIGURES = re.compile("[\u00b2\u00b3\u00b9\u2070-\u207b]+")
LOWERED_FIGURES = re.compile("[\u2080-\u208b]+")
FIGURES_APART = re.compile("[\u00bc-\u00be\u2150-\u215f\u2189\u2460-\u24ff]")
# A word with a capital, as at the start of a sentence; never LaTeX (\Delta), a name of points (AB) or a variable.
CAPITALISED = re.compile(r"[A-Z](?<![\w\\][A-Z])[a-z]{2,}\b")  # a lookbehind at the front takes twice as long
SHOUTED = re.compile(r"\b[A-Z]{4}")
LATEX_LOOKS = re.compile(
    r"(?<!\\)\\(?:[,;:!> ()\[\]]|(?:left|right|displaystyle|q?quad)(?![a-zA-Z])|[hv]space\*?\{[^{}]*\})|(?<=\w)~(?=\w)"
)
FRACTION = re.compile(r"\\[dt]frac(?![a-zA-Z])")
RAISED = re.compile(r"([_^])\{(\w)\}")
# Not the dollars of "$5 and $6" or "$5-$10".
MATH = re.compile(r"(?<!\\)\$(?!\s)([^$]*)(?<![\s\\])\$(?!\d)")
# Behind a figure, " means inches; " and ' behind a letter may be derivatives.
DOUBLE_QUOTE = re.compile(r'(?<!\d)"(?!\()')
LATEX_QUOTED = re.compile(r"``([^`]*?)''")
QUOTED = re.compile(r"(?:(?<=\s)|^)'([^'\n]+)'(?=[\s.,;:?!)]|$)")
# Blanks that do tell something: "2. 5" and "1, 234" are two numbers, "3 -2" is no difference.
PARTED_NUMBERS = re.compile(r"[.,] (?<=\d..)(?=\d)(?:(?<=\. )|(?=\d{3}(?!\d)))")
SIGN = re.compile(r"[-+](?<=\w .)(?=\d)")
# Blanks that part no two words.
BLANK = re.compile(r" (?:\B|(?<=\W ))")


def identify(question: str) -> str:
    """Returns the id of a problem, 16 hexadecimal digits.

    Two questions have the same id if they differ only in blanks that part no words, in quotation marks, in how LaTeX is set
    (spaces, `$`, `\\(` or `\\left(`, `\\dfrac`, `x^{2}`), in the capitals of words, or in a final stop. Signs, operators,
    points, numbers and the names of variables tell problems apart.
    """
    text = restore_backslashes(question.strip())
    if not text.isascii():
        text = unify_characters(text).translate(ALIKE)
    # Where all are capitals, none tells anything.
    shouted = text.isupper() and SHOUTED.search(text)
    text = text.lower() if shouted else CAPITALISED.sub(lambda word: word[0].lower(), text)
    if "$" in text:
        text = MATH.sub(r" \1 ", text)
    if "\\" in text or "~" in text:
        text = LATEX_LOOKS.sub(" ", FRACTION.sub(r"\\frac", text))
    if "{" in text:
        text = RAISED.sub(r"\1\2", text)
    if '"' in text or "'" in text:
        text = QUOTED.sub(r"\1", DOUBLE_QUOTE.sub("", LATEX_QUOTED.sub(r"\1", text)))
    text = " ".join(text.split())
    text = PARTED_NUMBERS.sub("\\g<0>\x01", text)
    if " -" in text or " +" in text:
        text = SIGN.sub("\x01\\g<0>", text)
    text = BLANK.sub("", text)
    text = text if text.endswith("...") else text.removesuffix(".").removesuffix(".")
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def unify_characters(text: str) -> str:
    """Returns a text with one character for those that Unicode calls compatible (full-width, ligatures), only to compare it."""
    if text.isascii() or unicodedata.is_normalized("NFKC", text):
        return text
    text = LOWERED_FIGURES.sub(r"_{\g<0>}", RAISED_FIGURES.sub(r"^{\g<0>}", text))
    return unicodedata.normalize("NFKC", FIGURES_APART.sub(r" \g<0> ", text)).replace("\u2044", "/")
