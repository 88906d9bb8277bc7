"""rlready compile."""

import argparse
import shutil
import tempfile
from pathlib import Path

from rlready.cli.arguments import add_image, add_recipe, choose_image, read_parameters
from rlready.cli.style import print_result, shorten
from rlready.errors import InputError
from rlready.placement.placement import load_placement

TEXT = "Write the pipeline for the KFP UI or for GitOps."
EXAMPLE = "rlready compile --recipe laptop --output laptop.yaml"
FORMATS = ("package", "kubernetes")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_recipe(command)
    add_image(command)
    command.add_argument("-o", "--output", type=Path, default=Path("rlready.yaml"), help="file to write (rlready.yaml)")
    command.add_argument(
        "--format",
        choices=FORMATS,
        default="package",
        help="package, to upload in the KFP UI (default), or kubernetes: the resources Pipeline and PipelineVersion",
    )
    command.add_argument("--namespace", help="namespace of the resources; left out: that of kubectl or the GitOps tool")


def execute(arguments: argparse.Namespace) -> None:
    """Writes the pipeline's YAML with the recipe as defaults.

    Raises:
        InputError: If the input is wrong.
    """
    from rlready.run.kfp.limits import check_paths, check_size, check_texts
    from rlready.run.kfp.package import PIPELINE, name_version, write_manifests, write_package

    if arguments.output.suffix != ".yaml" or not arguments.output.absolute().parent.is_dir():
        raise InputError(f"--output {arguments.output}: expected a file that ends with .yaml, in a folder that is there")
    kubernetes = arguments.format == "kubernetes"
    if arguments.namespace and not kubernetes:
        raise InputError("--namespace: a package has none, it is uploaded to one; with --format kubernetes it has")
    parameters, image = read_parameters(arguments), choose_image(arguments)
    check_texts(parameters)
    check_paths(parameters)
    if not image:
        print("no --image: the stages name images that exist on no registry; give one before uploading")
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "rlready.yaml"
        write_package(package, parameters, load_placement(arguments.recipe), image)
        size = check_size(package, parameters)
        recipe = Path(arguments.recipe).stem
        told = "upload it in the KFP UI, and start a run from its form"
        if kubernetes:
            write_manifests(arguments.output, package, recipe, arguments.namespace)
            told = f"Pipeline {PIPELINE} and PipelineVersion {name_version(package, recipe)}, for kubectl apply or GitOps"
        else:
            shutil.move(package, arguments.output)
    print_result("pipeline", f"{shorten(arguments.output)}: {told}")
    print_result("workflow", size)
