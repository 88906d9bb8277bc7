"""The samples for Pass@k: a fixed number per problem, or as many as the gate's threshold needs."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from rlready.config import Gate, Predictors, Sampling
from rlready.evaluation.parts import SetsProgress, count_completions, sample_part, sample_problems
from rlready.evaluation.samples import RIGHT, read_rows
from rlready.evaluation.score import CONTROL_SAMPLES, count_false_positives, estimate_false_positives
from rlready.evaluation.suite import record_pass_at_k
from rlready.evaluation.tally import count_samples, read_texts
from rlready.records.candidate import Candidate
from rlready.records.outcome import PredictorsRecord, SampleStatistics, SequenceRecord
from rlready.runtime.events import Progress
from rlready.sampling.engine import Draw, Engine
from rlready.stats.pass_at_k import correct_curve
from rlready.stats.sequential import run_sequential

SIDE_BY_SIDE = 16  # problems of the sequential test in one batch; with more, more samples are wasted when it stops


@dataclass(frozen=True)
class SamplingJob:
    """The arguments of `measure` that sampling needs, with an open engine, the problems and the folder of the parts."""

    candidate: Candidate
    settings: Predictors
    sampling: Sampling
    gate: Gate
    engine: Engine
    problems: list[dict]
    folder: Path

    def draw(self, samples: int) -> Draw:
        """Returns how to draw this many samples, with the candidate's own random numbers."""
        return Draw.at_random(self.sampling, samples, self.candidate.candidate_id)


def sample_fixed(job: SamplingJob) -> tuple[PredictorsRecord, list[Path]]:
    """Draws one greedy answer and n samples of every problem; returns the fields computed from them, and the parts."""
    samples, problems = job.settings.samples, job.problems
    draws = [Draw.greedily(job.sampling), job.draw(samples)]
    report = SetsProgress("predictors", job.candidate, count_completions(problems, draws))
    greedily, sampled = sample_problems(job.engine, problems, draws, job.folder, report)
    greedy, scored = count_samples(greedily, 1), count_samples(sampled, samples)
    record = record_pass_at_k(
        problems,
        samples,
        scored.correct,
        by_products=scored.summarize(),
        greedy_pass_at_1=sum(greedy.correct) / len(problems),
        tokens=greedy.tokens + scored.tokens,
    )
    texts = read_texts(sampled, samples, CONTROL_SAMPLES)
    found = estimate_false_positives(count_false_positives(texts, problems), record.groups)
    whole = correct_curve(record.correct, samples, found.rate)
    corrected = [] if whole is None else [[k, float(whole[int(k) - 1])] for k, _ in record.curve]
    return dataclasses.replace(record, corrected=corrected, false_positives=found), greedily + sampled


def sample_sequentially(job: SamplingJob) -> tuple[PredictorsRecord, list[Path]]:
    """Samples until Pass@k is known to lie above or below the gate's threshold, plus one greedy answer of every problem.

    Every draw of a problem gets samples of its own, numbered by the draw, so no sample counts twice. Existing parts are read
    instead of drawn again, so a resumed test takes the same course. Returns as `sample_fixed` does.
    """
    problems, k, threshold = job.problems, job.gate.k, job.gate.min_pass_at_k
    (first,) = sample_problems(job.engine, problems, [Draw.greedily(job.sampling)], job.folder, lambda progress: None)
    budget, done, tokens = job.settings.count_samples(len(problems)), 0, 0
    sampled: list[Path] = []
    progress = Progress("predictors", job.candidate.candidate_id, budget)

    def attempt(draws: list[tuple[int, int]], numbers: range) -> list[list[bool]]:
        nonlocal done, tokens
        part = job.folder / f"draw-{draws[0][0]}-{numbers.start}.parquet"
        if not part.exists():
            rows, drawn = [problems[index] for _, index in draws], [number for number, _ in draws]
            keys = [f"draw {n} from {numbers.start}: {row['problem_id']}" for n, row in zip(drawn, rows, strict=True)]
            sample_part(part, job.engine, rows, job.draw(len(numbers)), keys=keys, draws=drawn, first=numbers.start)
        sampled.append(part)
        rows = list(read_rows([part], ["verdict", "tokens"]))
        done, tokens = done + len(rows), tokens + sum(row["tokens"] for row in rows)
        progress.update(min(done, budget - 1), tokens)
        right = [RIGHT[row["verdict"]] is True for row in rows]
        return [right[at : at + len(numbers)] for at in range(0, len(right), len(numbers))]

    result = run_sequential(
        attempt,
        problems=len(problems),
        k=k,
        threshold=threshold,
        alpha=job.settings.sequential_alpha,
        budget=budget,
        seed=job.sampling.seed,
        batch=SIDE_BY_SIDE,
    )
    progress.update(budget, tokens)
    greedy, statistics = count_samples(first, 1), count_samples(sampled, 1).summarize()
    seen = dataclasses.asdict(result)
    low, high = seen.pop("interval")
    record = PredictorsRecord(
        sequence=SequenceRecord(k, low, high, threshold, **seen),
        # Only the verifier's: sampling stops at the first right sample, so the others would be biased.
        by_products=SampleStatistics(**{name: v for name, v in vars(statistics).items() if name.startswith("verifier_")}),
        greedy_pass_at_1=sum(greedy.correct) / len(problems),
        tokens=greedy.tokens + tokens,
    )
    return record, first + sampled
