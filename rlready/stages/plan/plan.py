"""What an experiment will do: every parameter, path and source checked before anything expensive."""

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlready.config import STAGE_READS, Base, Experiment, parse_parameters, write_settings
from rlready.errors import InputError, Unreachable, error_context
from rlready.models.architecture import Shape
from rlready.models.remote import is_url
from rlready.records.candidate import BaseModel, Candidate
from rlready.stages.plan.checkpoints import FoundModel, compare_kinds, find_whole, name_model, pin
from rlready.stages.plan.checks import check_candidates, check_values
from rlready.stages.plan.cost import Lengths
from rlready.stages.plan.model import check_size
from rlready.stages.plan.sizes import check_sizes, count_problems, count_rows, find_short
from rlready.stages.plan.sources import Look, describe_formats, look_at_sources, refuse_guessing
from rlready.stages.plan.sweep import expand_sweep, make_candidate
from rlready.stages.plan.template import show_example
from rlready.stages.plan.workload import count_lengths, estimate_cost

JUDGING = ("curate", "predictors", "rl", "benchmark")  # stages that ask the verifier


@dataclass(frozen=True)
class Plan:
    """What an experiment will do.

    Attributes:
        candidates: The sweep, its checkpoints pinned.
        base: The base model, pinned; None where there is none, and nothing is compared with one.
        models: The models of the checkpoints, by candidate.
        revisions: Digest or commit of every data source.
        settings: JSON settings by stage.
        experiment: Digest of all that post-RL scores depend on besides the candidate; the same one makes them comparable.
        estimate: For each stage: tokens of one candidate and seconds on one core.
        shape: The largest model's, where all configurations could be read and are those of Llama-like decoders.
        shape_of: Which model that is.
        shape_source: Where its shape was read.
        lengths: Tokens of the data.
        doubts: What could not be checked, where that was allowed.
        texts: What the model is asked and trained on, as lines.
        trains: Whether there is RL; without, the run ends at the gate.
    """

    candidates: list[Candidate]
    base: BaseModel | None
    models: dict[str, FoundModel]
    revisions: dict[str, str]
    settings: dict[str, str]
    experiment: str
    estimate: dict[str, dict[str, float]]
    shape: Shape | None
    shape_of: str
    shape_source: str
    lengths: Lengths
    doubts: list[str]
    texts: list[str]
    trains: bool

    @property
    def baseline(self) -> Candidate:
        """The base model, as it is measured: a candidate without SFT. Where there is no base model, the first candidate."""
        return BASELINE if self.base else self.candidates[0]

    @property
    def shared(self) -> dict[str, str]:
        """Candidates whose model is measured as another's, and whose: what needs no SFT is measured once for all its seeds."""
        return share(self.candidates, self.models, self.base)

    @property
    def measured(self) -> list[Candidate]:
        """What goes through SFT and predictors: the base model, then every candidate that is not measured as another."""
        first = [self.baseline] if self.base else []
        return first + [candidate for candidate in self.candidates if candidate.candidate_id not in self.shared]


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
            with error_context(name) if name else contextlib.nullcontext():
                return look()
        except Unreachable as error:
            if strict:
                raise
            doubts.append(str(error))
            return None

    given = experiment.base
    base = find_whole(given.model, given.revision, "base_model", ask) if given.model else None
    candidates, models = pin(candidates, ask)
    check_candidates(experiment, candidates)
    kinds = list(compare_kinds(candidates, models, base))
    first = base or next(iter(models.values()))
    experiment = settle(experiment, first.model)
    seen = look_at_sources(experiment.curate, ask)
    refuse_guessing(experiment.curate, seen.samples)
    counted = count_problems(seen.samples, seen.complete)
    if not experiment.rl.steps and find_short(experiment, candidates, count_rows(seen.rows) | counted):
        experiment = leave_out_rl(experiment)
    check_sizes(experiment, candidates, counted)
    pinned = base.model if base else None
    settings, digest = write_all_settings(experiment, pinned, seen, candidates, share(candidates, models, pinned))
    all_models = [*([base] if base else []), *models.values()]
    largest = max(all_models, key=lambda model: model.parameters or math.inf)
    lengths = count_lengths(experiment, first.model, seen.samples)
    estimate = estimate_cost(experiment, candidates, largest.parameters or 1e9, lengths)
    texts = kinds + check_lengths(experiment, candidates, all_models, lengths, seen)
    texts += describe_texts(first.model, seen)
    return Plan(
        candidates, pinned, models, seen.revisions, settings, digest, estimate, largest.shape,
        largest.model.location, largest.source, lengths, doubts, texts, experiment.rl.steps > 0,
    )  # fmt: skip


def check_lengths(
    experiment: Experiment, candidates: list[Candidate], models: list[FoundModel], lengths: Lengths, seen: Look
) -> list[str]:
    """Returns a line for each model that is given longer texts than it was made for; raises InputError if it has no room."""
    counted = bool(seen.samples.get("sft"))  # else the lengths are the longest allowed
    prompt = lengths.longest_prompt if counted else 0
    example = lengths.longest if counted and any(candidate.epochs for candidate in candidates) else 0
    most, engine = experiment.sampling.max_tokens, experiment.sampling.engine
    whole = {(model.adapter_base or model.model).location: model.architecture for model in models}
    found = [check_size(where, known, prompt, most, example, engine) for where, known in whole.items() if known]
    return [line for line in found if line]


