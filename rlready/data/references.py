"""Reference answers as data sets give them: a text, a number, a list, after GSM8K's mark or "the answer is", or missing."""

import json
import math
import re
from collections.abc import Callable

from rlready.data.cells import is_absent, parse_list, read_texts, restore_integer, shorten_whole
from rlready.errors import InputError, Misread
from rlready.verifier import extract_boxed, find_format, is_other
from rlready.verifier.formats.extract import extract_word
from rlready.verifier.formats.plugin import PlugIn

SEVERAL = "several answers in the solution, of which the last counts"
ANY = "several acceptable answers, of which any is right"
PROOF = "proof"
CODE_TESTS = (
    "code tests; rlready runs tests of the format python-tests, with answers such as"
    ' {"function": "add", "tests": [{"args": [1, 2], "result": 3}]}, or of a plug-in: convert them, or write one'
)
ASSERTION = re.compile(r"^\s*(?:assert\b.*(?:==|\(|\bin\b|\bis\b)|def check\(|self\.assert\w+\()", re.MULTILINE)
HEADING = re.compile(r"^#{2,6}(?!#)", re.MULTILINE)
# `#### 72` in the last line; a heading of Markdown has text below it.
MARK = re.compile(r"(?<!#)####(?!#)[ \t]*(?P<answer>\S[^\n]*?)\s*\Z")
MARKED = re.compile(r"^####(?!#)[ \t]*(-?[$\d][^\n]*)$", re.MULTILINE)
# `The answer is 72.` at the end, one word or one formula, also with Minerva's last sentence; more words may be more than it.
SAID = re.compile(
    r"(?:\bthe (?:final |correct )?answer is|\banswer):?\s*(?P<answer>\$[^$\n]+\$|\S+)\s*(?:I hope it is correct\.)?\s*\Z",
    re.IGNORECASE,
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:/\d+)?")
ADDED = "added: the answer, after the solution"
REWRITTEN = "rewritten: the answer that the solution ends in, as evaluation reads it"


def has_several_answers(text: str) -> bool:
    r"""Returns whether a solution holds another answer, in `\boxed{}` or after `####`, than those that it ends in."""
    if text.count("\\boxed") + text.count("####") < 2:
        return False
    boxes = [extract_boxed(f"\\boxed{part}") for part in text.split("\\boxed")[1:]]
    # Boxes at the end may be one list: the fewest whose list is the answer.
    last = extract_boxed(text)
    kept = next((n for n in range(1, len(boxes) + 1) if ", ".join(map(str, boxes[-n:])) == last), 1)
    marked = [mark.strip() for mark in MARKED.findall(text)]
    return len({*boxes[:-kept], last, *marked} - {None}) > 1 if boxes else len(set(marked)) > 1


def is_code_test(value: object) -> bool:
    """Returns whether a value is tests of code: assertions of Python, or inputs with outputs; also as a text of JSON."""
    if isinstance(value, str):
        found = parse_list(value) if value.startswith(("[", "{")) else value
        return bool(ASSERTION.search(value)) if found is value or isinstance(found, str) else is_code_test(found)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return value[0].keys() >= {"input", "output"}
    if isinstance(value, dict):
        return any(isinstance(value.get(f"input{s}"), list) and isinstance(value.get(f"output{s}"), list) for s in ("", "s"))
    return isinstance(value, list) and any(isinstance(one, str) and ASSERTION.search(one) for one in value)


def refuse_code_tests(answer: object) -> None:
    """Raises InputError if an answer is tests of code, unless its format runs them."""
    if is_code_test(answer):
        raise InputError(f"the answer is {CODE_TESTS}")


