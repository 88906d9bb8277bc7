"""rlready plan."""

import argparse

from rlready.components.config import InputError
from rlready.pipelines.cli.arguments import add_recipe, read_parameters
from rlready.pipelines.recipes import load_placement

TEXT = "Check everything and say what would happen and what it costs."
EXAMPLE = "rlready plan --recipe llama3-8b"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_recipe(command)


def execute(arguments: argparse.Namespace) -> None:
    """Prints the plan, whether or not the hub can be asked.

    Raises:
        InputError: If the input is wrong, or the model does not fit the GPUs of its placement.
    """
    from rlready.components.plan.plan import describe_plan, make_plan
    from rlready.pipelines.cluster.preview import preview

    parameters = read_parameters(arguments)
    plan = make_plan(parameters, strict=False)
    lines, wrong = preview(parameters, plan, load_placement(arguments.recipe))
    print("\n".join([describe_plan(plan, on_gpus=bool(lines)), *lines]))
    if wrong:
        raise InputError("\n".join(wrong))
