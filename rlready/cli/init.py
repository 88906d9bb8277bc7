"""rlready init."""

import argparse
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rlready.cli.arguments import MIRROR, Command
from rlready.cli.style import print_result, shorten
from rlready.config import Curate
from rlready.data.problems import propose_columns, read_benchmark, read_problem
from rlready.data.registry import BUILTIN, Source, find_source, get_mirror
from rlready.data.sources import examine, read_rows
from rlready.errors import InputError, error_context
from rlready.models.load import inspect_model
from rlready.stages.curate.curate import curate
from rlready.stages.plan.model import check_model
from rlready.stages.plan.propose import Value, propose_values
from rlready.stages.plan.sources import look_at_sources

SHARES = {"sft": [0, 0.6], "evaluation": [0.6, 1]}  # if one source is used for both
MOST_ROWS = 100_000  # split to count what remains; larger and remote sources are assumed to have this many problems
ENOUGH = 640  # evaluation problems, as many as the defaults use
COMMAND = Command("init", "rlready init problems.jsonl models/smollm2", MIRROR)
COMMAND.add_argument("data", help="problems with worked solutions: a file, folder, URL, hub id or known name")
COMMAND.add_argument("model", help="base model: a folder, a hub id, or builtin:list-machine")
COMMAND.add_argument("--evaluation", metavar="DATA", help="problems to evaluate with (a part of the data)")
COMMAND.add_argument("-o", "--output", type=Path, help="recipe to write (the data's name, with .yaml)")


def execute(arguments: argparse.Namespace) -> None:
    """Writes a commented recipe."""
    output = arguments.output or Path(f"{Path(arguments.data.replace(':', '-')).stem}.yaml")
    if output.exists():
        raise InputError(f"{output} exists; remove it, or name another file with --output")
    if output.suffix != ".yaml" or not output.absolute().parent.is_dir():
        raise InputError(f"--output {output}: expected a file that ends with .yaml, in an existing folder")
    with error_context("model"):
        base, architecture = inspect_model(arguments.model, "main")
        check_model(base, architecture)
    settings = _choose_sources(arguments)
    rows, training, evaluation, changed = _count(settings)
    values, minutes = propose_values(base, rows, training, evaluation)
    text = "\n".join(_write(arguments, settings, values, changed, minutes, output.absolute().parent))
    output.write_text(text + "\n")
    print_result("data", f"{training} training problems, {evaluation} evaluation problems")
    for what, count in changed.items():
        print_result("", f"{count} x {what}")
    print_result("recipe", f"{shorten(output.absolute())}: about {minutes:.0f} minutes on this machine")
    print_result("next", f"rlready plan --recipe {output}")


def _choose_sources(arguments: argparse.Namespace) -> Curate:
    """Returns settings that name the data, with entries in curate_sources if it needs them."""
    if BUILTIN in (arguments.data, arguments.evaluation):
        raise InputError(f"{BUILTIN}: a recipe for it exists: rlready run --recipe laptop")
    entries, names, mirror = {}, {}, arguments.mirror or ""
    for use, text, registry, name in (
        ("sft", arguments.data, "datasets", "train"),
        ("evaluation", arguments.evaluation or arguments.data, "benchmarks", "test"),
    ):
        source = find_source(text, registry, {}, get_mirror(mirror))
        entry = _map_columns(source, use) | ({} if arguments.evaluation else {"share": SHARES[use]})
        names[use] = f"{Path(text).stem.replace(':', '-')}-{name}" if entry else text
        if entry:
            aside = {"name", "pictures", "rows", "licence"} | ({"hub"} if source.path else set())
            kept = {key: value for key, value in dataclasses.asdict(source).items() if value and key not in aside}
            entries[names[use]] = kept | entry
    return Curate(sft_data=names["sft"], evaluation_data=names["evaluation"], sources=entries, mirror=mirror)


def _map_columns(source: Source, use: str) -> dict:
    """Returns an entry `columns` if the first row of a source can be read only with one."""
    if source.columns:
        return {}
    _, row = next(read_rows(source, use, 0), ("", {}))
    try:
        read_problem(row, use == "sft", source)
        return {}
    except InputError:
        columns = propose_columns(row, use == "sft")
        return {"columns": columns} if columns else {}


def _count(settings: Curate) -> tuple[list[dict], int, int, dict[str, int]]:
    """Returns some SFT rows, the numbers of training and evaluation problems, and the changes to SFT rows."""
    tried = dataclasses.replace(settings, heldout_problems=1, rl_problems=1, predictor_problems=1, benchmark_problems=1)
    seen, mirror = look_at_sources(tried), get_mirror(settings.mirror)
    training, evaluation = (
        find_source(text, registry, settings.sources, mirror)
        for text, registry in ((settings.sft_data, "datasets"), (settings.evaluation_data, "benchmarks"))
    )
    problems, _ = read_benchmark(evaluation, "" if evaluation.path else seen.revisions[evaluation.key], ENOUGH)
    rows = examine(training, 0).rows if training.path else None
    if rows is None or rows > MOST_ROWS:
        return seen.samples["sft"], MOST_ROWS, len(problems), dict(seen.changed)
    with tempfile.TemporaryDirectory() as folder:
        card = curate(tried, seen.revisions, Path(folder) / "data")
    found = sum(card["sets"][name]["problems"] for name in ("sft", "heldout", "rl"))
    changed = {part["reason"]: part["rows"] for part in card["parts"] if part["set"] == "sft"}
    return seen.samples["sft"], found, len(problems), changed


def _write(
    arguments: argparse.Namespace, settings: Curate, values: list[Value], changed: dict[str, int], minutes: float, folder: Path
) -> Iterator[str]:
    """Yields the lines of the recipe."""

    def show(text: str) -> str:
        """Returns a path relative to the recipe's folder, because that is how a recipe is read."""
        path = Path(text)
        return f"./{os.path.relpath(path, folder)}" if path.exists() and not path.is_absolute() else text

    yield f"# Written by rlready init for {arguments.data} and {arguments.model}. Change any number."
    yield "# Paths are relative to this file. `rlready run --help` explains every parameter."
    for what, count in changed.items():
        yield f"# {count} training texts: {what}."
    about = f"{arguments.model} on {arguments.data}, sized for {minutes:.0f} minutes on one machine."
    yield f"description: {json.dumps(about)}"
    yield "parameters:"
    yield f"  base_model: {json.dumps(show(arguments.model))}"
    if settings.sources:
        if not arguments.evaluation:
            yield "  # The source serves for training and evaluation; a hash of its question puts a problem in one share."
        yield "  curate_sources:"
        for name, entry in settings.sources.items():
            shown = entry | ({"path": show(entry["path"])} if "path" in entry else {})
            yield f"    {json.dumps(name)}: {json.dumps(shown)}"
    yield f"  curate_sft_data: {json.dumps(show(settings.sft_data))}"
    yield f"  curate_evaluation_data: {json.dumps(show(settings.evaluation_data))}"
    if settings.mirror:
        yield f"  curate_mirror: {json.dumps(show(settings.mirror))}"
    for value in values:
        yield f"  # {value.why}"
        yield f"  {value.name}: {json.dumps(value.value)}"
