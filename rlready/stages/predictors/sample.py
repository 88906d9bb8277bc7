"""The samples that Pass@k rests on: a fixed number of every problem, or as many as the gate's threshold needs."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from rlready.config import Gate, Predictors, Sampling
from rlready.evaluation.parts import ask, ask_part, report
from rlready.evaluation.samples import RIGHT, read_rows
from rlready.evaluation.score import STRANGER_SAMPLES, count_false_positives, estimate_false_positives
from rlready.evaluation.suite import list_groups
from rlready.evaluation.tally import count_samples, read_texts
from rlready.records.outcome import Candidate, SampleStatistics, SequenceRecord
from rlready.runtime.events import Progress
from rlready.sampling.engine import Draw, Engine
from rlready.stats.intervals import estimate_interval
from rlready.stats.pass_at_k import correct_curve, estimate_curve
from rlready.stats.sequential import run_sequential
from rlready.verifier import count_checks, measure_disagreement, measure_trouble

SIDE_BY_SIDE = 16  # problems of the sequential test in one batch; more would be drawn for nothing when it stops


@dataclass(frozen=True)
class Asked:
    """What is asked, of whom, and where the samples are while they are drawn.

    Attributes:
        candidate: Whose checkpoint.
        settings: How many samples, fixed or sequential.
        sampling: Longest completion, stop strings and seed.
        gate: k and threshold of the sequential test; not used by fixed sampling.
        engine: What draws.
        problems: Rows of the predictors' problems.
        folder: Of the parts.
    """

    candidate: Candidate
    settings: Predictors
    sampling: Sampling
    gate: Gate | None
    engine: Engine
    problems: list[dict]
    folder: Path

    def draw(self, samples: int) -> Draw:
        """Returns how to draw so many samples, with random numbers that no other candidate has."""
        return Draw.at_random(self.sampling, samples, self.candidate.candidate_id)


def sample_fixed(asked: Asked) -> tuple[dict, list[Path]]:
    """Draws one greedy answer and n samples of every problem.

    Returns:
        The fields of the record that rest on them, and the parts.
    """
    samples, problems = asked.settings.samples, asked.problems
    draws = [Draw.greedily(asked.sampling), asked.draw(samples)]
    greedily, sampled = ask(asked.engine, problems, draws, asked.folder, report("predictors", asked.candidate))
    greedy, scored = count_samples(greedily, 1), count_samples(sampled, samples)
    correct = scored.correct
    curves = estimate_curve(correct, samples)
    ks = [k for k in range(1, samples + 1) if k & (k - 1) == 0 or k == samples]
    means, groups = curves.mean(axis=0).tolist(), list_groups(problems)
    texts = read_texts(sampled, samples, STRANGER_SAMPLES)
    false_positives = estimate_false_positives(count_false_positives(texts, problems))
    rate = false_positives.rate
    corrected = None if rate is None else correct_curve(correct, samples, rate).tolist()
    fields = {
        "samples": samples,
        "correct": correct,
        "curve": [[k, means[k - 1]] for k in ks],
        "intervals": {str(k): list(estimate_interval(curves[:, k - 1], groups=groups)) for k in ks},
        "corrected": [[k, corrected[k - 1]] for k in ks if corrected],
        "false_positives": false_positives,
        "by_products": SampleStatistics(**scored.summarize()),
        "greedy_pass_at_1": sum(greedy.correct) / len(problems),
        "tokens": greedy.tokens + scored.tokens,
    }
    return fields, greedily + sampled


def sample_sequentially(asked: Asked) -> tuple[dict, list[Path]]:
    """Samples until Pass@k is known to lie above or below the gate's threshold, besides one greedy answer of every problem.

    Every draw of a problem gets samples of its own, numbered by the draw, so no sample counts twice. What is kept is not drawn
    again: its verdicts are read, so that the test takes the course that it would have taken.

    Returns:
        The fields of the record that rest on them, and the parts.
    """
    problems, gate = asked.problems, asked.gate
    (first,) = ask(asked.engine, problems, [Draw.greedily(asked.sampling)], asked.folder, lambda reached: None)
    budget, sampled, done, tokens = asked.settings.count_samples(len(problems)), [], 0, 0
    progress = Progress("predictors", asked.candidate.candidate_id, budget)

    def attempt(draws: list[tuple[int, int]], numbers: range) -> list[list[bool]]:
        nonlocal done, tokens
        part = asked.folder / f"draw-{draws[0][0]}-{numbers.start}.parquet"
        if not part.exists():
            some, told = [problems[index] for _, index in draws], [number for number, _ in draws]
            keys = [f"draw {n} from {numbers.start}: {row['problem_id']}" for n, row in zip(told, some, strict=True)]
            ask_part(part, asked.engine, some, asked.draw(len(numbers)), keys=keys, draws=told, first=numbers.start)
        sampled.append(part)
        rows = list(read_rows([part], ["verdict", "tokens"]))
        done, tokens = done + len(rows), tokens + sum(row["tokens"] for row in rows)
        progress.update(min(done, budget - 1), tokens)
        right = [RIGHT[row["verdict"]] is True for row in rows]
        return [right[at : at + len(numbers)] for at in range(0, len(right), len(numbers))]

    result = run_sequential(
        attempt,
        problems=len(problems),
        k=gate.k,
        threshold=gate.min_pass_at_k,
        alpha=asked.settings.sequential_alpha,
        budget=budget,
        seed=asked.sampling.seed,
        batch=SIDE_BY_SIDE,
    )
    progress.update(budget, tokens)
    greedy, scored = count_samples(first, 1), count_samples(sampled, 1)
    seen = dataclasses.asdict(result)
    low, high = seen.pop("interval")
    fields = {
        "sequence": SequenceRecord(gate.k, low, high, gate.min_pass_at_k, **seen),
        # Nothing else: samples are drawn until one is right, so what they show is not that of all samples.
        "by_products": SampleStatistics(
            verifier_checks=count_checks(scored.flat),
            verifier_disagreement=measure_disagreement(scored.flat),
            **measure_trouble(scored.flat),
        ),
        "greedy_pass_at_1": sum(greedy.correct) / len(problems),
        "tokens": greedy.tokens + tokens,
    }
    return fields, first + sampled
