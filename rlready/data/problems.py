"""From raw rows to problems: question, reference answer and worked solution."""

import contextlib
import hashlib
import itertools
import json
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rlready.data.cells import compile_column, is_absent, restore_integer
from rlready.data.characters import LONE_SURROGATE, RESTORED, check_text, restore_backslashes
from rlready.data.chat_messages import check_prompt, read_dialogue, read_message, strip_end
from rlready.data.columns import (
    GROUP,
    USUAL,
    check_row,
    guess_columns,
    list_unread,
    parse_cells,
    propose_columns,
)
from rlready.data.identity import identify
from rlready.data.pictures import open_picture
from rlready.data.references import end_in_answer, name_kind, read_answer
from rlready.data.registry import Source, list_paths
from rlready.data.sources import read_rows
from rlready.errors import InputError, error_context
from rlready.verifier import find_format, is_readable

BESIDE = ("subject", "image", "group")  # columns that are no part of the text
LONGEST_VALUE = 80  # characters of a column in a message
ROWS_SHOWN = 20  # from which columns are proposed
NO_QUESTION, NO_ANSWER = "no question", "no answer"
NO_SOLUTION = "no worked solution"
MISREAD = (NO_QUESTION, NO_ANSWER, NO_SOLUTION, "the question is", "the answer is", "messages is")  # begin such reasons
OTHER_SHARE = "of another share of the source"
WITHOUT_SOLUTIONS = (
    "Without worked solutions, rows can be RL prompts (curate_rl_data) or evaluation problems (curate_evaluation_data), and"
    " `rlready rank` can compare checkpoints on them; SFT needs solutions"
)
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

    Args:
        row: A raw row.
        needs_solution: Whether the row must have a worked solution.
        source: Which columns to read, what to remove and which rows to keep.
        note: Called with each change to a row that is kept.
        judged: Whether the verifier must be able to read the answer; for an SFT example it need not.

    Raises:
        InputError: With the reason why the row is malformed or left out.
    """
    if not isinstance(row, dict):
        raise InputError("not an object")
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
        raise InputError(f"the question is {name_kind(question)}, not text")
    question = question or ""
    for text in source.remove:
        question = question.replace(text, "")
    if is_absent(question):
        raise InputError(NO_QUESTION)
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
        raise InputError(NO_ANSWER)
    if LONE_SURROGATE.search(answer):
        raise InputError("the answer holds half a character (a lone surrogate)")
    if isinstance(solution, str) and len(solution) > LONGEST_VALUE and solution.strip() in question:
        raise InputError("the question holds its solution; name a column of the question alone under columns: question")
    problem: dict = {"problem_id": identify(question), "question": question, "answer": answer, "format": form}
    if form == "letter":
        problem["options"] = max(len(OPTION.findall(question)), ord(answer[0].upper()) - ord("A") + 1, 2)
    if needs_solution:
        if not isinstance(solution, str) or is_absent(solution):
            raise InputError(NO_SOLUTION)
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
        raise InputError("multiple choice has no worked solution")
    if is_absent(answer):
        raise InputError(NO_ANSWER)
    options = _list_options(choices)
    if isinstance(choices, dict) and answer in (choices.get("label") or ()):
        answer = choices["label"].index(answer)  # some of ARC's labels are numbers
    chosen = [name for name, option in options.items() if answer == option]
    if isinstance(answer, int):
        chosen = list(options)[answer : answer + 1] if answer >= 0 else []
    elif not chosen and str(answer).casefold() not in (option.casefold() for option in options.values()):
        letter = str(answer).strip(" ().")
        chosen = [letter] if letter in options else []
    if not chosen:
        raise InputError("the answer is none of the options")
    text = check_text("\n".join([question, *(f"{name}. {option}" for name, option in options.items())]), "question", note)
    return {"problem_id": identify(text), "question": text, "answer": chosen[0], "format": "letter", "options": len(options)}


def _list_options(choices: object) -> dict[str, str]:
    """Returns the options by their letters."""
    if isinstance(choices, dict):
        choices = choices["text"] if choices.keys() >= {"text", "label"} else list(choices.values())
    if not isinstance(choices, list):
        raise InputError("the options are no list")
    if all(isinstance(option, (str, int, float)) for option in choices):
        texts = [str(restore_integer(option)) for option in choices]
        lettered = all(map(LETTERED.match, texts))
        return dict(zip(string.ascii_uppercase, (LETTERED.sub("", text) if lettered else text for text in texts), strict=False))
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
    for _, problem, noted in read_problems(read_rows(source, "evaluation", 0, revision), False, source):
        if problem and problem["problem_id"] in problems:
            noted = ["duplicate"]
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
) -> Iterator[tuple[str, dict | None, list[str]]]:
    """Yields (place, problem, changes to the row) of raw rows, or (place, None, [reason]) if they are left out."""
    for place, row in rows:
        noted: list[str] = []
        try:
            yield place, read_problem(row, needs_solution, source, noted.append), noted
        except InputError as error:
            yield place, None, [str(error)]


def read_some(source: Source, split: str, seed: int, count: int, revision: str = "") -> tuple[list[dict], Counter, Counter]:
    """Returns the first usable rows of a source, for estimates, with counts of changes to them and of rows left out.

    Raises InputError if no row is usable, with the reasons and columns that work.
    """
    some: list[dict] = []
    changed: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    rows = itertools.islice(read_rows(source, split, seed, revision), 10 * count)
    for _, problem, noted in read_problems(rows, split == "sft", source):
        (changed if problem else left_out).update(noted)
        some += [problem] if problem else []
        if len(some) == count:
            break
    if not left_out and not some:
        raise InputError(f"{source.name}: {source.path or source.hub} has no row")
    if not some and left_out.keys() == {OTHER_SHARE}:
        raise InputError(
            f"{source.name}: all {left_out.total()} rows looked at are {OTHER_SHARE}; if they have the same question, name"
            " another column under columns: question (init: --columns question=NAME)"
        )
    if not some:
        counted = "; ".join(f"{number} x {reason}" for reason, number in left_out.items())
        first = [row for _, row in itertools.islice(read_rows(source, split, seed, revision), ROWS_SHOWN)]
        misread = any(reason.startswith(MISREAD) or "column" in reason for reason in left_out)  # else no column is better
        explained = _explain([row for row in first if misread and isinstance(row, dict) and row], split == "sft", source)
        raise InputError(f"{source.name}: no usable {split} row among the first {left_out.total()} ({counted}{explained}")
    return some, changed, left_out


def _explain(rows: list[dict], needs_solution: bool, source: Source) -> str:
    """Returns what a row holds, what was looked for in it, and a source entry that would work; the end of a message."""
    if not rows:
        return ")"
    names = source.columns or {name: " or ".join(keys) for name, keys in USUAL.items()}
    looked = ", ".join(f"{name} in {keys}" for name, keys in names.items() if name in ("question", "solution", "answer"))
    try:
        columns = propose(rows, needs_solution, source)
        proposal = "name the ones to use under columns: in curate_sources (init: --columns question=NAME,answer=NAME)"
    except InputError as error:
        columns, proposal = {}, str(error)
    if columns:
        entry = {"path": source.path} if source.path else {"hub": source.hub, "split": source.split}
        mapping = ", ".join(f"{name}: {json.dumps(column)}" for name, column in columns.items())
        where = ", ".join(f"{key}: {value}" for key, value in entry.items())
        proposal = f"this works (init writes it): curate_sources: {{mine: {{{where}, columns: {{{mapping}}}}}}}"
    elif needs_solution and propose(rows, False, source):
        proposal += ". " + WITHOUT_SOLUTIONS
    texts = {key: json.dumps(value, default=str, ensure_ascii=False) for key, value in rows[-1].items()}
    shown = ", ".join(
        f"{key}: {text if len(text) <= LONGEST_VALUE else f'{text[: LONGEST_VALUE - 3]}...'}" for key, text in texts.items()
    )
    text = (
        f"; the columns are {', '.join(map(str, rows[-1]))}); {proposal}. The row: {shown}. Looked for {looked}, and for"
        " an answer inside the solution: in \\boxed{}, after ####, or stated at the end (The answer is 72.)"
    )
    return LONE_SURROGATE.sub("?", text)


def propose(rows: list[dict], needs_solution: bool, source: Source, named: dict[str, str] | None = None) -> dict[str, str]:
    """Returns columns with which most rows can be read; see `propose_columns`."""

    def reads(row: dict, columns: dict[str, str]) -> bool:
        tried = Source("", path="-", format=source.format, columns=columns)
        return all(problem for _, problem, _ in read_problems([("", row)], needs_solution, tried))

    return propose_columns(rows, needs_solution, reads, named or {})
