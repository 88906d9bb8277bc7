"""rlready submit."""

import argparse
import datetime
import tempfile
from pathlib import Path

from rlready.cli.arguments import add_image, add_recipe, add_server, choose_image, read_parameters
from rlready.cli.follow import follow_to_the_end
from rlready.cli.style import print_error
from rlready.config.recipes import load_recipe
from rlready.errors import InputError
from rlready.placement.placement import load_placement

TEXT = "Start a run, or a schedule of runs, on a KFP server."
EXAMPLE = "rlready submit --recipe laptop --follow     (KFP_HOST and RLREADY_IMAGE are set)"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_recipe(command)
    add_image(command)
    add_server(command)
    command.add_argument("--experiment", default="rlready", help="KFP experiment, made if there is none (rlready)")
    command.add_argument("--service-account", help="Kubernetes service account of the pods")
    command.add_argument("--every", metavar="CRON", help="run by a schedule, e.g. '0 3 * * 1'")
    command.add_argument("--follow", action="store_true", help="wait, and say what happens")


def execute(arguments: argparse.Namespace) -> None:
    """Starts a run, or a schedule of runs, and prints where it is seen.

    Raises:
        InputError: If the input is wrong, the server refuses, or the run that is followed fails.
    """
    from rlready.run.kfp import runs, server
    from rlready.run.kfp.limits import check_paths, check_size, check_texts
    from rlready.run.kfp.package import write_package

    parameters, placement = read_parameters(arguments), load_placement(arguments.recipe)
    image = choose_image(arguments)
    if not image:
        raise InputError("--image: which image do the stages run in? name@sha256:..., built from this version")
    if arguments.every:
        runs.parse_cron(arguments.every)
        if arguments.follow:
            raise InputError("--follow: with --every there is no run yet to follow")
    check_texts(parameters)
    check_paths(parameters)
    kfp = server.connect(arguments.host, arguments.namespace)
    if runs.has_cache(kfp) is False:  # no refusal: it may have been switched on since
        print_error(f"according to the newest run, {runs.UNCACHED}")
    runs.close_ended_runs(kfp)
    recipe = Path(arguments.recipe).stem
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "rlready.yaml"
        # The recipe alone makes the version; what --set changes goes with the run.
        write_package(package, load_recipe(arguments.recipe, []), placement, image)
        check_size(package, parameters)
        version = runs.upload(kfp, package, recipe)
    run = runs.start_run(
        kfp, version, runs.open_experiment(kfp, arguments.experiment),
        f"{recipe}-{datetime.datetime.now():%Y%m%d-%H%M%S}", parameters, arguments.service_account, arguments.every,
    )  # fmt: skip
    print(kfp.locate(f"recurringrun/details/{run}" if arguments.every else f"runs/details/{run}"))
    if arguments.follow:
        follow_to_the_end(kfp, run)
