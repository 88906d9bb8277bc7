"""From raw rows to problems: question, reference answer and worked solution."""

import contextlib
import hashlib
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rlready.data.cells import compile_column, is_absent, restore_integer
from rlready.data.characters import LONE_SURROGATE, RESTORED, check_text, restore_backslashes
from rlready.data.chat_messages import check_prompt, read_dialogue, read_message, strip_end
from rlready.data.columns import GROUP, check_row, guess_columns, list_unread, parse_cells
from rlready.data.identity import identify
from rlready.data.pictures import open_picture
from rlready.data.references import (
    CODE_TESTS,
    end_in_answer,
    is_code_test,
    name_duplicate,
    name_kind,
    read_answer,
    refuse_code_tests,
)
from rlready.data.registry import Source, list_paths
from rlready.data.sources import read_rows
from rlready.errors import InputError, Misread, NoSolution, error_context
from rlready.verifier import find_format, is_readable

BESIDE = ("subject", "image", "group")  # columns that are no part of the text
LONGEST_VALUE = 80  # characters of a column in a message
LONGEST_TEXT = 1 << 19  # characters of a question or solution: more tokens than any model here takes
OTHER_SHARE = "of another share of the source"
LETTER = re.compile("[A-Za-z]")
LETTERED = re.compile(r"\(?[A-J][.):]\s*")  # an option that says its letter
OPTION = re.compile(r"(?:^|\s)\(?([A-J])[.):]\s")  # of a question with its options
Note = Callable[[str], None]
UNNAMED = Source("")  # it says nothing of its rows, so all is guessed


def read_problem(
    row: object, needs_solution: bool, source: Source = UNNAMED, note: Note = lambda what: None, judged: bool = True
) -> dict:
    """Turns a raw row into question, answer, format and, if needed, solution; multiple choice has its options counted.

    If the source has them, the problem also has a `subject`, a `prompt` (a name or a text) and its `image`. A problem to
    sample has a `group` if its row says what it was made from; such problems belong together (`estimate_interval`).

    Columns that the source does not name are guessed (`guess_columns`): GSM8K's, MATH's, prompt and completion (texts or
    messages), messages, ShareGPT's conversations, Alpaca's instruction, input and output. A solution that does not end in its
    answer, in the form that evaluation reads, has it added.

    `note` is called with each change to a row that is kept. Unless `judged`, as for an SFT example, the verifier need not be
    able to read the answer. Raises InputError with the reason why the row is malformed or left out.
    """
    if not isinstance(row, dict):
        raise InputError(f'{name_kind(row)}, not an object; write each row as {{"question": ...}}')
    row = parse_cells(row)
    picture = _read_beside(row, source, "image") if source.pictures else None
    picture = picture.get("bytes") if isinstance(picture, dict) else picture  # a column with bytes and path, as on the hub
    if isinstance(picture, bytes):
        open_picture(picture)
    else:
        picture = None
        for path, values in source.keep.items():
            if compile_column(path)(row) not in values:
                raise InputError(source.because or f"{path} is not {' or '.join(map(str, values))}")
    for path, values in source.drop.items():
        if (value := compile_column(path)(row)) in values:
            raise InputError(source.because or f"{path} is {value}")
    problem = _read_text(row, needs_solution, source, note)
    if judged and not needs_solution and not is_readable(problem["answer"], problem["format"]):
        refuse_code_tests(problem["answer"])
        raise InputError("the verifier cannot read the answer")
    if picture is not None:
        problem["image"] = picture
        problem["problem_id"] = identify(problem["question"] + hashlib.sha256(picture).hexdigest())
    if source.share:
        place = int(problem["problem_id"], 16) / 16 ** len(problem["problem_id"])
        if not source.share[0] <= place < source.share[1]:
            raise InputError(OTHER_SHARE)
    if prompt := source.prompt or find_format(problem["format"]).find_prompt():
        problem["prompt"] = prompt
    if (subject := _read_beside(row, source, "subject")) is not None:
        problem["subject"] = check_text(str(subject), "subject", note)
    groups = [_read_beside(row, source, "group")] if source.columns else [row.get(name) for name in GROUP]
    group = next((group for group in groups if group not in (None, "")), None)
    if not needs_solution and group is not None:
        problem["group"] = identify(f"{source.name} {group}")
    return problem


