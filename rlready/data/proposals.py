"""The first rows of a source for estimates, and which columns can be read if those of usual names cannot."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from rlready.data.cells import is_absent, parse_list
from rlready.data.characters import LONE_SURROGATE
from rlready.data.chat_messages import is_chat
from rlready.data.columns import ABOUT, CONTEXT, GROUP, HINTS, LONGEST_ANSWER, USUAL, list_answers, parse_cells, refuse_choice
from rlready.data.problems import LONGEST_VALUE, OTHER_SHARE, read_problems
from rlready.data.references import are_contrary, is_code_test, split_answer
from rlready.data.registry import Source
from rlready.data.sources import read_rows
from rlready.errors import InputError, Misread, one_line
from rlready.verifier import describe_reference

ROWS_TRIED = 20  # from which columns are proposed
WITHOUT_SOLUTIONS = (
    "Without worked solutions, rows can be RL prompts (curate_rl_data) or evaluation problems (curate_evaluation_data), and"
    " `rlready rank` can compare checkpoints on them; SFT needs solutions"
)
TURN = ("role", "from", "content", "value", "text")  # of a turn; what else it holds may be the answer
# What a problem was rewritten from, or resembles.
ORIGIN = re.compile(r"(?:original|seed|source|raw|base|initial|prev(?:ious)?|old|similar|example)(?:_|(?=[A-Z]))")
WRONG = re.compile(r"(?:^|[\W_])(?:rejected|wrong|incorrect|distractors?)(?![a-z])", re.IGNORECASE)  # none to learn from


def read_some(source: Source, split: str, seed: int, count: int, revision: str = "") -> tuple[list[dict], Counter, Counter]:
    """Returns the first usable rows of a source, for estimates, with counts of changes to them and of rows left out.

    Raises InputError if no row is usable, with the reasons and columns that work.
    """
    some: list[dict] = []
    changed: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    rows = itertools.islice(read_rows(source, split, seed, revision), 10 * count)
    firsts: dict[str, tuple[str, dict]] = {}
    contrary = ""
    misread = False  # else no other column would be better
    for place, problem, noted, fault in read_problems(rows, split == "sft", source):
        misread |= isinstance(fault, Misread)
        if problem:
            where, earlier = firsts.setdefault(problem["problem_id"], (place, problem))
            if are_contrary(earlier, problem):
                told = f"such as {one_line(earlier['answer'], 40)} in {where} and {one_line(problem['answer'], 40)} in {place}"
                contrary = contrary or f"another reference answer than an earlier row with the same question, {told}"
                noted.append(contrary)
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
        first = [row for _, row in itertools.islice(read_rows(source, split, seed, revision), ROWS_TRIED)]
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
    """Returns columns with which most rows can be read, by what their names remind of, beside those named; or none.

    Names that remind of nothing are told by what the columns hold. Raises InputError if two columns could be the answer.
    """
    rows, named = [parse_cells(row) for row in rows[:ROWS_TRIED]], named or {}

    def works(columns: dict[str, str]) -> bool:
        tried = Source("", path="-", format=source.format, columns=columns)
        found = read_problems((("", row) for row in rows), needs_solution, tried)
        return 2 * sum(problem is not None for _, problem, *_ in found) > len(rows)

    present = dict.fromkeys(key for row in rows for key in row)
    chats = [name for name in present if not WRONG.search(name) and all(is_chat(row.get(name)) for row in rows)]
    for name in chats:
        if works({"messages": name} | named):
            return {"messages": name} | named
    texts = _list_texts(rows)
    inside = {path for row in rows for key, value in row.items() for path, _ in _list_inside(key, value)}
    asking = [(part, name) for name in chats for part in ("messages", "question") if "question" not in named]
    ranked = [named["question"]] if "question" in named else _rank(texts, "question")
    unnamed = not asking and not ranked  # so names say nothing, as 0 and 1 do
    ranked += _find_only(texts, _is_prose) if unnamed else []
    asking += [("question", name) for name in ranked]
    for part, question in asking:
        others = {name: values for name, values in texts.items() if name not in (question, *named.values())}
        answers = [named["answer"]] if "answer" in named else _rank(others, "answer")
        solutions = [named["solution"]] if "solution" in named else _rank(others, "solution")
        answers = answers or (_find_only(others, _is_value) if unnamed else [])
        answers = answers or [name for name in solutions if all(map(_is_value, others[name]))]  # s1K's solution
        about = (name for name in CONTEXT if part == "question" and name != question and "question" not in named)
        held = (name for name in about if all(isinstance(row.get(name), str) and not is_absent(row[name]) for row in rows))
        context = next(held, None)  # what all questions are about
        asked = {part: f"{{{question}}}\n\n{{{context}}}" if context else question} | named
        outer = question.partition("[")[0]
        beside = next((f"{outer}[{name}]" for name in USUAL["choices"] if f"{outer}[{name}]" in inside), None)
        asked |= {"choices": beside} if beside else {}
        for columns in _list_tries(answers, solutions, others, needs_solution):
            if not works(asked | columns):
                continue
            if columns.get("answer") in answers and "answer" not in named:
                for row in rows:
                    refuse_choice(list_answers(row, answers), show=True)
            group = next((name for name in GROUP if name in others and not needs_solution), None)
            return asked | columns | ({"group": group} if group else {})
    return {}


def _list_tries(
    answers: list[str], solutions: list[str], texts: dict[str, list], needs_solution: bool
) -> Iterator[dict[str, str]]:
    """Yields what columns could be the answer and, if needed, the solution; columns that are not in `texts` are named."""
    if needs_solution:
        solutions = [s for s in solutions if "step" not in s.casefold() or not any(map(_has_several, texts.get(s, ())))]
        worked = [s for s in solutions if s in USUAL["solution"] or not all(map(_is_bare, texts.get(s, [""])))]
        yield from ({"answer": a, "solution": s} for a in answers for s in worked if a != s)
        yield from ({"solution": s} for s in worked if s not in USUAL["answer"] or all(map(_has_steps, texts.get(s, ()))))
        return
    # Prose is no answer, but may hold one.
    prose = {name: [text for text in texts[name] if isinstance(text, str)] for name in solutions if name in texts}
    holding = [name for name, some in prose.items() if all(map(split_answer, some))]
    yield from ({"answer": name} for name in dict.fromkeys([*answers, *holding]))


def _list_texts(rows: list[dict]) -> dict[str, list]:
    """Returns columns of texts, numbers and lists of texts that differ between rows, except those about problems.

    Those of an object in a column are named as `compile_column` reads them.
    """
    found: dict[str, list] = {}
    for row in rows:
        plain = {key: value for key, value in row.items() if isinstance(key, str) and not re.search(r"[\[\]{}]", key)}
        for name, value in (pair for key, some in plain.items() for pair in _list_inside(key, some)):
            if not is_absent(value):
                found.setdefault(name, []).append(value)
    texts = {}
    for name, values in found.items():
        aside = ABOUT.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().rstrip("]")) or WRONG.search(name)
        if all(map(_is_plain, values)) and not aside and (len(rows) < 5 or len(set(map(str, values))) > 1):
            texts[name] = values
    return texts


def _list_inside(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yields a column and what the objects and chats in it hold, with their names as `compile_column` reads them."""
    yield path, value
    if is_code_test(value):  # its inputs and outputs are no answer
        return
    value = parse_list(value) if isinstance(value, str) and value.startswith("{") else value
    inner: Iterable = value.items() if isinstance(value, dict) else ()
    if is_chat(value):
        inner = enumerate({name: some for name, some in turn.items() if name not in TURN} for turn in value)
    for key, some in inner:
        if re.fullmatch(r"\w+", str(key)):
            yield from _list_inside(f"{path}[{key}]", some)


