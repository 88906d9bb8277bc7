"""Whether a cluster can run a sweep, checked before it starts: the size of its workflow, its texts and its paths."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from rlready.config import Experiment, parse_parameters
from rlready.config.parameters import Gate, Race
from rlready.data.registry import find_source, list_benchmarks
from rlready.errors import InputError
from rlready.measured.loss import is_number
from rlready.stages.plan.checks import check_number
from rlready.stages.plan.sweep import expand_sweep
from rlready.stats.ties import count_share

FILLED_IN = re.compile(r"\{\{|\$[$(]")
KIB = 1024
WORKFLOW = 1024 * KIB  # of a workflow with its compressed nodes (workflow/packer/packer.go:19 of Argo)
# As JSON, which a pod gets several times escaped in arguments and variables of at most 128 KiB (Linux; Argo's common.go:280).
PARAMETERS = 20 * KIB


class Bytes(NamedTuple):
    """Bytes of a workflow, in all and per candidate that gets so far; they bound what the model of the backend needs.

    On a real cluster, runs that measured 3 and approved 1 or 2 needed 1.06 and 0.99 times as many bytes as the model
    (tests/backend); the nodes of one that measured 65 and approved 8 needed 0.99 times as many.
    """

    fixed: int
    measured: int
    probed: int  # RL up to the race
    finished: int  # all of RL
    package: int  # the size of the compiled pipeline for which they hold


WHOLE = Bytes(158_000, 9_100, 0, 14_500, 63_000)
RACED = Bytes(205_000, 9_600, 8_800, 18_500, 92_000)


def check_texts(parameters: dict[str, Any]) -> None:
    """Raises InputError if a parameter holds what is filled in on its way to a stage: `{{`, or `$(` and `$$` by Kubernetes."""
    found = {name: FILLED_IN.search(json.dumps(value)) for name, value in parameters.items()}
    if changed := [f"{name} holds {match[0]}" for name, match in found.items() if match]:
        raise InputError(f"{', '.join(changed)}, which Argo or Kubernetes would fill in: it cannot be sent to a cluster")


def estimate_bytes(package: int, measured: int, approved: int, finalists: int | None = None) -> int:
    """Returns an upper bound of the bytes of a workflow; about half are texts of the compiled pipeline, of `package` bytes.

    The others count candidates: measured, with the base model; beginning RL; going on after the race (None without one).
    """
    each, finished = (WHOLE, approved) if finalists is None else (RACED, finalists)
    total = each.fixed + each.measured * measured + each.probed * approved + each.finished * finished
    return int(total * (1 + package / each.package) / 2)


def check_size(package: Path, parameters: dict[str, Any]) -> str:
    """Returns the size of a sweep's workflow, with RL for all that may be approved; raises InputError if it is too large."""
    experiment, texts = parse_parameters(parameters), package.stat().st_size
    held = len(json.dumps(parameters))
    if held > PARAMETERS:
        raise InputError(
            f"parameters: {held // KIB} KiB of JSON, of {PARAMETERS // KIB} allowed on a cluster; shorten the texts"
        )
    candidates = expand_sweep(experiment.sweep)
    count = len(candidates)
    check_number(count)
    # A training is measured once for all its checkpoints, a finished checkpoint or log once for all its seeds.
    items = {(c.checkpoint, c.log) if c.is_finished else c.training.candidate_id for c in candidates if not c.is_base}
    measured = len(items) + bool(experiment.base.model or experiment.base.measured)
    trainable = sum(candidate.has_weights for candidate in candidates) if experiment.rl.steps else 0

    def estimate(measured: int, approved: int) -> int:
        return estimate_bytes(texts, measured, approved, count_finalists(experiment.race, approved))

    approved = count_approved(experiment.gate, trainable)
    size = estimate(measured, approved)
    if size <= WORKFLOW:
        return f"at most {size // KIB:,} of {WORKFLOW // KIB:,} KiB with RL for {approved} of {count} candidates"
    remedies, audited = [], int(count_share(experiment.gate.audit_fraction, count))
    fitting = [n for n in range(1, count) if estimate(1 + n, count_approved(experiment.gate, n)) <= WORKFLOW]
    budgets = [n - audited for n in range(audited + 1, approved) if estimate(measured, n) <= WORKFLOW]
    if fitting:
        remedies.append(f"{fitting[-1]} fit: split the sweep; what its parts share comes from the cache")
    if experiment.gate.mode == "enforce" and budgets:
        remedies.append(f"with gate_max_rl_runs={budgets[-1]} all {count} do")
    raise InputError(
        f"sweep: {count} candidates and RL for up to {approved} would make the workflow up to {size // KIB:,} KiB,"
        f" of {WORKFLOW // KIB:,} allowed; {'; '.join(remedies) or 'shorten the texts of parameters and placement'}"
    )


def count_approved(gate: Gate, candidates: int) -> int:
    """Returns how many of these candidates may go through RL, including the audited ones."""
    if gate.mode != "enforce" or not gate.max_rl_runs:
        return candidates
    return min(candidates, gate.max_rl_runs + int(count_share(gate.audit_fraction, candidates)))


def count_finalists(race: Race, approved: int) -> int | None:
    """Returns how many of these candidates may go on after the race, including the audited ones; None without a race."""
    if not race.steps:
        return None
    kept = min(race.keep or approved, approved)
    return kept + int(count_share(race.audit_fraction, approved - kept))


def list_paths(experiment: Experiment) -> list[tuple[str, str]]:
    """Returns (parameter, path) for each file, folder and URL that one names; raises InputError if a source is unknown."""
    curate, base, candidates = experiment.curate, experiment.base, expand_sweep(experiment.sweep)
    data = {
        "curate_sft_data": [curate.sft_data],
        "curate_rl_data": [curate.rl_data],
        "curate_evaluation_data": list_benchmarks(curate),
        "curate_predictor_data": [curate.predictor_data],
        "curate_decontaminate": curate.decontaminate,
        "curate_sources": [*curate.sources],
    }
    named = []
    for name, texts in data.items():
        for text in filter(None, texts):
            if name == "curate_sources" or text not in curate.sources:
                named.append((name, find_source(text, "datasets", curate.sources).path))
    models = [("base_model", base.model), *(("sweep_candidates", c.checkpoint.location) for c in candidates if c.checkpoint)]
    named += [(name, model) for name, model in models if model.startswith((".", "~")) or Path(model).is_dir()]
    named.append(("base_measured", base.measured))
    for log in filter(None, (candidate.log for candidate in candidates)):
        named += [("sweep_candidates", path) for path in (log.location, "" if is_number(log.loss) else log.loss)]
    named.append(("curate_mirror", curate.mirror))
    return [(name, path) for name, path in dict.fromkeys(named) if path]


def check_paths(parameters: dict[str, Any]) -> None:
    """Raises InputError with a line for each path that only this machine knows, or if a source is unknown."""
    paths = list_paths(parse_parameters(parameters))
    ending = "is a path on this machine; a pod needs a hub id or a path in its image"
    if lines := [f"{name}: {path} {ending}" for name, path in paths if "://" not in path and not path.startswith("/")]:
        raise InputError("\n".join(lines))
