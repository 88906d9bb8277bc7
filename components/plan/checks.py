"""Values and combinations of parameters that cannot work."""

from collections.abc import Iterator
from types import SimpleNamespace

from rlready.components.config import ENGINES, MATCHES, MODES, RANKINGS, SAMPLINGS, TRACES, ZERO_STAGES, InputError
from rlready.components.core.data.registry import BUILTIN, find_benchmarks, get_mirror, list_benchmarks
from rlready.components.core.records import Candidate

MOST_CANDIDATES = 64  # what a workflow on a cluster holds beside the RL of a few of them
Checks = Iterator[tuple[bool, str]]  # (whether it is fine, what is wrong otherwise)
AT_LEAST_ONE = (
    "curate_heldout_problems", "curate_rl_problems", "curate_predictor_problems", "curate_benchmark_problems",
    "curate_pass_rate_samples", "sft_batch_size", "sampling_max_tokens", "predictors_samples", "rl_steps",
    "rl_prompts_per_step", "benchmark_samples", "sampling_tensor_parallel",
)  # fmt: skip
AT_LEAST_ZERO = (
    "curate_contamination_ngram", "curate_min_tokens", "curate_max_tokens", "sft_device_batch_size",
    "rl_device_batch_size", "training_lora_rank", "training_processes",
)  # fmt: skip
SHARES = ("gate_audit_fraction", "gate_max_verifier_disagreement", "gate_min_pass_at_k", "curate_contamination_overlap",
          "curate_near_duplicates")  # fmt: skip
CHOICES = {
    "gate_mode": MODES,
    "gate_rank_by": RANKINGS,
    "predictors_sampling": SAMPLINGS,
    "curate_traces": TRACES,
    "curate_match": MATCHES,
    "training_zero_stage": ZERO_STAGES,
    "sampling_engine": ENGINES,
}


def check_values(experiment: SimpleNamespace) -> list[str]:
    """Returns one line for every value or combination that cannot work."""
    checks = (_check_ranges, _check_gate, _check_curate, _check_training, _check_sampling, _check_sweep)
    return [line for check in checks for fine, line in check(experiment) if not fine]


def _check_ranges(experiment: SimpleNamespace) -> Checks:
    def get(name: str):
        section, field = name.split("_", 1)
        return getattr(getattr(experiment, section), field)

    for name, choices in CHOICES.items():
        yield get(name) in choices, f"{name}: {get(name)!r} is none of {', '.join(map(str, choices))}"
    for name in SHARES:
        yield 0 <= get(name) <= 1, f"{name}: {get(name)} lies outside [0, 1]"
    for name in AT_LEAST_ONE:
        yield get(name) >= 1, f"{name}: {get(name)} must be at least 1"
    for name in AT_LEAST_ZERO:
        yield get(name) >= 0, f"{name}: {get(name)} must be 0 or more"


def _check_gate(experiment: SimpleNamespace) -> Checks:
    gate, predictors = experiment.gate, experiment.predictors
    yield gate.k >= 1, f"gate_k: {gate.k} must be at least 1"
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
    yield gate.max_rl_runs >= 0, f"gate_max_rl_runs: {gate.max_rl_runs} must be 0 (no budget) or more"
    yield (
        -1 <= gate.min_pass_at_k_over_base <= 1,
        f"gate_min_pass_at_k_over_base: {gate.min_pass_at_k_over_base} lies outside [-1, 1]",
    )
    yield (
        gate.max_generalization_loss > 0,
        f"gate_max_generalization_loss: {gate.max_generalization_loss} must be > 0",
    )
    yield gate.max_loss_rise >= 1, f"gate_max_loss_rise: {gate.max_loss_rise} must be at least 1 (final over lowest)"


