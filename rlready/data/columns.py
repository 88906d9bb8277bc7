"""Which columns hold what: as a registry entry names them, or by their usual names.

An entry names `column`, `column[key]`, `column[*]` (a list, joined), or a text with {column}.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache

from rlready.data.cells import is_absent, parse_list, read_texts, restore_integer, shorten_whole
from rlready.data.chat_messages import is_chat
from rlready.data.files import EVALUATION, TRAINING
from rlready.data.references import split_answer
from rlready.data.registry import Source, list_paths
from rlready.errors import InputError, Misread

# The usual names, in the order of precedence.
USUAL = {
    "messages": ("messages", "conversations", "conversation"),
    "question": ("question", "problem", "prompt", "Question", "Problem"),
    "solution": ("solution", "completion", "response", "output"),
    "choices": ("choices", "options", "answer_option_list"),
    "answer": (
        *("answer_value", "answer", "Answer", "final_answer", "ground_truth", "reward_model[ground_truth]", "expected_answer"),
        *("correct_answer", "gold", "target", "label", "correct", "tests", "answerKey", "answer_key"),
    ),
}
NESTED = (*USUAL["messages"], *USUAL["choices"], "reward_model")  # columns that hold lists or objects
CHATS = ("[{", "array([{")  # how a chat begins that is a text
CONTEXT = ("input", "context", "passage", "story", "background", "body", "Body")  # what a question is about, beside it
SYSTEM = ("system", "system_prompt", "system_message", "systemPrompt")  # a system turn in a column of its own
# Usual names of what problems were made from; those of one template, document or original problem belong together.
GROUP = ("template", "template_id", "original_question", "original_id", "source_document", "document_id")
# What names remind of, in the order of precedence.
HINTS = {
    "question": "question problem prompt query instruction input task ask",
    "answer": "answer final target label gold truth result expected correct",
    "solution": "solution rationale reason explanation cot work step trace response completion output attempt chosen answer",
}
# Last words of the names of columns about a problem, which are none of its parts.
ABOUT = re.compile(
    r"(?:^|[\W_])(?:id|ids|idx|index|uuid|hash|url|type|kind|source|origin|format|category|subject|topic|domain|tags?|level|difficulty"
    r"|score|pass_at_\w+|rate|rating|length|len|tokens|count|num|date|split|language|lang|model|name|version|licen[sc]e)$"
)
HISTORY = re.compile(
    r"(?:(?:chat|conversation|dialogue?|message)_?)?history|(?:past|prior|prev(?:ious)?|earlier)_(?:turns|messages|dialogue?)",
    re.IGNORECASE,
)
match_history = lru_cache(maxsize=1024)(HISTORY.fullmatch)
# Of a question, also in lists and objects.
PARTS = re.compile(
    r"(?:context|passage|paragraph|article|premise|table|document|fact|story|turn|dialog|dialogue|constraint|code|image)s?",
    re.IGNORECASE,
)
OPTION = re.compile(r"(?:(?i:op|opt|option|choice|answer)[ _]?(?=[A-Ha-h]$)|(?=[A-H]$))(\w)")  # columns of options
RIGHT = ("label", "correct", "is_correct", "is_right")  # where they hold false, the solution is wrong
VALID = ("is_correct", "is_right", "is_valid", "solution_is_valid", "problem_is_valid")  # the same as texts, as NuminaMath has
INVALID = {"false", "no", "0", "incomplete", "problem not solved"}
SPLIT, WEIGHT, REWARD = "split", "weight", "reward"
USUAL_COLUMNS = {name.partition("[")[0] for names in USUAL.values() for name in names}
# Read without being named.
GUESSED = {*USUAL_COLUMNS, *CONTEXT, *SYSTEM, *RIGHT, *VALID, "history", "format", SPLIT, WEIGHT, REWARD}
LONGEST_ANSWER = 80  # characters; a longer text beside another answer is a solution
WORDS_COMPARED = 60  # characters


def parse_cells(row: dict) -> dict:
    """Returns a row with its chats, in any column, and its options parsed if they are texts, as in tables."""
    for name, text in row.items():
        if isinstance(text, str) and text.startswith(("[", "{", "array([")):
            found = parse_list(text) if name in NESTED or text.startswith(CHATS) else text
            if name in NESTED or is_chat(found):
                row = row | {name: found}
    return row


def guess_columns(row: dict, named: Iterable[str] = ()) -> dict[str, object]:
    """Returns what the columns of usual names hold, by the names of USUAL and `context`, except what is named already.

    Raises InputError if two columns could be the answer.
    """
    found: dict[str, object] = {}
    named, (usual, letters, contexts) = set(named), _sort_names(tuple(row))
    for name in usual.keys() - named - ({"messages", "question"} if named else set()):
        value = next((row[key] for key in usual[name] if not is_absent(row[key])), None)
        if value is not None:
            found[name] = value
    if "answer" not in named and (answers := list_answers(row)):
        column = next(iter(answers))
        found["answer"] = _get(row, column)
        texts = [text for text in answers.values() if text is not None]
        if texts and answers[column] is None:  # prose beside an answer
            found.setdefault("solution", found["answer"])
            found["answer"] = next(_get(row, name) for name, text in answers.items() if text is not None)
        refuse_choice(answers)
    elif "answer" not in named and not found.keys() & {"solution", "messages"}:  # true or false, refused with a reason
        found |= next(({"answer": row[name]} for name in USUAL["answer"] if isinstance(row.get(name), bool)), {})
    if not named.intersection(("choices", "answer")) and "choices" not in found:  # in columns of their letters
        options = {letter: row[name] for name, letter in letters.items() if not is_absent(row[name])}
        chosen = str(found.get("answer")).strip().upper()
        found |= {"choices": options, "answer": chosen} if {"A", "B", chosen} <= options.keys() else {}
    if named:
        return found
    if "question" not in found and isinstance(row.get("instruction"), str):
        found["question"] = row["instruction"]
    about = next((row[name] for name in contexts if isinstance(row[name], str) and not is_absent(row[name])), None)
    return found | ({"context": about} if about and "question" in found and "messages" not in found else {})


@lru_cache(maxsize=1024)
def _sort_names(names: tuple[str, ...]) -> tuple[dict[str, list[str]], dict[str, str], list[str]]:
    """Returns those of USUAL among a row's columns but for answers, options with their letters, and those of CONTEXT."""
    usual = {name: [key for key in keys if key in names] for name, keys in USUAL.items() if name != "answer"}
    usual = {name: keys for name, keys in usual.items() if keys}
    letters = {name: found[1].upper() for name in names if (found := OPTION.fullmatch(name))}
    return usual, letters, [name for name in CONTEXT if name in names]


