"""What an experiment will do: every parameter, path and source checked before anything expensive."""

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlready.analysis.format import count
from rlready.config import STAGE_READS, Experiment, parse_parameters, write_settings
from rlready.errors import InputError, Unreachable, error_context
from rlready.measured.read import FoundLog
from rlready.models.architecture import Shape
from rlready.models.remote import is_url
from rlready.models.weights import MOST_READ
from rlready.records.candidate import BaseModel, Candidate
from rlready.records.serialization import to_values
from rlready.stages.plan.checkpoints import BASE, FoundModel, compare_found, compare_with_sampled, find_base, name_model, pin
from rlready.stages.plan.checks import check_candidates, check_sizes, check_values, find_short
from rlready.stages.plan.model import check_size, describe_losses, show_example
from rlready.stages.plan.needs import Lengths
from rlready.stages.plan.overrides import describe_warmup, refuse_routing
from rlready.stages.plan.sources import Look, describe_formats, look_at_sources
from rlready.stages.plan.sweep import expand_sweep, is_sampled, make_candidate, needs_models
from rlready.stages.plan.workload import Tokens, count_tokens, estimate_cost, estimate_total, find_truncated, summarize_lengths

ROWS_CURATED = 5_000
PANEL = 52  # characters in the panel of KFP's UI, which neither wraps lines nor scrolls
JUDGING = ("curate", "predictors", "rl", "benchmark")  # stages that use the verifier


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an experiment will do."""

    candidates: list[Candidate]  # the sweep, its checkpoints pinned
    base: BaseModel | None  # the base model, pinned; None: none is loaded
    logs: dict[str, FoundLog]  # of the candidates that were measured by one; of the base model under `checkpoints.BASE`
    models: dict[str, FoundModel]  # of the checkpoints, by candidate
    revisions: dict[str, str]  # digest or commit of every data source
    settings: dict[str, str]  # JSON settings by stage
    experiment: str  # digest of all that post-RL scores depend on besides the candidate; if equal, they are comparable
    estimate: dict[str, dict[str, float]]  # for each stage: tokens of one candidate and seconds on one core
    largest: FoundModel | None  # of all models, or one of unknown size; None: none is loaded
    lengths: Lengths  # tokens of the data
    doubts: list[str]  # what could not be checked
    texts: list[str]  # prompts and training texts, as lines
    trains: bool  # whether there is RL; otherwise the run ends at the gate
    races: bool  # whether only some of those that begin RL end it
    changes: dict[str, Any]  # parameters, by their flat names, that differ from the given ones, as `find_unused` has them
    shared: dict[str, str]  # candidates that have the model of another one, which is measured once for both, and that one's id
    small: bool  # whether all data is of files with so few rows that plan can curate it in seconds

    @property
    def shape(self) -> Shape | None:
        """That of the largest model, if all are Llama-like decoders with a known configuration."""
        return self.largest.shape if self.largest else None

    @property
    def baseline(self) -> Candidate:
        """The base model as a candidate without SFT; without a base model, the first candidate."""
        if BASE in self.logs:
            return dataclasses.replace(BASELINE, log=self.logs[BASE].source)
        return BASELINE if self.base else self.candidates[0]

    @property
    def compares_base(self) -> bool:
        """Whether the candidates are compared with the base model."""
        return bool(self.base or BASE in self.logs)

    @property
    def measured(self) -> list[Candidate]:
        """What goes through SFT and predictors: the base model, then every candidate or training with a model of its own."""
        first = [self.baseline] if self.compares_base else []
        whole = [candidate for candidate in self.candidates if not candidate.is_midway]
        return first + [candidate for candidate in whole if candidate.candidate_id not in self.shared]


def make_plan(parameters: dict, strict: bool = True) -> Plan:
    """Checks flat parameters by name, as the KFP form or a recipe gives them, and expands them.

    If `strict`, an unreachable hub is an error; otherwise the plan says what it could not check, and must not be run. Raises
    InputError with everything that is wrong, one line each.
    """
    experiment = parse_parameters(parameters)
    if problems := check_values(experiment):
        raise InputError("\n".join(problems))
    candidates = expand_sweep(experiment.sweep)
    changes = find_unused(experiment, candidates)
    experiment = experiment.change(**changes)
    loads = needs_models(experiment)
    doubts: list[str] = []

    def ask(look: Callable, name: str = "") -> Any:
        """Returns the result of a function that may need the hub; None if it is unreachable and the plan is not strict."""
        try:
            with error_context(name) if name else contextlib.nullcontext():
                return look()
        except Unreachable as error:
            if strict:
                raise
            doubts.append(str(error))
            return None

    base = find_base(experiment.base, ask) if experiment.base.model and loads else None
    candidates, models, logs = pin(experiment, candidates, ask)
    check_candidates(experiment, candidates)
    texts = ["no candidate has weights (model:), so the run ends at the gate"] if "rl_steps" in changes else []
    texts += compare_found(candidates, models, logs, base)
    all_models = [model for model in (base, *models.values()) if model]
    start = all_models[0].model if all_models else None
    experiment = normalise(experiment, start)
    seen = look_at_sources(experiment.curate, ask)
    if is_sampled(experiment, candidates):
        texts += compare_with_sampled(experiment, logs, seen)
    counted = seen.count_problems()
    if not experiment.rl.steps and find_short(experiment, candidates, seen.rows | counted):
        experiment = leave_out_rl(experiment)
    check_sizes(experiment, candidates, counted)
    pinned = base.model if base else None
    shared = share(candidates, models, pinned)
    settings, digest = write_all_settings(experiment, pinned, seen, candidates, shared)
    refuse_routing(experiment, {one.model.location: one.architecture.routed for one in all_models if one.architecture})
    largest = max(all_models, key=lambda model: model.parameters or math.inf, default=None)
    tokens = count_tokens(start, seen.samples) if start else Tokens()
    lengths = summarize_lengths(experiment, tokens)
    estimate = estimate_cost(experiment, candidates, largest, lengths)
    texts += check_lengths(experiment, candidates, all_models, lengths, tokens)
    if start and any(candidate.epochs for candidate in candidates):
        texts += find_truncated(experiment.sampling, tokens, seen.samples.get("sft", []))
    texts += describe_texts(start, seen) if start else []
    texts += describe_losses([one.model for one in all_models], next(filter(None, seen.samples.values()), []))
    texts += [*describe_training(experiment, candidates), *describe_warmup(experiment)]
    return Plan(
        candidates=candidates, base=pinned, logs=logs, models=models, revisions=seen.revisions, settings=settings,
        experiment=digest, estimate=estimate, largest=largest, lengths=lengths, doubts=doubts, texts=texts,
        trains=experiment.rl.steps > 0, races=experiment.race.steps > 0, changes=changes, shared=shared,
        small=0 < seen.total <= ROWS_CURATED,
    )  # fmt: skip


def find_unused(experiment: Experiment, candidates: list[Candidate]) -> dict[str, Any]:
    """Returns changes that leave out what no candidate needs, because logs have measured them all, or RL has no weights."""
    without_rl = {"rl_steps": 0} if experiment.rl.steps and not any(c.has_weights for c in candidates) else {}
    if is_sampled(experiment, candidates):
        return without_rl
    if experiment.rl.steps and not without_rl:
        return {"curate_predictor_data": "", "curate_predictor_problems": 0}
    return without_rl | dict.fromkeys((f"curate_{use}_data" for use in ("sft", "rl", "evaluation", "predictor")), "")


def check_lengths(
    experiment: Experiment, candidates: list[Candidate], models: list[FoundModel], lengths: Lengths, tokens: Tokens
) -> list[str]:
    """Returns a warning for each model whose positions the texts exceed; raises InputError if it does not accept that."""
    # Without rows the lengths are the longest allowed.
    example = lengths.longest if tokens.solutions and any(candidate.epochs for candidate in candidates) else 0
    most, engine = experiment.sampling.max_tokens, experiment.sampling.engine
    whole = {(model.adapter_base or model.model).location: model.architecture for model in models}
    found = [check_size(where, known, tokens.longest_prompt, most, example, engine) for where, known in whole.items() if known]
    unread = [where for where in whole if any(path.stat().st_size > MOST_READ for path in Path(where).glob("*.safetensors"))]
    found += [f"{where}: the values of files over 1 GB are checked when the weights are loaded" for where in unread]
    return [line for line in found if line]


def normalise(experiment: Experiment, model: BaseModel | None) -> Experiment:
    """Returns an experiment with its base model pinned, and without what no stage can use.

    If RL could follow, its data is set apart even without RL (`rl_steps` 0), so that all else is cached when RL is added.
    `model` is the base model, or the first checkpoint if there is none: its tokenizer counts the tokens of the data.
    """
    changes: dict[str, Any] = {}
    if model:
        changes = {"base_model": model.location, "base_revision": model.revision or model.digest}
    if not experiment.curate.sft_data:
        changes["curate_heldout_problems"] = 0
    if not experiment.rl.steps:
        changes["benchmark_samples"] = 0
    # After RL no more than before; the sequential test leaves no Pass@k to compare with.
    most = 0 if experiment.predictors.is_sequential else experiment.predictors.samples
    changes["benchmark_coverage_samples"] = min(most, experiment.benchmark.coverage_samples)
    normalised = experiment.change(**changes)
    return normalised if experiment.base.model and experiment.curate.sft_data else leave_out_rl(normalised)


def leave_out_rl(experiment: Experiment) -> Experiment:
    """Returns an experiment whose data is not set apart for RL."""
    return experiment.change(
        curate_rl_data="", curate_rl_problems=0, curate_benchmark_problems=0, curate_min_pass_rate=0.0, curate_max_pass_rate=1.0
    )


BASELINE = make_candidate(0, "random", 1, 1e-6, 0)  # the base model as a candidate, whatever the seeds of the sweep


def share(candidates: list[Candidate], models: dict[str, FoundModel], base: BaseModel | None) -> dict[str, str]:
    """Returns the candidates that have the model, or log, of another one, with the id of that one; see `Plan.shared`."""
    first: dict[Any, Candidate] = {(name_model(base), ""): BASELINE} if base else {}
    shared = {}
    for candidate in candidates:
        name = candidate.candidate_id
        measured = BASELINE if candidate.is_base else candidate
        if candidate.log:
            measured = first.setdefault((candidate.log, candidate.checkpoint), candidate)
        elif name in models:
            measured = first.setdefault(models[name].key, candidate)
        if measured is not candidate:
            shared[name] = measured.candidate_id
    return shared


def describe_texts(base: BaseModel, seen: Look) -> list[str]:
    """Returns lines on how rows are read, and the shortest SFT text and evaluation problem as the model sees them."""
    rows = seen.samples.get("sft", [])
    lines = [*describe_formats(seen), *seen.notes, *seen.by_text]
    if not base.digest or is_url(base.location):
        return lines
    evaluated = next((some for use, some in seen.samples.items() if use[0] == "evaluation"), [])
    for some in filter(None, (rows, evaluated)):
        lines += show_example(base, min(some, key=lambda row: len(row["question"] + row.get("solution", ""))))
    return lines


def describe_training(experiment: Experiment, candidates: list[Candidate]) -> Iterator[str]:
    """Yields a line on the candidates that are checkpoints of one training, and on who finishes RL, if there is a race."""
    trained = [candidate.epochs for candidate in candidates if candidate.kept_epochs]
    whole = [candidate.epochs for candidate in candidates if candidate.kept_epochs and not candidate.is_midway]
    if early := len(trained) - len(whole):
        said = (
            f"trainings   {sum(whole)} epochs in {count(len(whole), 'training')}, instead of {sum(trained)} in {len(trained)};"
        )
        yield f"{said} checkpoints before the end, where the learning rate has not decayed yet: {count(early, 'candidate')}"
    if (race := experiment.race).steps:
        steps, most = experiment.rl.steps, f", at most {race.keep} of them" if race.keep else ""
        yield f"race        after {race.steps} of {steps} RL steps, only candidates not clearly behind go on{most}"


def write_all_settings(
    experiment: Experiment, base: BaseModel | None, seen: Look, candidates: list[Candidate], shared: dict[str, str]
) -> tuple[dict[str, str], str]:
    """Returns the JSON settings by stage, and the digest of all that post-RL scores depend on besides the candidate.

    Without a base model no stage depends on one, so measurements of a checkpoint hold whatever it is compared with.
    """
    start = {"base_model": dataclasses.asdict(base)} if base else {}
    more = {"curate": {"revisions": seen.revisions}, "sft": start, "predictors": start, "benchmark": start, "rl": {}}
    plugged = {name: origin.release for name, origin in seen.formats.items() if origin.digest}
    for stage in JUDGING if plugged else ():  # another version of a plug-in judges differently
        more[stage] = more[stage] | {"formats": plugged}
    scoring = [stage for stage in STAGE_READS if stage not in ("gate", "race")]
    settings = {stage: write_settings(experiment, stage, more.get(stage)) for stage in scoring}
    scored = settings
    if experiment.race.steps in experiment.rl.validated_steps:  # such a race changes no result of those that go on
        scored = settings | {"rl": write_settings(experiment.change(race_steps=0), "rl", more["rl"])}
    digest = hashlib.sha256(json.dumps(scored, sort_keys=True).encode()).hexdigest()[:16]
    judging = {
        "experiment": digest,
        "candidates": [candidate.candidate_id for candidate in candidates],
        "shared": [[to_values(c), shared[c.candidate_id]] for c in candidates if c.candidate_id in shared],
        "compares_base": bool(base or experiment.base.measured),
        "trains": experiment.rl.steps > 0,
    }
    settings["gate"], settings["race"] = write_settings(experiment, "gate", judging), write_settings(experiment, "race")
    return settings, digest


def describe_plan(plan: Plan, on_gpus: bool = False) -> str:
    """Returns the plan as text for a terminal or a log, with the cost on CPUs unless it runs on GPUs."""
    lines = []
    if plan.doubts:
        others = f" and {len(plan.doubts) - 1} more" if plan.doubts[1:] else ""
        lines += [f"not checked {plan.doubts[0]}{others}. Lengths are the longest allowed, tokens and hours upper bounds"]
    if plan.base:
        lines += [f"base model  {plan.base.location} ({plan.base.digest or 'not checked'})"]
    lines += [f"base model  measured by {plan.logs[BASE].describe()}"] if BASE in plan.logs else []
    lines += [f"data        {source} ({digest})" for source, digest in plan.revisions.items()]
    lines += plan.texts
    lines += [f"candidates  {len(plan.candidates)}"]
    for name in (candidate.candidate_id for candidate in plan.candidates):
        known = [found[name].describe() for found in (plan.logs, plan.models) if name in found]
        if name in plan.shared and name in plan.models:
            known.append(f"the model of {plan.shared[name]}, measured once")
        lines += [f"  {name}: {'; '.join(known)}" if known else f"  {name}"]
    if on_gpus:
        return "\n".join(lines)
    lines += [f"per candidate{'tokens':>14}{'core-seconds (estimate)':>25}"]
    lines += [f"  {s:<12}{e['tokens']:>13,}{e['seconds']:>25,.0f}" for s, e in plan.estimate.items()]
    number = len(plan.candidates)
    named, trained = f"all {number} candidates" if number > 1 else "the candidate", "with" if plan.trains else "without"
    minutes = estimate_total(plan.estimate, number, bool(plan.base)) / 60
    lines += [f"total core-minutes, {named} {trained} RL: {minutes:,.0f}"]
    return "\n".join(lines)
