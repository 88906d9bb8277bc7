"""From a raw row to a problem: its question, reference answer and worked solution."""

import contextlib
import hashlib
import itertools
import json
import re
import string
from collections import Counter
from collections.abc import Callable

from rlready.data.chat_messages import check_prompt, read_dialogue, read_message, strip_end
from rlready.data.columns import compile_column
from rlready.data.identity import identify
from rlready.data.pictures import open_picture
from rlready.data.references import end_in_answer, is_absent, name_kind, read_answer, restore_integer
from rlready.data.registry import COLUMN, Source
from rlready.data.sources import read_rows
from rlready.errors import InputError
from rlready.verifier import find_format, is_readable

# The usual names, where an entry of the registry does not say which columns to take.
USUAL = {
    "messages": ("messages", "conversations", "conversation"),
    "question": ("question", "problem", "prompt", "Question", "Problem"),
    "solution": ("solution", "completion", "response", "output"),
    "choices": ("choices", "answer_option_list"),
    "answer": ("answer_value", "answer", "Answer", "final_answer"),
}
SYSTEM = ("system", "system_prompt")  # a system turn in a column of its own
BESIDE = ("subject", "image", "group")  # columns that are no part of the text
# Usual names of what problems were made from; those of one template, document or original problem belong together.
GROUP = ("template", "template_id", "original_question", "original_id", "source_document", "document_id")
LONGEST_VALUE = 80  # characters of a column in a message
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
Note = Callable[[str], None]


def read_problem(
    row: object,
    needs_solution: bool,
    source: Source | None = None,
    note: Note = lambda what: None,
    judged: bool = True,
) -> dict:
    """Turns a raw row into question, answer, format and, if needed, solution; multiple choice has its options counted.

    Where the source says so, the problem also has a `subject`, a `prompt` (a name or a text) and its `image`. A problem to
    sample has a `group` where its row says what it was made from; such problems belong together (`estimate_interval`).

    Without columns in the source, the usual names are tried: GSM8K's, MATH's, prompt and completion (texts or messages),
    messages, ShareGPT's conversations, and Alpaca's instruction, input and output. A solution ends in its answer in the form
    that evaluation reads; where it does not, that is added.

    Args:
        row: A raw row.
        needs_solution: Whether the row must have a worked solution.
        source: Says which columns to take, what to remove and which rows to keep.
        note: Called with each thing that was left out of, or added to, a row that stays.
        judged: Whether a problem must have an answer that the verifier can read; an SFT example need not.

    Returns:
        The problem, with its `problem_id`.

    Raises:
        InputError: With the reason why the row is malformed or left out.
    """
    if not isinstance(row, dict):
        raise InputError("not an object")
    picture = _read_picture(row, source) if source and source.pictures else None
    if source:
        _check_kept(row, source, picture is not None)
    problem = _read_text(row, needs_solution, source, note)
    if judged and not needs_solution and not is_readable(problem["answer"], problem["format"]):
        raise InputError("the verifier cannot read the answer")
    if picture is not None:
        problem["image"] = picture
        problem["problem_id"] = identify(problem["question"] + hashlib.sha256(picture).hexdigest())
    if source and source.share and not _lies_in(source.share, problem["problem_id"]):
        raise InputError("of another share of the source")
    if prompt := (source and source.prompt) or find_format(problem["format"]).find_prompt():
        problem["prompt"] = prompt
    if source and "subject" in source.columns:
        with contextlib.suppress(InputError):  # a copy may lack what results are only broken down by
            problem["subject"] = _repair(str(compile_column(source.columns["subject"])(row)), note)
    if not needs_solution and (group := _find_group(row, source)) not in (None, ""):
        problem["group"] = identify(f"{source.name if source else ''} {group}")
    return problem


def _find_group(row: dict, source: Source | None) -> object:
    """Returns what the problem was made from, None if the row does not say."""
    if not source or not source.columns:
        return next((row[name] for name in GROUP if row.get(name) not in (None, "")), None)
    try:
        return compile_column(source.columns["group"])(row)
    except (InputError, KeyError):  # a copy may lack it
        return None


def _lies_in(share: list[float], problem_id: str) -> bool:
    """Says whether a problem's id, as a number between 0 and 1, lies in [least, most)."""
    return share[0] <= int(problem_id, 16) / 16 ** len(problem_id) < share[1]


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


