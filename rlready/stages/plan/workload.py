"""Tokens and core-seconds of a candidate, estimated from the first rows of the data, and recipes that they size."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rlready.config import Experiment, Sampling, parse_parameters
from rlready.data.registry import BUILTIN, Use, find_benchmarks, get_mirror, list_benchmarks
from rlready.errors import InputError
from rlready.models.architecture import Shape
from rlready.models.load import get_folder, read_tokenizer
from rlready.models.prompts import choose_prompt, fill_prompt
from rlready.records.candidate import BaseModel, Candidate
from rlready.sampling.engine import FILL_CPU
from rlready.stages.plan.checkpoints import FoundModel, measure
from rlready.stages.plan.checks import propose_split
from rlready.stages.plan.needs import Lengths
from rlready.stages.plan.sweep import expand_sweep
from rlready.verifier import find_format

# Of one CPU core, in float32, measured with SmolLM2-135M and the list machine: operations per second in training and in
# sampling, bytes of weights per second, and seconds that Python takes for a layer; a sampling step reads all weights once and
# calls each layer once, whatever its batch. On a GPU the estimate is an upper bound.
TRAINING, SAMPLING, READING, CALLING = 4e10, 2.5e10, 6e9, 1.2e-3
PARAMETERS, LAYERS = 1e9, 24  # of a model whose shape is unknown
PROMPT_UNSEEN = 256  # tokens of a prompt, if none can be read
MINUTES = 18  # that a run should take
BUSY = 0.75  # share of the cores' time that is busy: candidates end at different times
# Maximum SFT examples, of which the largest that fits the time is taken; the evaluation sets shrink with them.
MOST_EXAMPLES = (1024, 512, 256, 128, 64, 32, 16)
LEAST_MEASURED = 12  # problems, if the data has as many: with fewer, every difference is noise
# How much is sampled and trained, of which the first that fits the time is taken: samples per problem for Pass@k, RL steps,
# prompts per step, completions per prompt, samples per problem of the benchmark. The last ones are for the fewest examples.
LEVELS = ((64, 40, 8, 8, 8), (32, 20, 8, 8, 8), (32, 10, 4, 8, 4), (16, 6, 4, 8, 4), (16, 3, 4, 8, 4))
LAST_LEVELS = ((16, 3, 2, 8, 4), (8, 3, 2, 4, 2), (8, 2, 2, 4, 2), (4, 2, 2, 4, 2), (4, 2, 2, 4, 1))
ENOUGH = {"training": 100_000, "evaluation": 640}  # problems at which counting ends
SPARE = 1.25  # sampling_max_tokens, by the length of 95% of the solutions


@dataclass(frozen=True)
class Tokens:
    """Numbers of tokens of the rows that were looked at."""

    prompts: dict[Use, list[float]] = field(default_factory=dict)
    solutions: list[float] = field(default_factory=list)  # of the SFT rows
    exact: bool = False  # counted by the tokenizer; otherwise guessed from the characters

    @property
    def longest_prompt(self) -> float:
        """Tokens of the longest prompt, 0 without rows."""
        return max((length for lengths in self.prompts.values() for length in lengths), default=0)


def estimate_cost(
    experiment: Experiment, candidates: list[Candidate], model: FoundModel | None, lengths: Lengths
) -> dict[str, dict[str, float]]:
    """Estimates tokens and core-seconds of each stage that runs for candidates, for the mean candidate.

    A token costs 6 floating-point operations per parameter in training, and 2 if it is only read or sampled. The progress table
    corrects this first estimate with measurements.
    """
    curate = experiment.curate
    parameters = (model and model.parameters) or PARAMETERS
    layers = model.shape.layers if model and model.shape else LAYERS
    prompt, completion = lengths.prompt, lengths.completion
    most = experiment.sampling.max_tokens
    sample = lengths.guess_sample(most)
    sampled = sum(c.log is None for c in candidates) / len(candidates)  # the share of those that no log has measured
    trained = sum(c.epochs * c.examples for c in candidates if not c.is_midway) / len(candidates)
    rollouts = experiment.rl.steps * experiment.rl.batch_size
    drawn = experiment.predictors.count_samples(curate.predictor_problems)
    names = list_benchmarks(curate)
    suite = find_benchmarks(names, curate.sources, get_mirror(curate.mirror)) if names else []
    problems = sum(min(curate.benchmark_problems, source.most_rows) for source in suite)
    repeated = problems * experiment.benchmark.samples
    examples = trained * (prompt + completion)
    heldout, rolled = sampled * curate.heldout_problems * (prompt + completion), rollouts * (prompt + sample)
    validated = experiment.validation_samples
    # Of the checkpoint before RL too; the base model, which has no RL, is scored once.
    covered = curate.predictor_problems * experiment.benchmark.coverage_samples
    asked, tested = sampled * (drawn + curate.predictor_problems) * sample, (2 * (repeated + problems) + covered) * sample
    read = sampled * most * _count_parts(curate.predictor_problems, drawn)
    # Total tokens; operations per parameter outside of sampling; tokens sampled, and in how many steps; overhead in seconds per
    # token (list machine).
    work: dict[str, tuple[float, float, float, float, float]] = {
        "sft": (examples, 6 * examples, 0, 0, 6e-5),
        "predictors": (heldout + asked, 2 * heldout, asked, read, 4e-5),
    }
    if experiment.rl.steps:
        steps = most * (experiment.rl.steps + _count_parts(validated))
        work["rl"] = (rolled + validated * sample, 6 * rolled, (rollouts + validated) * sample, steps, 1e-5)
        batches = 2 * _count_parts(problems, repeated) + _count_parts(covered)
        work["benchmark"] = (tested, 0, tested, most * batches, 4e-5)
    estimate = {}
    for stage, (tokens, operations, written, steps, overhead) in work.items():
        seconds = parameters * (operations / TRAINING + 2 * written / SAMPLING) + tokens * overhead
        # Elsewhere the batches of a small model grow until that does not matter.
        seconds += steps * max(4 * parameters / READING, layers * CALLING if stage == "rl" else 0)
        estimate[stage] = {"tokens": round(tokens), "seconds": 1 + seconds}
    return estimate


def estimate_total(estimate: dict[str, dict[str, float]], candidates: int, with_base: bool) -> float:
    """Returns core-seconds of this many candidates, with RL for all if there is RL, and of the base model."""
    seconds = {stage: entry["seconds"] for stage, entry in estimate.items()}
    base = sum(seconds.get(stage, 0) for stage in ("predictors", "benchmark")) if with_base else 0
    return candidates * sum(seconds.values()) + base


def _count_parts(*completions: float) -> float:
    """Returns the number of batches in which a CPU samples these numbers of completions."""
    return sum(-(-count // FILL_CPU) for count in completions)


def count_tokens(base: BaseModel, samples: dict[Use, list[dict]]) -> Tokens:
    """Counts the tokens of all rows but those to decontaminate; 4 characters each if the tokenizer is not on this machine."""
    path = get_folder(base) / "tokenizer.json"
    exact = path.exists()
    if exact:
        tokenizer = read_tokenizer(path)

    def count(texts: list[str]) -> list[float]:
        return list(map(len, tokenizer.encode_batch(texts))) if exact else [len(text) / 4 for text in texts]

    read = {use: rows for use, rows in samples.items() if use[0] != "decontaminate"}
    prompts = {use: count([fill_prompt(row["question"], choose_prompt(row)) for row in rows]) for use, rows in read.items()}
    return Tokens(prompts, count([row["solution"] for row in samples.get("sft", [])]), exact)


def summarize_lengths(experiment: Experiment, tokens: Tokens) -> Lengths:
    """Returns the lengths of the SFT rows under the limits of the settings; without rows, the maxima of the settings.

    Raises InputError if curate_min_tokens or curate_max_tokens leaves out all these rows.
    """
    curate, most, limit = experiment.curate, experiment.sampling.max_tokens, experiment.curate.max_tokens
    solved = tokens.solutions
    if not solved:
        return Lengths(PROMPT_UNSEEN, most, PROMPT_UNSEEN + (limit or most), PROMPT_UNSEEN)
    if tokens.exact and not any(curate.min_tokens <= length <= (limit or length) for length in solved):
        raise InputError(
            f"curate_min_tokens, curate_max_tokens: none of the first {len(solved)} SFT traces lies between"
            f" {curate.min_tokens} and {limit or 'any number of'} tokens; they have {min(solved)} to {max(solved)}"
        )
    asked = tokens.prompts["sft"]
    longest = max(a + min(s, limit or s) for a, s in zip(asked, solved, strict=True))
    longest_prompt = max(asked + tokens.prompts.get("rl", []))
    return Lengths(sum(asked) / len(asked), min(sum(solved) / len(solved), most), longest, longest_prompt)


def find_truncated(sampling: Sampling, tokens: Tokens, rows: list[dict]) -> Iterator[str]:
    """Yields lines on SFT solutions that sampling would end before their answer, if they are most of those read."""
    solved = tokens.solutions if tokens.exact else []
    if solved and 2 * (longer := sum(length > sampling.max_tokens for length in solved)) > len(rows):
        what = f"{longer} of the first {len(rows)} SFT solutions have more tokens than sampling_max_tokens"
        yield f"{what} ({sampling.max_tokens}; they have up to {max(solved):.0f}), so samples like them would be truncated"
    for text in sampling.stop:
        heads = [(row, row["solution"].partition(text)) for row in rows]
        lost = sum(bool(stop) and find_format(row["format"]).extract(head) is None for row, (head, stop, _) in heads)
        if 2 * lost > len(rows):
            what = f"sampling_stop: {text!r} is before the answer in {lost} of the first {len(rows)} SFT solutions"
            yield f"{what}, so samples like them would end without one"


@dataclass(frozen=True)
class Value:
    """A parameter of a proposed recipe, and why it has this value."""

    name: str
    value: Any
    why: str


def propose_values(base: BaseModel, rows: list[dict], training: int, evaluation: int) -> tuple[list[Value], float]:
    """Returns values for everything that depends on the data, the model and this machine, and the estimated minutes of a run.

    `rows` are some SFT rows; `training` and `evaluation` numbers of problems. Raises InputError if there are too few to split.
    """
    model = measure(base)
    parameters = model.parameters or PARAMETERS
    whole = propose_split("sft", training) | propose_split("evaluation", evaluation)
    tokens = count_tokens(base, {"sft": rows})
    longest = sorted(tokens.solutions)[int(0.95 * (len(rows) - 1))]
    most = max(32, 32 * -(-int(SPARE * longest) // 32))
    rate = 1e-3 if parameters < 5e7 else 5e-5 if parameters < 1e9 else 2e-5
    fixed = [
        Value("sweep_epochs", [1, 4], "the question: does more SFT help RL, or over-train the model?"),
        Value("sweep_learning_rates", [rate], f"usual for training all weights of {parameters / 1e6:,.0f}M parameters"),
        Value("sampling_max_tokens", most, f"95% of the solutions have at most {longest:.0f} tokens; 25% more truncates few"),
        Value("rl_learning_rate", 5e-6, "larger than the default, because there are few steps"),
    ]
    for cap in MOST_EXAMPLES:
        caps = {"sweep_examples": cap, "curate_heldout_problems": max(4, cap // 4), "curate_rl_problems": max(8, cap)}
        caps["curate_predictor_problems"] = max(LEAST_MEASURED, cap // 8)
        caps["curate_benchmark_problems"] = max(LEAST_MEASURED, cap // 2)
        split = {name: min(number, caps[name]) for name, number in whole.items()}
        for level in LEVELS + LAST_LEVELS if cap == min(MOST_EXAMPLES) else LEVELS:
            values = [*_describe_split(split, training, evaluation), *fixed, *_size(level, split)]
            values += [*_fit_memory(values, model.shape, most + tokens.longest_prompt)]
            minutes = _estimate({value.name: value.value for value in values}, model, tokens)
            if minutes <= MINUTES:
                return values, minutes
    return values, minutes


def show_problems(use: str, count: int) -> str:
    """Returns the number of training or evaluation problems in words."""
    return f"{'at least ' if count >= ENOUGH[use] else ''}{count} {use} problems"


def _describe_split(split: dict[str, int], training: int, evaluation: int) -> list[Value]:
    why = {
        "curate_heldout_problems": f"of {show_problems('training', training)}, for the held-out loss",
        "curate_rl_problems": f"of {show_problems('training', training)}, which SFT does not see",
        "sweep_examples": "of the training problems that are left",
        "curate_predictor_problems": f"of {show_problems('evaluation', evaluation)}, for Pass@k before RL",
        "curate_benchmark_problems": "of the other evaluation problems, for the score after RL",
    }
    values = [Value(name, [split[name]] if "sweep" in name else split[name], text) for name, text in why.items()]
    examples = split["sweep_examples"]
    return [*values, Value("sft_batch_size", _halve_to(32, examples / 6), f"at least 6 steps per epoch of {examples} examples")]


def _size(level: tuple[int, ...], split: dict[str, int]) -> list[Value]:
    samples, steps, prompts, generations, scored = level
    asked, whole = split["curate_predictor_problems"], split["curate_rl_problems"]
    problems = whole - parse_parameters({"curate_rl_problems": whole}).curate.validated
    prompts = _halve_to(prompts, problems)
    noise = round(min(0.5, 1 / asked**0.5), 2)
    return [
        Value("predictors_samples", samples, "samples per problem for Pass@k"),
        Value("gate_k", samples, "the largest k that these samples measure"),
        Value("gate_min_pass_at_k_over_base", -noise, f"within the noise of {asked} problems, so only a real drop rejects"),
        Value("rl_steps", steps, "as many as the time allows"),
        Value("rl_prompts_per_step", prompts, f"{steps} steps see {min(problems, steps * prompts)} of {problems} RL prompts"),
        Value("rl_num_generations", generations, "completions per prompt: the group whose mean reward is the baseline"),
        Value("benchmark_samples", scored, "samples per problem for Pass@1"),
        Value("benchmark_coverage_samples", samples, "samples per problem for Pass@k after RL"),
    ]


def _fit_memory(values: list[Value], shape: Shape | None, tokens: float) -> Iterator[Value]:
    """Yields batch sizes per device, if a whole step of two candidates at a time is too large for half of this memory."""
    given = {value.name: value.value for value in values}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 4
    room = 1.0
    if shape:  # weights, gradients and optimizer take 16 bytes per parameter
        room = (memory - 16 * shape.parameters) / (shape.count_activations(False, autocast=False) * tokens)
    steps = {"sft": given["sft_batch_size"], "rl": given["rl_prompts_per_step"] * given["rl_num_generations"]}
    for name, whole in steps.items():
        if room < whole:
            why = f"so that two candidates train at the same time in this machine's memory; {whole} may be too many"
            yield Value(f"{name}_per_device_batch_size", _halve_to(whole, room), why)


def _halve_to(most: int, limit: float) -> int:
    """Returns the largest of `most`, its half, its quarter... within a limit; at least 1."""
    while most > 1 and most > limit:
        most //= 2
    return most


def _estimate(values: dict, model: FoundModel, tokens: Tokens) -> float:
    """Returns minutes on this machine's cores, with RL for every candidate and the measurement of the base model."""
    # Only the size of the evaluation data matters to the estimate.
    experiment = parse_parameters(values | {"curate_evaluation_data": next(iter(BUILTIN))})
    candidates = expand_sweep(experiment.sweep)
    estimate = estimate_cost(experiment, candidates, model, summarize_lengths(experiment, tokens))
    return estimate_total(estimate, len(candidates), True) / 60 / BUSY / len(os.sched_getaffinity(0))