def _get(row: dict, column: str) -> object:
    outer, _, inner = column.rstrip("]").partition("[")
    value = row.get(outer)
    return value.get(inner) if inner and isinstance(value, dict) else None if inner else value


def list_answers(row: dict, columns: Iterable[str] = USUAL["answer"]) -> dict[str, str | None]:
    """Returns the columns that could be the answer with their answers as comparable texts; None for prose."""
    found: dict[str, str | None] = {}
    for name in columns:
        if name not in row and "[" not in name:
            continue
        value = read_texts(_get(row, name))
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if is_absent(value) or isinstance(value, bool) or (name == "tests" and not isinstance(value, dict)):
            continue
        text = str(restore_integer(value)).strip()
        inside = split_answer(text) if isinstance(value, str) else None
        prose = isinstance(value, str) and not inside and (len(text) > LONGEST_ANSWER or "\n" in text)
        text = (inside[1] if inside else text).replace(",", "").strip("$ ")
        found[name] = None if prose else shorten_whole(text)
    return found


def refuse_choice(answers: dict[str, str | None], show: bool = False) -> None:
    """Raises InputError if columns that could be the answer differ in a row.

    The message shows what they hold only on request: as the reason for which a row is left out, it is counted.
    """
    if len(set(answers.values()) - {None}) > 1:
        told = {name: f"{name} ({text!r})" if show else name for name, text in answers.items() if text is not None}
        columns = " and ".join(told.values())
        choose = "choose one under columns: answer (init: --columns answer=NAME)"
        raise Misread(f"two columns could be the answer: {columns}; {choose}")


