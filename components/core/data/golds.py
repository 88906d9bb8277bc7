"""Gold answers as data sets give them: as text or number, behind GSM8K's mark or "the answer is", or with a word for none."""

import json
import math
import re

from rlready.components.config import InputError
from rlready.components.core.verifier import extract_boxed, find_format

# What stands for an answer that is not there; `notfound` and `proof` are NuminaMath's, the others come of converted tables.
ABSENT = {"", "notfound", "not found", "nan", "null", "n/a"}
PROOF = "proof"
HEADING = re.compile(r"^#{2,6}(?!#)", re.MULTILINE)
# `#### 72` in the last line; a heading of Markdown has text below it.
MARK = re.compile(r"(?<!#)####(?!#)[ \t]*(?P<answer>\S[^\n]*?)\s*\Z")
# `The answer is 72.` at the end, one word or one formula; what is said in more words is not surely the answer alone.
SAID = re.compile(
    r"(?:\bthe (?:final |correct )?answer is|\banswer):?\s*(?P<answer>\$[^$\n]+\$|\S+)\s*\Z", re.IGNORECASE
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:/\d+)?")
ADDED = "added: the answer, behind the solution"
REWRITTEN = "rewritten: the answer that the solution ends in, as evaluation reads it"


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


def read_plugged(value: object) -> str | None:
    """Returns what a plug-in holds answers against: a text as it is, anything else as JSON; None where there is none."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the answer is neither text nor JSON ({error})") from error


def split_gsm8k(text: str) -> tuple[str | None, str] | None:
    """Returns (solution, answer) of a text with GSM8K's mark, None where it has none; a mark alone is no solution.

    The solution is without calculator marks and ends in a boxed answer.
    """
    mark = MARK.search(text) if "####" in text else None
    if not mark:
        return None
    answer = mark["answer"].replace(",", "")
    solution = re.sub(r"<<.*?>>", "", text[: mark.start()]).strip()
    return f"{solution}\nThe answer is \\boxed{{{answer}}}." if solution else None, answer


def split_boxed(text: str) -> tuple[str | None, str] | None:
    """Returns (solution, answer) of a text that ends in a box, None where it has none; a box alone is no solution."""
    boxed = extract_boxed(text)
    if boxed is None:
        return None
    return text if text.strip(" $.\n") != f"\\boxed{{{boxed}}}" else None, boxed


def split_said(text: str) -> tuple[str | None, str] | None:
    """Returns (solution, answer) of a text that ends in `the answer is 72.`, None where it does not; alone, no solution."""
    said = SAID.search(text)
    answer = said and said["answer"].strip("*$").rstrip(".").strip("*$")
    if not answer:
        return None
    answer = answer.replace(",", "") if NUMBER.fullmatch(answer.replace(",", "")) else answer
    solution = text[: said.start()].strip()
    return f"{solution}\nThe answer is \\boxed{{{answer}}}." if solution else None, answer


def split_answer(text: str) -> tuple[str | None, str] | None:
    """Returns (solution, answer) of a worked text with the answer inside: behind `####`, in a box, or said at the end."""
    return split_gsm8k(text) or split_boxed(text) or split_said(text)


def end_in_answer(solution: str, answer: str, form: str) -> tuple[str, str]:
    """Returns a solution that ends in an answer in the form that evaluation reads, and what was done to it, if anything.

    A model trained on solutions without it would never write what every later stage looks for.

    Args:
        solution: A worked solution. An answer of its own stays as it is, or is put into that form, even if it is another.
        answer: The gold answer, for solutions that end in none.
        form: The row's format.

    Raises:
        InputError: If the answer cannot be written so that it is read again, or there is no such format.
    """
    known = find_format(form)
    if known.extract(solution) is not None:
        return solution, ""
    own = form == "boxed" and (split_gsm8k(solution) or split_said(solution))
    if own and own[0] and (own[1] == answer or NUMBER.fullmatch(own[1])):
        return own[0], REWRITTEN
    plain = answer[1:-1] if answer[:1] == answer[-1:] == "$" and answer.count("$") == 2 else answer
    whole = known.append(solution, plain)
    if whole is None:
        raise InputError(f"the solution does not end in an answer that the format {form} finds")
    if known.extract(whole) != plain:
        raise InputError("the answer cannot be added to the solution so that it is read again")
    return whole, ADDED


def name_kind(value: object) -> str:
    """Returns what a value of JSON is called, with its article."""
    kinds = {list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)
