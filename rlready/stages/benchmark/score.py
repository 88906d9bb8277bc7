"""Pass@1 of a model on the evaluation problems, of one benchmark or of several."""

import time
from pathlib import Path

import pyarrow.parquet as pq

from rlready.config import Samples, Sampling
from rlready.evaluation.kept import keep_samples
from rlready.evaluation.parts import open_parts, report_progress, sample_problems
from rlready.evaluation.suite import average, list_groups, score_suite
from rlready.evaluation.tally import count_samples, share_unknown
from rlready.records.candidate import Candidate
from rlready.records.outcome import BenchmarkRecord
from rlready.runtime.devices import describe_device
from rlready.sampling.choose import open_engine
from rlready.sampling.engine import Draw


def score(
    candidate: Candidate, count: int, sampling: Sampling, samples: Samples, data: Path, model: str, out: Path
) -> BenchmarkRecord:
    """Scores a model at temperature 1, averaged over samples, and greedily.

    Args:
        candidate: Whose model.
        count: Samples per problem at temperature 1.
        sampling: Engine, maximum completion length, stop strings and seed.
        samples: How much of the completions is kept.
        data: Folder that curate wrote; its benchmark problems are used.
        model: Model folder.
        out: Folder for the file of samples.
    """
    begun = time.time()
    problems = pq.read_table(data / "benchmark.parquet").to_pylist()
    draws = [Draw.greedily(sampling), Draw.at_random(sampling, count)]
    with (
        open_engine(model, sampling) as engine,
        open_parts("benchmark", candidate, engine, model, problems, [repr(draws)], out) as (folder, spent),
    ):
        greedily, sampled = sample_problems(engine, problems, draws, folder, report_progress("benchmark", candidate))
        greedy, scored = count_samples(greedily, 1), count_samples(sampled, count)
        kept = keep_samples(greedily + sampled, out, samples.text_mb)
    scores = score_suite(problems, count, scored.correct, greedy.correct, share_unknown(greedy, scored))
    mean = average(scores)
    return BenchmarkRecord(
        pass_at_1=mean.pass_at_1,
        standard_error=mean.standard_error,
        interval=mean.interval,
        greedy_pass_at_1=sum(s.greedy for s in scores) / len(scores),
        chance=sum(s.chance for s in scores) / len(scores),
        benchmarks=[[s.benchmark, s.problems, s.pass_at_1, s.standard_error, s.greedy] for s in scores if s.benchmark],
        problems=len(problems),
        samples=count,
        tokens=scored.tokens + greedy.tokens,
        truncated=scored.truncated,
        unreadable=scored.unreadable,
        unknown=sum(s.unknown for s in scores) / len(scores),
        engine=engine.identity,
        seconds=time.time() - begun + spent,
        kept=kept,
        problem_ids=[row["problem_id"] for row in problems],
        correct=scored.correct,
        greedy_correct=greedy.correct,
        groups=list_groups(problems),
        **describe_device(),
    )