def _check_sequential(experiment: SimpleNamespace) -> Checks:
    """Checks what cannot work with sequential sampling, which measures no curve."""
    gate, predictors = experiment.gate, experiment.predictors
    budget = predictors.count_samples(experiment.curate.predictor_problems)
    needs = "predictors_sampling: sequential"
    yield 0 < gate.min_pass_at_k < 1, f"{needs} tests gate_min_pass_at_k, which must lie between 0 and 1"
    yield (
        gate.min_pass_at_k_over_base == -1,
        f"{needs} has no Pass@k to compare with the base model's; set gate_min_pass_at_k_over_base to -1",
    )
    yield gate.max_rl_runs == 0, f"{needs} cannot rank; set gate_max_rl_runs to 0 or sampling to fixed"
    yield (
        0 < predictors.sequential_alpha < 0.5,
        f"predictors_sequential_alpha: {predictors.sequential_alpha} must lie between 0 and 0.5",
    )
    yield (
        budget >= gate.k,
        f"predictors_sequential_budget: {budget} samples are fewer than one problem may need (gate_k {gate.k})",
    )


def _check_curate(experiment: SimpleNamespace) -> Checks:
    curate = experiment.curate
    yield (
        not curate.max_tokens or curate.min_tokens <= curate.max_tokens,
        f"curate_min_tokens: {curate.min_tokens} is more than curate_max_tokens, {curate.max_tokens}",
    )
    yield (
        0 <= curate.min_pass_rate <= curate.max_pass_rate <= 1,
        f"curate_min_pass_rate: {curate.min_pass_rate} and curate_max_pass_rate: {curate.max_pass_rate} must lie in this"
        " order between 0 and 1",
    )
    for name in curate.decontaminate:
        yield curate.decontaminate.count(name) == 1, f"curate_decontaminate: {name} is given twice"
    yield curate.sft_examples >= 0, f"curate_sft_examples: {curate.sft_examples} must be 0 (all) or more"
    yield (
        curate.sft_data != BUILTIN or curate.sft_examples > 0,
        f"curate_sft_examples: {BUILTIN} has no end; say how many examples to generate",
    )


def _check_training(experiment: SimpleNamespace) -> Checks:
    training, sft, rl = experiment.training, experiment.sft, experiment.rl
    for name, batch in (("sft_batch_size", sft.batch_size), ("rl_prompts_per_step", rl.prompts_per_step)):
        yield (
            training.processes < 2 or batch % training.processes == 0,
            f"{name}: {batch} does not divide among {training.processes} processes (training_processes)",
        )
    yield rl.samples_per_prompt >= 2, "rl_samples_per_prompt: GRPO compares at least 2 completions of a prompt"
    yield rl.learning_rate > 0, f"rl_learning_rate: {rl.learning_rate} must be > 0"
    problems = experiment.curate.rl_problems
    yield (
        rl.prompts_per_step <= problems,
        f"rl_prompts_per_step: {rl.prompts_per_step} prompts a step, but curate_rl_problems is {problems}",
    )


def _check_sampling(experiment: SimpleNamespace) -> Checks:
    sampling = experiment.sampling
    yield sampling.replicas >= 0, f"sampling_replicas: {sampling.replicas} must be 0 (one a GPU) or more"
    yield (
        sampling.tensor_parallel == 1 or sampling.engine != "transformers",
        f"sampling_tensor_parallel: {sampling.tensor_parallel} GPUs a copy need vllm, sampling_engine is transformers",
    )
    yield (
        0 < sampling.memory_fraction <= 1,
        f"sampling_memory_fraction: {sampling.memory_fraction} lies outside (0, 1]",
    )
    for text in sampling.stop:
        yield (
            isinstance(text, str) and text != "",
            f"sampling_stop: {text!r} is not a text that can end a completion",
        )


def _check_sweep(experiment: SimpleNamespace) -> Checks:
    sweep = experiment.sweep
    for name in ("epochs", "subsets", "examples", "learning_rates", "seeds"):
        yield bool(sweep.candidates or getattr(sweep, name)), f"sweep_{name}: empty; give at least one value"


def check_candidates(experiment: SimpleNamespace, candidates: list[Candidate]) -> None:
    """Raises InputError if the candidates are too many, larger than the data, or cannot be ranked as asked."""
    curate, gate = experiment.curate, experiment.gate
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
    others = sorted({c.subset for c in candidates} - {"random"}, reverse=True)
    if gate.max_rl_runs and gate.rank_by == "generalization_loss" and others:
        raise InputError(
            f"gate_rank_by: the sweep has the subsets {', '.join(others)}: losses are not comparable across data"
            " distributions; rank by pass_at_k"
        )
