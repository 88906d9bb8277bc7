"""rlready submit."""

import datetime
from pathlib import Path

from rlready.cli.command import (
    IMAGE,
    RECIPE,
    SERVER,
    Arguments,
    Command,
    choose_image,
    choose_server,
    print_error,
    read_parameters,
)
from rlready.cli.follow import follow_to_the_end
from rlready.config.recipes import load_recipe
from rlready.errors import InputError
from rlready.run.kfp import runs, server
from rlready.run.kfp.limits import check_paths, check_size, check_texts
from rlready.run.kfp.package import compiled

EXAMPLE = "rlready submit --recipe laptop --follow     (KFP_HOST and RLREADY_IMAGE are set)"
COMMAND = Command("submit", EXAMPLE, *RECIPE, *IMAGE, *SERVER)
COMMAND.add_argument("--experiment", default="rlready", help="KFP experiment, created if it does not exist (rlready)")
COMMAND.add_argument("--service-account", help="Kubernetes service account of the pods")
COMMAND.add_argument("--every", metavar="CRON", help="run on a schedule, e.g. '0 3 * * 1' for Mondays at three")
COMMAND.add_argument("--follow", action="store_true", help="show the run's progress until it ends")


def execute(arguments: Arguments) -> None:
    """Starts a run, or a schedule of runs, and prints its address."""
    parameters, placement = read_parameters(arguments)
    image = choose_image(arguments)
    if not image:
        raise InputError("--image: missing; give the image of the stages, built from this version, as name@sha256:...")
    if arguments.every:
        runs.parse_cron(arguments.every)
        if arguments.follow:
            raise InputError("--follow: not possible with --every, which starts no run yet")
    check_texts(parameters)
    check_paths(parameters)
    kfp = server.connect(*choose_server(arguments))
    if runs.has_cache(kfp) is False:  # a warning only: caching may have been enabled since that run
        print_error(f"according to the newest run, {runs.UNCACHED}")
    runs.close_ended_runs(kfp)
    recipe = Path(arguments.recipe).stem
    # The recipe alone makes the version; what --set changes goes with the run, except a race, which is another DAG.
    defaults = load_recipe(arguments.recipe, []) | {"race_steps": parameters["race_steps"]}
    with compiled(defaults, placement, image) as package:
        check_size(package, parameters)
        version = runs.upload(kfp, package, recipe)
    experiment = runs.open_experiment(kfp, arguments.experiment)
    name = f"{recipe}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    run = runs.start_run(kfp, version, experiment, name, parameters, arguments.service_account, arguments.every)
    print(kfp.locate(f"recurringrun/details/{run}" if arguments.every else f"runs/details/{run}"))
    if arguments.follow:
        follow_to_the_end(kfp, run)
