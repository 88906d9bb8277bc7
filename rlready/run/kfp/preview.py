"""Preview of a run on a cluster: memory of its GPUs, hours, and the tasks that would be submitted."""

import math
from functools import partial

from rlready.config import Experiment, parse_parameters
from rlready.models.architecture import Shape
from rlready.placement.placement import Placement, count_bytes
from rlready.records.candidate import Candidate
from rlready.stages.plan.gpu_cost import STAGES, count_checkpoint, estimate_needs, find_remedies
from rlready.stages.plan.plan import Plan


def preview(parameters: dict, plan: Plan, placement: dict[str, Placement]) -> tuple[list[str], list[str]]:
    """Estimates what the stages of a run need of the GPUs that its placement requests.

    Returns (lines to show; for each stage that does not fit, a line that says what to change). Both are empty without GPUs.
    """
    stages = [stage for stage in STAGES if stage in plan.estimate]
    gpus = {stage: placement[stage].gpus * placement[stage].train_job.get("nodes", 1) for stage in stages}
    if not any(gpus.values()) or plan.largest is None:
        return [], []
    if plan.largest.shape is None:
        where, source = plan.largest.model.location, plan.largest.source
        return [f"GPUs        no estimate: the shape of {where} is not known ({source})"], []
    tokens = {stage: entry["tokens"] for stage, entry in plan.estimate.items()}
    room = {stage: count_bytes(placement[stage].gpu_memory) for stage in stages}
    shape, experiment = plan.largest.shape, parse_parameters(parameters)
    estimate = partial(estimate_needs, shape=shape, lengths=plan.lengths, tokens=tokens, gpus=gpus, memory=room)
    needs = estimate(experiment)
    lines = [f"model       {shape.parameters / 1e9:.2f} billion parameters ({plan.largest.source})"]
    lines += ["stage         tokens per candidate  GPUs  GB of each (estimate)  H100-hours per candidate (estimate)"]
    wrong = []
    for stage, need in needs.items():
        parts = " + ".join(f"{name} {size / 1e9:.0f}" for name, size in need.parts.items() if size >= 5e8)
        hours = f"{_round(need.hours[0])} to {_round(need.hours[1])}"
        lines += [f"  {stage:<12}{tokens[stage]:>20,}{gpus[stage]:>6}{need.memory / 1e9:>11.0f}{hours:>36}"]
        lines += [f"              = {parts}" + (f"; {need.note}" if need.note else "")]
        if room[stage] and need.memory > room[stage]:
            remedies = find_remedies(experiment, estimate, stage, room[stage])
            wrong += [
                f"{stage}: needs {need.memory / 1e9:.0f} GB of each GPU, and one has {room[stage] / 1e9:.0f}"
                f" (placement.{stage}.gpu_memory); {' '.join(remedies) or 'give it more or larger GPUs'}"
            ]
    lines += _propose_storage(experiment, shape, placement, plan.candidates)
    count, reference = len(plan.candidates), [needs[stage] for stage in ("predictors", "benchmark") if stage in needs]
    total = [count * sum(n.hours[i] for n in needs.values()) + sum(n.hours[i] for n in reference) for i in (0, 1)]
    every = ", if every one goes on to RL" if plan.trains else ", without RL"
    lines += [f"all {count} candidates{every}: {_round(total[0])} to {_round(total[1])} H100-hours"]
    lines += ["would be submitted"] + [f"  {line}" for line in _list_tasks(plan, placement)]
    return lines, wrong


def _propose_storage(
    experiment: Experiment, shape: Shape, placement: dict[str, Placement], candidates: list[Candidate]
) -> list[str]:
    """Returns a line on the disk that training needs: two checkpoints while one is written, the base model, kept epochs."""
    checkpoint = count_checkpoint(shape, experiment.training)
    kept = max(len(candidate.kept_epochs or ()) for candidate in candidates)  # at most in float32
    need = math.ceil((2 * checkpoint + (2 + 4 * kept) * shape.parameters) / 2**30)
    sizes = {stage: count_bytes(placement[stage].storage) for stage in ("sft", "rl")}
    short = [f"placement.{stage}.storage: {need}Gi" for stage, size in sizes.items() if size < need * 2**30]
    proposed = ", ".join(short) or "which the placement requests"
    return [f"disk        {need} GiB for checkpoints and downloads of sft and rl; {proposed}"]


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
        requests = [f"{pods} pods"] * (pods > 1) + [f"{entries.gpus} x {entries.accelerator}"] * bool(entries.gpus)
        requests += [f"{entries.cpus:g} CPUs"] * bool(entries.cpus) + [entries.memory] * bool(entries.memory)
        most = "at most " if stage in ("rl", "benchmark") else ""
        lines += [f"{stage:<12}{most + str(times):>10} x  {', '.join(requests) or 'defaults of the cluster'}"]
    return lines


def _round(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
