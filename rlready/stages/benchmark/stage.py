"""The benchmark stage: Pass@1 of one model on the evaluation problems, of one benchmark or of several."""

import dataclasses
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from rlready.config import Samples, Sampling, read_settings
from rlready.evaluation.parts import open_parts, report_progress, sample_problems
from rlready.evaluation.samples import FILE, keep_samples
from rlready.evaluation.suite import average, list_groups, score_suite
from rlready.evaluation.tally import count_samples, share_unknown
from rlready.models.load import write_pointer
from rlready.records.candidate import BaseModel, Candidate
from rlready.records.outcome import BenchmarkRecord, Outcome
from rlready.records.serialization import from_json, read_record, write_atomically, write_record
from rlready.runtime.devices import describe_device
from rlready.sampling.choose import open_engine
from rlready.sampling.engine import Draw
from rlready.tracking.log import log_outcome, log_samples

FIGURES = ("pass_at_1", "standard_error", "greedy_pass_at_1", "chance")


def run(
    candidate: str,
    settings: str,
    data: str,
    samples: str,
    samples_uri: str,
    outcome: str,
    model: str | None = None,
    before: str | None = None,
) -> dict[str, float | None]:
    """Scores one model, by default the base model before RL, writes samples and outcome, and returns its headline figures."""
    chosen, given = from_json(Candidate, candidate), read_settings(settings)
    so_far = read_record(Outcome, before) if before else Outcome(chosen)
    if not given.benchmark.samples:  # without RL there is nothing to compare with the base model
        write_record(so_far, outcome)
        write_atomically(Path(samples) / "none.json", '{"samples": 0}')  # KFP treats a missing output as lost
        return {}
    with tempfile.TemporaryDirectory() as folder:
        if not model:
            write_pointer(folder, BaseModel(**given.base_model))
        count, out = given.benchmark.samples, Path(samples)
        scored = score(chosen, count, given.sampling, given.samples, Path(data), model or folder, out)
    links = so_far.links | {"benchmark_samples": samples_uri}
    reached = dataclasses.replace(so_far, benchmark=scored, links=links)
    write_record(reached, outcome)
    if before:
        log_outcome(reached)
    log_samples(chosen, "benchmark", out / FILE, baseline=not before)
    return {name: getattr(scored, name) for name in FIGURES}


def score(
    candidate: Candidate, count: int, sampling: Sampling, samples: Samples, data: Path, model: str, out: Path
) -> BenchmarkRecord:
    """Scores a model on the benchmark problems of curated data, greedily and at temperature 1 (`count` samples per problem).

    What `samples` keeps of the completions is written to the folder `out`.
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
    return BenchmarkRecord(
        **dataclasses.asdict(average(scores)),
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
