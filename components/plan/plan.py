"""What an experiment will do: every parameter, path and source checked before anything expensive."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlready.components.config import (
    STAGE_SECTIONS,
    Base,
    Experiment,
    InputError,
    Unreachable,
    about,
    parse_parameters,
    write_settings,
)
from rlready.components.core.models import count_parameters, find_model
from rlready.components.core.records import BaseModel, Candidate
from rlready.components.plan.checks import check_candidates, check_values
from rlready.components.plan.cost import Lengths, Shape, find_shape
from rlready.components.plan.example import show_example
from rlready.components.plan.model import check_model
from rlready.components.plan.sizes import check_sizes, count_problems
from rlready.components.plan.sources import Look, describe_formats, look_at_sources, refuse_guessing
from rlready.components.plan.sweep import expand_sweep, make_candidate
from rlready.components.plan.workload import count_lengths, estimate_cost

JUDGING = ("curate", "predictors", "rl", "benchmark")  # stages that ask the verifier


@dataclass(frozen=True)
class Plan:
    """What an experiment will do.

    Attributes:
        candidates: The sweep.
        base: The base model, pinned.
        revisions: Digest or commit of every data source.
        settings: JSON settings by stage.
        experiment: Digest of all that post-RL scores depend on besides the candidate; the same one makes them comparable.
        estimate: For each stage: tokens of one candidate and seconds on one core.
        shape: The base model's, where its configuration could be read and is that of a Llama-like decoder.
        shape_source: Where that was read.
        lengths: Tokens of the data.
        doubts: What could not be checked, where that was allowed.
        texts: What the model is asked and trained on, as lines.
    """

    candidates: list[Candidate]
    base: BaseModel
    revisions: dict[str, str]
    settings: dict[str, str]
    experiment: str
    estimate: dict[str, dict[str, float]]
    shape: Shape | None
    shape_source: str
    lengths: Lengths
    doubts: list[str]
    texts: list[str]

    @property
    def baseline(self) -> Candidate:
        """The base model, as it is measured: a candidate without SFT."""
        return make_candidate(0, "random", 1, 1e-6, self.candidates[0].seed)

    @property
    def measured(self) -> list[Candidate]:
        """What goes through SFT and predictors: the base model once, for all its seeds, then the others."""
        return [self.baseline, *(candidate for candidate in self.candidates if candidate.epochs)]


def make_plan(parameters: dict, strict: bool = True) -> Plan:
    """Checks parameters and expands them.

    Args:
        parameters: Flat values by name, as the KFP form or a recipe gives them.
        strict: Whether a hub that cannot be asked is an error. Otherwise the plan says what it could not check, and nothing
            may be started from it.

    Returns:
        The plan.

    Raises:
        InputError: With everything that is wrong, one line each.
    """
    experiment = parse_parameters(parameters)
    problems = check_values(experiment)
    if problems:
        raise InputError("\n".join(problems))
    candidates = expand_sweep(experiment.sweep)
    doubts: list[str] = []

    def ask(look: Callable, name: str = "") -> Any:
        """Returns what a look at the hub finds, for a parameter; None where it is out of reach and that may be."""
        try:
            with about(name) if name else contextlib.nullcontext():
                return look()
        except Unreachable as error:
            if strict:
                raise
            doubts.append(str(error))
            return None

    name, revision = experiment.base.model, experiment.base.revision
    base = ask(lambda: find_model(name, revision), "base_model") or BaseModel(name, revision, "")
    if base.digest:
        ask(lambda: check_model(base), "base_model")
    experiment = dataclasses.replace(experiment, base=Base(base.location, base.revision or base.digest))
    curate = experiment.curate
    check_candidates(experiment, candidates)
    seen = look_at_sources(curate, ask)
    refuse_guessing(curate, seen.samples)
    check_sizes(experiment, candidates, count_problems(seen.samples, seen.complete))
    settings, digest = write_all_settings(experiment, base, seen, candidates)
    shape, shape_source = find_shape(base)
    lengths = count_lengths(experiment, base, seen.samples["sft"])
    estimate = estimate_cost(
        experiment, candidates, shape.parameters if shape else count_parameters(base) or 1e9, lengths
    )
    texts = describe_texts(base, seen)
    return Plan(
        candidates, base, seen.revisions, settings, digest, estimate, shape, shape_source, lengths, doubts, texts
    )


def describe_texts(base: BaseModel, seen: Look) -> list[str]:
    """Returns lines on what is changed in the SFT rows that were looked at, and the shortest of them as the model sees it."""
    rows = seen.samples["sft"]
    whole = "all" if "sft" in seen.complete else "the first"
    lines = describe_formats(seen)
    lines += seen.by_text + [
        f"{count} of {whole} {len(rows)} SFT rows: {what}" for what, count in seen.changed.most_common()
    ]
    if not rows or not base.digest:
        return lines
    return lines + show_example(base, min(rows, key=lambda row: len(row["question"] + row["solution"])))


def write_all_settings(
    experiment: Experiment, base: BaseModel, seen: Look, candidates: list[Candidate]
) -> tuple[dict[str, str], str]:
    """Returns the JSON settings by stage, and the digest of all that post-RL scores depend on besides the candidate."""
    start = {"base_model": dataclasses.asdict(base)}
    more = {"curate": {"revisions": seen.revisions}, "sft": start, "predictors": start, "benchmark": start, "rl": {}}
    plugged = {name: origin.release for name, origin in seen.formats.items() if origin.digest}
    for stage in JUDGING if plugged else ():
        # Verdicts of another version of a plug-in are others.
        more[stage] = more[stage] | {"formats": plugged}
    settings = {
        stage: write_settings(experiment, stage, more.get(stage)) for stage in STAGE_SECTIONS if stage != "gate"
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    judging = {
        "experiment": digest,
        "candidates": [candidate.candidate_id for candidate in candidates],
        "without_sft": [dataclasses.asdict(candidate) for candidate in candidates if not candidate.epochs],
    }
    settings["gate"] = write_settings(experiment, "gate", judging)
    return settings, digest


def describe_plan(plan: Plan, on_gpus: bool = False) -> str:
    """Returns the plan as text for a terminal or a log; what it costs on CPUs, unless it runs on GPUs."""
    lines = []
    if plan.doubts:
        others = f"; nor were {len(plan.doubts) - 1} others" if plan.doubts[1:] else ""
        lines += [
            f"not checked {plan.doubts[0]}{others}. Lengths are the longest allowed, tokens and hours upper bounds"
        ]
    lines += [f"base model  {plan.base.location} ({plan.base.digest or 'not checked'})"]
    lines += [f"data        {source} ({digest})" for source, digest in plan.revisions.items()]
    lines += plan.texts
    lines += [f"candidates  {len(plan.candidates)}"]
    lines += [f"  {candidate.candidate_id}" for candidate in plan.candidates]
    if on_gpus:
        return "\n".join(lines)
    lines += ["stage         tokens a candidate   core-seconds a candidate (estimate)"]
    lines += [f"  {s:<12}{e['tokens']:>18,}{e['seconds']:>27,.0f}" for s, e in plan.estimate.items()]
    total = estimate_total(plan)
    lines += [f"all {len(plan.candidates)} candidates, if every one goes on to RL: {total / 60:,.0f} core-minutes"]
    return "\n".join(lines)


def estimate_total(plan: Plan) -> float:
    """Returns core-seconds of all candidates, RL for every one, and the reference."""
    a_candidate = sum(entry["seconds"] for entry in plan.estimate.values())
    return (
        len(plan.candidates) * a_candidate
        + plan.estimate["predictors"]["seconds"]
        + plan.estimate["benchmark"]["seconds"]
    )
