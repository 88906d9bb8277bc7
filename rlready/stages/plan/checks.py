"""Values and combinations of parameters that cannot work."""

from collections.abc import Iterator

from rlready.config import Experiment, find_faults, list_parameters
from rlready.data.registry import BUILTIN, find_benchmarks, get_mirror, list_benchmarks
from rlready.errors import InputError
from rlready.records.candidate import Candidate
from rlready.stages.plan.overrides import check_overrides
from rlready.stages.plan.sweep import MOST as MOST_OF
from rlready.stages.plan.sweep import needs_models
from rlready.training.processes import divide_batch

MOST_CANDIDATES = 64  # that fit into a workflow on a cluster, with RL for a few of them
MOST_STEPS = 1_000_000
MOST = 10_000_000  # of anything that is counted


def check_values(experiment: Experiment) -> list[str]:
    """Returns one line for every value outside its bounds and every combination that cannot work.

    Overrides, which may need TRL, are only checked if everything else is right.
    """
    checks = [_check_gate, _check_curate, _check_training, _check_sampling, _check_sweep, _check_without_rl, _check_race]
    checks += [_check_reason]
    faults = find_faults(experiment) + [line for check in checks for line in check(experiment)]
    return faults or list(check_overrides(experiment))


def _check_gate(experiment: Experiment) -> Iterator[str]:
    k, samples = experiment.gate.k, experiment.predictors.samples
    if experiment.predictors.is_sequential:
        yield from _check_sequential(experiment)
        return
    if k > samples:
        yield f"gate_k: Pass@{k} needs at least {k} samples per problem, but predictors_samples is {samples}"
    if k & (k - 1) and k != samples:
        yield f"gate_k: {k} is neither a power of two nor predictors_samples; the curve is kept at those"


def _check_sequential(experiment: Experiment) -> Iterator[str]:
    gate, predictors, needs = experiment.gate, experiment.predictors, "predictors_sampling: sequential"
    if not 0 < gate.min_pass_at_k < 1:
        yield f"{needs} tests gate_min_pass_at_k, which must lie between 0 and 1"
    if gate.min_pass_at_k_over_base != -1:
        yield f"{needs} has no Pass@k to compare with the base model's; set gate_min_pass_at_k_over_base to null"
    if gate.min_coverage_kept:
        yield f"{needs} has no counts to compare with the base model's; set gate_min_coverage_kept to null"
    if gate.max_rl_runs:
        yield f"{needs} cannot rank; set gate_max_rl_runs to null, or predictors_sampling to fixed"
    if not 0 < predictors.sequential_alpha < 0.5:
        yield f"predictors_sequential_alpha: {predictors.sequential_alpha} must lie between 0 and 0.5"
    if (budget := predictors.count_samples(experiment.curate.predictor_problems)) < gate.k:
        yield f"predictors_sequential_budget: {budget} samples are fewer than one problem may need (gate_k {gate.k})"


def _check_curate(experiment: Experiment) -> Iterator[str]:
    curate = experiment.curate
    if curate.max_tokens and curate.min_tokens > curate.max_tokens:
        yield f"curate_min_tokens: {curate.min_tokens} is more than curate_max_tokens, {curate.max_tokens}"
    if curate.min_pass_rate > curate.max_pass_rate:
        yield f"curate_min_pass_rate: {curate.min_pass_rate} is more than curate_max_pass_rate, {curate.max_pass_rate}"
    for name in curate.decontaminate:
        if curate.decontaminate.count(name) > 1:
            yield f"curate_decontaminate: {name} is given twice"
    if curate.off_target and not curate.evaluation_data:
        yield "curate_off_target: needs curate_evaluation_data, the problems that RL is meant for"
    if curate.sft_data in BUILTIN and not curate.sft_examples:
        yield f"curate_sft_examples: {curate.sft_data} is infinite; give a number of examples"


def _check_race(experiment: Experiment) -> Iterator[str]:
    race, rl = experiment.race, experiment.rl
    if not race.steps and (race.keep or race.audit_fraction):
        yield f"race_{'keep' if race.keep else 'audit_fraction'}: without race_steps there is no race"
    if race.steps and not race.steps < rl.steps:
        yield f"race_steps: {race.steps} must be less than rl_steps, {rl.steps}"
    elif race.steps and not (rl.validated_steps and experiment.curate.validated):
        yield "race_steps: a race needs validation: rl_eval_steps and curate_validation_problems above 0"


def _check_training(experiment: Experiment) -> Iterator[str]:
    rl = experiment.rl
    for stage in ("sft", "rl"):
        try:
            divide_batch(stage, getattr(experiment, stage), experiment.training.processes or 1)
        except InputError as error:
            yield str(error)
    if rl.prompts_per_step > (problems := experiment.curate.rl_problems - experiment.curate.validated):
        yield (
            f"rl_prompts_per_step: {rl.prompts_per_step} prompts per step, but curate_rl_problems has {problems} of them"
            " besides curate_validation_problems"
        )


