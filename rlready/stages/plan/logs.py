"""Candidates that other tools have measured: their logs are pinned, and compared with one another and with what is sampled."""

import dataclasses
from collections.abc import Mapping

from rlready.config import Experiment
from rlready.data.registry import Use
from rlready.errors import InputError, error_context
from rlready.measured.comparable import align, compare_settings, find_problems, list_unknown
from rlready.measured.loss import is_one_kind
from rlready.measured.source import FoundLog, find_log
from rlready.records.candidate import Candidate, LogSource
from rlready.stages.plan.sources import Look
from rlready.stages.plan.sweep import is_sampled

BASE = "base_measured"


def pin_logs(experiment: Experiment, candidates: list[Candidate]) -> tuple[list[Candidate], dict[str, FoundLog]]:
    """Returns the candidates with their logs pinned, and these logs by candidate; that of the base model under BASE.

    The loss of a candidate counts if all that are known are of one kind; one that is measured here is of another. Raises
    InputError if a log cannot be read, or allows no comparison with the others.
    """
    sources = {candidate.candidate_id: candidate.log for candidate in candidates if candidate.log}
    sources |= {BASE: LogSource(experiment.base.measured)} if experiment.base.measured else {}
    read: dict[LogSource, FoundLog] = {}  # the same one for every seed
    found = {}
    for name, source in sources.items():
        with error_context(name):
            read[source] = found[name] = read.get(source) or find_log(source)
    sampled = is_sampled(experiment, candidates)
    if found and not sampled:
        align({name: one.log for name, one in found.items()}, experiment.gate.k)
    losses = {c.candidate_id: found[c.candidate_id].loss for c in candidates if c.log}
    comparable = is_one_kind(losses.values()) and not (sampled and experiment.curate.sft_data)
    counted = {name for name, loss in losses.items() if loss and comparable}
    pinned = [
        dataclasses.replace(c, log=found[c.candidate_id].source, trained_on_sft_data=c.candidate_id in counted) if c.log else c
        for c in candidates
    ]
    return pinned, found


def compare_with_sampled(experiment: Experiment, found: Mapping[str, FoundLog], seen: Look) -> list[str]:
    """Returns a line for each log that may lack a problem which is sampled here.

    Raises InputError with a line for each log that surely lacks some, has too few samples, or was sampled in another way.
    """
    curate, k = experiment.curate, experiment.gate.k
    own: dict[str, object] = {"temperature": 1.0, "top_p": 1.0, "max_tokens": experiment.sampling.max_tokens}
    uses: list[Use] = ["predictors"] if curate.predictor_data else [use for use in seen.samples if use[0] == "evaluation"]
    rows = list({row["problem_id"]: row for use in uses for row in seen.samples.get(use, [])}.values())
    wanted, whole = min(curate.predictor_problems, len(rows)), set(uses) <= seen.complete
    faults, doubts = [], []
    for name, one in found.items():
        log, where = one.log, f"{name}: {one.source.location}"
        faults += [line.replace(log.path, where, 1) for line in compare_settings("this run", own, log)]
        if log.samples < k:
            faults.append(f"{where}: {log.samples} samples per problem, Pass@{k} needs {k}; lower gate_k, or sample more")
        has = sum(place is not None for place in find_problems(log, rows))
        looked = f"{has} of the {len(rows):,} problems checked"
        if rows and (not has or (whole and has < wanted)):
            faults.append(
                f"{where}: has {looked} of {curate.predictor_data or curate.evaluation_data}, on which others are sampled; only"
                " the same problems compare: sample on those of the log (curate_predictor_data, --benchmarks), or leave it out"
            )
        elif has < len(rows):
            doubts.append(f"{where}: has {looked}; if one of those drawn for Pass@k is missing, this candidate fails")
    if faults:
        raise InputError("\n".join(faults))
    return doubts


def describe_logs(found: Mapping[str, FoundLog]) -> list[str]:
    """Returns what logs do not say, and which losses are not compared, as lines."""
    lines = list_unknown({name: one.log for name, one in found.items()}) if found else []
    if not is_one_kind(one.loss for one in found.values()):
        kinds = "; ".join(f"{name}: {one.loss.kind}" for name, one in found.items() if one.loss)
        lines.append(f"The losses are of different kinds, so they are shown but not compared ({kinds}).")
    return lines
