"""Values and combinations of parameters that cannot work."""

from collections.abc import Iterator

from rlready.config import Experiment, find_faults, list_parameters
from rlready.data.registry import BUILTIN, find_benchmarks, get_mirror, list_benchmarks
from rlready.errors import InputError
from rlready.records.candidate import Candidate
from rlready.stages.plan.overrides import check_overrides
from rlready.stages.plan.sweep import MOST

MOST_CANDIDATES = 64  # what a workflow on a cluster holds beside the RL of a few of them
MOST_STEPS = 1_000_000
Checks = Iterator[tuple[bool, str]]  # (whether it is fine, what is wrong otherwise)


def check_values(experiment: Experiment) -> list[str]:
    """Returns one line for every value outside its bounds and every combination that cannot work.

    TRL, which takes seconds to import, is only asked about overrides if everything else is right.
    """
    checks = (_check_gate, _check_curate, _check_training, _check_sampling, _check_sweep, _check_without_rl, _check_reason)
    faults = find_faults(experiment) + [line for check in checks for fine, line in check(experiment) if not fine]
    return faults or [line for fine, line in check_overrides(experiment) if not fine]


def _check_gate(experiment: Experiment) -> Checks:
    gate, predictors = experiment.gate, experiment.predictors
    if predictors.sampling == "sequential":
        yield from _check_sequential(experiment)
    else:
        yield (
            gate.k <= predictors.samples,
            f"gate_k: Pass@{gate.k} needs at least {gate.k} samples a problem, predictors_samples is {predictors.samples}",
        )
        yield (
            gate.k & (gate.k - 1) == 0 or gate.k == predictors.samples,
            f"gate_k: {gate.k} is neither a power of two nor predictors_samples; the curve is kept at those",
        )


def _check_sequential(experiment: Experiment) -> Checks:
    """Checks what cannot work with sequential sampling, which measures no curve."""
    gate, predictors = experiment.gate, experiment.predictors
    budget = predictors.count_samples(experiment.curate.predictor_problems)
    needs = "predictors_sampling: sequential"
    yield 0 < gate.min_pass_at_k < 1, f"{needs} tests gate_min_pass_at_k, which must lie between 0 and 1"
    yield (
        gate.min_pass_at_k_over_base == -1,
        f"{needs} has no Pass@k to compare with the base model's; set gate_min_pass_at_k_over_base to -1",
    )
    yield (gate.min_coverage_kept == 0, f"{needs} has no counts to compare with the base's; set gate_min_coverage_kept to 0")
    yield gate.max_rl_runs == 0, f"{needs} cannot rank; set gate_max_rl_runs to 0 or sampling to fixed"
    yield (
        0 < predictors.sequential_alpha < 0.5,
        f"predictors_sequential_alpha: {predictors.sequential_alpha} must lie between 0 and 0.5",
    )
    yield (
        budget >= gate.k,
        f"predictors_sequential_budget: {budget} samples are fewer than one problem may need (gate_k {gate.k})",
    )


def _check_curate(experiment: Experiment) -> Checks:
    curate = experiment.curate
    yield (
        not curate.max_tokens or curate.min_tokens <= curate.max_tokens,
        f"curate_min_tokens: {curate.min_tokens} is more than curate_max_tokens, {curate.max_tokens}",
    )
    yield (
        curate.min_pass_rate <= curate.max_pass_rate,
        f"curate_min_pass_rate: {curate.min_pass_rate} and curate_max_pass_rate: {curate.max_pass_rate} must lie in this"
        " order between 0 and 1",
    )
    for name in curate.decontaminate:
        yield curate.decontaminate.count(name) == 1, f"curate_decontaminate: {name} is given twice"
    yield (
        curate.sft_data != BUILTIN or curate.sft_examples > 0,
        f"curate_sft_examples: {BUILTIN} has no end; say how many examples to generate",
    )


def _check_training(experiment: Experiment) -> Checks:
    training, sft, rl = experiment.training, experiment.sft, experiment.rl
    for name, batch in (("sft_batch_size", sft.batch_size), ("rl_prompts_per_step", rl.prompts_per_step)):
        yield (
            training.processes < 2 or batch % training.processes == 0,
            f"{name}: {batch} does not divide among {training.processes} processes (training_processes)",
        )
    for stage, batch in (("sft", sft.batch_size), ("rl", rl.prompts_per_step * rl.num_generations)):
        share, size = batch // (training.processes or 1), getattr(experiment, stage).per_device_batch_size
        yield (
            size < 1 or share % size == 0,
            f"{stage}_per_device_batch_size: {size} does not divide {share}, a process's share of a step of {batch}",
        )
    problems = experiment.curate.rl_problems
    yield (
        rl.prompts_per_step <= problems,
        f"rl_prompts_per_step: {rl.prompts_per_step} prompts a step, but curate_rl_problems is {problems}",
    )


