"""Which training problems are evaluation problems too: the same words and signs, or most of the same n-grams.

A shared n-gram alone says little in mathematics, where thousands of problems "find the number of ordered pairs of positive
integers", so a near match needs most of the evaluation problem's n-grams, and its numbers in their order: the same sentence
with other numbers is another problem. Overlap of n-grams is GPT-3's criterion (https://arxiv.org/abs/2005.14165, appendix C);
with the numbers as a second one, n can be shorter than its 13 words and find copies with other wording. Operators count
whichever way they are written: `7+3`, `7-3` and `7 \\times 3` have the same words and digits, and are three problems.
"""

import dataclasses
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from rlready.data.identity import unify_characters

FIGURE = re.compile(r"\[asy\].*?\[/asy\]", re.DOTALL)
# Formatting of LaTeX that differs from copy to copy.
LOOKS = re.compile(r"\\(?:left|right|text|mathrm|mathbf|displaystyle|dfrac|tfrac|frac|quad|,|;|!|:)")
# Words and numbers; in scripts that do not separate words, letters.
WORD = re.compile(r"[a-z]+|\d+|[^\W\d_]")
ASCII_NUMBER = re.compile("[0-9]+")
ASCII_WORDS = str.maketrans({code: " " for code in range(128) if not chr(code).isalnum()})
# Shorter problems are compared as a whole only: nearly all of "Simplify the expression a+1+a-2" is in other problems.
LEAST_GRAMS = 10
# With at least this many digits, they may be within those of the training problem ("give your answer as m + n").
DIGITS_THAT_TELL = 6
# With fewer than two digits to distinguish a problem from its variants, nearly all of it must be found.
OVERLAP_WITHOUT_NUMBERS = 0.95

# Words that are operators or signs, LaTeX's commands among them (`list_words` leaves out the backslash).
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
NO_SIGNS = re.compile(r"[^\d+*/^<>-]")


def compile_eraser(characters: str) -> Callable[[str], str]:
    """Returns a function that removes all characters of a class, such as `[^0-9]`: in ASCII twenty times as fast as `re`."""
    pattern = re.compile(f"{characters}+")
    table = bytes(code for code in range(128) if pattern.match(chr(code)))

    def erase(text: str) -> str:
        return text.encode().translate(None, table).decode() if text.isascii() else pattern.sub("", text)

    return erase


@dataclass(frozen=True)
class Match:
    """An evaluation problem that a training problem matches, and the share of its n-grams found there (1.0: all)."""

    benchmark: str
    question: str
    overlap: float
    problem_id: str


erase_all_but_digits = compile_eraser(r"\D")


def list_words(text: str) -> list[str]:
    """Returns the words and numbers of a text, without its figures and the formatting of its LaTeX."""
    return _split_words(FIGURE.sub(" ", unify_characters(text)))


def _split_words(text: str) -> list[str]:
    text = (LOOKS.sub(" ", text) if "\\" in text else text).casefold()
    # What WORD finds in ASCII, four times as fast.
    return ASCII_NUMBER.sub(r" \g<0> ", text).translate(ASCII_WORDS).split() if text.isascii() else WORD.findall(text)


def list_grams(words: list[str], n: int) -> list[str]:
    """Returns every run of n words."""
    return list(map(" ".join, zip(*(words[start:] for start in range(n)), strict=False)))


def list_operators(text: str) -> str:
    """Returns the numbers of a text with the operators and signs beside them, in one spelling: `2x^3-1/2` is `23-1/2`."""
    text = text.translate(ALIKE)
    for _ in range(FRACTIONS_IN_ONE_ANOTHER):
        text = FRACTION.sub(r" \1\2/\3\4 ", text)
    for pattern, sign in ENGLISH:
        text = pattern.sub(sign, text)
    return NO_SIGNS.sub("", "".join(BESIDE.findall(NONE.sub(" ", text))))


