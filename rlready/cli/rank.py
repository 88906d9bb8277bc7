"""rlready rank."""

import argparse
from pathlib import Path
from typing import Any

from rlready.cli.arguments import MIRROR, RUNNING, SET, Command, list_changes
from rlready.cli.rank_logs import add_arguments, rank_logs, read_logs, read_losses
from rlready.config import complete_parameters
from rlready.config.recipes import change, load_recipe
from rlready.errors import InputError
from rlready.measured.read import is_log
from rlready.stats.pass_at_k import choose_k

COMMAND = Command(
    "rank",
    "rlready rank ./ckpt-a ./ckpt-b --benchmarks math_500,aime_2025 --samples 64",
    SET,
    MIRROR,
    *RUNNING,
    epilog="The exit status is 4 if no candidate is approved. The run's\n"
    "folder holds the ranking and the verdicts in verdicts.json.",
)
COMMAND.add_argument(
    "checkpoints",
    nargs="+",
    metavar="CHECKPOINT",
    help="a folder, owner/name[@revision] on the hub, a URL, or a log; NAME=CHECKPOINT names it",
)
COMMAND.add_argument("--benchmarks", help="problems to rank by: names or files, separated by commas")
COMMAND.add_argument("--data", help="worked solutions like the checkpoints' training data, but unseen: measures their loss")
COMMAND.add_argument("--base", metavar="MODEL", help="base model, or its log, to compare the candidates with")
COMMAND.add_argument("--problems", type=int, help="maximum number of problems (128)")
COMMAND.add_argument("--samples", type=int, help="samples per problem (256)")
COMMAND.add_argument("--k", type=int, help="the k of Pass@k (64, or the largest power of two that --samples allows)")
COMMAND.add_argument("--recipe", help="YAML file with further parameters")
add_arguments(COMMAND).add_argument(
    "--loss",
    action="append",
    default=[],
    metavar="NAME=LOSS",
    help="generalization loss: nats per token, a trainer_state.json, or JSONL with nats and tokens of each example",
)


def execute(arguments: argparse.Namespace) -> None:
    """Measures the checkpoints, reads the logs, and prints the order of all, with how certain it is."""
    if all(is_log(text.rpartition("=")[2]) for text in [*arguments.checkpoints, *filter(None, [arguments.base])]):
        return rank_logs(arguments)
    if not arguments.benchmarks:
        raise InputError("checkpoints are sampled on problems: name some with --benchmarks")
    from rlready.cli.run import run_experiment  # planning and running, which logs do not need

    run_experiment(choose_parameters(arguments), "rank", arguments)


def choose_parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns every parameter of the run: the recipe's, then the command's own options, then what --set changes."""
    given = load_recipe(arguments.recipe, []) if arguments.recipe else complete_parameters({})
    texts = {text: is_log(text.rpartition("=")[2]) for text in arguments.checkpoints}
    logs = read_logs([text for text, logged in texts.items() if logged], arguments)
    read_losses(arguments.loss, logs)  # raises here, not in plan
    losses = dict(text.split("=", 1) for text in arguments.loss)
    how = {"score": arguments.score, "format": arguments.format, "judge": arguments.judge}
    how |= {"allow_repeats": arguments.allow_repeats}
    checkpoints = [_read_checkpoint(text, bool(arguments.data)) for text, logged in texts.items() if not logged]
    measured = [how | {"measured": log.path, "name": name, "loss": losses.get(name, "")} for name, log in logs.items()]
    of_base = "base_measured" if arguments.base and is_log(arguments.base) else "base_model"
    options = {
        "base_model": "",
        of_base: arguments.base or "",
        "sweep_candidates": checkpoints + measured,
        "curate_evaluation_data": arguments.benchmarks,
        "curate_sft_data": arguments.data or "",
        "curate_predictor_problems": arguments.problems,
        "predictors_samples": arguments.samples,
        "gate_k": arguments.k,
        "rl_steps": 0,
    }
    given |= {name: value for name, value in options.items() if value is not None}
    samples = min([given["predictors_samples"], *(log.samples for log in logs.values())])
    if arguments.k is None and 0 < samples < given["gate_k"]:
        given["gate_k"] = choose_k(samples)
    return change(given, list_changes(arguments))


def _read_checkpoint(text: str, trained: bool) -> dict[str, Any]:
    name, equals, place = text.rpartition("=")
    item: dict[str, Any] = {"model": place, "trained_on_sft_data": trained} | ({"name": name} if equals else {})
    if "@" in place and "://" not in place and not Path(place).exists():
        item["model"], _, item["revision"] = place.partition("@")
    if not item["model"]:
        raise InputError(f"{text!r} names no checkpoint")
    return item
