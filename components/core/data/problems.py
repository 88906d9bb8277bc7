"""From a raw row to a problem: its question, gold answer and worked solution, and the id by which it is known everywhere."""

import contextlib
import hashlib
import itertools
import re
import string
from collections import Counter
from collections.abc import Callable

from rlready.components.config import InputError
from rlready.components.core.data.columns import compile_column
from rlready.components.core.data.pictures import open_picture
from rlready.components.core.data.registry import Source
from rlready.components.core.data.sources import read_rows
from rlready.components.core.prompts import clean_gsm8k_solution
from rlready.components.core.verifier import extract_boxed, is_readable

QUESTION = ("question", "problem", "prompt", "Question", "Problem")
SOLUTION = ("solution", "completion", "response")
ANSWER = ("answer", "Answer", "final_answer")
CHOICES = ("choices", "answer_option_list")


def compile_eraser(characters: str) -> Callable[[str], str]:
    """Returns what takes all characters of a class, such as `[^0-9]`, out of a text: twenty times as fast as `re` in ASCII."""
    pattern = re.compile(f"{characters}+")
    table = bytes(code for code in range(128) if pattern.match(chr(code)))

    def erase(text: str) -> str:
        return text.encode().translate(None, table).decode() if text.isascii() else pattern.sub("", text)

    return erase


erase_unnamed = compile_eraser(r"[\W_]")


def identify(question: str) -> str:
    """Returns the id of a problem: a digest of its letters and digits, so spacing and case do not tell problems apart."""
    return hashlib.sha256(erase_unnamed(question.casefold()).encode()).hexdigest()[:16]


def read_problem(row: object, needs_solution: bool, source: Source | None = None) -> dict[str, str | int]:
    """Turns a raw row into question, answer, format and, if needed, solution; multiple choice has its options counted.

    Where the source says so, the problem also has a `subject`, the name of its benchmark's own `prompt`, and its `image`.

    Without columns in the source, the usual names are tried: GSM8K's, MATH's, prompt and completion (texts or messages), and
    messages.

    Args:
        row: A raw row.
        needs_solution: Whether the row must have a worked solution.
        source: Says which columns to take, what to remove and what to keep.

    Returns:
        The problem, with its `problem_id`.

    Raises:
        InputError: With the reason why the row is malformed or left out.
    """
    picture = _read_picture(row, source) if source and source.pictures and isinstance(row, dict) else None
    problem = _read_problem(row, needs_solution, source, picture is not None)
    if picture is not None:
        problem["image"] = picture
        problem["problem_id"] = identify(problem["question"] + hashlib.sha256(picture).hexdigest())
    if source and source.prompt:
        problem["prompt"] = source.prompt
    if source and "subject" in source.columns:
        with contextlib.suppress(InputError):  # a copy may lack what results are only broken down by
            problem["subject"] = str(compile_column(source.columns["subject"])(row))
    return problem


def _read_picture(row: dict, source: Source) -> bytes | None:
    """Returns the file of a row's picture, as a binary column or as the hub's images are (bytes and path)."""
    try:
        value = compile_column(source.columns["image"])(row)
    except (InputError, KeyError):
        return None
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        return None
    open_picture(content)
    return content


def _read_problem(row: object, needs_solution: bool, source: Source | None, shown: bool) -> dict[str, str | int]:
    if not isinstance(row, dict):
        raise InputError("not an object")
    if source and source.keep and not shown:
        for path, values in source.keep.items():
            if compile_column(path)(row) not in values:
                raise InputError(source.because or f"{path} is not {' or '.join(map(str, values))}")
    if source and source.columns:
        beside = ("subject", "image")
        columns = {name: compile_column(path)(row) for name, path in source.columns.items() if name not in beside}
        question, answer, solution, choices = map(columns.get, ("question", "answer", "solution", "choices"))
        if not choices:
            question = columns.get("open_question", question)
        messages = columns.get("messages")
    else:
        question = next((row[k] for k in QUESTION if row.get(k)), None)
        solution = next((row[k] for k in SOLUTION if row.get(k)), None)
        answer = next((row[k] for k in ANSWER if row.get(k) not in (None, "")), None)
        answer = row.get("answer_value", answer)
        choices = next((row[k] for k in CHOICES if row.get(k)), None)
        messages = row.get("messages")
    if messages:
        question, solution = _read_dialogue(messages)
    question, solution = _read_turn(question, "user"), _read_turn(solution, "assistant")
    if question is not None and not isinstance(question, str):
        raise InputError(f"the question is {_name_kind(question)}, not text")
    for text in source.remove if source and question else ():
        question = question.replace(text, "")
    if not question or not question.strip():
        raise InputError("no question")
    if choices:
        return _read_choice(question, choices, answer, needs_solution)
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        answer = str(answer)
    if isinstance(answer, str) and "####" in answer:
        solution, answer = clean_gsm8k_solution(answer)
    if answer is None and isinstance(solution, str):
        answer = extract_boxed(solution)
    if answer is not None and not isinstance(answer, str):
        hint = "; answer[*] under columns: joins it" if isinstance(answer, list) else ""
        raise InputError(f"the answer is {_name_kind(answer)}, not text{hint}")
    if not answer or not answer.strip():
        raise InputError("no answer")
    if needs_solution and (not isinstance(solution, str) or not solution.strip()):
        raise InputError("no worked solution")
    problem = {"problem_id": identify(question), "question": question, "answer": answer.strip()}
    problem["format"] = row.get("format", "boxed")
    # An SFT example is never held against its answer; that it can be is looked at when it becomes an RL prompt.
    if not needs_solution and not is_readable(problem["answer"], problem["format"]):
        raise InputError("the verifier cannot read the answer")
    return problem | ({"solution": solution} if needs_solution else {})


