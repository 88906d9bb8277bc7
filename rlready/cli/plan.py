"""rlready plan."""

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

from rlready.cli.arguments import RECIPE, WORK, Command, read_parameters
from rlready.cli.result import print_work
from rlready.cli.style import print_result
from rlready.config import parse_parameters
from rlready.config.recipes import describe_recipe
from rlready.errors import InputError
from rlready.placement.placement import load_placement, parse_placement
from rlready.run.kfp.limits import check_size
from rlready.run.kfp.package import write_package
from rlready.run.kfp.preview import preview
from rlready.run.local.cache_preview import preview_cache
from rlready.stages.curate.stage import run as curate
from rlready.stages.plan.plan import describe_plan, make_plan
from rlready.stages.plan.this_machine import describe_machine, find_lacking, look_at_machine

COMMAND = Command("plan", "rlready plan --recipe llama3-8b", *RECIPE, WORK)


def execute(arguments: argparse.Namespace) -> None:
    """Prints the plan, even if the hub cannot be reached; fails if the input is wrong or the experiment does not fit."""
    work = arguments.work.resolve()
    parameters, placement = read_parameters(arguments), load_placement(arguments.recipe)
    plan = make_plan(parameters, strict=False)
    experiment = parse_parameters(parameters)
    needs_base = experiment.curate.needs_pass_rates or (experiment.curate.needs_tokens and plan.doubts)
    if plan.small and not needs_base:
        # The splits of little data, which near-duplicates and limits may make smaller than any count of rows shows.
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            left = curate(plan.settings["curate"], f"{folder}/data", f"{folder}/card.md").get("sft", 0)
        asked = max((candidate.examples for candidate in plan.candidates if candidate.epochs), default=0)
        if left < asked:
            raise InputError(
                f"sweep_examples: {asked} are asked for, and {left} are left after cleaning and splitting; lower it or add data"
            )
    print_result("recipe", describe_recipe(arguments.recipe))
    lines, wrong = preview(parameters, plan, placement)
    described = describe_plan(plan, on_gpus=bool(lines))
    if not lines:
        here = (experiment, plan.shape, plan.lengths, len(plan.candidates))
        lines, wrong, _ = describe_machine(*here, look_at_machine(work))
        wrong += find_lacking(experiment)
    print("\n".join([described, *lines]), flush=True)
    print_work(work, preview_cache(work, plan).describe(plan))
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "rlready.yaml"
        write_package(package, parameters, placement, None)
        try:
            print_result("workflow", f"{check_size(package, parameters)}, on a cluster")
        except InputError as error:
            if placement == parse_placement(None):  # a recipe for this machine only
                print_result("workflow", f"too large for a cluster: {error}")
            else:
                wrong.append(str(error))
    if wrong:
        raise InputError("\n".join(wrong))
