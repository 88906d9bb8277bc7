"""A first look at every data source: whether it exists, its size, and some of its rows."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from rlready.config import Curate
from rlready.data.instructions import find_instruction
from rlready.data.problems import OTHER_SHARE, read_some
from rlready.data.registry import Use, find_source, get_mirror, list_sources
from rlready.data.sources import Contents, examine
from rlready.errors import InputError
from rlready.verifier import describe_reference, find_format, find_origin, judge_all
from rlready.verifier.registry import Origin

ROWS_LOOKED_AT = 200
SOLUTIONS_TRIED = 20  # of a plug-in, which may need a second for each
MOST_OTHERS = 0.9  # of solutions that may end in a different answer than the reference
FEWEST_COMPARED = 10
FEWEST_GUESSED = 20  # problems
MOST_GUESSED = 8  # different reference answers, of which a guess is often right
ROWS_COUNTED = 1000  # a source of fewer rows is read whole


@dataclass
class Look:
    """What is known of the sources."""

    revisions: dict[str, str] = field(default_factory=dict)  # digest or commit by the key of the source
    samples: dict[Use, list[dict]] = field(default_factory=dict)  # problems by use; none of an unreachable source
    complete: set[Use] = field(default_factory=set)  # uses whose samples are all of the source
    rows: dict[Use, float] = field(default_factory=dict)  # maximum rows of the source of each use, infinity if unknown
    total: float = 0  # rows of all sources, infinity if one of them is not of files
    formats: dict[str, Origin] = field(default_factory=dict)  # where each answer format in them comes from
    notes: list[str] = field(default_factory=list)  # lines on how sources are read and on rows that are left out
    by_text: list[str] = field(default_factory=list)  # lines on references that only their exact text matches


def look_at_sources(curate: Curate, ask: Callable = lambda look: look()) -> Look:
    """Checks that every source exists and fits its registry entry, and reads the first rows of each.

    Raises InputError if a source is missing, gated, damaged or has changed, or its rows cannot be used. If `ask` returns None,
    a source is unreachable, and no rows are read.
    """
    seen = Look()
    uses: dict[Use, tuple[str, str]] = list_sources(curate) | {
        ("decontaminate", name): (name, "benchmarks") for name in curate.decontaminate
    }
    known: dict[tuple, Contents] = {}  # of paths: a file of two uses is read to its end once
    for use, (text, registry) in uses.items():
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
        seen.rows[use] = source.most_rows if contents.rows is None else contents.rows
        split = use if use in ("sft", "rl") else "evaluation"
        few = contents.rows is not None and contents.rows <= ROWS_COUNTED
        count = ROWS_COUNTED if few else ROWS_LOOKED_AT
        rows, changed, left_out = read_some(source, split, curate.seed, count, "" if source.path else contents.digest)
        seen.samples[use] = rows
        if few:
            seen.complete.add(use)
        seen.formats |= {form: find_origin(form) for form in {row["format"] for row in rows}}
        first = "all" if few else "the first"
        looked_at = f"{first} {len(rows) + left_out.total():,} rows of {source.key}"
        usable = f"{first} {len(rows)} rows of {source.key}"
        seen.notes += [f"{source.key}: {what}" for what in contents.notes]
        del left_out[OTHER_SHARE]
        seen.notes += [f"{number:,} of {looked_at} left out: {reason}" for reason, number in left_out.most_common()]
        seen.notes += [f"{number:,} of {looked_at}: {what}" for what, number in changed.most_common()]
        if use == "sft":
            seen.notes += _compare_solutions(text, curate.traces, rows)
        if use[0] == "decontaminate":
            continue
        asked = _describe_instructions(usable, rows)
        seen.notes += [line for line in asked if line not in seen.notes]  # of two uses of one source
        if use == "predictors" or use[0] == "evaluation":
            seen.notes += _describe_guessing(text, rows, use == "predictors" or not curate.predictor_data)
        if use != "sft" or (curate.rl_problems and not curate.rl_data):
            seen.by_text += _describe_references(text, usable, use in ("sft", "rl"), rows)
    return seen


def _describe_guessing(name: str, rows: list[dict], predicts: bool) -> list[str]:
    """Returns a line if few different reference answers make guessing succeed at a large k.

    Raises InputError if Pass@k would be measured (`predicts`) on multiple choice.
    """
    options = next((row["options"] for row in rows if row.get("options")), 0)
    if options and predicts:
        raise InputError(
            f"{name}: multiple choice with {options} options: guessing alone has Pass@64 = {_guess(options):.3f}, so it"
            " predicts nothing; set curate_predictor_data to other problems (it can stay the benchmark)"
        )
    answers = sorted(
        {row["answer"] for row in rows if not find_origin(row["format"]).target and row["format"] != "python-tests"}
    )
    if options or len(rows) < FEWEST_GUESSED or not 0 < len(answers) <= MOST_GUESSED:
        return []
    what = f"all {len(rows)} reference answers looked at are one of {len(answers)} ({', '.join(answers)[:80]})"
    return [f"{name}: {what}: guessing alone has Pass@64 = {_guess(len(answers)):.3f}, so Pass@k predicts little"]


def _describe_instructions(usable: str, rows: list[dict]) -> list[str]:
    """Returns a line on questions that ask for the answer in a place that their format does not read."""
    asked = [said for row in rows if (said := find_instruction(row["question"], row["format"]))]
    if not asked:
        return []
    where = f"in a place that the format {rows[0]['format']} does not read, which contradicts its prompt"
    said = f"{len(asked)} of {usable} ({len(asked) / len(rows):.0%}) ask for the answer {where}: {asked[0]!r}"
    return [f"{said}; delete this text with remove: in curate_sources"]


def _guess(options: int) -> float:
    """Returns the Pass@64 of guessing one of some options."""
    return 1 - (1 - 1 / options) ** 64


def _describe_references(name: str, usable: str, trains: bool, rows: list[dict]) -> list[str]:
    """Returns a line on the share of references that only their exact text matches; none if all have a value.

    Raises InputError if all of them are prose.
    """
    count = sum(describe_reference(row["answer"], row["format"]) == "text" for row in rows)
    if count == len(rows) and rows[0]["format"] == "boxed":
        raise InputError(
            f"{name}: all reference answers checked are prose, such as {rows[0]['answer'][:80]!r}, so none can be checked;"
            " name another column (columns: answer; init: --columns answer=NAME), or a format that judges prose"
        )
    if not count:
        return []
    what = "RL leaves these out" if trains else "a right answer in other words counts as wrong"
    return [f"{count} of {usable} ({count / len(rows):.0%}): only the exact text of the reference answer is accepted; {what}"]


def _compare_solutions(name: str, traces: str, rows: list[dict]) -> list[str]:
    """Returns a line on solutions that end in a different answer than the reference.

    Raises InputError if nearly all do, since then the reference is another column.
    """
    rows = [row for row in rows if not find_origin(row["format"]).target][:ROWS_LOOKED_AT]
    judged = judge_all((row["solution"], row["answer"], row["format"]) for row in rows)
    others = [(row, one.answer) for row, one in zip(rows, judged, strict=True) if one.right is False]
    if not others:
        return []
    row, own = others[0]
    said = f"{len(others)} of the first {len(rows)} solutions of {name} end in a different answer than the reference"
    if len(others) > MOST_OTHERS * len(rows) and len(rows) >= FEWEST_COMPARED:
        which = "choose the column of the reference under columns: answer (init: --columns answer=NAME)"
        raise InputError(f"{said}, such as {own} for {row['answer']}; {which}")
    return [f"{said}; " + ("they are left out" if traces == "verified" else "curate_traces: verified leaves them out")]


def describe_formats(seen: Look) -> list[str]:
    """Returns a line on each answer format: its origin, and how many worked solutions a plug-in accepts."""
    lines = []
    for name, origin in sorted(seen.formats.items()):
        lines.append(f"answers     {name}, from {origin.release}")
        rows = [row for row in seen.samples.get("sft", []) if row["format"] == name][:SOLUTIONS_TRIED]
        if rows and origin.target:
            judged = judge_all((row["solution"], row["answer"], name) for row in rows)
            right = sum(judgement.right is True for judgement in judged)
            lines[-1] += f": accepts {right} of {len(rows)} worked solutions"
    return lines
