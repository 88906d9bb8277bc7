"""A first look at every data source: whether it exists, its size, and some of its rows."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rlready.config import Curate
from rlready.data.problems import OTHER_SHARE
from rlready.data.proposals import read_some
from rlready.data.registry import Use, find_source, get_mirror, list_sources
from rlready.data.sources import Contents, examine
from rlready.errors import InputError, one_line
from rlready.verifier import describe_reference, find_format, find_origin, judge_all
from rlready.verifier.registry import Origin

ROWS_LOOKED_AT = 200
SOLUTIONS_TRIED = 20  # of a plug-in, which may need a second for each
MOST_OTHERS = 0.9  # of solutions that may end in a different answer than the reference
FEWEST_COMPARED = 10
FEWEST_GUESSED = 20  # problems
MOST_GUESSED = 8  # different reference answers, of which a guess is often right
ROWS_COUNTED = 1000  # a source of fewer rows is read whole
# Where answers are asked to be, as a question may write it.
MARKS = {
    "boxed": re.compile(r"\\boxed\b"),
    "line": re.compile(r"\b(?:Answer|ANSWER):|(?<=[\"'“‘`])answer:"),
    "hashes": re.compile(r"(?<!#)####(?!#)"),
    "tags": re.compile(r"</?answer>", re.IGNORECASE),
}
# Where each format looks; others have prompts of their own, or none.
READ = {"boxed": "boxed", "letter": "boxed", "exact": "line"}
ASKED = re.compile(
    r"\b(?:forms?|formats?|formatted|lines?|tags?|write|put|output|place|enclosed?|wrap(?:ped)?|end|begin|start|respond|response"
    r"|reply|return|prefix(?:ed)?|present|give|provide|use|using|preceded|followed)\b",
    re.IGNORECASE,
)
END = re.compile(r"[.!?](?=\s|$)|\n")
LONGEST = 200  # characters of a sentence before the mark


@dataclass
class Look:
    """What is known of the sources."""

    revisions: dict[str, str] = field(default_factory=dict)  # digest or commit by the key of the source
    samples: dict[Use, list[dict]] = field(default_factory=dict)  # problems by use; none of an unreachable source
    complete: set[Use] = field(default_factory=set)  # uses whose samples are all of the source
    rows: dict[str, float] = field(default_factory=dict)  # maximum rows by kind of use, infinity if unknown
    total: float = 0  # rows of all sources, infinity if one of them is not of files
    formats: dict[str, Origin] = field(default_factory=dict)  # where each answer format in them comes from
    notes: list[str] = field(default_factory=list)  # lines on how sources are read and on rows that are left out
    by_text: list[str] = field(default_factory=list)  # lines on references that only their exact text matches

    def count_problems(self) -> dict[str, int]:
        """Returns the number of distinct problems by kind of use (sft, rl, predictors, evaluation), of sources read whole."""
        evaluated = {row["problem_id"] for use, rows in self.samples.items() if use not in ("sft", "rl") for row in rows}
        counted = {}
        for kind in map(_name_kind, self.samples):
            parts = {use for use in self.samples if _name_kind(use) == kind}
            if parts <= self.complete:
                problems = {row["problem_id"] for use in parts for row in self.samples[use]}
                counted[kind] = len(problems - evaluated if kind in ("sft", "rl") else problems)
        return counted


def _name_kind(use: Use) -> str:
    return use if isinstance(use, str) else use[0]


def look_at_sources(curate: Curate, ask: Callable = lambda look: look()) -> Look:
    """Checks that every source exists and fits its registry entry, and reads the first rows of each.

    Raises InputError if a source is missing, gated, damaged or has changed, or its rows cannot be used. If `ask` returns None,
    a source is unreachable, and no rows are read.
    """
    seen = Look()
    uses = list_sources(curate) | {("decontaminate", name): (name, "benchmarks") for name in curate.decontaminate}
    known: dict[tuple, Contents] = {}  # of paths: a file of two uses is read to its end once
    for use, (text, registry) in uses.items():
        kind = _name_kind(use)
        source = find_source(text, registry, curate.sources, get_mirror(curate.mirror))
        checked = (source.path, *source.folders, source.split, source.digest, str(source.rows))
        if source.format:
            find_format(source.format).find_prompt()  # raises, before any row is read, if it cannot be loaded
        contents = known.get(checked) or ask(lambda source=source: examine(source, curate.seed))
        seen.total += math.inf if contents is None or contents.rows is None else contents.rows
        if contents is None:
            seen.revisions[source.key], seen.samples[use] = "not checked", []
            continue
        if source.path:
            known[checked] = contents
        seen.revisions[source.key] = contents.digest
        seen.rows[kind] = seen.rows.get(kind, 0) + (source.most_rows if contents.rows is None else contents.rows)
        split = kind if kind in ("sft", "rl") else "evaluation"
        few = contents.rows is not None and contents.rows <= ROWS_COUNTED
        count, first = (ROWS_COUNTED, "all") if few else (ROWS_LOOKED_AT, "the first")
        rows, changed, left_out = read_some(source, split, curate.seed, count, "" if source.path else contents.digest)
        seen.samples[use] = rows
        seen.complete |= {use} if few else set()
        seen.formats |= {form: find_origin(form) for form in {row["format"] for row in rows}}
        looked_at = f"{first} {len(rows) + left_out.total():,} rows of {source.key}"
        usable = f"{first} {len(rows)} rows of {source.key}"
        seen.notes += [f"{source.key}: {what}" for what in contents.notes]
        del left_out[OTHER_SHARE]
        seen.notes += [f"{number:,} of {looked_at} left out: {reason}" for reason, number in left_out.most_common()]
        seen.notes += [f"{number:,} of {looked_at}: {what}" for what, number in changed.most_common()]
        if kind == "sft":
            seen.notes += _compare_solutions(text, curate.traces, rows)
        if kind == "decontaminate":
            continue
        seen.notes += [line for line in _describe_instructions(usable, rows) if line not in seen.notes]  # a source of two uses
        if kind in ("predictors", "evaluation"):
            seen.notes += _describe_guessing(text, rows, kind == "predictors" or not curate.predictor_data)
        if kind != "sft" or (curate.rl_problems and not curate.rl_data):
            seen.by_text += _describe_references(text, usable, kind in ("sft", "rl"), rows)
    return seen


def _describe_guessing(name: str, rows: list[dict], predicts: bool) -> Iterator[str]:
    """Yields a line if few different reference answers make guessing succeed at a large k.

    Raises InputError if Pass@k would be measured (`predicts`) on multiple choice.
    """
    options = next((row["options"] for row in rows if row.get("options")), 0)
    judged = (row for row in rows if not find_origin(row["format"]).target and row["format"] != "python-tests")
    answers = sorted({row["answer"] for row in judged})
    guessed = 1 - (1 - 1 / (options or max(1, len(answers)))) ** 64
    if options and predicts:
        raise InputError(
            f"{name}: multiple choice with {options} options: guessing alone has Pass@64 = {guessed:.3f}, so it"
            " predicts nothing; set curate_predictor_data to other problems (it can stay the benchmark)"
        )
    if not options and len(rows) >= FEWEST_GUESSED and 0 < len(answers) <= MOST_GUESSED:
        what = f"all {len(rows)} reference answers looked at are one of {len(answers)} ({', '.join(answers)[:80]})"
        yield f"{name}: {what}: guessing alone has Pass@64 = {guessed:.3f}, so Pass@k predicts little"


def find_instruction(question: str, answer_format: str) -> str | None:
    r"""Returns the sentence of a question that asks for the answer in a place that its format does not read, or None.

    `The last line of your response should be of the form Answer: $Answer` is one for the format boxed, which reads `\boxed{}`
    only; one that asks for a box as well is none.
    """
    expected = READ.get(answer_format)
    if expected is None or MARKS[expected].search(question):
        return None
    for mark in (mark for name, known in MARKS.items() if name != expected for mark in known.finditer(question)):
        before = END.split(question[max(0, mark.start() - LONGEST) : mark.start()])[-1]
        if ASKED.search(before):
            return one_line(before + mark[0] + END.split(question[mark.end() :], maxsplit=1)[0])
    return None


def _describe_instructions(usable: str, rows: list[dict]) -> Iterator[str]:
    """Yields a line on questions that ask for the answer in a place that their format does not read."""
    if asked := [said for row in rows if (said := find_instruction(row["question"], row["format"]))]:
        where = f"in a place that the format {rows[0]['format']} does not read, which contradicts its prompt"
        said = f"{len(asked)} of {usable} ({len(asked) / len(rows):.0%}) ask for the answer {where}: {asked[0]!r}"
        yield f"{said}; delete this text with remove: in curate_sources"


def _describe_references(name: str, usable: str, trains: bool, rows: list[dict]) -> Iterator[str]:
    """Yields a line on the share of references that only their exact text matches; none if all have a value.

    Raises InputError if all of them are prose.
    """
    count = sum(describe_reference(row["answer"], row["format"]) == "text" for row in rows)
    if count == len(rows) and rows[0]["format"] == "boxed":
        raise InputError(
            f"{name}: all reference answers checked are prose, such as {rows[0]['answer'][:80]!r}, so none can be checked;"
            " name another column (columns: answer; init: --columns answer=NAME), or a format that judges prose"
        )
    if count:
        what = "RL leaves these out" if trains else "a right answer in other words counts as wrong"
        yield f"{count} of {usable} ({count / len(rows):.0%}): only the exact text of the reference answer is accepted; {what}"


def _compare_solutions(name: str, traces: str, rows: list[dict]) -> Iterator[str]:
    """Yields a line on solutions that end in a different answer than the reference.

    Raises InputError if nearly all do, since then the reference is another column.
    """
    rows = [row for row in rows if not find_origin(row["format"]).target][:ROWS_LOOKED_AT]
    judged = judge_all((row["solution"], row["answer"], row["format"]) for row in rows)
    others = [(row, one.answer) for row, one in zip(rows, judged, strict=True) if one.right is False]
    said = f"{len(others)} of the first {len(rows)} solutions of {name} end in a different answer than the reference"
    if len(others) > MOST_OTHERS * len(rows) and len(rows) >= FEWEST_COMPARED:
        row, own = others[0]
        which = "choose the column of the reference under columns: answer (init: --columns answer=NAME)"
        raise InputError(f"{said}, such as {own} for {row['answer']}; {which}")
    if others:
        yield f"{said}; " + ("they are left out" if traces == "verified" else "curate_traces: verified leaves them out")


def describe_formats(seen: Look) -> Iterator[str]:
    """Yields a line on each answer format: its origin, and how many worked solutions a plug-in accepts."""
    for name, origin in sorted(seen.formats.items()):
        accepts = ""
        rows = [row for row in seen.samples.get("sft", []) if row["format"] == name][:SOLUTIONS_TRIED]
        if rows and origin.target:
            judged = judge_all((row["solution"], row["answer"], name) for row in rows)
            accepts = f": accepts {sum(one.right is True for one in judged)} of {len(rows)} worked solutions"
        yield f"answers     {name}, from {origin.release}{accepts}"