def list_unread(row: dict, read: list[object], needs_solution: bool) -> list[str]:
    """Returns the columns of several words, or of what a question may be about, that are in nothing that was read."""
    found = []
    for name, value in row.items():
        part, known, solves = _judge_name(name)
        if known or any(value is one for one in read) or (solves and not needs_solution):
            continue
        nested = value and isinstance(value, list | dict) and part
        words = value if isinstance(value, str) else str(value) if nested else ""
        if words.count(" ") < 3 and not (words and PARTS.fullmatch(name)):
            continue
        if not any(words.strip()[:WORDS_COMPARED] in str(one) for one in read):
            found.append(name)
    return found


@lru_cache(maxsize=1024)
def _judge_name(name: str) -> tuple[bool, bool, bool]:
    """Returns whether a column's name is of a question's parts, of what needs no reading, or of a solution."""
    known = name in GROUP + SYSTEM or bool(ABOUT.search(name.lower()))
    solves = any(hint in name.casefold() for hint in HINTS["solution"].split())
    return bool(PARTS.search(name)), known, solves


def check_row(row: dict, named: set[str], trains: bool, note: Callable[[str], None]) -> None:
    """Notes what columns that are not `named` say of a row as a whole: a system turn, its split, its weight.

    `trains` says whether its solution is used. Raises InputError if a history precedes the question, the solution is marked as
    wrong, or its weight is 0.
    """
    if any(match_history(name) and row[name] and not is_absent(row[name]) and name not in named for name in row):
        raise InputError("several turns: a history before the question; only one turn can be used")
    marks = [name for name in RIGHT if row.get(name) is False]
    marks += [name for name in VALID if name in row and str(row[name]).casefold() in INVALID]
    if wrong := next((name for name in marks if trains and name not in named), None):
        raise InputError(f"the solution is marked as wrong ({wrong}: {str(row[wrong]).casefold()})")
    if any(row.get(name) for name in SYSTEM):
        note("a system turn")
    split = str(row.get(SPLIT, "")).casefold()
    if trains and row.get(WEIGHT, 1) == 0 and WEIGHT not in named:
        raise InputError("its weight is 0")
    for name in (WEIGHT, REWARD) if trains else ():
        if isinstance(row.get(name), int | float) and row[name] != 1 and name not in named:
            note(f"not used: the column {name}")
    if split in (EVALUATION if trains else TRAINING) and SPLIT not in named:
        note(f"the column split says {split}; keep: {{split: [...]}} in curate_sources takes only some")


def find_repeated(names: Iterable[str]) -> str | None:
    """Returns the first name that occurs twice."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def list_columns(source: Source, present: list[str], where: str) -> list[str] | None:
    """Returns the columns that an entry may need, so that pictures and the like are not read; None for all."""
    if doubled := find_repeated(present):
        raise InputError(f"{where}: two columns are called {doubled!r}; rename one")
    if not source.columns:
        return None
    columns = {name: path for name, path in source.columns.items() if name != "image" or source.pictures}
    optional = {columns.get(name, "").partition("[")[0] for name in ("subject", "image", "group")}
    needed: dict[str, None] = dict.fromkeys(name for name in present if name in GUESSED or OPTION.fullmatch(name))
    for path in itertools.chain(*map(list_paths, columns.values()), source.keep, source.drop):
        for column in re.findall(r"\{([^{}]+)\}", path) if "{" in path else [path]:
            needed[column.partition("[")[0]] = None
    for column in needed.copy():
        if column in optional and column not in present:
            del needed[column]
        elif column not in present:
            raise InputError(
                f"{where}: no column {column!r} (the columns are {', '.join(present)}); name the one to use under columns: in"
                " curate_sources"
            )
    return list(needed)