def settle(experiment: Experiment, model: BaseModel) -> Experiment:
    """Returns an experiment with its base model pinned, and without what no stage can use.

    Where RL could follow, its data is set apart also without RL (`rl_steps` 0): whoever adds RL later finds all else cached.

    Args:
        experiment: As given.
        model: The base model, or the first checkpoint in its place: its tokenizer counts the tokens of the data.
    """
    curate, benchmark = experiment.curate, experiment.benchmark
    if not curate.sft_data:
        curate = dataclasses.replace(curate, heldout_problems=0)
    if not experiment.rl.steps:
        benchmark = dataclasses.replace(benchmark, samples=0)
    base = Base(model.location, model.revision or model.digest)
    settled = dataclasses.replace(experiment, base=base, curate=curate, benchmark=benchmark)
    return settled if experiment.base.model and curate.sft_data else leave_out_rl(settled)


def leave_out_rl(experiment: Experiment) -> Experiment:
    """Returns an experiment whose data is not set apart for RL: there is none, and too little data for it or no base model."""
    curate = dataclasses.replace(
        experiment.curate, rl_data="", rl_problems=0, benchmark_problems=0, min_pass_rate=0.0, max_pass_rate=1.0
    )
    return dataclasses.replace(experiment, curate=curate)


BASELINE = make_candidate(0, "random", 1, 1e-6, 0)
"""The base model as a candidate. Its seed is none of the sweep's: it would seed RL, and the model is measured before that."""


def share(candidates: list[Candidate], models: dict[str, FoundModel], base: BaseModel | None) -> dict[str, str]:
    """Returns the candidates whose model is measured as another's, and whose: the base model's, or an earlier checkpoint's."""
    first = {(name_model(base), ""): BASELINE} if base else {}
    shared = {}
    for candidate in candidates:
        name = candidate.candidate_id
        if candidate.is_base:
            shared[name] = BASELINE.candidate_id
        elif name in models:
            measured = first.setdefault(models[name].key, candidate)
            if measured is not candidate:
                shared[name] = measured.candidate_id
    return shared


def describe_texts(base: BaseModel, seen: Look) -> list[str]:
    """Returns lines on what is changed in the SFT rows that were looked at, and the shortest of them as the model sees it."""
    rows = seen.samples.get("sft", [])
    whole = "all" if "sft" in seen.complete else "the first"
    lines = describe_formats(seen)
    lines += seen.by_text + [f"{count} of {whole} {len(rows)} SFT rows: {what}" for what, count in seen.changed.most_common()]
    if not rows or not base.digest or is_url(base.location):
        return lines
    return lines + show_example(base, min(rows, key=lambda row: len(row["question"] + row["solution"])))


def write_all_settings(
    experiment: Experiment, base: BaseModel | None, seen: Look, candidates: list[Candidate], shared: dict[str, str]
) -> tuple[dict[str, str], str]:
    """Returns the JSON settings by stage, and the digest of all that post-RL scores depend on besides the candidate.

    Without a base model no stage depends on one, so what is measured of a checkpoint holds whatever it is ranked beside.
    """
    start = {"base_model": dataclasses.asdict(base)} if base else {}
    more = {"curate": {"revisions": seen.revisions}, "sft": start, "predictors": start, "benchmark": start, "rl": {}}
    plugged = {name: origin.release for name, origin in seen.formats.items() if origin.digest}
    for stage in JUDGING if plugged else ():
        # Verdicts of another version of a plug-in are others.
        more[stage] = more[stage] | {"formats": plugged}
    settings = {stage: write_settings(experiment, stage, more.get(stage)) for stage in STAGE_READS if stage != "gate"}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    judging = {
        "experiment": digest,
        "candidates": [candidate.candidate_id for candidate in candidates],
        "shared": [[dataclasses.asdict(c), shared[c.candidate_id]] for c in candidates if c.candidate_id in shared],
        "compares_base": bool(base),
        "trains": experiment.rl.steps > 0,
    }
    settings["gate"] = write_settings(experiment, "gate", judging)
    return settings, digest


def describe_plan(plan: Plan, on_gpus: bool = False) -> str:
    """Returns the plan as text for a terminal or a log; what it costs on CPUs, unless it runs on GPUs."""
    lines = []
    if plan.doubts:
        others = f"; nor were {len(plan.doubts) - 1} others" if plan.doubts[1:] else ""
        lines += [f"not checked {plan.doubts[0]}{others}. Lengths are the longest allowed, tokens and hours upper bounds"]
    if plan.base:
        lines += [f"base model  {plan.base.location} ({plan.base.digest or 'not checked'})"]
    lines += [f"data        {source} ({digest})" for source, digest in plan.revisions.items()]
    lines += plan.texts
    lines += [f"candidates  {len(plan.candidates)}"]
    for name in (candidate.candidate_id for candidate in plan.candidates):
        lines += [f"  {name}" + (f": {plan.models[name].describe()}" if name in plan.models else "")]
        if name in plan.shared and name in plan.models:
            lines[-1] += f"; the model of {plan.shared[name]}, measured once"
    if on_gpus:
        return "\n".join(lines)
    lines += ["stage         tokens a candidate   core-seconds a candidate (estimate)"]
    lines += [f"  {s:<12}{e['tokens']:>18,}{e['seconds']:>27,.0f}" for s, e in plan.estimate.items()]
    every = ", if every one goes on to RL" if plan.trains else ", without RL"
    lines += [f"all {len(plan.candidates)} candidates{every}: {estimate_total(plan) / 60:,.0f} core-minutes"]
    return "\n".join(lines)


def estimate_total(plan: Plan) -> float:
    """Returns core-seconds of all candidates, RL for every one, and the base model's."""
    seconds = {stage: entry["seconds"] for stage, entry in plan.estimate.items()}
    reference = sum(seconds.get(stage, 0) for stage in ("predictors", "benchmark")) if plan.base else 0
    return len(plan.candidates) * sum(seconds.values()) + reference
