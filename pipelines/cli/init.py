"""rlready init."""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rlready.components.config import Curate, InputError
from rlready.pipelines.cli.arguments import add_mirror
from rlready.pipelines.cli.style import print_result, shorten

TEXT = "Look at data and a model, and write a recipe that fits both."
EXAMPLE = "rlready init problems.jsonl models/smollm2"
SHARES = {"sft": [0, 0.6], "evaluation": [0.6, 1]}  # where one source is both trained on and evaluated with
MOST_ROWS = 100_000  # that are split for a try; of more, there are enough


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    command.add_argument("data", help="problems with worked solutions: a file, folder, URL, hub id or known name")
    command.add_argument("model", help="base model: a folder, a hub id, or builtin:list-machine")
    command.add_argument("--evaluation", metavar="DATA", help="problems to evaluate with; else a part of the data")
    command.add_argument("-o", "--output", type=Path, help="recipe to write (the data's name, .yaml)")
    add_mirror(command)


def execute(arguments: argparse.Namespace) -> None:
    """Writes a commented recipe.

    Raises:
        InputError: If the file is there already, or data or model cannot be used.
    """
    from rlready.components.core.models import find_base
    from rlready.components.plan.base_model import check_base_model
    from rlready.components.plan.propose import propose_values

    output = arguments.output or Path(f"{Path(arguments.data.replace(':', '-')).stem}.yaml")
    if output.exists():
        raise InputError(f"{output} is there already; name another with --output, or remove it")
    if output.suffix != ".yaml" or not output.absolute().parent.is_dir():
        raise InputError(f"--output {output}: expected a file that ends with .yaml, in a folder that is there")
    base = find_base(arguments.model, "main")
    check_base_model(base)
    sources, settings = _choose_sources(arguments)
    rows, training, evaluation, changed = _count(settings)
    values, minutes = propose_values(base, rows, training, evaluation, bool(arguments.evaluation))
    text = "\n".join(_write(arguments, output, sources, settings, values, changed, minutes))
    output.write_text(text + "\n")
    print_result("data", f"{training} problems to train on, {evaluation} to evaluate with")
    for what, count in changed.items():
        print_result("", f"{count} x {what}")
    print_result("recipe", f"{shorten(output.absolute())}: some {minutes:.0f} minutes on this machine")
    print_result("next", f"rlready plan --recipe {output}")


def _choose_sources(arguments: argparse.Namespace) -> tuple[dict, Curate]:
    """Returns entries for curate_sources, as they are needed, and the settings that name the data."""
    from rlready.components.core.data.problems import propose_columns, read_problem
    from rlready.components.core.data.registry import find_source, get_mirror
    from rlready.components.core.data.sources import read_rows

    entries, names = {}, {}
    mirror = get_mirror(arguments.mirror or "")
    for use, text, registry in (
        ("sft", arguments.data, "datasets"),
        ("evaluation", arguments.evaluation or arguments.data, "benchmarks"),
    ):
        source = find_source(text, registry, {}, mirror)
        entry = {}
        if not source.columns and source.name != "builtin:list-machine":
            _, row = next(read_rows(source, use, 0), ("", {}))
            try:
                read_problem(row, use == "sft", source)
            except InputError:
                if columns := propose_columns(row, use == "sft"):
                    entry["columns"] = columns
        if not arguments.evaluation and source.name != "builtin:list-machine":
            entry["share"] = SHARES[use]
        names[use] = text
        if entry:
            kept = {"columns": source.columns, "config": source.config, "split": source.split, "hub": source.hub}
            kept = {key: value for key, value in kept.items() if value and not (source.path and key != "columns")}
            where = {"path": source.path} if source.path and not source.hub else {}
            names[use] = f"{Path(text).stem.replace(':', '-')}-{'train' if use == 'sft' else 'test'}"
            entries[names[use]] = where | kept | entry
    settings = Curate(
        sft_data=names["sft"], evaluation_data=names["evaluation"], sources=entries, mirror=arguments.mirror or ""
    )
    return entries, settings


def _count(settings: Curate) -> tuple[list[dict], int, int, dict[str, int]]:
    """Returns SFT rows, the problems to train on and to evaluate with, and what is changed in the SFT rows, by a try."""
    import dataclasses

    from rlready.components.core.data.registry import BUILTIN
    from rlready.components.curate.curate import curate
    from rlready.components.plan.sources import look_at_sources

    ones = {f"{name}_problems": 1 for name in ("heldout", "rl", "predictor", "benchmark")}
    examples = 1024 if settings.sft_data == BUILTIN else 0
    tried = dataclasses.replace(settings, **ones, sft_examples=examples)
    seen = look_at_sources(tried)
    rows = seen.samples["sft"]
    evaluated = next(rows for use, rows in seen.samples.items() if use != "sft")
    with tempfile.TemporaryDirectory() as folder:
        card = curate(tried, seen.revisions, Path(folder) / "data")
    training = sum(card["sets"][name]["problems"] for name in ("sft", "heldout", "rl"))
    evaluation = 640 if settings.evaluation_data == BUILTIN else len({row["problem_id"] for row in evaluated})
    changed = {part["reason"]: part["rows"] for part in card["parts"] if part["set"] == "sft"}
    return rows, training, evaluation, changed


def _write(
    arguments, output: Path, sources: dict, settings: Curate, values: list, changed: dict, minutes
) -> Iterator[str]:
    """Yields the lines of the recipe."""
    import json

    folder = output.absolute().parent

    def show(text: str) -> str:
        """Paths that are relative to the current folder are written relative to the recipe, as they are read."""
        path = Path(text)
        return f"./{os.path.relpath(path, folder)}" if path.exists() and not path.is_absolute() else text

    yield f"# Written by rlready init for {arguments.data} and {arguments.model}; every number can be changed."
    yield "# Paths are relative to this file. `rlready run --help` explains every parameter."
    for what, count in changed.items():
        yield f"# {count} training texts: {what}."
    about = f"{arguments.model} on {arguments.data}, sized for {minutes:.0f} minutes on one machine."
    yield f"description: {json.dumps(about)}"
    yield "parameters:"
    yield f"  base_model: {json.dumps(show(arguments.model))}"
    if sources:
        yield "  # One file is trained on and evaluated with: each problem lies in one share, by a hash of its question."
        yield "  curate_sources:"
        for name, entry in sources.items():
            shown = entry | ({"path": show(entry["path"])} if "path" in entry else {})
            yield f"    {json.dumps(name)}: {json.dumps(shown)}"
    yield f"  curate_sft_data: {json.dumps(show(settings.sft_data))}"
    yield f"  curate_evaluation_data: {json.dumps(show(settings.evaluation_data))}"
    if settings.mirror:
        yield f"  curate_mirror: {json.dumps(show(settings.mirror))}"
    for value in values:
        yield f"  # {value.why}"
        yield f"  {value.name}: {json.dumps(value.value)}"
