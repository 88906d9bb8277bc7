"""Exact match with normalisation, for answers that are words. A plug-in as another package would write it."""

import re
import unicodedata

PUNCTUATION = frozenset(".,;:!?'\"`*_\u00b7")
BRACKETS_AND_DASHES = ("Ps", "Pe", "Pi", "Pf", "Pd")  # categories of Unicode
NAMES = ("answer", "final answer")


class ExactMatch:
    """The last line that begins with `Answer:`, compared but for case, blanks, punctuation and forms of one letter."""

    prompt = "{question}\n\nEnd with a line of its own that reads 'Answer:' and then the answer, in as few words as possible."

    def extract(self, completion: str) -> str | None:
        """Returns what stands behind the last `Answer:` that begins a line, or None."""
        for line in reversed(completion.splitlines()):
            head, colon, answer = line.partition(":")
            if colon and normalise(head) in NAMES:
                return answer.strip(" *_`") or None
        return None

    def check(self, answer: str, gold: str) -> bool:
        """Compares the normalised texts."""
        return normalise(answer) == normalise(gold) != ""

    def is_readable(self, gold: str) -> bool:
        """Says whether anything of a gold answer is left."""
        return normalise(gold) != ""


def normalise(text: str) -> str:
    """Returns a text in NFKC, without case, and without punctuation but before a digit: -5 is not 5, nor 3.5 35."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = [
        " " if _is_punctuation(sign) and not after.isdigit() else sign
        for sign, after in zip(text, text[1:] + " ", strict=True)
    ]
    return re.sub(r"\s+", " ", "".join(kept)).strip()


def _is_punctuation(sign: str) -> bool:
    return sign in PUNCTUATION or unicodedata.category(sign) in BRACKETS_AND_DASHES
