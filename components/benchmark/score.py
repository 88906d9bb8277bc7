"""Pass@1 of a model on the evaluation problems, of one benchmark or of several."""

import time
from pathlib import Path

import pyarrow.parquet as pq

from rlready.components.config import Sampling
from rlready.components.core.devices import describe_device
from rlready.components.core.events import Progress
from rlready.components.core.records import BenchmarkRecord, Candidate
from rlready.components.core.sampling import Draw, open_engine
from rlready.components.core.scoring import score_problems
from rlready.components.core.suite import BenchmarkScore, average, score_benchmark


def score(candidate: Candidate, samples: int, sampling: Sampling, data: Path, model: str) -> BenchmarkRecord:
    """Scores a model at temperature 1, averaged over samples, and greedily.

    Args:
        candidate: Whose model.
        samples: Samples a problem at temperature 1.
        sampling: Engine, longest completion, stop strings and seed.
        data: Folder that curate wrote; its benchmark problems are used.
        model: Model folder.

    Returns:
        The record; its standard error is clustered by problem.
    """
    begun = time.time()
    problems = pq.read_table(data / "benchmark.parquet").to_pylist()
    progress = Progress("benchmark", candidate.candidate_id, samples * len(problems))
    draw = Draw(samples, sampling.max_tokens, seed=sampling.seed, stop=sampling.stop)
    with open_engine(model, sampling) as engine:
        scored = score_problems(engine, problems, draw, progress.update)
        greedy = score_problems(engine, problems, Draw(1, sampling.max_tokens, temperature=0, stop=sampling.stop))
    scores = _score_each(problems, samples, scored.correct, greedy.correct)
    mean = average(scores)
    return BenchmarkRecord(
        pass_at_1=mean.pass_at_1,
        standard_error=mean.standard_error,
        interval=mean.interval,
        greedy_pass_at_1=sum(s.greedy for s in scores) / len(scores),
        chance=sum(s.chance for s in scores) / len(scores),
        benchmarks=[[s.benchmark, s.problems, s.pass_at_1, s.standard_error, s.greedy] for s in scores if s.benchmark],
        problems=len(problems),
        samples=samples,
        tokens=scored.tokens + greedy.tokens,
        engine=engine.name,
        seconds=time.time() - begun,
        **describe_device(),
    )


def _score_each(problems: list[dict], samples: int, correct: list[int], greedy: list[int]) -> list[BenchmarkScore]:
    """Returns the score of each benchmark, in the order of the problems; a single one has no name."""
    rows: dict[str, list[int]] = {}
    for number, problem in enumerate(problems):
        rows.setdefault(problem.get("benchmark", ""), []).append(number)
    return [
        score_benchmark(
            name,
            [problems[n] for n in numbers],
            samples,
            [correct[n] for n in numbers],
            [greedy[n] for n in numbers],
        )
        for name, numbers in rows.items()
    ]
