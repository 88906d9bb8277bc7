"""A look at every source of the data before anything is spent on it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from rlready.config import Curate
from rlready.data.problems import read_some
from rlready.data.registry import find_source, get_mirror, list_benchmarks, list_sources
from rlready.data.sources import examine
from rlready.errors import InputError
from rlready.stages.plan.sizes import Use
from rlready.verifier import describe_reference, find_format, find_origin, judge_all
from rlready.verifier.registry import Origin

ROWS_LOOKED_AT = 200
SOLUTIONS_TRIED = 20  # of a plug-in, which may need a second for each
ROWS_COUNTED = 1000  # a source of fewer rows is read whole


@dataclass
class Look:
    """What was seen of the sources.

    Attributes:
        revisions: Digest or commit by the key of the source.
        samples: Some problems by their use, as in `list_sources`; none of a source that is out of reach.
        complete: Uses of which these are all.
        rows: The most rows of the source of each use, infinity if unknown.
        changed: What was left out of, or added to, the SFT rows looked at, counted.
        formats: Where each kind of answer in them comes from.
        by_text: Lines on sources in which a gold answer that RL or evaluation would ask can be matched by its text only.
    """

    revisions: dict[str, str] = field(default_factory=dict)
    samples: dict[Use, list[dict]] = field(default_factory=dict)
    complete: set[Use] = field(default_factory=set)
    rows: dict[Use, float] = field(default_factory=dict)
    changed: Counter = field(default_factory=Counter)
    formats: dict[str, Origin] = field(default_factory=dict)
    by_text: list[str] = field(default_factory=list)


def look_at_sources(curate: Curate, ask: Callable = lambda look: look()) -> Look:
    """Checks that every source is there and as its registry entry says, and reads the first rows of each.

    Args:
        curate: Names of the sources.
        ask: Calls what looks at a source; its None says that the source is out of reach, and no rows are read.

    Raises:
        InputError: If a source is absent, gated, damaged, has changed, or its rows cannot be used.
    """
    seen = Look()
    uses: dict[Use, tuple[str, str]] = list_sources(curate) | {
        ("decontaminate", name): (name, "benchmarks") for name in curate.decontaminate
    }
    for use, (text, registry) in uses.items():
        source = find_source(text, registry, curate.sources, get_mirror(curate.mirror))
        if source.format:
            find_format(source.format).find_prompt()  # raises, before any row is read, if it cannot be loaded
        contents = ask(lambda source=source: examine(source, curate.seed))
        if contents is None:
            seen.revisions[source.key], seen.samples[use] = "not checked", []
            continue
        seen.revisions[source.key] = contents.digest
        seen.rows[use] = source.most_rows if contents.rows is None else contents.rows
        split = use if use in ("sft", "rl") else "evaluation"
        few = contents.rows is not None and contents.rows <= ROWS_COUNTED
        count = ROWS_COUNTED if few else ROWS_LOOKED_AT
        noted: list[str] = []
        revision = "" if source.path else contents.digest
        seen.samples[use] = read_some(source, split, curate.seed, count, revision, noted.append)
        for form in {row["format"] for row in seen.samples[use]} - seen.formats.keys():
            seen.formats[form] = find_origin(form)
        if use == "sft":
            seen.changed.update(noted)
        if few:
            seen.complete.add(use)
        if use not in (("sft",) if curate.rl_data else ()) and use[0] != "decontaminate":
            seen.by_text += _describe_references(text, use in ("sft", "rl"), seen.samples[use], few)
    return seen


def _describe_references(name: str, trains: bool, rows: list[dict], complete: bool) -> list[str]:
    """Returns a line on a source of which some gold answers can be matched by their text only; none where all have a value."""
    count = sum(describe_reference(row["answer"], row["format"]) == "text" for row in rows)
    what = "RL leaves these out" if trains else "a right answer in other words counts as wrong there"
    which = f"{'all' if complete else 'the first'} {len(rows)} rows"
    return [f"{count} of {which} of {name}: nothing but the very text of the gold answer is right; {what}"] if count else []


def describe_formats(seen: Look) -> list[str]:
    """Returns a line on each kind of answer: where it comes from, and what a plug-in says of some worked solutions.

    That shows a plug-in that does not fit its data before it costs a run.
    """
    lines = []
    for name, origin in sorted(seen.formats.items()):
        lines.append(f"answers     {name}, of {origin.release}")
        rows = [row for row in seen.samples.get("sft", []) if row["format"] == name][:SOLUTIONS_TRIED]
        if rows and origin.target:
            judged = judge_all((row["solution"], row["answer"], name) for row in rows)
            right = sum(judgement.right is True for judgement in judged)
            lines[-1] += f": right are {right} of {len(rows)} worked solutions that were tried"
    return lines


def refuse_guessing(curate: Curate, samples: dict[Use, list[dict]]) -> None:
    """Raises InputError if Pass@k would be measured on multiple choice, where guessing alone passes at a large k."""
    asked: dict[str, Use] = {name: ("evaluation", name) for name in list_benchmarks(curate)}
    for name, use in ({curate.predictor_data: "predictors"} if curate.predictor_data else asked).items():
        rows = samples[use]
        options = next((row["options"] for row in rows if row.get("options")), 0)
        if options:
            guessed = 1 - (1 - 1 / options) ** 64
            raise InputError(
                f"{name}: multiple choice with {options} options: guessing alone has Pass@64 = {guessed:.3f}, so it"
                " predicts nothing; name other problems with curate_predictor_data (it can stay the benchmark)"
            )
