"""rlready compile."""

import shutil
from pathlib import Path

from rlready.cli.command import IMAGE, RECIPE, Arguments, Command, choose_image, print_result, read_parameters, shorten
from rlready.errors import InputError
from rlready.run.kfp.limits import check_paths, check_size, check_texts
from rlready.run.kfp.package import PIPELINE, compiled, name_version, write_manifests

COMMAND = Command("compile", "rlready compile --recipe laptop --output laptop.yaml", *RECIPE, *IMAGE)
COMMAND.add_argument("-o", "--output", type=Path, default=Path("rlready.yaml"), help="file to write (rlready.yaml)")
FORMATS = "package: to upload in the KFP UI; kubernetes: the resources Pipeline and PipelineVersion (package)"
COMMAND.add_argument("--format", choices=("package", "kubernetes"), default="package", help=FORMATS)
COMMAND.add_argument("--namespace", help="namespace of the Kubernetes resources (chosen by kubectl or the GitOps tool)")


def execute(arguments: Arguments) -> None:
    """Writes the pipeline's YAML with the recipe as defaults."""
    if arguments.output.suffix != ".yaml" or not arguments.output.absolute().parent.is_dir():
        raise InputError(f"--output {arguments.output}: expected a file that ends with .yaml, in an existing folder")
    kubernetes = arguments.format == "kubernetes"
    if arguments.namespace and not kubernetes:
        raise InputError("--namespace: only for --format kubernetes; a package gets its namespace when it is uploaded")
    (parameters, placement), image = read_parameters(arguments), choose_image(arguments)
    check_texts(parameters)
    check_paths(parameters)
    if not image:
        print("no --image: the stages name images that are in no registry; give one before you upload the pipeline")
    with compiled(parameters, placement, image) as package:
        size, recipe = check_size(package, parameters), Path(arguments.recipe).stem
        if kubernetes:
            write_manifests(arguments.output, package, recipe, arguments.namespace)
            hint = f"Pipeline {PIPELINE} and PipelineVersion {name_version(package, recipe)}, for kubectl apply or GitOps"
        else:
            shutil.copyfile(package, arguments.output)
            hint = "upload it in the KFP UI, then start a run from its form"
    print_result("pipeline", f"{shorten(arguments.output)}: {hint}")
    print_result("workflow", size)
