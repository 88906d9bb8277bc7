"""rlready rank."""

import argparse
import dataclasses
import itertools
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlready.analysis.sweep_result import describe_origin, write_sweep
from rlready.cli.command import MIRROR, RUNNING, SET, Arguments, Command, list_changes, print_result
from rlready.cli.result import end_with, print_outcomes
from rlready.config import complete_parameters
from rlready.config.recipes import change, load_recipe, parse_overrides
from rlready.errors import InputError
from rlready.measured.log import MeasuredLog
from rlready.measured.read import is_log, load_candidates
from rlready.run.local import storage
from rlready.stats.pass_at_k import choose_k
from rlready.tracking.log import log_outcomes
from rlready.tracking.runs import finish_run

if TYPE_CHECKING:
    from rlready.measured.loss import MeasuredLoss

BASE = "base"


def add_arguments(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds how logs are read, and returns the group for what else a command needs to know of them."""
    logs = command.add_argument_group("logs of other tools")
    logs.add_argument("--score", help="metric, filter, scorer or column of the log to use as the score (depends on the tool)")
    logs.add_argument("--format", default="boxed", help="how the verifier reads samples without a score (boxed)")
    logs.add_argument(
        "--judge", action="store_true", help="judge every sample with rlready's verifier; print how often the score differs"
    )
    logs.add_argument("--allow-repeats", action="store_true", help="accept a log whose samples mostly repeat one another")
    return logs


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


def execute(arguments: Arguments) -> None:
    """Measures the checkpoints, reads the logs, and prints the order of all, with how certain it is."""
    if all(map(_names_log, [*arguments.checkpoints, *filter(None, [arguments.base])])):
        return rank_logs(arguments)
    if not arguments.benchmarks:
        raise InputError("checkpoints are sampled on problems: name some with --benchmarks")
    from rlready.cli.run import run_experiment  # planning and running, which logs do not need

    run_experiment(choose_parameters(arguments), "rank", arguments)


def choose_parameters(arguments: Arguments) -> dict[str, Any]:
    """Returns every parameter of the run: the recipe's, then the command's own options, then what --set changes."""
    given = load_recipe(arguments.recipe, []) if arguments.recipe else complete_parameters({})
    logs = read_logs(filter(_names_log, arguments.checkpoints), arguments)
    read_losses(arguments.loss, logs)  # raises here, not in plan
    losses = dict(text.split("=", 1) for text in arguments.loss)
    how = {name: getattr(arguments, name) for name in ("score", "format", "judge", "allow_repeats")}
    measured = [how | {"measured": log.path, "name": name, "loss": losses.get(name, "")} for name, log in logs.items()]
    checkpoints = [
        _read_checkpoint(text, bool(arguments.data)) for text in itertools.filterfalse(_names_log, arguments.checkpoints)
    ]
    options = {
        "base_model": "",
        "base_measured" if arguments.base and is_log(arguments.base) else "base_model": arguments.base or "",
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


def _names_log(text: str) -> bool:
    return is_log(split_name(text)[1])


def split_name(text: str) -> tuple[str, str]:
    """Returns (name, place) of [NAME=]PLACE, where the place, such as lr=0.1/a.jsonl, may contain the sign too."""
    parts = text.split("=")
    pairs = [("=".join(parts[:n]), "=".join(parts[n:])) for n in range(len(parts))]
    known = (pair for pair in pairs if re.match(r"\w+://", pair[1]) or Path(pair[1]).expanduser().exists())
    return next(known, pairs[-1])


def _read_checkpoint(text: str, trained: bool) -> dict[str, Any]:
    name, place = split_name(text)
    item: dict[str, Any] = {"model": place, "trained_on_sft_data": trained} | ({"name": name} if name else {})
    if "@" in place and "://" not in place and not Path(place).exists():
        item["model"], _, item["revision"] = place.partition("@")
    if not item["model"]:
        raise InputError(f"{text!r} names no checkpoint")
    return item


def rank_logs(arguments: Arguments) -> None:
    """Ranks the candidates of logs, without sampling or torch, into a report in a folder of its own; prints the order."""
    from rlready.measured.sweep import rank
    from rlready.stages.report.report import write_files

    logs = read_logs(arguments.checkpoints, arguments)
    base = _read_log(arguments.base, arguments)[0][1] if arguments.base else None
    every = logs | ({BASE: base} if base else {})
    # The parameters that are not at their default: the recipe's, the command's own options, then what --set changes.
    changed = load_recipe(arguments.recipe, []) if arguments.recipe else {}
    changed |= {"base_model": arguments.base or ""} | ({"gate_k": arguments.k} if arguments.k is not None else {})
    sweep = rank(logs, base, read_losses(arguments.loss, every), changed | parse_overrides(arguments.set))
    folder = storage.make_run(arguments.work.resolve(), "rank")
    sweep = dataclasses.replace(sweep, origin=describe_origin(folder.name, shlex.join(["rlready", *sys.argv[1:]])))
    print_logs(every)
    write_files(sweep, folder)
    write_sweep(sweep, folder / storage.RESULT)
    print_outcomes(sweep)
    print_result("report", folder / "report.html")
    log_outcomes(sweep.outcomes, sweep.baseline, folder.name)
    finish_run(folder.name, sweep.parameters, {path.name: path for path in sorted(folder.iterdir())})
    end_with(sweep)


def print_logs(logs: Mapping[str, MeasuredLog]) -> None:
    """Prints what was read of each log, and what they do not say."""
    from rlready.measured.sweep import list_unknown

    for name, log in logs.items():
        print_result(name, log.describe())
    for line in list_unknown(logs):
        print(line)


def read_logs(texts: Iterable[str], arguments: Arguments) -> dict[str, MeasuredLog]:
    """Returns the candidates of logs, each [NAME=]PATH, by name; raises InputError if a name is taken or a log unreadable."""
    found: dict[str, MeasuredLog] = {}
    for text in texts:
        for name, log in _read_log(text, arguments):
            if name in found or name == BASE:
                why = "is the base model's (--base)" if name == BASE else f"is that of {found[name].path} too"
                raise InputError(f"{text}: the name {name} {why}; give another, as in NAME={log.path}")
            found[name] = log
    return found


def _read_log(text: str, arguments: Arguments) -> list[tuple[str, MeasuredLog]]:
    name, place = split_name(text)
    logs = load_candidates(place, arguments.score, arguments.format, arguments.judge, arguments.allow_repeats)
    if name and len(logs) > 1:
        raise InputError(f"{text}: the log names its candidates itself ({', '.join(logs)}); leave out {name}=")
    return [(name or own, log) for own, log in logs.items()]


def read_losses(texts: list[str], names: Collection[str]) -> dict[str, "MeasuredLoss"]:
    """Returns the loss of each NAME=LOSS; raises InputError if a name is no candidate's, or there is no loss."""
    from rlready.measured.loss import read_loss

    losses = {}
    for text in texts:
        name, equals, said = text.partition("=")
        if not equals or name not in names:
            raise InputError(f"--loss {text}: expected NAME=LOSS with a name of {', '.join(names)}")
        losses[name] = read_loss(said)
    return losses
