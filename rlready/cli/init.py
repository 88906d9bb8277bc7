"""rlready init."""

import dataclasses
import itertools
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rlready.analysis.format import count
from rlready.cli.command import MIRROR, Arguments, Command, print_result, shorten
from rlready.config import Curate
from rlready.data.problems import read_benchmark, read_problems
from rlready.data.proposals import WITHOUT_SOLUTIONS, propose
from rlready.data.registry import BUILTIN, FIELDS, Source, find_source, get_mirror
from rlready.data.sources import read_rows
from rlready.errors import InputError, Misread, NoSolution, error_context, one_line
from rlready.models.load import inspect_model
from rlready.stages.curate.curate import curate
from rlready.stages.plan.model import check_model
from rlready.stages.plan.sources import look_at_sources
from rlready.stages.plan.workload import ENOUGH, Value, propose_values, show_problems

SHARES = {"sft": [0, 0.6], "evaluation": [0.6, 1]}  # if one source is used for both
ROWS_READ = 100  # to find out what the columns hold
COMMAND = Command("init", "rlready init problems.jsonl models/smollm2", MIRROR)
COMMAND.add_argument("data", help="problems, with worked solutions for SFT: a file, folder, URL, hub id or known name")
COMMAND.add_argument("model", help="base model: a folder, a hub id, or builtin:list-machine")
COMMAND.add_argument("--evaluation", metavar="DATA", help="problems to evaluate with (a part of the data)")
COMMAND.add_argument("--columns", metavar="NAME=COLUMN,...", help="columns of the data, e.g. question=ask,answer=gold")
COMMAND.add_argument("--format", help="answer format of the data: boxed, letter, exact, python-tests, or a plug-in's")
COMMAND.add_argument("-o", "--output", type=Path, help="recipe to write (the data's name, with .yaml)")


def execute(arguments: Arguments) -> None:
    """Writes a commented recipe."""
    output = arguments.output = arguments.output or Path(f"{_name(arguments.data)}.yaml")
    if output.exists():
        raise InputError(f"{output} exists; remove it, or name another file with --output")
    if output.suffix != ".yaml" or not output.absolute().parent.is_dir():
        raise InputError(f"--output {output}: expected a file that ends with .yaml, in an existing folder")
    with error_context("model"):
        base, architecture = inspect_model(arguments.model, "main")
        check_model(base, architecture)
    settings, notes = _choose_sources(arguments)
    rows, training, evaluation, counted = _count(settings)
    notes += counted
    if settings.sft_data:
        values, minutes = propose_values(base, rows, training, evaluation)
        print_result("data", f"{show_problems('training', training)}, {show_problems('evaluation', evaluation)}")
    else:
        values, minutes = _rank(evaluation, _show_path(arguments.model, arguments)), None
        print_result("data", f"{show_problems('evaluation', evaluation)}, without worked solutions")
    purpose = "to rank checkpoints" if minutes is None else f"about {count(max(1, round(minutes)), 'minute')} on this machine"
    output.write_text("\n".join(_write(arguments, settings, values, notes, purpose)) + "\n")
    for what in notes:
        print_result("", what)
    print_result("recipe", f"{shorten(output.absolute())}: {purpose}")
    print_result("next", f"rlready plan --recipe {output}")


def _choose_sources(arguments: Arguments) -> tuple[Curate, list[str]]:
    """Returns settings that name the data, with entries in curate_sources if needed, and notes on how it is read."""
    if builtin := {arguments.data, arguments.evaluation}.intersection(BUILTIN):
        raise InputError(f"{builtin.pop()}: recipes for it exist: laptop, laptop-study, countdown")
    mirror, notes = arguments.mirror or "", []
    texts = {"sft": arguments.data, "evaluation": arguments.evaluation or arguments.data}
    pairs = [part.strip().partition("=") for part in (arguments.columns or "").split(",") if arguments.columns]
    for name, _, column in pairs:
        if name not in FIELDS or not column:
            raise InputError(f"--columns {name}: expected NAME=COLUMN, where NAME is one of {', '.join(FIELDS)}")
    named = {name: column.split("|") if name == "choices" and "|" in column else column for name, _, column in pairs}
    given = ({"columns": named} if named else {}) | ({"format": arguments.format} if arguments.format else {})
    sources: dict[str, Source] = {}
    entries: dict[str, dict] = {}
    for use, text in texts.items():
        source = find_source(text, "datasets" if use == "sft" else "benchmarks", {}, get_mirror(mirror))
        own = given if text == arguments.data else {}
        sources[use] = dataclasses.replace(source, **own)
        columns = _map_columns(sources[use], use, own.get("columns", {}))
        if columns is None:
            notes.append(WITHOUT_SOLUTIONS)
            del sources["sft"]
            continue
        if columns != own.get("columns", {}):
            notes.append(f"{use} reads the columns {json.dumps(columns)}")
        entries[use] = own | ({"columns": columns} if columns else {})
    splits = [source.split for source in sources.values()]
    if arguments.evaluation and "sft" not in sources:
        raise InputError(f"{arguments.data}: no row has a worked solution. {WITHOUT_SOLUTIONS}")
    one = not arguments.evaluation and "sft" in sources
    if one and splits[0] != splits[1]:
        notes.append(f"SFT uses the split {splits[0]}, evaluation the split {splits[1]}")
    elif one:
        entries = {use: entry | {"share": SHARES[use]} for use, entry in entries.items()}
    names, written = {"sft": ""}, {}
    for use, source in sources.items():
        names[use] = texts[use]
        if entries[use] or "," in texts[use]:  # at which lists of sources are split
            names[use] = f"{_name(texts[use])}-{'train' if use == 'sft' else 'test'}"
            aside = {"name", "pictures", "rows", "licence"} | ({"hub"} if source.path else set())
            kept = {key: value for key, value in dataclasses.asdict(source).items() if value and key not in aside}
            written[names[use]] = kept | entries[use]
    return Curate(sft_data=names["sft"], evaluation_data=names["evaluation"], sources=written, mirror=mirror), notes


