"""Values and combinations of parameters that cannot work, candidates that cannot run, and data too small for the splits."""

from collections import Counter
from collections.abc import Iterator, Mapping

from rlready.config import Curate, Experiment, find_faults, list_parameters
from rlready.data.registry import BUILTIN, find_benchmarks, get_mirror, list_benchmarks
from rlready.errors import InputError
from rlready.records.candidate import Candidate
from rlready.stages.plan.overrides import check_overrides
from rlready.stages.plan.sweep import needs_models
from rlready.training.processes import divide_batch

MOST_CANDIDATES = 64  # that fit into a workflow on a cluster, with RL for a few of them
MOST = 10_000_000  # of anything that is counted
LEAST_TRAINING, LEAST_EVALUATION = 12, 4  # problems; fewer cannot be split


def check_values(experiment: Experiment) -> list[str]:
    """Returns one line for every value outside its bounds and every combination that cannot work.

    Overrides, which may need TRL, are only checked if everything else is right.
    """
    checks = (_check_measuring, _check_data, _check_training, _check_magnitudes)
    faults = find_faults(experiment) + [line for check in checks for line in check(experiment)]
    return faults or list(check_overrides(experiment))


def _check_measuring(experiment: Experiment) -> Iterator[str]:
    gate, predictors, sampling = experiment.gate, experiment.predictors, experiment.sampling
    k, samples, needs = gate.k, predictors.samples, "predictors_sampling: sequential"
    if not 0 < predictors.sequential_alpha < 0.5:
        yield f"predictors_sequential_alpha: {predictors.sequential_alpha} must lie between 0 and 0.5"
    if not predictors.is_sequential:
        if k > samples:
            yield f"gate_k: Pass@{k} needs at least {k} samples per problem, but predictors_samples is {samples}"
        if k & (k - 1) and k != samples:
            yield f"gate_k: {k} is neither a power of two nor predictors_samples; the curve is kept at those"
    else:
        if not 0 < gate.min_pass_at_k < 1:
            yield f"{needs} tests gate_min_pass_at_k, which must lie between 0 and 1"
        if gate.min_pass_at_k_over_base != -1:
            yield f"{needs} has no Pass@k to compare with the base model's; set gate_min_pass_at_k_over_base to null"
        if gate.min_coverage_kept:
            yield f"{needs} has no counts to compare with the base model's; set gate_min_coverage_kept to null"
        if gate.max_rl_runs:
            yield f"{needs} cannot rank; set gate_max_rl_runs to null, or predictors_sampling to fixed"
        if (budget := predictors.count_samples(experiment.curate.predictor_problems)) < k:
            yield f"predictors_sequential_budget: {budget} samples are fewer than one problem may need (gate_k {k})"
    if sampling.tensor_parallel != 1 and sampling.engine == "transformers":
        yield f"sampling_tensor_parallel: {sampling.tensor_parallel} GPUs per copy need vllm; sampling_engine is transformers"
    if "" in sampling.stop:
        yield "sampling_stop: an empty text would end every completion at once; remove it"


def _check_data(experiment: Experiment) -> Iterator[str]:
    curate = experiment.curate
    if curate.max_tokens and curate.min_tokens > curate.max_tokens:
        yield f"curate_min_tokens: {curate.min_tokens} is more than curate_max_tokens, {curate.max_tokens}"
    if curate.min_pass_rate > curate.max_pass_rate:
        yield f"curate_min_pass_rate: {curate.min_pass_rate} is more than curate_max_pass_rate, {curate.max_pass_rate}"
    for parameter, names in (("curate_decontaminate", curate.decontaminate), ("curate_off_target", curate.off_target)):
        for name, times in Counter(names).items():
            if times > 1:
                yield f"{parameter}: {name} is given twice"
            if not name.strip():
                yield f"{parameter}: an empty text names no evaluation set; remove it"
    if curate.off_target and not curate.evaluation_data:
        yield "curate_off_target: needs curate_evaluation_data, the problems that RL is meant for"
    if curate.sft_data in BUILTIN and not curate.sft_examples:
        yield f"curate_sft_examples: {curate.sft_data} is infinite; give a number of examples"