def _check_sampling(experiment: Experiment) -> Iterator[str]:
    sampling = experiment.sampling
    if sampling.tensor_parallel != 1 and sampling.engine == "transformers":
        yield f"sampling_tensor_parallel: {sampling.tensor_parallel} GPUs per copy need vllm; sampling_engine is transformers"
    for text in sampling.stop:
        if not isinstance(text, str) or not text:
            yield f"sampling_stop: {text!r} is not a text that can end a completion"


def _check_sweep(experiment: Experiment) -> Iterator[str]:
    for name in ("epochs", "subsets", "examples", "learning_rates", "seeds"):
        if not experiment.sweep.candidates and not getattr(experiment.sweep, name):
            yield f"sweep_{name}: empty; give at least one value"


def _check_without_rl(experiment: Experiment) -> Iterator[str]:
    gate = experiment.gate
    if experiment.rl.steps <= 0 and gate.mode != "enforce":
        yield f"gate_mode: {gate.mode} sends candidates to RL, but this run has no RL (rl_steps 0)"
    if experiment.rl.steps <= 0 and gate.audit_fraction:
        yield f"gate_audit_fraction: {gate.audit_fraction:g} sends candidates to RL, but this run has no RL (rl_steps 0)"


def _check_reason(experiment: Experiment) -> Iterator[str]:
    """Checks values that are surely mistakes, and would fail late or never end."""
    for name, parameter in list_parameters().items():
        value = experiment.get(name)
        if name.endswith("_seed") and not 0 <= value <= MOST_OF["seed"]:
            yield f"{name}: {value} must lie between 0 and {MOST_OF['seed']}"
        elif parameter.type is int and not name.endswith("_seed") and value > MOST:
            yield f"{name}: {value} is more than {MOST}"
    rl = experiment.rl
    if rl.learning_rate >= 1:
        yield f"rl_learning_rate: {rl.learning_rate:g} must lie below 1"
    if rl.steps > MOST_STEPS:
        yield f"rl_steps: {rl.steps} is more than {MOST_STEPS}"


def check_checkpoints(experiment: Experiment, candidates: list[Candidate]) -> None:
    """Raises InputError if base model or SFT data is missing but needed."""
    needs = {
        "base_model": [c.candidate_id for c in candidates if not c.is_finished],
        "curate_sft_data": [c.candidate_id for c in candidates if c.epochs],
    }
    for name, others in needs.items():
        if not experiment.get(name) and (others or experiment.rl.steps):
            why = f"{others[0]} needs it" if others else "RL needs it (rl_steps)"
            raise InputError(f"{name}: empty, which is for finished checkpoints without RL, but {why}")
    if experiment.gate.min_coverage_kept and not (experiment.base.model or experiment.base.measured):
        raise InputError("gate_min_coverage_kept: compares with the base model, but base_model is empty")
    for candidate in candidates:
        if candidate.trained_on_sft_data and not candidate.log and not experiment.curate.sft_data:
            raise InputError(
                f"{candidate.candidate_id}: trained_on_sft_data, but curate_sft_data is empty, so there is no loss to compare"
            )


def check_number(candidates: int) -> None:
    """Raises InputError if one run cannot have this many candidates."""
    if candidates > MOST_CANDIDATES:
        raise InputError(
            f"sweep: {candidates} candidates, but {MOST_CANDIDATES} fit in one run; split it into runs with the same settings:"
            " what they share comes from the cache"
        )


def check_candidates(experiment: Experiment, candidates: list[Candidate]) -> None:
    """Raises InputError if the candidates are too many, larger than the data, or cannot be ranked by gate_rank_by."""
    curate, gate = experiment.curate, experiment.gate
    check_checkpoints(experiment, candidates)
    if needs_models(experiment):
        find_benchmarks(list_benchmarks(curate), curate.sources, get_mirror(curate.mirror))  # refuses two of one name
    check_number(len(candidates))
    for candidate in candidates:
        if 0 < curate.sft_examples < candidate.examples:
            raise InputError(
                f"{candidate.candidate_id}: {candidate.examples} examples, but curate_sft_examples is"
                f" {curate.sft_examples}; a subset cannot be larger than the data"
            )
    logged = [candidate.candidate_id for candidate in candidates if candidate.log]
    if logged and experiment.predictors.is_sequential:
        raise InputError(f"predictors_sampling: sequential gives no counts to compare {', '.join(logged)} with; set fixed")
    others = sorted({c.subset or c.candidate_id for c in candidates if not c.compares_loss}, reverse=True)
    ranks = gate.max_rl_runs or not experiment.rl.steps
    if ranks and gate.rank_by == "generalization_loss" and others:
        raise InputError(
            f"gate_rank_by: the sweep has {', '.join(others)}: losses are not comparable across data distributions; rank by"
            " pass_at_k"
        )
