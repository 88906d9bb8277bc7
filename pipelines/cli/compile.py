"""rlready compile."""

import argparse
import shutil
import tempfile
from pathlib import Path

from rlready.components.config import InputError
from rlready.pipelines.cli.arguments import add_image, add_recipe, choose_image, read_parameters
from rlready.pipelines.cli.style import print_result, shorten
from rlready.pipelines.recipes import load_placement

TEXT = "Write the pipeline for the KFP UI, with the recipe as its form."
EXAMPLE = "rlready compile --recipe laptop --output laptop.yaml"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_recipe(command)
    add_image(command)
    command.add_argument("-o", "--output", type=Path, default=Path("rlready.yaml"), help="file to write (rlready.yaml)")


def execute(arguments: argparse.Namespace) -> None:
    """Writes the pipeline's YAML with the recipe as defaults.

    Raises:
        InputError: If the input is wrong.
    """
    from rlready.pipelines.cluster.limits import check_size, check_texts
    from rlready.pipelines.cluster.package import write_package
    from rlready.pipelines.cluster.paths import check_paths

    if arguments.output.suffix != ".yaml" or not arguments.output.absolute().parent.is_dir():
        raise InputError(
            f"--output {arguments.output}: expected a file that ends with .yaml, in a folder that is there"
        )
    parameters, image = read_parameters(arguments), choose_image(arguments)
    check_texts(parameters)
    check_paths(parameters)
    if not image:
        print("no --image: the stages name images that exist on no registry; give one before uploading")
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "rlready.yaml"
        write_package(package, parameters, load_placement(arguments.recipe), image)
        size = check_size(package, parameters)
        shutil.move(package, arguments.output)
    print_result("pipeline", f"{shorten(arguments.output)}: upload it in the KFP UI, and start a run from its form")
    print_result("workflow", size)