def _check_training(experiment: Experiment) -> Iterator[str]:
    curate, gate, race, rl = experiment.curate, experiment.gate, experiment.race, experiment.rl
    for stage in ("sft", "rl"):
        try:
            divide_batch(stage, getattr(experiment, stage), experiment.training.processes or 1)
        except InputError as error:
            yield str(error)
    if rl.prompts_per_step > (problems := curate.rl_problems - curate.validated):
        yield (
            f"rl_prompts_per_step: {rl.prompts_per_step} prompts per step, but curate_rl_problems has {problems} of them"
            " besides curate_validation_problems"
        )
    for name in ("epochs", "subsets", "examples", "learning_rates", "seeds"):
        if not experiment.sweep.candidates and not getattr(experiment.sweep, name):
            yield f"sweep_{name}: empty; give at least one value"
    if rl.steps <= 0 and gate.mode != "enforce":
        yield f"gate_mode: {gate.mode} sends candidates to RL, but this run has no RL (rl_steps 0)"
    if rl.steps <= 0 and gate.audit_fraction:
        yield f"gate_audit_fraction: {gate.audit_fraction:g} sends candidates to RL, but this run has no RL (rl_steps 0)"
    if not race.steps and (race.keep or race.audit_fraction):
        yield f"race_{'keep' if race.keep else 'audit_fraction'}: without race_steps there is no race"
    if race.steps and not race.steps < rl.steps:
        yield f"race_steps: {race.steps} must be less than rl_steps, {rl.steps}"
    elif race.steps and not (rl.validated_steps and curate.validated):
        yield "race_steps: a race needs validation: rl_eval_steps and curate_validation_problems above 0"


def _check_magnitudes(experiment: Experiment) -> Iterator[str]:
    """Checks values that are surely mistakes, and would fail late or never end."""
    for name, parameter in list_parameters().items():
        if parameter.type is int and parameter.most is None and (value := experiment.get(name)) > MOST:
            yield f"{name}: {value} is more than {MOST}"
    if (rate := experiment.rl.learning_rate) >= 1:
        yield f"rl_learning_rate: {rate:g} must lie below 1"


def check_number(candidates: int) -> None:
    """Raises InputError if one run cannot have this many candidates."""
    if candidates > MOST_CANDIDATES:
        raise InputError(
            f"sweep: {candidates} candidates, but {MOST_CANDIDATES} fit in one run; split it into runs with the same settings:"
            " what they share comes from the cache"
        )


def check_candidates(experiment: Experiment, candidates: list[Candidate]) -> None:
    """Raises InputError if the candidates are too many, larger than the data, lack it, or cannot be ranked by gate_rank_by."""
    curate, gate = experiment.curate, experiment.gate
    needs = {
        "base_model": [c.candidate_id for c in candidates if not c.is_finished],
        "curate_sft_data": [c.candidate_id for c in candidates if c.epochs],
    }
    for name, others in needs.items():
        if not experiment.get(name) and (others or experiment.rl.steps):
            why = f"{others[0]} needs it" if others else "RL needs it (rl_steps)"
            raise InputError(f"{name}: empty, which is for finished checkpoints without RL, but {why}")
    if gate.min_coverage_kept and not (experiment.base.model or experiment.base.measured):
        raise InputError("gate_min_coverage_kept: compares with the base model, but base_model is empty")
    if needs_models(experiment):
        find_benchmarks(list_benchmarks(curate), curate.sources, get_mirror(curate.mirror))  # refuses two of one name
    check_number(len(candidates))
    for candidate in candidates:
        if candidate.trained_on_sft_data and not candidate.log and not curate.sft_data:
            raise InputError(
                f"{candidate.candidate_id}: trained_on_sft_data, but curate_sft_data is empty, so there is no loss to compare"
            )
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


