"""Pass@1 of a model on the evaluation problems."""

import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from rlready.components.config import Sampling
from rlready.components.core.devices import describe_device
from rlready.components.core.events import Progress
from rlready.components.core.pass_at_k import estimate_interval
from rlready.components.core.records import BenchmarkRecord, Candidate
from rlready.components.core.sampling import Draw, open_engine
from rlready.components.core.scoring import score_problems
from rlready.components.core.suite import estimate_standard_error


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
    shares = np.array(scored.correct) / samples
    return BenchmarkRecord(
        candidate=candidate,
        pass_at_1=float(shares.mean()),
        standard_error=estimate_standard_error(shares),
        interval=list(estimate_interval(shares)),
        greedy_pass_at_1=sum(greedy.correct) / len(problems),
        chance=sum(1 / row["options"] for row in problems if row.get("options")) / len(problems),
        problems=len(problems),
        samples=samples,
        tokens=scored.tokens + greedy.tokens,
        engine=engine.name,
        seconds=time.time() - begun,
        **describe_device(),
    )
