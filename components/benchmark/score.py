"""Pass@1 of a model on the evaluation problems, of one benchmark or of several."""

import time
from pathlib import Path

import pyarrow.parquet as pq

from rlready.components.config import Sampling
from rlready.components.core.evaluation.score import score_problems
from rlready.components.core.evaluation.suite import average, score_suite
from rlready.components.core.records import BenchmarkRecord, Candidate
from rlready.components.core.runtime.devices import describe_device
from rlready.components.core.runtime.events import Progress
from rlready.components.core.sampling.choose import open_engine
from rlready.components.core.sampling.engine import Draw


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
    with open_engine(model, sampling) as engine:
        scored = score_problems(engine, problems, Draw.at_random(sampling, samples), progress.update)
        greedy = score_problems(engine, problems, Draw.greedily(sampling))
    scores = score_suite(problems, samples, scored.correct, greedy.correct)
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
        truncated=scored.truncated,
        unreadable=scored.unreadable,
        unknown=scored.unknown,
        engine=engine.identity,
        seconds=time.time() - begun,
        **describe_device(),
    )