def read_reference(value: object) -> str | None:
    """Returns an answer as text, several acceptable ones as a JSON list of texts, None if there is none.

    Raises InputError if it is neither a text, a number nor a list of these, or asks for a proof.
    """
    if is_absent(value):
        return None
    refuse_code_tests(value)
    if isinstance(value, list) and not any(isinstance(one, list) for one in value):
        accepted = list(dict.fromkeys(text for one in value if (text := read_reference(one)) is not None))
        return json.dumps(accepted, ensure_ascii=False) if len(accepted) > 1 else accepted[0] if accepted else None
    value = restore_integer(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        keys = f" with the keys {', '.join(map(str, value))}; name one: COLUMN[KEY]" if isinstance(value, dict) else ""
        raise Misread(f"the answer is {name_kind(value)}{keys or ', not text'}")
    text = str(value).strip()
    if "##" in text and HEADING.search(text):
        raise Misread("the answer is a text with headings, not an answer; name its column under columns: answer")
    if text.casefold() == PROOF:
        raise InputError("asks for a proof, which has no answer to compare")
    return text


def read_plugged(value: object) -> str | None:
    """Returns a reference for a plug-in: a text as it is, anything else as JSON; None if there is none."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the answer is neither text nor JSON ({error})") from error


def split_gsm8k(text: str) -> tuple[str | None, str] | None:
    """Returns (solution, answer) of a text with GSM8K's mark, without calculator marks and with the answer boxed, or None."""
    mark = MARK.search(text) if "####" in text else None
    if not mark:
        return None
    answer = mark["answer"].replace(",", "")
    solution = re.sub(r"<<.*?>>", "", text[: mark.start()]).strip()
    return f"{solution}\nThe answer is \\boxed{{{answer}}}." if solution else None, answer


def split_boxed(text: str) -> tuple[str | None, str] | None:
    """Returns (solution, answer) of a text that ends in a box, or None; a box alone is no solution."""
    boxed = extract_boxed(text)
    if boxed is None:
        return None
    return text if text.strip(" $.\n") != f"\\boxed{{{boxed}}}" else None, boxed


def split_said(text: str) -> tuple[str | None, str] | None:
    """Returns (solution, answer) of a text that ends in `the answer is 72.`, or None; that alone is no solution."""
    said = SAID.search(text) if "answer" in text.casefold() else None  # the search alone takes a third of reading a row
    if not said or not (answer := said["answer"].strip("*$").rstrip(".").strip("*$")):
        return None
    answer = answer.replace(",", "") if NUMBER.fullmatch(answer.replace(",", "")) else answer
    solution = text[: said.start()].strip()
    return f"{solution}\nThe answer is \\boxed{{{answer}}}." if solution else None, answer


def split_answer(text: str) -> tuple[str | None, str] | None:
    """Returns (solution, answer) of a worked text with the answer after `####`, in a box, or said at the end, or None."""
    return split_gsm8k(text) or split_boxed(text) or split_said(text)


def read_answer(answer: object, solution: object, form: str, note: Callable[[str], None]) -> tuple[str | None, object]:
    """Returns the reference answer and the worked solution; either may be in the other's column, except for plug-ins."""
    if isinstance(find_format(form), PlugIn):
        return read_plugged(answer), solution
    for text in (answer, solution) if form == "boxed" else ():
        if isinstance(text, str) and has_several_answers(text):
            note(SEVERAL)
    answer = read_texts(answer)
    if form == "boxed" and isinstance(answer, str) and answer.startswith('{"') and isinstance(parse_list(answer), dict):
        answer = parse_list(answer)
    if isinstance(answer, str) and (parted := split_answer(answer)):
        solution, answer = solution or parted[0], parted[1]
    if isinstance(answer, list) and len(answer) > 1:
        note(ANY)
    answer = read_reference(answer)
    if answer is None and isinstance(solution, str) and not is_absent(solution):
        answer = read_reference(extract_word(solution) if form == "word" else (split_answer(solution) or ("", None))[1])
    return answer, solution


def end_in_answer(solution: str, answer: str, form: str) -> tuple[str, str]:
    """Returns a solution that ends in an answer in the form that evaluation reads, and what was changed, if anything.

    A model trained on other solutions would never write what later stages look for. A solution's own answer is kept, or put
    into that form, even if it is another one; the reference answer is added to solutions that end in none. Raises InputError if
    the answer cannot be written so that it is read again, or there is no such format.
    """
    known = find_format(form)
    answer = known.list_accepted(answer)[0]
    if known.extract(solution) is not None:
        return solution, ""
    own = form == "boxed" and (split_gsm8k(solution) or split_said(solution))
    if own and own[0] and (own[1] == answer or NUMBER.fullmatch(own[1])):
        return own[0], REWRITTEN
    plain = answer[1:-1] if answer[:1] == answer[-1:] == "$" and answer.count("$") == 2 else answer
    if form == "boxed" and plain not in solution:
        plain = shorten_whole(plain)  # the same to the verifier
    whole = known.append(solution, plain)
    if whole is None:
        raise InputError(f"the solution does not end in an answer that the format {form} finds")
    if known.extract(whole) != plain:
        raise InputError("the answer cannot be added to the solution so that it is read again")
    return whole, ADDED


def name_duplicate(problem: dict, kept: dict) -> str:
    """Returns the reason for which a problem is left out whose question another one has."""
    return "duplicate, with another reference answer" if are_contrary(problem, kept) else "duplicate"


def are_contrary(one: dict, other: dict) -> bool:
    """Returns whether the reference answers of two problems are certainly different; those of plug-ins are not compared."""
    form = one["format"]
    compared = form == other["format"] and not isinstance(find_format(form), PlugIn)
    return compared and one["answer"] != other["answer"] and is_other(one["answer"], other["answer"], form)


def name_kind(value: object) -> str:
    """Returns the name of a JSON value's type, with its article."""
    kinds = {list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return "null" if value is None else kinds.get(type(value), type(value).__name__)
