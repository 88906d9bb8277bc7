"""rlready evaluate."""

import argparse
import os
import sys
from pathlib import Path

from rlready.cli.arguments import add_mirror, add_work, list_changes
from rlready.cli.style import print_result, shorten
from rlready.errors import InputError, error_context

TEXT = "Score a model on benchmarks, without the pipeline."
EXAMPLE = (
    "rlready evaluate --model builtin:list-machine --benchmarks builtin:list-machine --limit 64 --set sampling_max_tokens=96"
)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    command.add_argument("--model", required=True, help="a folder, a hub id, or builtin:list-machine")
    command.add_argument("--revision", default="main", help="of a hub model (main)")
    command.add_argument("--benchmarks", required=True, help="names of benchmarks.yaml, hub ids, files or URLs, with commas")
    command.add_argument("--samples", type=int, default=8, help="a problem at temperature 1 (8); 0: greedy only")
    command.add_argument("--limit", type=int, default=0, help="most problems of a benchmark; 0: all (0)")
    command.add_argument("--output", type=Path, help="folder; without it one under --work that the settings name")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="sampling_... or curate_sources")
    add_mirror(command)
    add_work(command)


def execute(arguments: argparse.Namespace) -> None:
    """Scores a model on benchmarks, shows the results and logs them to MLflow.

    Raises:
        InputError: If the input is wrong, or the folder holds another evaluation.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its remarks would break up the bar
    from rlready.cli.meter import ProgressMeter
    from rlready.config import find_faults, parse_parameters
    from rlready.config.recipes import parse_overrides
    from rlready.data.registry import find_benchmarks, get_mirror
    from rlready.evaluation.evaluate import evaluate
    from rlready.evaluation.plan import plan_evaluation
    from rlready.evaluation.results import describe_results, list_metrics
    from rlready.run.local import storage
    from rlready.tracking.log import log_evaluation

    changes = list_changes(arguments)
    given = [change.partition("=")[0] for change in changes]
    if foreign := [key for key in given if not key.startswith(("sampling_", "curate_sources", "curate_mirror"))]:
        raise InputError(f"--set {foreign[0]}: evaluate takes sampling_..., curate_sources and curate_mirror")
    settings = parse_parameters(parse_overrides(changes))
    if faults := find_faults(settings):
        raise InputError("\n".join(f"--set {fault}" for fault in faults))
    names = [name.strip() for name in arguments.benchmarks.split(",") if name.strip()]
    with error_context("--benchmarks"):
        benchmarks = find_benchmarks(names, settings.curate.sources, get_mirror(settings.curate.mirror))
    evaluation = plan_evaluation(
        arguments.model, arguments.revision, benchmarks, arguments.samples, arguments.limit, settings.sampling
    )
    work = arguments.work.resolve()
    out = arguments.output or work / "evaluations" / evaluation.name
    storage.make_private(work, out)
    try:
        with ProgressMeter() as meter:
            results = evaluate(evaluation, out, meter.tell)
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from here, with what lies in {shorten(out)}", file=sys.stderr)
        raise
    print(describe_results(evaluation, results))
    print_result("samples", out / "samples.parquet")
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{work / 'mlflow.db'}")
    files = [out / "results.json", out / "samples.parquet"]
    log_evaluation(evaluation.name, evaluation.describe(), list_metrics(results), files)
