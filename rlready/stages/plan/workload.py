"""Tokens and core-seconds of a candidate, estimated from the settings and the first rows of the data."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from rlready.config import Experiment, Sampling
from rlready.data.registry import find_benchmarks, get_mirror, list_benchmarks
from rlready.errors import InputError
from rlready.models.load import locate
from rlready.models.prompts import choose_prompt, fill_prompt
from rlready.records.candidate import BaseModel, Candidate
from rlready.sampling.engine import FILL_CPU
from rlready.stages.plan.gpu_cost import Lengths
from rlready.verifier import find_format

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Of one CPU core, in float32, measured with SmolLM2-135M and the list machine: operations per second in training and in
# sampling, bytes of weights per second, and seconds that Python takes for a layer; a sampling step reads all weights once and
# calls each layer once, whatever its batch. On a GPU the estimate is an upper bound.
TRAINING, SAMPLING, READING, CALLING = 4e10, 2.5e10, 6e9, 1.2e-3
LAYERS = 24  # of a model whose shape is unknown
PROMPT_UNSEEN = 256  # tokens of a prompt, if none can be read


def estimate_cost(
    experiment: Experiment, candidates: list[Candidate], parameters: float, layers: int, lengths: Lengths
) -> dict[str, dict[str, float]]:
    """Estimates tokens and core-seconds of each stage that runs for candidates, for the mean candidate.

    A token costs 6 floating-point operations per parameter in training, and 2 if it is only read or sampled. The progress table
    corrects this first estimate with measurements.
    """
    curate = experiment.curate
    prompt, completion = lengths.prompt, lengths.completion
    most = experiment.sampling.max_tokens
    sample = lengths.guess_sample(most)
    sampled = sum(c.log is None for c in candidates) / len(candidates)  # the share of those that no log has measured
    trained = sum(c.epochs * c.examples for c in candidates if not c.is_midway) / len(candidates)
    rollouts = experiment.rl.steps * experiment.rl.prompts_per_step * experiment.rl.num_generations
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


def count_lengths(experiment: Experiment, base: BaseModel | None, samples: dict) -> Lengths:
    """Returns the lengths of the SFT rows in `samples` by the tokenizer of `base`; without rows, the maxima of the settings.

    Raises InputError if curate_min_tokens or curate_max_tokens leaves out all these rows.
    """
    rows, most, limit = samples.get("sft"), experiment.sampling.max_tokens, experiment.curate.max_tokens
    if not rows or not base:
        return Lengths(PROMPT_UNSEEN, most, PROMPT_UNSEEN + (limit or most), PROMPT_UNSEEN)
    asked, solved = count_tokens(base, rows)
    rolled = find_longest_prompt(base, samples.get("rl", []))
    least = experiment.curate.min_tokens
    if _find_tokenizer(base).exists() and not any(least <= length <= (limit or length) for length in solved):
        raise InputError(
            f"curate_min_tokens, curate_max_tokens: none of the first {len(rows)} SFT traces lies between {least} and"
            f" {limit or 'any number of'} tokens; they have {min(solved)} to {max(solved)}"
        )
    lengths = summarize_lengths(experiment, asked, solved)
    return dataclasses.replace(lengths, longest_prompt=max(lengths.longest_prompt, rolled))


def find_longest_prompt(base: BaseModel, rows: list[dict]) -> float:
    """Returns the tokens of the longest prompt of some rows, 0 if there are none; see `count_tokens`."""
    return max(_count(base, [fill_prompt(row["question"], choose_prompt(row)) for row in rows]), default=0)


def _find_tokenizer(base: BaseModel) -> Path:
    return Path(locate(base)["pretrained_model_name_or_path"]) / "tokenizer.json"


def count_tokens(base: BaseModel, rows: list[dict]) -> tuple[list[float], list[float]]:
    """Returns the tokens of each prompt and solution of SFT rows; 4 characters each if the tokenizer is not on this machine."""
    prompts = [fill_prompt(row["question"], choose_prompt(row)) for row in rows]
    return _count(base, prompts), _count(base, [row["solution"] for row in rows])


def _count(base: BaseModel, texts: list[str]) -> list[float]:
    source = _find_tokenizer(base)
    if not source.exists():
        return [len(text) / 4 for text in texts]
    return [len(encoding) for encoding in _load_tokenizer(source, source.stat().st_mtime_ns).encode_batch(texts)]


@functools.lru_cache(maxsize=1)
def _load_tokenizer(source: Path, written: int) -> "Tokenizer":
    """Loads a tokenizer once for all counts of a plan; a large one takes a second."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(source))


def describe_cut_off(sampling: Sampling, base: BaseModel, rows: list[dict]) -> list[str]:
    """Returns lines on SFT solutions that sampling would end before their answer, if they are most of those read."""
    lines = []
    solved = count_tokens(base, rows)[1] if rows and _find_tokenizer(base).exists() else []
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


def summarize_lengths(experiment: Experiment, asked: list[float], solved: list[float]) -> Lengths:
    """Returns the lengths of prompts and solutions, given their tokens, under the limits of the settings."""
    most, limit = experiment.sampling.max_tokens, experiment.curate.max_tokens
    longest = max(a + min(s, limit or s) for a, s in zip(asked, solved, strict=True))
    return Lengths(sum(asked) / len(asked), min(sum(solved) / len(solved), most), longest, max(asked))
