"""rlready plan."""

import contextlib
import io
import math
import tempfile
from functools import partial

from rlready.cli.command import RECIPE, WORK, Arguments, Command, print_result, read_parameters
from rlready.cli.result import print_work
from rlready.config import Experiment, parse_parameters
from rlready.config.recipes import describe_recipe
from rlready.errors import InputError
from rlready.placement.placement import Placement, count_bytes, parse_placement
from rlready.run.kfp.limits import check_size
from rlready.run.kfp.package import compiled
from rlready.run.local.cache_preview import CachePreview
from rlready.stages.curate.stage import run as curate
from rlready.stages.plan import needs
from rlready.stages.plan.plan import Plan, describe_plan, make_plan

COMMAND = Command("plan", "rlready plan --recipe llama3-8b", *RECIPE, WORK)


def execute(arguments: Arguments) -> None:
    """Prints the plan, even if the hub cannot be reached; fails if the input is wrong or the experiment does not fit."""
    work = arguments.work.resolve()
    parameters, placement = read_parameters(arguments)
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
    lines, wrong = _preview(experiment, plan, placement)
    described = describe_plan(plan, on_gpus=bool(lines))
    if not lines:
        here = (experiment, plan.shape, plan.lengths, len(plan.candidates))
        lines, wrong, _ = needs.describe_machine(*here, needs.look_at_machine(work))
        wrong += needs.find_lacking(experiment)
    print("\n".join([described, *lines]), flush=True)
    print_work(work, CachePreview(work, plan).describe())
    with compiled(parameters, placement, None) as package:
        try:
            print_result("workflow", f"{check_size(package, parameters)}, on a cluster")
        except InputError as error:
            if placement == parse_placement(None):  # a recipe for this machine only
                print_result("workflow", f"too large for a cluster: {error}")
            else:
                wrong.append(str(error))
    if wrong:
        raise InputError("\n".join(wrong))


def _preview(experiment: Experiment, plan: Plan, placement: dict[str, Placement]) -> tuple[list[str], list[str]]:
    """Returns lines on memory and hours of the placement's GPUs, and what to change if one is too small; none without GPUs."""
    stages = [stage for stage in needs.STAGES if stage in plan.estimate]
    gpus = {stage: placement[stage].gpus * placement[stage].train_job.get("nodes", 1) for stage in stages}
    if not any(gpus.values()) or plan.largest is None:
        return [], []
    if plan.largest.shape is None:
        where, source = plan.largest.model.location, plan.largest.source
        return [f"GPUs        no estimate: the shape of {where} is not known ({source})"], []
    tokens = {stage: entry["tokens"] for stage, entry in plan.estimate.items()}
    room = {stage: count_bytes(placement[stage].gpu_memory) for stage in stages}
    shape = plan.largest.shape
    estimate = partial(needs.estimate_needs, shape=shape, lengths=plan.lengths, tokens=tokens, gpus=gpus, memory=room)
    estimated = estimate(experiment)
    lines = [f"model       {shape.parameters / 1e9:.2f} billion parameters ({plan.largest.source})"]
    lines += ["stage         tokens per candidate  GPUs  GB of each (estimate)  H100-hours per candidate (estimate)"]
    wrong = []
    for stage, need in estimated.items():
        parts = " + ".join(f"{name} {size / 1e9:.0f}" for name, size in need.parts.items() if size >= 5e8)
        hours = f"{_round(need.hours[0])} to {_round(need.hours[1])}"
        lines += [f"  {stage:<12}{tokens[stage]:>20,}{gpus[stage]:>6}{need.memory / 1e9:>11.0f}{hours:>36}"]
        lines += [f"              = {parts}" + (f"; {need.note}" if need.note else "")]
        if room[stage] and need.memory > room[stage]:
            remedies = needs.find_remedies(experiment, estimate, stage, room[stage])
            wrong += [
                f"{stage}: needs {need.memory / 1e9:.0f} GB of each GPU, and one has {room[stage] / 1e9:.0f}"
                f" (placement.{stage}.gpu_memory); {' '.join(remedies) or 'give it more or larger GPUs'}"
            ]
    # Two checkpoints while one is written, the base model, and kept epochs, at most in float32.
    kept = max(len(candidate.kept_epochs or ()) for candidate in plan.candidates)
    disk = math.ceil((2 * needs.count_checkpoint(shape, experiment.training) + (2 + 4 * kept) * shape.parameters) / 2**30)
    short = [stage for stage in ("sft", "rl") if count_bytes(placement[stage].storage) < disk * 2**30]
    proposed = ", ".join(f"placement.{stage}.storage: {disk}Gi" for stage in short) or "which the placement requests"
    lines += [f"disk        {disk} GiB for checkpoints and downloads of sft and rl; {proposed}"]
    count, reference = len(plan.candidates), [estimated[stage] for stage in ("predictors", "benchmark") if stage in estimated]
    total = [count * sum(n.hours[i] for n in estimated.values()) + sum(n.hours[i] for n in reference) for i in (0, 1)]
    every = ", if every one goes on to RL" if plan.trains else ", without RL"
    lines += [f"all {count} candidates{every}: {_round(total[0])} to {_round(total[1])} H100-hours"]
    lines += ["would be submitted"] + [f"  {line}" for line in _list_tasks(plan, placement)]
    return lines, wrong


def _list_tasks(plan: Plan, placement: dict[str, Placement]) -> list[str]:
    """Returns a line per stage: how often it runs, and what its pods request."""
    measured, candidates = len(plan.measured), len(plan.candidates) if plan.trains else 0
    tasks = {
        "plan": 1, "curate": 1, "sft": measured, "predictors": measured, "gate": 1,
        **({"race": 1} if plan.races else {}), "rl": candidates * (1 + plan.races), "benchmark": 1 + candidates, "report": 1,
    }  # fmt: skip
    lines = []
    for stage, times in tasks.items():
        entries = placement[stage]
        pods = entries.train_job.get("nodes", 1)
        requests = [f"{pods} pods" if pods > 1 else "", f"{entries.gpus} x {entries.accelerator}" if entries.gpus else ""]
        requests += [f"{entries.cpus:g} CPUs" if entries.cpus else "", entries.memory]
        most = "at most " if stage in ("rl", "benchmark") else ""
        lines += [f"{stage:<12}{most + str(times):>10} x  {', '.join(filter(None, requests)) or 'defaults of the cluster'}"]
    return lines


def _round(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
