"""Tokens and core-seconds of a candidate, estimated from the settings and the first rows of the data."""

from dataclasses import dataclass, field

from rlready.config import Experiment, Sampling
from rlready.data.registry import Use, find_benchmarks, get_mirror, list_benchmarks
from rlready.errors import InputError
from rlready.models.load import get_folder, read_tokenizer
from rlready.models.prompts import choose_prompt, fill_prompt
from rlready.records.candidate import BaseModel, Candidate
from rlready.sampling.engine import FILL_CPU
from rlready.stages.plan.checkpoints import FoundModel
from rlready.stages.plan.gpu_cost import Lengths
from rlready.verifier import find_format

# Of one CPU core, in float32, measured with SmolLM2-135M and the list machine: operations per second in training and in
# sampling, bytes of weights per second, and seconds that Python takes for a layer; a sampling step reads all weights once and
# calls each layer once, whatever its batch. On a GPU the estimate is an upper bound.
TRAINING, SAMPLING, READING, CALLING = 4e10, 2.5e10, 6e9, 1.2e-3
PARAMETERS, LAYERS = 1e9, 24  # of a model whose shape is unknown
PROMPT_UNSEEN = 256  # tokens of a prompt, if none can be read


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


def describe_cut_off(sampling: Sampling, tokens: Tokens, rows: list[dict]) -> list[str]:
    """Returns lines on SFT solutions that sampling would end before their answer, if they are most of those read."""
    lines = []
    solved = tokens.solutions if tokens.exact else []
    if solved and 2 * (longer := sum(length > sampling.max_tokens for length in solved)) > len(rows):
        what = f"{longer} of the first {len(rows)} SFT solutions have more tokens than sampling_max_tokens"
        lines += [f"{what} ({sampling.max_tokens}; they have up to {max(solved):.0f}), so samples like them would be truncated"]
    for text in sampling.stop:
        heads = [(row, row["solution"].partition(text)) for row in rows]
        lost = sum(bool(stop) and find_format(row["format"]).extract(head) is None for row, (head, stop, _) in heads)
        if 2 * lost > len(rows):
            what = f"sampling_stop: {text!r} is before the answer in {lost} of the first {len(rows)} SFT solutions"
            lines += [f"{what}, so samples like them would end without one"]
    return lines