def _name(text: str) -> str:
    return re.sub(r"[:,\s]+", "-", Path(text.replace(":", "-")).name.partition(".")[0]) or "data"


def _map_columns(source: Source, use: str, named: dict[str, str]) -> dict[str, str] | None:
    """Returns the columns to read, as named if these suffice; None if only solutions lack; raises InputError on a tie."""
    rows = [row for _, row in itertools.islice(read_rows(source, use, 0), ROWS_READ) if isinstance(row, dict)]
    faults: Counter[type] = Counter()
    found: set[str] = set()  # a column in which all rows are the same is an instruction, not the question
    whole = not named or named.keys() & {"question", "messages"}
    for _, problem, _, fault in read_problems([("", row) for row in rows if whole], use == "sft", source):
        found |= {problem["problem_id"]} if problem else set()
        faults.update([] if fault is None else [type(fault)])
        if len(found) > 1:
            return named
    with error_context(source.name):
        columns = propose(rows, use == "sft", source, named) if named or not source.columns else {}
        if found:
            return columns or named
        misread = not faults or Misread in faults
        lacks = NoSolution in faults or (misread and propose(rows, False, source, named))
    return None if lacks and not columns and use == "sft" else columns


def _count(settings: Curate) -> tuple[list[dict], int, int, list[str]]:
    """Returns SFT rows, the problems to train on and to evaluate with, and remarks on how the data is read, by a try."""
    tried = dataclasses.replace(settings, heldout_problems=1, rl_problems=1, predictor_problems=1, benchmark_problems=1)
    seen, mirror = look_at_sources(tried), get_mirror(settings.mirror)
    evaluation = find_source(settings.evaluation_data, "benchmarks", settings.sources, mirror)
    problems, _ = read_benchmark(evaluation, "" if evaluation.path else seen.revisions[evaluation.key], ENOUGH["evaluation"])
    if not settings.sft_data:
        return [], 0, len(problems), seen.notes
    training = find_source(settings.sft_data, "datasets", settings.sources, mirror)
    rows = seen.rows["sft"] if training.path else None
    if rows is None or rows > ENOUGH["training"]:  # large and remote sources are not split to count what remains
        return seen.samples["sft"], ENOUGH["training"], len(problems), seen.notes
    with tempfile.TemporaryDirectory() as folder:
        card = curate(tried, seen.revisions, Path(folder) / "data")
    found = sum(card["sets"][name]["problems"] for name in ("sft", "heldout", "rl"))
    return seen.samples["sft"], found, len(problems), seen.notes


def _rank(problems: int, model: str) -> list[Value]:
    """Returns the values of a recipe that ranks finished checkpoints."""
    return [
        Value("sweep_candidates", [{"model": model}], "checkpoints to compare; add yours"),
        Value("rl_steps", 0, "no RL: the recipe ranks what is there"),
        Value("curate_predictor_problems", min(problems, 128), f"of {show_problems('evaluation', problems)}, for Pass@k"),
        Value("predictors_samples", 64, "samples per problem for Pass@k"),
        Value("gate_k", 64, "the largest k that these samples measure"),
    ]


def _show_path(text: str, arguments: Arguments) -> str:
    """Returns a path relative to the recipe's folder, because that is how a recipe is read; other texts as they are."""
    path = Path(text)
    relative = text and path.exists() and not path.is_absolute()
    return f"./{os.path.relpath(path, arguments.output.absolute().parent)}" if relative else text


def _write(arguments: Arguments, settings: Curate, values: list[Value], notes: list[str], purpose: str) -> Iterator[str]:
    """Yields the lines of the recipe."""
    yield f"# Written by rlready init for {one_line(arguments.data)} and {arguments.model}; every number can be changed."
    yield "# Paths are relative to this file. `rlready run --help` explains every parameter."
    for what in notes:
        yield f"# {what}."
    yield f"description: {json.dumps(f'{arguments.model} on {arguments.data}, {purpose}.')}"
    yield "parameters:"
    yield f"  base_model: {json.dumps(_show_path(arguments.model if settings.sft_data else '', arguments))}"
    if settings.sources:
        if any("share" in entry for entry in settings.sources.values()):
            yield "  # One source is trained on and evaluated with: a hash of its question assigns each problem to one share."
        yield "  curate_sources:"
        for name, entry in settings.sources.items():
            shown = entry | ({"path": _show_path(entry["path"], arguments)} if "path" in entry else {})
            yield f"    {json.dumps(name)}: {json.dumps(shown)}"
    yield f"  curate_sft_data: {json.dumps(_show_path(settings.sft_data, arguments))}"
    yield f"  curate_evaluation_data: {json.dumps(_show_path(settings.evaluation_data, arguments))}"
    if settings.mirror:
        yield f"  curate_mirror: {json.dumps(_show_path(settings.mirror, arguments))}"
    for value in values:
        yield f"  # {value.why}"
        yield f"  {value.name}: {json.dumps(value.value)}"