def _name_kind(value: object) -> str:
    kinds = {list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)


def _read_turn(value: object, role: str) -> object:
    """Returns the text of one turn where a column holds messages, else the value itself."""
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) for turn in value):
        return value
    said = [turn.get("content") for turn in value if turn.get("role") == role]
    if len(said) != 1:
        raise InputError(f"{len(said)} turns of the {role}; one can be used")
    return said[0]


def _read_dialogue(messages: object) -> tuple[object, object]:
    if not isinstance(messages, list) or not all(isinstance(turn, dict) for turn in messages):
        raise InputError("messages is no list of turns with role and content")
    asked = _read_turn(messages, "user")
    return asked, _read_turn(messages, "assistant") if any(t.get("role") == "assistant" for t in messages) else None


def _read_choice(question: str, choices: object, answer: object, needs_solution: bool) -> dict[str, str | int]:
    """Reads options and answer of MMLU's form (list, index), MathVista's (list, text) or TAL-SCQ5K's (letters, letter)."""
    if needs_solution:
        raise InputError("multiple choice has no worked solution")
    if not isinstance(choices, list):
        raise InputError("the options are no list")
    if all(isinstance(option, str) for option in choices):
        options = dict(zip(string.ascii_uppercase, choices, strict=False))
        if isinstance(answer, int) and 0 <= answer < len(options):
            letter = string.ascii_uppercase[answer]
        else:
            letter = next((name for name, option in options.items() if option == answer), None)
    else:
        try:
            listed = [entry for entries in choices for entry in entries]
            options = {entry["aoVal"]: entry["content"].strip() for entry in listed}
        except (TypeError, KeyError, AttributeError):
            raise InputError("the options are neither texts nor of TAL-SCQ5K's form") from None
        letter = answer
    if letter not in options:
        raise InputError("the answer is none of the options")
    text = "\n".join([question, *(f"{name}. {option}" for name, option in options.items())])
    problem = {"problem_id": identify(text), "question": text, "answer": letter, "format": "letter"}
    return problem | {"options": len(options)}


def read_benchmark(source: Source, revision: str = "", limit: int = 0) -> tuple[list[dict], Counter]:
    """Reads the problems of a benchmark, each once.

    Args:
        source: What to read; a builtin source has no end and needs a limit.
        revision: Hub commit.
        limit: Most problems, the first ones; 0: all.

    Returns:
        (problems, rows left out by reason).

    Raises:
        InputError: If the source cannot be read, or no row is usable.
    """
    problems, left_out = {}, Counter()
    for _, row in read_rows(source, "evaluation", 0, revision):
        try:
            problem = read_problem(row, False, source)
        except InputError as error:
            left_out[str(error)] += 1
            continue
        if problem["problem_id"] in problems:
            left_out["duplicate"] += 1
            continue
        problems[problem["problem_id"]] = problem
        if len(problems) == limit:
            break
    if not problems:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in left_out.items())
        raise InputError(f"{source.name}: no usable problem ({reasons or 'the source is empty'})")
    return list(problems.values()), left_out


def read_some(source: Source, split: str, seed: int, count: int, revision: str = "") -> list[dict]:
    """Returns the first rows of a source that are well formed, for estimates.

    Raises:
        InputError: If none of them is, with the reasons.
    """
    some, reasons, row = [], [], {}
    for _, row in itertools.islice(read_rows(source, split, seed, revision), 10 * count):
        try:
            some.append(read_problem(row, split == "sft", source))
        except InputError as error:
            reasons.append(str(error))
        if len(some) == count:
            break
    if not some:
        counted = "; ".join(f"{reasons.count(reason)} x {reason}" for reason in dict.fromkeys(reasons))
        columns = f"; there is {', '.join(row)}" if isinstance(row, dict) and row else ""
        raise InputError(
            f"{source.name}: no usable {split} row among the first {len(reasons)} ({counted or 'it is empty'}{columns}); say"
            " under columns: in curate_sources which columns to take"
        )
    return some