def _find_only(texts: dict[str, list], is_part: Callable) -> list[str]:
    """Returns the one column of which all values are a part of a problem by their look; none if there are several."""
    found = [name for name, values in texts.items() if all(map(is_part, values)) and name not in _rank(texts, "solution")]
    return found if len(found) == 1 else []


def _has_steps(value: object) -> bool:
    return isinstance(value, str) and (split_answer(value) or (None,))[0] is not None


def _has_several(value: object) -> bool:
    """Returns whether a value is a list of several; of solutions the first is used, of steps it would be the beginning."""
    return isinstance(value, list) and len(value) > 1


def _is_bare(value: object) -> bool:
    """Returns whether a value is one word or number, or a list of such, so no worked solution."""
    return all(str(one).isalnum() for one in (value if isinstance(value, list) else [value]))


def _is_prose(value: object) -> bool:
    return isinstance(value, str) and value.count(" ") > 2 and not _is_value(value)


def _is_value(value: object) -> bool:
    return (
        isinstance(value, int | float)
        or isinstance(value, str)
        and len(value) <= LONGEST_ANSWER
        and describe_reference(value, "boxed") == "value"
    )


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, str) and len(one) <= LONGEST_ANSWER for one in value)
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _rank(texts: dict[str, list], part: str) -> list[str]:
    """Returns the columns whose names remind of a part of a problem; usual names first, contexts and origins last."""
    names = {hint: [name for name in texts if hint in name.casefold()] for hint in HINTS[part].split()}
    found = list(dict.fromkeys(name for some in names.values() for name in some))
    if part == "question":  # of more than one word
        found = [name for name in found if any(" " in value for value in texts[name] if isinstance(value, str))]
    return sorted(found, key=lambda name: (name in GROUP + CONTEXT or bool(ORIGIN.match(name)), name not in USUAL[part]))