def _read_beside(row: dict, source: Source, name: str) -> Any:
    """Returns what the column of a part in BESIDE holds; None if the source names none, or a copy of it lacks the column."""
    if name in source.columns:
        with contextlib.suppress(InputError):
            return compile_column(source.columns[name])(row)
    return None


def _read_text(row: dict, needs_solution: bool, source: Source, note: Note) -> dict:
    found = _find_columns(row, source)
    check_row(row, source.named, needs_solution or found.get("answer") is None, note)
    question, solution, answer, choices = map(found.get, ("question", "solution", "answer", "choices"))
    if found.get("messages"):
        question, solution = read_dialogue(found["messages"], note)
    if isinstance(solution, list) and len(solution) > 1 and isinstance(solution[0], str):
        note("several solutions, of which the first is used")
        solution = solution[:1]
    question, solution = (
        value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) else value
        for value in (question, solution)
    )
    question, solution = read_message(question, "user", note), read_message(solution, "assistant", note)
    if question is not None and not isinstance(question, str):
        raise Misread(f"the question is {name_kind(question)}, not text")
    question = question or ""
    for text in source.remove:
        question = question.replace(text, "")
    if is_absent(question):
        raise _explain_absent(row, "question")
    _refuse_long(question, solution if needs_solution else None)
    if (about := found.get("context")) and str(about) not in question:
        question = f"{question}\n\n{about}"
    check_prompt(question, note)
    question = check_text(question, "question", note)
    if isinstance(choices, dict) and not any(choices.values()):
        choices = None  # as Arrow writes those of a row that has none
    if choices and not source.format:
        return _read_choice(question, choices, restore_integer(answer), needs_solution, note)
    form = source.format or _choose_format(row, question, answer)
    answer, text = (restore_backslashes(one) if isinstance(one, str) else one for one in (answer, solution))
    if text != solution and needs_solution:
        note(RESTORED.format("solution"))
    answer, solution = read_answer(answer, text, form, note)
    if form == "letter" and answer and len(letter := answer.strip(" ().:")) == 1:
        answer = letter.upper()
    if answer is None:
        raise _explain_absent(row, "answer")
    if LONE_SURROGATE.search(answer):
        raise InputError("the answer holds half a character (a lone surrogate)")
    if isinstance(solution, str) and len(solution) > LONGEST_VALUE and solution.strip() in question:
        raise Misread("the question holds its solution; name a column of the question alone under columns: question")
    problem: dict = {"problem_id": identify(question), "question": question, "answer": answer, "format": form}
    if form == "letter":
        problem["options"] = max(len(OPTION.findall(question)), ord(answer[0].upper()) - ord("A") + 1, 2)
    if needs_solution:
        if not isinstance(solution, str) or is_absent(solution):
            raise NoSolution("no worked solution")
        if solution.rfind("<think>") > solution.rfind("</think>"):
            raise InputError("the solution is truncated: its <think> block does not end")
        solution = check_text(strip_end(solution, note), "solution", note)
        problem["solution"], done = end_in_answer(solution, answer, form)
        if done:
            note(done)
    for name in [] if source.remove else list_unread(row, [*found.values(), question, solution], needs_solution):
        if name not in source.named:
            note(f"not read: the column {name}, next to the question")
    return problem


def _refuse_long(question: str, solution: object) -> None:
    for name, text in (("question", question), ("solution", solution)):
        if isinstance(text, str) and len(text) > LONGEST_TEXT:
            raise InputError(f"the {name} has more than {LONGEST_TEXT:,} characters, more than a model here reads")


def _explain_absent(row: dict, part: str) -> InputError:
    """Returns the reason why a row without a part is left out: what is there instead, if that is known."""
    tested = next((name for name, value in row.items() if is_code_test(value)), None)
    return InputError(f"the column {tested} holds {CODE_TESTS}") if tested else Misread(f"no {part}")


def _choose_format(row: dict, question: str, answer: object) -> str:
    """Returns the format that the row names for its answer, or else: tests, the letter of a listed option, or boxed."""
    if named := str(row.get("format") or ""):
        with error_context("the column format (format: in curate_sources or init's --format replaces it)"):
            find_format(named)
        return named
    if isinstance(answer, dict) and "tests" in answer:
        return "python-tests"
    letter = str(answer).strip(" ().:")
    listed = OPTION.findall(question) if len(letter) == 1 else []
    return "letter" if listed[:2] == ["A", "B"] and letter in listed else "boxed"