def _check_kept(row: dict, source: Source, shown: bool) -> None:
    """Raises InputError if the entry leaves the row out; a picture that is shown is not missing."""
    for path, values in {} if shown else source.keep.items():
        if compile_column(path)(row) not in values:
            raise InputError(source.because or f"{path} is not {' or '.join(map(str, values))}")
    for path, values in source.drop.items():
        if (value := compile_column(path)(row)) in values:
            raise InputError(source.because or f"{path} is {value}")


def _read_text(row: dict, needs_solution: bool, source: Source | None, note: Note) -> dict:
    found = _find_columns(row, source)
    question, solution, answer, choices = map(found.get, ("question", "solution", "answer", "choices"))
    if any(row.get(name) for name in SYSTEM):
        note("a system turn")
    if found.get("messages"):
        question, solution = read_dialogue(found["messages"], note)
    question, solution = read_message(question, "user", note), read_message(solution, "assistant", note)
    if question is not None and not isinstance(question, str):
        raise InputError(f"the question is {name_kind(question)}, not text")
    question = question or ""
    for text in source.remove if source else ():
        question = question.replace(text, "")
    if is_absent(question):
        raise InputError("no question")
    check_prompt(question)
    question = _repair(question, note)
    form = (source and source.format) or str(row.get("format") or "boxed")
    if choices and not (source and source.format):
        return _read_choice(question, choices, restore_integer(answer), needs_solution, note)
    answer, solution = read_answer(answer, solution, form, note)
    if answer is None:
        raise InputError("no answer")
    if LONE_SURROGATE.search(answer):
        raise InputError("the answer holds half a character (a lone surrogate)")
    problem = {"problem_id": identify(question), "question": question, "answer": answer, "format": form}
    if needs_solution:
        if not isinstance(solution, str) or is_absent(solution):
            raise InputError("no worked solution")
        problem["solution"], done = end_in_answer(_repair(strip_end(solution, note), note), answer, form)
        if done:
            note(done)
    return problem


def _find_columns(row: dict, source: Source | None) -> dict[str, object]:
    """Returns what stands in the columns of a row, by the names of USUAL."""
    found = {}
    if not source or not source.columns:
        for name, keys in USUAL.items():
            for key in keys:
                if not is_absent(value := row.get(key)):
                    found[name] = value
                    break
        if "question" not in found and isinstance(row.get("instruction"), str):
            # Alpaca's task, and what it is about (Dolly's `context`), which often is empty.
            about = row.get("input") or row.get("context") or ""
            found["question"] = "\n\n".join(filter(None, (row["instruction"], about)))
        elif row.get("context") and "messages" not in found:
            raise InputError("a context beside the question; name both under columns: question")
        if row.get("history"):
            raise InputError("several turns: a history beside the question; one can be used")
        return found
    found = {name: compile_column(path)(row) for name, path in source.columns.items() if name not in BESIDE}
    if not found.get("choices"):
        found["question"] = found.get("open_question", found.get("question"))
    return found


def _repair(text: str, note: Note) -> str:
    """Returns a text with a mark in the place of each half of a character, which no file or tokenizer takes."""
    if text.isascii() or not LONE_SURROGATE.search(text):
        return text
    note("half a character (a lone surrogate)")
    return LONE_SURROGATE.sub("\ufffd", text)


def _read_choice(question: str, choices: object, answer: object, needs_solution: bool, note: Note) -> dict:
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
            letter = next((name for name, option in options.items() if option == answer), "")
    else:
        try:
            listed = [entry for entries in choices for entry in entries]
            options = {entry["aoVal"]: entry["content"].strip() for entry in listed}
        except (TypeError, KeyError, AttributeError):
            raise InputError("the options are neither texts nor of TAL-SCQ5K's form") from None
        letter = str(answer)
    if letter not in options:
        raise InputError("the answer is none of the options")
    text = _repair("\n".join([question, *(f"{name}. {option}" for name, option in options.items())]), note)
    problem = {"problem_id": identify(text), "question": text, "answer": letter, "format": "letter"}
    return problem | {"options": len(options)}


