"""Whether a sweep's workflow fits into what Kubernetes and Argo hold, said before it starts."""

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import yaml

from rlready.config import parse_parameters
from rlready.errors import InputError
from rlready.run.kfp.size import LIMITS, WorkflowSize, estimate_workflow
from rlready.stages.plan.sweep import expand_sweep
from rlready.stats.ties import count_share

NAMED = {
    "bytes": "workflow with its compressed nodes",
    "largest_argument": "longest argument of a container",
    "largest_environment": "longest variable of a pod",
    "largest_inputs": "inputs of the largest node",
}

FILLED_IN = re.compile(r"\{\{|\$[$(]")


def check_texts(parameters: dict) -> None:
    """Checks that no parameter holds what is filled in on its way to a stage: `{{` by Argo, `$(` and `$$` by Kubernetes.

    Args:
        parameters: Every parameter by its flat name.

    Raises:
        InputError: With the names of those that do.
    """
    found = {name: FILLED_IN.search(json.dumps(value)) for name, value in parameters.items()}
    changed = [f"{name} holds {match[0]}" for name, match in found.items() if match]
    if changed:
        raise InputError(f"{', '.join(changed)}, which Argo or Kubernetes would fill in: it cannot be sent to a cluster")


def check_size(package: Path, parameters: dict) -> str:
    """Checks that the run of a sweep fits, RL for as many candidates as the gate may approve included.

    Args:
        package: The compiled pipeline.
        parameters: Every parameter by its flat name.

    Returns:
        A line that says how large the workflow gets.

    Raises:
        InputError: If it does not fit; says how many candidates do, and what lowers it.
    """
    experiment = parse_parameters(parameters)
    candidates, documents = expand_sweep(experiment.sweep), list(yaml.safe_load_all(package.read_text()))
    count = len(candidates)

    # The base model, if there is one, settings, and checkpoints: each once for all its seeds.
    models = {candidate.checkpoint for candidate in candidates if candidate.checkpoint}
    measured = bool(experiment.base.model) + sum(candidate.epochs > 0 for candidate in candidates) + len(models)
    approved = count_approved(experiment.gate, count) if experiment.rl.steps else 0
    estimate = functools.partial(estimate_workflow, documents)
    size = estimate(measured, approved)
    exceeded = size.list_exceeded()
    if not exceeded:
        held = LIMITS["bytes"] // 1024
        return f"{size.nodes:,} nodes, {size.bytes // 1024:,} of {held:,} KiB with RL for {approved} of {count} candidates"
    fitting = _find_most(count, lambda some: estimate(1 + some, count_approved(experiment.gate, some)))
    budget = _find_most(approved, lambda some: estimate(measured, some)) - count_audited(experiment.gate, count)
    remedies = [f"{fitting} fit: split the sweep, what its parts share comes from the cache"] if fitting else []
    if experiment.gate.mode == "enforce" and budget > 0:
        remedies.append(f"with gate_max_rl_runs={budget} all {count} do")
    name, kib = exceeded[0], getattr(size, exceeded[0]) // 1024
    raise InputError(
        f"sweep: {count} candidates and RL for up to {approved} would make the {NAMED[name]} {kib:,} KiB,"
        f" of {LIMITS[name] // 1024:,} allowed; {'; '.join(remedies) or 'shorten the texts of parameters and placement'}"
    )


def count_approved(gate: SimpleNamespace, candidates: int) -> int:
    """Returns how many of so many candidates RL may run for, the audited among them."""
    if gate.mode != "enforce" or not gate.max_rl_runs:
        return candidates
    return min(candidates, gate.max_rl_runs + count_audited(gate, candidates))


def count_audited(gate: SimpleNamespace, candidates: int) -> int:
    """Returns how many of so many candidates RL may run for although they were not approved."""
    return count_share(gate.audit_fraction, candidates)


def _find_most(above: int, estimate: Callable[[int], WorkflowSize]) -> int:
    """Returns the largest number below one that does not fit, of those that do; 0 if not even 1 does."""
    one, beyond = estimate(1), estimate(above)
    if one.list_exceeded():
        return 0
    name = beyond.list_exceeded()[0]
    small, large = getattr(one, name), getattr(beyond, name)
    # Sizes grow nearly along a line, and each is a second's work.
    most = min(above - 1, max(1, int(1 + (LIMITS[name] - small) / (large - small) * (above - 1))))
    while estimate(most).list_exceeded():
        most -= 1
    while most < above - 1 and not estimate(most + 1).list_exceeded():
        most += 1
    return most