def _check_sampling(experiment: Experiment) -> Checks:
    sampling = experiment.sampling
    yield (
        sampling.tensor_parallel == 1 or sampling.engine != "transformers",
        f"sampling_tensor_parallel: {sampling.tensor_parallel} GPUs a copy need vllm, sampling_engine is transformers",
    )
    for text in sampling.stop:
        yield (isinstance(text, str) and text != "", f"sampling_stop: {text!r} is not a text that can end a completion")


def _check_sweep(experiment: Experiment) -> Checks:
    sweep = experiment.sweep
    for name in ("epochs", "subsets", "examples", "learning_rates", "seeds"):
        yield bool(sweep.candidates or getattr(sweep, name)), f"sweep_{name}: empty; give at least one value"


def _check_without_rl(experiment: Experiment) -> Checks:
    gate, fine = experiment.gate, experiment.rl.steps > 0
    yield (fine or gate.mode == "enforce", f"gate_mode: {gate.mode} sends candidates to RL, and there is none (rl_steps 0)")
    yield (
        fine or not gate.audit_fraction,
        f"gate_audit_fraction: {gate.audit_fraction:g} sends rejected candidates to RL, and there is none (rl_steps 0)",
    )


def _check_reason(experiment: Experiment) -> Checks:
    """Checks values that nobody means: they would fail, or never end, behind all that comes before them."""
    for name in list_parameters():
        if name.endswith("_seed"):
            value = experiment.get(name)
            yield 0 <= value <= MOST["seed"], f"{name}: {value} must lie between 0 and {MOST['seed']}"
    rl = experiment.rl
    yield rl.learning_rate < 1, f"rl_learning_rate: {rl.learning_rate:g} must lie below 1"
    yield rl.steps <= MOST_STEPS, f"rl_steps: {rl.steps} are more than {MOST_STEPS}"


def check_checkpoints(experiment: Experiment, candidates: list[Candidate]) -> None:
    """Raises InputError if base model or SFT data is missing where it is needed, or losses are to be compared without any."""
    needs = {
        "base_model": [c.candidate_id for c in candidates if c.checkpoint is None],
        "curate_sft_data": [c.candidate_id for c in candidates if c.epochs],
    }
    given = {"base_model": experiment.base.model, "curate_sft_data": experiment.curate.sft_data}
    for name, others in needs.items():
        if not given[name] and (others or experiment.rl.steps):
            why = f"{others[0]} needs it" if others else "RL is asked for (rl_steps)"
            raise InputError(f"{name}: empty, which is for finished checkpoints that no RL follows, and {why}")
    if experiment.gate.min_coverage_kept and not experiment.base.model:
        raise InputError("gate_min_coverage_kept: of what the base model solves, and base_model is empty")
    for candidate in candidates:
        if candidate.trained_on_sft_data and not experiment.curate.sft_data:
            raise InputError(
                f"{candidate.candidate_id}: trained_on_sft_data, but curate_sft_data is empty, so there is no loss to compare"
            )


def check_candidates(experiment: Experiment, candidates: list[Candidate]) -> None:
    """Raises InputError if the candidates are too many, larger than the data, or cannot be ranked as asked."""
    curate, gate = experiment.curate, experiment.gate
    check_checkpoints(experiment, candidates)
    find_benchmarks(list_benchmarks(curate), curate.sources, get_mirror(curate.mirror))  # refuses two of one name
    if len(candidates) > MOST_CANDIDATES:
        raise InputError(
            f"sweep: {len(candidates)} candidates, {MOST_CANDIDATES} fit in one run; split it into runs with the same"
            " settings: what they share comes from the cache"
        )
    for candidate in candidates:
        if 0 < curate.sft_examples < candidate.examples:
            raise InputError(
                f"{candidate.candidate_id}: {candidate.examples} examples, but curate_sft_examples is"
                f" {curate.sft_examples}; a subset cannot be larger than the data"
            )
    others = sorted({c.subset or c.candidate_id for c in candidates if not c.compares_loss}, reverse=True)
    ranks = gate.max_rl_runs or not experiment.rl.steps
    if ranks and gate.rank_by == "generalization_loss" and others:
        raise InputError(
            f"gate_rank_by: the sweep has {', '.join(others)}: losses are not comparable across data distributions; rank by"
            " pass_at_k"
        )