def read_benchmark(source: Source, revision: str = "", limit: int = 0) -> tuple[list[dict], Counter]:
    """Reads the problems of a benchmark, each once.

    Args:
        source: What to read; a builtin source has no end and needs a limit.
        revision: Hub commit.
        limit: Most problems, the first ones; 0: all.

    Returns:
        (problems, how many rows were left out by reason, and of how many that stay a part was).

    Raises:
        InputError: If the source cannot be read, or no row is usable.
    """
    problems: dict[str, dict] = {}
    left_out: Counter[str] = Counter()
    for _, row in read_rows(source, "evaluation", 0, revision):
        noted: list[str] = []
        try:
            problem = read_problem(row, False, source, noted.append)
        except InputError as error:
            left_out[str(error)] += 1
            continue
        if problem["problem_id"] in problems:
            left_out["duplicate"] += 1
            continue
        problems[problem["problem_id"]] = problem
        left_out.update(noted)
        if len(problems) == limit:
            break
    if not problems:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in left_out.items())
        raise InputError(f"{source.name}: no usable problem ({reasons or 'the source is empty'})")
    return list(problems.values()), left_out


def read_some(
    source: Source, split: str, seed: int, count: int, revision: str = "", note: Note = lambda what: None
) -> list[dict]:
    """Returns the first rows of a source that are well formed, for estimates; what is changed in them is noted.

    Raises:
        InputError: If none of them is, with the reasons.
    """
    some: list[dict] = []
    reasons: list[str] = []
    row: object = None
    for _, row in itertools.islice(read_rows(source, split, seed, revision), 10 * count):
        noted: list[str] = []
        try:
            some.append(read_problem(row, split == "sft", source, noted.append))
            for what in noted:
                note(what)
        except InputError as error:
            reasons.append(str(error))
        if len(some) == count:
            break
    if not some:
        counted = "; ".join(f"{reasons.count(reason)} x {reason}" for reason in dict.fromkeys(reasons))
        raise InputError(
            f"{source.name}: no usable {split} row among the first {len(reasons)} ({counted or 'it is empty'}"
            f"{_explain(row, split, source)}"
        )
    return some


def _explain(row: object, split: str, source: Source) -> str:
    """Returns what a row holds, what was looked for in it, and columns that would work; the end of a message."""
    if not isinstance(row, dict) or not row:
        return ")"
    names = source.columns or {name: " or ".join(keys) for name, keys in USUAL.items()}
    looked = ", ".join(f"{name} in {keys}" for name, keys in names.items() if name in ("question", "solution", "answer"))
    columns = propose_columns(row, split == "sft")
    mapping = ", ".join(f"{name}: {column}" for name, column in columns.items())
    proposal = f"which to take; for this one {{{mapping}}} works (init writes it)" if columns else "which columns to take"
    shown = ", ".join(f"{key}: {_shorten(value)}" for key, value in row.items())
    text = (
        f"; there is {', '.join(map(str, row))}); say under columns: in curate_sources {proposal}. The row: {shown}. Looked"
        f" for {looked}, and for an answer inside the solution: in \\boxed{{}}, behind ####, or said at the end (The answer is"
        " 72.)"
    )
    return LONE_SURROGATE.sub("?", text)


def _shorten(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def propose_columns(row: dict, needs_solution: bool) -> dict[str, str]:
    """Returns columns with which a row can be read, by what their names remind of; none where none would work."""
    names = [name for name, value in row.items() if isinstance(value, (str, int, float)) and COLUMN.fullmatch(str(name))]

    def rank(hints: str) -> list[str]:
        found = [name for hint in hints.split() for name in names if hint in name.casefold()]
        return list(dict.fromkeys(found))

    for question in rank("question problem prompt query instruction input task ask"):
        others = [name for name in names if name != question]
        answers = [name for name in rank("answer final target label gold result expected key") if name in others]
        solutions = [
            name
            for name in rank("solution rationale reason explanation cot work step trace response completion output answer")
            if name in others
        ]
        tries = [{"answer": name} for name in [*answers, *solutions]]
        if needs_solution:
            tries = [{"answer": a, "solution": s} for a in answers for s in solutions if a != s]
            tries += [{"solution": s} for s in solutions]
        for columns in tries:
            with contextlib.suppress(InputError):
                read_problem(row, needs_solution, Source("", path="-", columns={"question": question} | columns))
                group = next((name for name in GROUP if name in others and not needs_solution), None)
                return {"question": question} | columns | ({"group": group} if group else {})
    return {}