class Text:
    """What problems are compared by: words, digits, and the digits of a figure apart, since copies often lack the figure."""

    def __init__(self, question: str):
        self.figure, question = "", unify_characters(question)
        if "[asy]" in question:
            self.figure = erase_all_but_digits("".join(FIGURE.findall(question)))
            question = FIGURE.sub(" ", question)
        self.digits, self.question = erase_all_but_digits(question), question

    @cached_property
    def words(self) -> list[str]:
        """The words and numbers; not needed of a text with other digits."""
        return _split_words(self.question)

    @cached_property
    def operators(self) -> str:
        """The numbers with the operators and signs beside them; needed of few texts."""
        return list_operators(self.question)

    def has_numbers_of(self, evaluation: "Text") -> bool:
        """Returns whether the numbers, signs and operators are those of an evaluation problem, or contain many."""
        same = self.digits == evaluation.digits
        inside = len(evaluation.digits) >= DIGITS_THAT_TELL and evaluation.digits in self.digits
        figures = not self.figure or not evaluation.figure or self.figure == evaluation.figure
        if not (same or inside) or not figures:
            return False
        ours, theirs = self.operators, evaluation.operators
        return ours == theirs or (inside and theirs in ours)


class Contamination:
    """Evaluation problems, to compare training problems with."""

    def __init__(self, ngram: int, overlap: float):
        self.ngram = ngram  # words of an n-gram; 0: only exact matches
        self.overlap = overlap  # minimum share of an evaluation problem's n-grams in a match
        self.same: dict[str, Match] = {}
        self.near: list[tuple[Match, Text, set[str]]] = []
        self.index: dict[str, list[int]] = {}  # places in `near`, by n-gram
        self.digits: set[str] = set()

    def add(self, benchmark: str, problems: list[dict]) -> None:
        """Adds the problems of one evaluation set."""
        for problem in problems:
            question = problem["question"]
            if problem["problem_id"] not in self.same:
                match = self.same[problem["problem_id"]] = Match(benchmark, question, 1.0, problem["problem_id"])
                text = Text(question)
                grams = set(list_grams(text.words, self.ngram)) if self.ngram else set()
                if len(grams) >= LEAST_GRAMS:
                    self.near.append((match, text, grams))
                    self.digits |= {text.digits, text.digits[:DIGITS_THAT_TELL]}
        # By its rarest n-grams, so many that a text with enough of all n-grams of the problem has one of these.
        common = Counter(gram for *_, grams in self.near for gram in grams)
        self.index = defaultdict(list)
        for place, (_, text, grams) in enumerate(self.near):
            spare = len(grams) - math.ceil(self._least(text) * len(grams)) + 1
            for gram in sorted(grams, key=lambda gram: (common[gram], gram))[:spare]:
                self.index[gram].append(place)

    def find(self, problem_id: str, text: Text) -> Match | None:
        """Returns the evaluation problem that a training problem is, or most resembles, or None; see `find_all`."""
        return max(self.find_all(problem_id, text), key=lambda match: match.overlap, default=None)

    def find_all(self, problem_id: str, text: Text) -> list[Match]:
        """Returns the evaluation problem that a training problem is, or else all that it resembles."""
        if problem_id in self.same:
            return [self.same[problem_id]]
        digits, starts = text.digits, range(len(text.digits) - DIGITS_THAT_TELL + 1)
        # Far faster than comparing words.
        if digits not in self.digits and not any(digits[at : at + DIGITS_THAT_TELL] in self.digits for at in starts):
            return []
        grams = set(list_grams(text.words, self.ngram))
        matches = []
        for place in sorted({place for gram in self.index.keys() & grams for place in self.index[gram]}):
            match, evaluation, theirs = self.near[place]
            overlap = len(theirs & grams) / len(theirs)
            if overlap >= self._least(evaluation) and text.has_numbers_of(evaluation):
                matches.append(dataclasses.replace(match, overlap=overlap))
        return matches

    def _least(self, evaluation: Text) -> float:
        return self.overlap if len(evaluation.digits) > 1 else max(self.overlap, OVERLAP_WITHOUT_NUMBERS)
