"""Checks every parameter and path before anything expensive, expands the sweep, and estimates what it will cost."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rlready.components import config
from rlready.components.config import (
    ENGINES,
    MATCHES,
    MODES,
    RANKINGS,
    SAMPLINGS,
    SUBSETS,
    TRACES,
    ZERO_STAGES,
    InputError,
    Unreachable,
)
from rlready.components.core.models import count_parameters, find_base, locate
from rlready.components.core.prompts import INSTRUCTIONS
from rlready.components.core.records import BaseModel, Candidate
from rlready.components.core.registry import (
    BUILTIN,
    find_benchmarks,
    find_source,
    get_mirror,
    list_benchmarks,
    list_sources,
)
from rlready.components.core.sources import inspect, read_some
from rlready.components.plan.cost import Lengths, Shape, find_shape

ROWS_FOR_ESTIMATE = 200
# What crosses to the report in one command line argument, which Linux limits to 128 KiB, is about 2.5 KB a candidate.
MOST_CANDIDATES = 48
MOST_CANDIDATES_OF_A_SUITE = 40  # whose results hold a line for each benchmark
# Sustained floating-point operations a second of one CPU core, measured with SmolLM2-135M: 60e9 forward, 40e9 in training,
# 30e9 while sampling. A GPU does some thousand times that; there the estimate is an upper bound.
FLOPS = 3e10
PROMPT_UNSEEN = 256  # tokens of a prompt, where none can be looked at


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
    experiment = config.parse_parameters(parameters)
    problems = check_values(experiment)
    if problems:
        raise InputError("\n".join(problems))
    candidates = expand_sweep(experiment.sweep)
    doubts: list[str] = []

    def ask(look: Callable) -> Any:
        """Returns what a look at the hub finds; None where it is out of reach and that may be."""
        try:
            return look()
        except Unreachable as error:
            if strict:
                raise
            doubts.append(str(error))
            return None

    name, revision = experiment.base.model, experiment.base.revision
    base = ask(lambda: find_base(name, revision)) or BaseModel(name, revision, "")
    experiment.base = config.Base(base.location, base.revision or base.digest)
    curate = experiment.curate
    suite = find_benchmarks(list_benchmarks(curate), curate.sources, get_mirror(curate.mirror))
    most = MOST_CANDIDATES if len(suite) == 1 else MOST_CANDIDATES_OF_A_SUITE
    if len(candidates) > most:
        raise InputError(
            f"sweep: {len(candidates)} candidates, {most} fit in one run; split it into runs with the same"
            " settings: what they share comes from the cache"
        )
    if curate.sft_examples:
        for candidate in candidates:
            if candidate.examples > curate.sft_examples:
                raise InputError(
                    f"{candidate.candidate_id}: {candidate.examples} examples, but curate_sft_examples is"
                    f" {curate.sft_examples}; a subset cannot be larger than the data"
                )
    others = sorted({c.subset for c in candidates} - {"random"}, reverse=True)
    if experiment.gate.max_rl_runs and experiment.gate.rank_by == "generalization_loss" and others:
        raise InputError(
            f"gate_rank_by: the sweep has the subsets {', '.join(others)}: losses are not comparable across data"
            " distributions; rank by pass_at_k"
        )
    revisions, samples = look_at_sources(curate, ask)
    refuse_guessing(curate, samples)
    settings, digest = write_all_settings(experiment, base, revisions, candidates)
    shape, shape_source = find_shape(base)
    lengths = count_lengths(experiment, base, samples["sft"])
    estimate = estimate_cost(
        experiment, candidates, shape.parameters if shape else count_parameters(base) or 1e9, lengths
    )
    return Plan(candidates, base, revisions, settings, digest, estimate, shape, shape_source, lengths, doubts)


def write_all_settings(
    experiment: SimpleNamespace, base: BaseModel, revisions: dict[str, str], candidates: list[Candidate]
) -> tuple[dict[str, str], str]:
    """Returns the JSON settings by stage, and the digest of all that post-RL scores depend on besides the candidate."""
    start = {"base_model": dataclasses.asdict(base)}
    more = {"curate": {"revisions": revisions}, "sft": start, "predictors": start, "benchmark": start}
    settings = {
        stage: config.write_settings(experiment, stage, more.get(stage))
        for stage in config.STAGE_SECTIONS
        if stage != "gate"
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    judging = {
        "experiment": digest,
        "candidates": [candidate.candidate_id for candidate in candidates],
        "without_sft": [dataclasses.asdict(candidate) for candidate in candidates if not candidate.epochs],
    }
    settings["gate"] = config.write_settings(experiment, "gate", judging)
    return settings, digest


def look_at_sources(
    curate: config.Curate, ask: Callable = lambda look: look()
) -> tuple[dict[str, str], dict[str, list[dict]]]:
    """Checks that every source is there and as its registry entry says, and reads the first rows of each.

    Args:
        curate: Names of the sources.
        ask: Calls what looks at a source; its None says that the source is out of reach, and no rows are read.

    Returns:
        (digest or commit by the key of the source, some problems by their use, as in `list_sources`).

    Raises:
        InputError: If a source is absent, gated, damaged, has changed, or its rows cannot be used.
    """
    revisions, samples = {}, {}
    uses = list_sources(curate) | {("decontaminate", name): (name, "benchmarks") for name in curate.decontaminate}
    for use, (text, registry) in uses.items():
        source = find_source(text, registry, curate.sources, get_mirror(curate.mirror))
        contents = ask(lambda source=source: inspect(source, curate.seed))
        if contents is None:
            revisions[source.key], samples[use] = "not checked", []
            continue
        revision = revisions[source.key] = contents.digest
        split = use if use in ("sft", "rl") else "evaluation"
        samples[use] = read_some(source, split, curate.seed, ROWS_FOR_ESTIMATE, "" if source.path else revision)
    return revisions, samples


def refuse_guessing(curate: config.Curate, samples: dict[str, list[dict]]) -> None:
    """Raises InputError if Pass@k would be measured on multiple choice, where guessing alone passes at a large k."""
    asked = {curate.predictor_data: samples.get("predictors")} if curate.predictor_data else {}
    asked = asked or {name: samples["evaluation", name] for name in list_benchmarks(curate)}
    for name, rows in asked.items():
        options = next((row["options"] for row in rows if row.get("options")), 0)
        if options:
            guessed = 1 - (1 - 1 / options) ** 64
            raise InputError(
                f"{name}: multiple choice with {options} options: guessing alone has Pass@64 = {guessed:.3f}, so it"
                " predicts nothing; name other problems with curate_predictor_data (it can stay the benchmark)"
            )


def check_values(experiment: SimpleNamespace) -> list[str]:
    """Returns one line for every value or combination that cannot work."""
    gate, predictors, sft, training, rl, curate, sweep = (
        getattr(experiment, name) for name in ("gate", "predictors", "sft", "training", "rl", "curate", "sweep")
    )
    wrong = []

    def require(condition: bool, line: str) -> None:
        if not condition:
            wrong.append(line)

    require(gate.mode in MODES, f"gate_mode: {gate.mode!r} is none of {', '.join(MODES)}")
    require(gate.k >= 1, f"gate_k: {gate.k} must be at least 1")
    require(
        predictors.sampling in SAMPLINGS,
        f"predictors_sampling: {predictors.sampling!r} is none of {', '.join(SAMPLINGS)}",
    )
    if predictors.sampling == "sequential":
        wrong += check_sequential(experiment)
    else:
        require(
            gate.k <= predictors.samples,
            f"gate_k: Pass@{gate.k} needs at least {gate.k} samples a problem, predictors_samples is {predictors.samples}",
        )
        require(
            gate.k & (gate.k - 1) == 0 or gate.k == predictors.samples,
            f"gate_k: {gate.k} is neither a power of two nor predictors_samples; the curve is kept at those",
        )
    require(gate.rank_by in RANKINGS, f"gate_rank_by: {gate.rank_by!r} is none of {', '.join(RANKINGS)}")
    require(gate.max_rl_runs >= 0, f"gate_max_rl_runs: {gate.max_rl_runs} must be 0 (no budget) or more")
    for name in ("audit_fraction", "max_verifier_disagreement"):
        value = getattr(gate, name)
        require(0 <= value <= 1, f"gate_{name}: {value} lies outside [0, 1]")
    require(0 <= gate.min_pass_at_k <= 1, f"gate_min_pass_at_k: {gate.min_pass_at_k} lies outside [0, 1]")
    require(
        -1 <= gate.min_pass_at_k_over_base <= 1,
        f"gate_min_pass_at_k_over_base: {gate.min_pass_at_k_over_base} lies outside [-1, 1]",
    )
    require(
        gate.max_generalization_loss > 0, f"gate_max_generalization_loss: {gate.max_generalization_loss} must be > 0"
    )
    require(gate.max_loss_rise >= 1, f"gate_max_loss_rise: {gate.max_loss_rise} must be at least 1 (final over lowest)")
    require(curate.traces in TRACES, f"curate_traces: {curate.traces!r} is none of {', '.join(TRACES)}")
    require(curate.match in MATCHES, f"curate_match: {curate.match!r} is none of {', '.join(MATCHES)}")
    require(
        training.zero_stage in ZERO_STAGES,
        f"training_zero_stage: {training.zero_stage} is none of {', '.join(map(str, ZERO_STAGES))}",
    )
    require(training.lora_rank >= 0, f"training_lora_rank: {training.lora_rank} must be 0 or more")
    require(training.processes >= 0, f"training_processes: {training.processes} must be 0 or more")
    for name, batch in (("sft_batch_size", sft.batch_size), ("rl_prompts_per_step", rl.prompts_per_step)):
        require(
            training.processes < 2 or batch % training.processes == 0,
            f"{name}: {batch} does not divide among {training.processes} processes (training_processes)",
        )
    for name in ("sft", "rl"):
        size = getattr(experiment, name).device_batch_size
        require(size >= 0, f"{name}_device_batch_size: {size} must be 0 or more")
    for name in ("contamination_overlap", "near_duplicates"):
        value = getattr(curate, name)
        require(0 <= value <= 1, f"curate_{name}: {value} lies outside [0, 1]")
    for name in ("contamination_ngram", "min_tokens", "max_tokens"):
        require(getattr(curate, name) >= 0, f"curate_{name}: {getattr(curate, name)} must be 0 or more")
    require(
        not curate.max_tokens or curate.min_tokens <= curate.max_tokens,
        f"curate_min_tokens: {curate.min_tokens} is more than curate_max_tokens, {curate.max_tokens}",
    )
    require(
        0 <= curate.min_pass_rate <= curate.max_pass_rate <= 1,
        f"curate_min_pass_rate: {curate.min_pass_rate} and curate_max_pass_rate: {curate.max_pass_rate} must lie in this"
        " order between 0 and 1",
    )
    for name in curate.decontaminate:
        require(curate.decontaminate.count(name) == 1, f"curate_decontaminate: {name} is given twice")
    sampling = experiment.sampling
    require(sampling.engine in ENGINES, f"sampling_engine: {sampling.engine!r} is none of {', '.join(ENGINES)}")
    require(sampling.replicas >= 0, f"sampling_replicas: {sampling.replicas} must be 0 (one a GPU) or more")
    require(
        sampling.tensor_parallel == 1 or sampling.engine != "transformers",
        f"sampling_tensor_parallel: {sampling.tensor_parallel} GPUs a copy need vllm, sampling_engine is transformers",
    )
    require(
        0 < sampling.memory_fraction <= 1, f"sampling_memory_fraction: {sampling.memory_fraction} lies outside (0, 1]"
    )
    for text in sampling.stop:
        require(
            isinstance(text, str) and text != "", f"sampling_stop: {text!r} is not a text that can end a completion"
        )
    require(rl.samples_per_prompt >= 2, "rl_samples_per_prompt: GRPO compares at least 2 completions of a prompt")
    require(rl.learning_rate > 0, f"rl_learning_rate: {rl.learning_rate} must be > 0")
    for name in (
        "curate_heldout_problems", "curate_rl_problems", "curate_predictor_problems", "curate_benchmark_problems",
        "curate_pass_rate_samples",
        "sft_batch_size", "sampling_max_tokens", "predictors_samples", "rl_steps", "rl_prompts_per_step",
        "benchmark_samples", "sampling_tensor_parallel",
    ):  # fmt: skip
        section, field = name.split("_", 1)
        value = getattr(getattr(experiment, section), field)
        require(value >= 1, f"{name}: {value} must be at least 1")
    require(curate.sft_examples >= 0, f"curate_sft_examples: {curate.sft_examples} must be 0 (all) or more")
    require(
        curate.sft_data != BUILTIN or curate.sft_examples > 0,
        f"curate_sft_examples: {BUILTIN} has no end; say how many examples to generate",
    )
    require(
        rl.prompts_per_step <= curate.rl_problems,
        f"rl_prompts_per_step: {rl.prompts_per_step} prompts a step, but curate_rl_problems is {curate.rl_problems}",
    )
    for name in ("epochs", "subsets", "examples", "learning_rates", "seeds"):
        require(bool(sweep.candidates or getattr(sweep, name)), f"sweep_{name}: empty; give at least one value")
    return wrong


def check_sequential(experiment: SimpleNamespace) -> list[str]:
    """Returns one line for everything that cannot work with sequential sampling, which measures no curve."""
    gate, predictors = experiment.gate, experiment.predictors
    budget = predictors.count_samples(experiment.curate.predictor_problems)
    needs = "predictors_sampling: sequential"
    checks = [
        (0 < gate.min_pass_at_k < 1, f"{needs} tests gate_min_pass_at_k, which must lie between 0 and 1"),
        (
            gate.min_pass_at_k_over_base == -1,
            f"{needs} has no Pass@k to compare with the base model's; set gate_min_pass_at_k_over_base to -1",
        ),
        (gate.max_rl_runs == 0, f"{needs} cannot rank; set gate_max_rl_runs to 0 or sampling to fixed"),
        (
            0 < predictors.sequential_alpha < 0.5,
            f"predictors_sequential_alpha: {predictors.sequential_alpha} must lie between 0 and 0.5",
        ),
        (
            budget >= gate.k,
            f"predictors_sequential_budget: {budget} samples are fewer than one problem may need (gate_k {gate.k})",
        ),
    ]
    return [line for fine, line in checks if not fine]


def expand_sweep(sweep: config.Sweep) -> list[Candidate]:
    """Returns the candidates of a sweep, in the order given.

    An explicit candidate takes what it leaves out from the first value of the lists, and without a seed of its own it is
    repeated with every seed. All settings with 0 epochs of one seed are the same candidate, the base model.

    Raises:
        InputError: If a candidate has an unknown key, a bad value, or stands there twice.
    """
    names = {
        "epochs": "epochs",
        "subset": "subsets",
        "examples": "examples",
        "learning_rate": "learning_rates",
        "seed": "seeds",
    }
    lists = {name: getattr(sweep, source) for name, source in names.items()}
    if sweep.candidates:
        settings = []
        for number, given in enumerate(sweep.candidates):
            if not isinstance(given, dict) or not given or given.keys() - names.keys():
                raise InputError(
                    f"sweep_candidates, item {number}: expected an object with keys of {', '.join(names)}, got {given!r}"
                )
            whole = {name: given.get(name, (values or [None])[0]) for name, values in lists.items()}
            settings += [whole | {"seed": seed} for seed in ([given["seed"]] if "seed" in given else lists["seed"])]
    else:
        settings = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    candidates: dict[str, Candidate] = {}
    for setting in settings:
        candidate = make_candidate(**setting)
        # In a grid, 0 epochs meets every subset: one base model. Anything else that comes twice is a mistake.
        if candidate.candidate_id in candidates and (sweep.candidates or candidate.epochs):
            raise InputError(f"sweep: the candidate {candidate.candidate_id} is given twice")
        candidates[candidate.candidate_id] = candidate
    for name, attempt in sweep.attempts.items():
        if name not in candidates:
            raise InputError(f"sweep_attempts: {name} is none of the candidates {', '.join(candidates)}")
        if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 1:
            raise InputError(f"sweep_attempts: {name}: the number of a try is 1 or more, got {attempt!r}")
        candidates[name] = dataclasses.replace(candidates[name], attempt=attempt)
    return list(candidates.values())


def make_candidate(epochs, subset, examples, learning_rate, seed) -> Candidate:
    """Returns a checked candidate; its id is made from its setting."""
    epochs, examples, seed = (
        int(v) if isinstance(v, float) and v.is_integer() else v for v in (epochs, examples, seed)
    )
    learning_rate = float(learning_rate) if isinstance(learning_rate, int) else learning_rate
    for name, value, least in (("epochs", epochs, 0), ("examples", examples, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"sweep: {name} must be a whole number of at least {least}, got {value!r}")
    if not isinstance(learning_rate, float) or not 0 < learning_rate < 1:
        raise InputError(f"sweep: learning_rate must lie between 0 and 1, got {learning_rate!r}")
    if subset not in SUBSETS:
        raise InputError(f"sweep: subset must be one of {', '.join(SUBSETS)}, got {subset!r}")
    if epochs == 0:
        return Candidate(f"no-sft-s{seed}", 0, "random", 1, 1e-6, seed)
    identity = f"{subset}-{examples}x{epochs}-lr{learning_rate:g}-s{seed}"
    return Candidate(identity, epochs, subset, examples, learning_rate, seed)


def estimate_cost(
    experiment: SimpleNamespace, candidates: list[Candidate], parameters: float, lengths: Lengths
) -> dict[str, dict[str, float]]:
    """Estimates tokens and core-seconds of each stage, for the mean candidate.

    Training costs 6 and sampling 2 floating-point operations a parameter and token. Completions are assumed to be as long
    as the SFT solutions. A first guess: the live view corrects it with what it measures.
    """
    curate = experiment.curate
    prompt, completion = lengths.prompt, lengths.completion
    trained = sum(c.epochs * c.examples for c in candidates) / len(candidates)
    rollouts = experiment.rl.steps * experiment.rl.prompts_per_step * experiment.rl.samples_per_prompt
    sampled = experiment.predictors.count_samples(curate.predictor_problems) + curate.predictor_problems
    suite = find_benchmarks(list_benchmarks(curate), curate.sources, get_mirror(curate.mirror))
    problems = sum(min(curate.benchmark_problems, source.most_rows) for source in suite)
    scored = problems * (experiment.benchmark.samples + 1)
    # Tokens, operations a parameter and token, and seconds a token that a model of no size would take (laptop recipe).
    work = {
        "sft": (trained * (prompt + completion), 6, 1.5e-4),
        "predictors": (sampled * completion + curate.heldout_problems * (prompt + completion), 2, 8e-5),
        "rl": (rollouts * (prompt + completion), 10, 2.2e-4),
        "benchmark": (scored * completion, 2, 8e-5),
    }
    return {
        stage: {"tokens": round(tokens), "seconds": 1 + tokens * (operations * parameters / FLOPS + overhead)}
        for stage, (tokens, operations, overhead) in work.items()
    }


def count_lengths(experiment: SimpleNamespace, base: BaseModel, rows: list[dict]) -> Lengths:
    """Returns the lengths of some SFT rows; where none could be read, the most that the settings allow.

    By the model's tokenizer where it is on this machine, else by 4 characters a token.
    """
    most, limit = experiment.sampling.max_tokens, experiment.curate.max_tokens
    if not rows:
        return Lengths(PROMPT_UNSEEN, most, PROMPT_UNSEEN + (limit or most), PROMPT_UNSEEN)
    source = Path(locate(base)["pretrained_model_name_or_path"]) / "tokenizer.json"
    prompts = [INSTRUCTIONS[row["format"]].format(question=row["question"]) for row in rows]
    solutions = [row["solution"] for row in rows]
    if source.exists():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(source))
        asked, solved = ([len(e) for e in tokenizer.encode_batch(texts)] for texts in (prompts, solutions))
    else:
        asked, solved = ([len(text) / 4 for text in texts] for texts in (prompts, solutions))
    longest = max(a + min(s, limit or s) for a, s in zip(asked, solved, strict=True))
    return Lengths(sum(asked) / len(rows), min(sum(solved) / len(rows), most), longest, max(asked))


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