def _find_columns(row: dict, source: Source) -> dict[str, object]:
    """Returns what the columns of a row hold, by the names of USUAL and `context`."""
    if not source.columns:
        return guess_columns(row)
    found = {}
    for name, path in source.columns.items():
        if name not in BESIDE:
            values = [compile_column(one)(row) for one in list_paths(path)]
            found[name] = values if isinstance(path, list) else values[0]
    found = guess_columns(row, source.columns) | found
    if not found.get("choices"):
        found["question"] = found.get("open_question", found.get("question"))
    return found


def _read_choice(question: str, choices: object, answer: object, needs_solution: bool, note: Note) -> dict:
    """Reads options and answer: MMLU's (list, index), MathVista's (list, text), ARC's (texts and labels) or TAL-SCQ5K's."""
    if needs_solution:
        raise NoSolution("multiple choice has no worked solution")
    if is_absent(answer):
        raise Misread("no answer")
    options = _list_options(choices)
    if isinstance(choices, dict) and answer in (choices.get("label") or ()):
        answer = choices["label"].index(answer)  # some of ARC's labels are numbers
    chosen = [name for name, option in options.items() if answer == option]
    if isinstance(answer, int):
        chosen = list(options)[answer : answer + 1] if answer >= 0 else []
    elif not chosen and str(answer).casefold() not in (option.casefold() for option in options.values()):
        letter = str(answer).strip(" ().").upper()
        chosen = [letter] if letter in options else []
    if not chosen:
        raise InputError("the answer is none of the options")
    text = check_text("\n".join([question, *(f"{name}. {option}" for name, option in options.items())]), "question", note)
    return {"problem_id": identify(text), "question": text, "answer": chosen[0], "format": "letter", "options": len(options)}


def _list_options(choices: object) -> dict[str, str]:
    """Returns the options by their letters."""
    names = list(string.ascii_uppercase)
    if isinstance(choices, dict):
        if all(map(LETTER.fullmatch, choices)):  # in any order; Arrow pads rows that have fewer with null
            choices = {name.upper(): option for name, option in sorted(choices.items()) if option is not None}
            names = list(choices)
        choices = choices["text"] if choices.keys() >= {"text", "label"} else list(choices.values())
    if not isinstance(choices, list):
        raise InputError("the options are no list")
    if all(isinstance(option, dict) and option.keys() >= {"label", "text"} for option in choices):  # ARC's own files
        return {str(option["label"]): str(option["text"]) for option in choices}
    if all(isinstance(option, (str, int, float)) for option in choices):
        texts = [str(restore_integer(option)) for option in choices]
        lettered = all(map(LETTERED.match, texts))
        return dict(zip(names, (LETTERED.sub("", text) if lettered else text for text in texts), strict=False))
    try:
        listed = [entry for entries in choices for entry in entries]
        return {entry["aoVal"]: entry["content"].strip() for entry in listed}
    except (TypeError, KeyError, AttributeError):
        raise InputError("the options are neither texts nor of TAL-SCQ5K's form") from None


def read_benchmark(source: Source, revision: str = "", limit: int = 0) -> tuple[list[dict], Counter]:
    """Returns the problems of a benchmark, each once, and counts of rows left out and of changes to rows that are kept.

    Only the first `limit` problems are read, unless it is 0; a builtin source is endless. Raises InputError if the source
    cannot be read, or no row is usable.
    """
    problems: dict[str, dict] = {}
    counts: Counter[str] = Counter()
    for _, problem, noted, _ in read_problems(read_rows(source, "evaluation", 0, revision), False, source):
        if problem and problem["problem_id"] in problems:
            noted = [name_duplicate(problem, problems[problem["problem_id"]])]
        elif problem:
            problems[problem["problem_id"]] = problem
        counts.update(noted)
        if len(problems) == limit > 0:
            break
    if not problems:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in counts.items())
        raise InputError(f"{source.name}: no usable problem ({reasons or 'the source is empty'})")
    return list(problems.values()), counts


def read_problems(
    rows: Iterable[tuple[str, object]], needs_solution: bool, source: Source
) -> Iterator[tuple[str, dict | None, list[str], InputError | None]]:
    """Yields (place, problem, changes to the row, None) of raw rows, or (place, None, [reason], error) if they are left out."""
    for place, row in rows:
        noted: list[str] = []
        try:
            yield place, read_problem(row, needs_solution, source, noted.append), noted, None
        except InputError as error:
            yield place, None, [str(error)], error
