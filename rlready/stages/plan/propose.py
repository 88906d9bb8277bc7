"""Values of a recipe for the user's data and model, sized for the data and this machine's CPUs."""

import os
from dataclasses import dataclass
from typing import Any

from rlready.config import parse_parameters
from rlready.data.registry import BUILTIN
from rlready.models.architecture import Shape
from rlready.records.candidate import BaseModel
from rlready.stages.plan.checkpoints import FoundModel, measure
from rlready.stages.plan.set_sizes import propose_split
from rlready.stages.plan.sweep import expand_sweep
from rlready.stages.plan.workload import PARAMETERS, Tokens, count_tokens, estimate_cost, summarize_lengths

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
        split = _cut(whole, cap)
        for level in LEVELS + LAST_LEVELS * (cap == min(MOST_EXAMPLES)):
            values = [*_describe_split(split, training, evaluation), *fixed, *_size(level, split)]
            values += _fit_memory(values, model.shape, most + tokens.longest_prompt)
            minutes = _estimate({value.name: value.value for value in values}, model, tokens)
            if minutes <= MINUTES:
                return values, minutes
    return values, minutes


def _cut(split: dict[str, int], cap: int) -> dict[str, int]:
    """Returns a split with at most `cap` SFT examples, and the other sets in proportion."""
    most = {"sweep_examples": cap, "curate_heldout_problems": max(4, cap // 4), "curate_rl_problems": max(8, cap)}
    most |= {
        f"curate_{name}_problems": max(LEAST_MEASURED, cap // share) for name, share in (("predictor", 8), ("benchmark", 2))
    }
    return {name: min(number, most[name]) for name, number in split.items()}


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


def _fit_memory(values: list[Value], shape: Shape | None, tokens: float) -> list[Value]:
    """Returns batch sizes per device, if a whole step of two candidates at a time is too large for half of this memory."""
    given = {value.name: value.value for value in values}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 4
    room = 1.0
    if shape:  # weights, gradients and optimizer take 16 bytes per parameter
        room = (memory - 16 * shape.parameters) / (shape.count_activations(False, autocast=False) * tokens)
    steps = {"sft": given["sft_batch_size"], "rl": given["rl_prompts_per_step"] * given["rl_num_generations"]}
    return [
        Value(
            f"{name}_per_device_batch_size",
            _halve_to(whole, room),
            f"so that two candidates train at the same time in this machine's memory; {whole} may be too many",
        )
        for name, whole in steps.items()
        if room < whole
    ]


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
    cost = {stage: entry["seconds"] for stage, entry in estimate.items()}
    total = len(candidates) * sum(cost.values()) + cost["predictors"] + cost["benchmark"]
    return total / 60 / BUSY / len(os.sched_getaffinity(0))
