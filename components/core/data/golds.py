"""Gold answers as data sets give them: as text or number, behind GSM8K's mark, or with a word that stands for none."""

import math
import re

from rlready.components.config import InputError
from rlready.components.core.verifier import extract_boxed

# What stands for an answer that is not there; `notfound` and `proof` are NuminaMath's, the others come of converted tables.
ABSENT = {"", "notfound", "not found", "nan", "null", "n/a"}
PROOF = "proof"
HEADING = re.compile(r"^#{2,6}(?!#)", re.MULTILINE)
# `#### 72` in the last line; a heading of Markdown has text below it.
MARK = re.compile(r"(?<!#)####(?!#)[ \t]*(?P<answer>\S[^\n]*?)\s*\Z")


def read_gold(value: object) -> str | None:
    """Returns an answer as text, None where there is none.

    Raises:
        InputError: If it is neither a text nor a number, or says that a proof is asked for.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        hint = "; answer[*] under columns: joins it" if isinstance(value, list) else ""
        raise InputError(f"the answer is {name_kind(value)}, not text{hint}")
    text = str(value).strip()
    if "##" in text and HEADING.search(text):
        raise InputError("the answer is a text with headings, not an answer; name its column under columns: answer")
    word = text.casefold()
    if word == PROOF:
        raise InputError("asks for a proof, which has no answer to compare")
    return None if word in ABSENT else text


def split_gsm8k(text: str) -> tuple[str, str] | None:
    """Returns (solution, answer) of a text with GSM8K's mark, None where it has none.

    The solution is without calculator marks and ends in a boxed answer.
    """
    mark = MARK.search(text) if "####" in text else None
    if not mark:
        return None
    answer = mark["answer"].replace(",", "")
    solution = re.sub(r"<<.*?>>", "", text[: mark.start()]).strip()
    return f"{solution}\nThe answer is \\boxed{{{answer}}}.", answer


def split_boxed(text: str) -> tuple[str | None, str] | None:
    """Returns (solution, answer) of a text that ends in a box, None where it has none; a box alone is no solution."""
    boxed = extract_boxed(text)
    if boxed is None:
        return None
    return text if text.strip(" $.\n") != f"\\boxed{{{boxed}}}" else None, boxed


def name_kind(value: object) -> str:
    """Returns what a value of JSON is called, with its article."""
    kinds = {list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)
