"""Whether the run of a sweep fits into what Argo, Kubernetes and Linux hold, checked before it starts."""

import json
import re
from pathlib import Path
from typing import Any

from rlready.config import parse_parameters
from rlready.config.stages import Gate
from rlready.errors import InputError
from rlready.stages.plan.sweep import expand_sweep
from rlready.stats.ties import count_share

FILLED_IN = re.compile(r"\{\{|\$[$(]")
KIB = 1024
WORKFLOW = 1024 * KIB  # of a workflow with its compressed nodes (workflow/packer/packer.go:19 of Argo)
# As JSON: arguments and variables of a pod hold it, escaped several times, and may have 128 KiB (Linux; Argo's common.go:280).
PARAMETERS = 20 * KIB
# Bytes of a workflow: in all, per candidate measured, and per candidate that goes through RL. They bound what the model of the
# backend (tests/backend) comes to for a package of TYPICAL bytes. On a real cluster the nodes of a run that measured 65 and
# approved 8 came to 0.99 of the model's; of one that measured 4 and approved 1, to 0.89.
FIXED, MEASURED, APPROVED = 152_000, 8_300, 12_700
TYPICAL = 64_000


def check_texts(parameters: dict[str, Any]) -> None:
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


def estimate_bytes(package: int, measured: int, approved: int) -> int:
    """Returns an upper bound of the size of a run's workflow, in bytes.

    Args:
        package: Size of the compiled pipeline in bytes; about half of a workflow repeats its texts.
        measured: Candidates that are measured, the base model among them.
        approved: Candidates that go through RL.
    """
    return int((FIXED + MEASURED * measured + APPROVED * approved) * (1 + package / TYPICAL) / 2)


def check_size(package: Path, parameters: dict[str, Any]) -> str:
    """Checks that the run of a sweep fits, with RL for as many candidates as the gate may approve.

    Args:
        package: The compiled pipeline.
        parameters: Every parameter by its flat name.

    Returns:
        A line on the size of the workflow.

    Raises:
        InputError: If it does not fit; says how many candidates do, and what else would help.
    """
    experiment, texts = parse_parameters(parameters), package.stat().st_size
    held = len(json.dumps(parameters))
    if held > PARAMETERS:
        raise InputError(
            f"parameters: {held // KIB} KiB of JSON, of {PARAMETERS // KIB} allowed on a cluster; shorten the texts"
        )
    candidates = expand_sweep(experiment.sweep)
    count = len(candidates)
    # The base model, if there is one; settings; and checkpoints, each once for all its seeds.
    models = {candidate.checkpoint for candidate in candidates if candidate.checkpoint}
    measured = bool(experiment.base.model) + sum(candidate.epochs > 0 for candidate in candidates) + len(models)
    approved = count_approved(experiment.gate, count) if experiment.rl.steps else 0
    size = estimate_bytes(texts, measured, approved)
    if size <= WORKFLOW:
        return f"at most {size // KIB:,} of {WORKFLOW // KIB:,} KiB with RL for {approved} of {count} candidates"
    remedies, audited = [], count_audited(experiment.gate, count)
    fitting = [n for n in range(1, count) if estimate_bytes(texts, 1 + n, count_approved(experiment.gate, n)) <= WORKFLOW]
    budgets = [n - audited for n in range(audited + 1, approved) if estimate_bytes(texts, measured, n) <= WORKFLOW]
    if fitting:
        remedies.append(f"{fitting[-1]} fit: split the sweep, what its parts share comes from the cache")
    if experiment.gate.mode == "enforce" and budgets:
        remedies.append(f"with gate_max_rl_runs={budgets[-1]} all {count} do")
    raise InputError(
        f"sweep: {count} candidates and RL for up to {approved} would make the workflow up to {size // KIB:,} KiB,"
        f" of {WORKFLOW // KIB:,} allowed; {'; '.join(remedies) or 'shorten the texts of parameters and placement'}"
    )


def count_approved(gate: Gate, candidates: int) -> int:
    """Returns how many of this many candidates may go through RL, the audited among them."""
    if gate.mode != "enforce" or not gate.max_rl_runs:
        return candidates
    return min(candidates, gate.max_rl_runs + count_audited(gate, candidates))


def count_audited(gate: Gate, candidates: int) -> int:
    """Returns how many of this many candidates may go through RL without being approved."""
    return int(count_share(gate.audit_fraction, candidates))