def find_short(experiment: Experiment, candidates: list[Candidate], counted: Mapping[str, float]) -> dict[str, dict[str, int]]:
    """Returns what the splits take of each use that has too few problems, by parameter; for the arguments see `check_sizes`."""
    curate = experiment.curate
    examples = max((candidate.examples for candidate in candidates if candidate.epochs), default=1)
    rl = {"curate_rl_problems": curate.rl_problems}
    predictors = {"curate_predictor_problems": curate.predictor_problems}
    # Several benchmarks each give at most all their problems.
    scored = {"curate_benchmark_problems": curate.benchmark_problems if len(list_benchmarks(curate)) == 1 else 1}
    trained = {"sweep_examples": max(examples, curate.sft_examples)}
    wanted = {
        "sft": {"curate_heldout_problems": curate.heldout_problems} | ({} if curate.rl_data else rl) | trained,
        "rl": rl,
        "evaluation": ({} if curate.predictor_data else predictors) | scored,
        "predictors": predictors,
    }
    if not curate.benchmark_problems:  # without RL: all may go to the predictors, and fewer may be held out
        wanted["evaluation"] = wanted["predictors"] = {"problems": 1}
        if not any(candidate.epochs for candidate in candidates):
            wanted["sft"] = {"curate_heldout_problems": 1}
    return {use: sizes for use, sizes in wanted.items() if use in counted and counted[use] < sum(sizes.values())}


def check_sizes(experiment: Experiment, candidates: list[Candidate], counted: dict[str, int]) -> None:
    """Raises InputError if a use has fewer problems than the splits take, with all counts and sizes that would fit."""
    curate, known = experiment.curate, list_parameters()
    names = dict(sft=curate.sft_data, rl=curate.rl_data, evaluation=curate.evaluation_data, predictors=curate.predictor_data)
    lines = []
    fitting: dict[str, int] = {}
    for use, sizes in find_short(experiment, candidates, counted).items():
        if use in ("sft", "rl") and not counted[use]:
            raise InputError(
                f"{names[use]}: all its problems are evaluation problems too, which are never trained on; name other data, or"
                " give each a part of the source (share: in curate_sources)"
            )
        needed = " + ".join(f"{number} ({name})" for name, number in sizes.items())
        lines += [f"{names[use]}: {counted[use]} usable problems, but the splits need {needed} = {sum(sizes.values())}"]
        fitting |= propose_split(use, counted[use], not curate.rl_data, not curate.predictor_data)
    if fitting:  # a list is quoted because shells expand brackets
        texts = (f"'{name}=[{n}]'" if known[name].type is list else f"{name}={n}" for name, n in fitting.items())
        lines += ["sizes that fit: " + " ".join(f"--set {text}" for text in texts)]
    if lines:
        raise InputError("\n".join(lines))


def propose_split(use: str, problems: int, own_rl: bool = True, own_predictors: bool = True) -> dict[str, int]:
    """Returns sizes of the splits of this many distinct problems of a use: the defaults, or their shares if there are fewer.

    `own_rl` and `own_predictors`: RL and Pass@k take their problems from the SFT and evaluation sources. Raises InputError if
    the problems are too few to split.
    """
    least, name = (LEAST_TRAINING, "training") if use == "sft" else (LEAST_EVALUATION, use)
    if problems < least:
        raise InputError(f"{problems} usable {name} problems cannot be split; at least {least} are needed: add data")
    if use == "sft":
        heldout = min(problems // 6, Curate.heldout_problems)
        prompts = min(problems // 3, Curate.rl_problems) if own_rl else 0
        sizes = {"curate_heldout_problems": heldout, "curate_rl_problems": prompts}
        sizes["sweep_examples"] = min(problems - heldout - prompts, 1024)
    elif use == "evaluation":
        predictors = min(problems // 2, Curate.predictor_problems) if own_predictors else 0
        scored = min(problems - predictors, Curate.benchmark_problems)
        sizes = {"curate_predictor_problems": predictors, "curate_benchmark_problems": scored}
    elif use == "rl":
        sizes = {"curate_rl_problems": min(problems, Curate.rl_problems)}
    else:
        sizes = {"curate_predictor_problems": min(problems, Curate.predictor_problems)}
    return {name: size for name, size in sizes.items() if size}
