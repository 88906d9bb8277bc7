"""Pass@1 of a model on the evaluation problems."""

import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from rlready.components.core.devices import describe_device
from rlready.components.core.events import Progress
from rlready.components.core.pass_at_k import estimate_interval
from rlready.components.core.records import BenchmarkRecord, Candidate
from rlready.components.core.sampling import Draw, open_engine
from rlready.components.core.scoring import score_problems


def score(candidate: Candidate, samples: int, max_tokens: int, seed: int, data: Path, model: str) -> BenchmarkRecord:
    """Scores a model at temperature 1, averaged over samples, and greedily.

    Args:
        candidate: Whose model.
        samples: Samples a problem at temperature 1.
        max_tokens: Longest completion.
        seed: Seeds the samples.
        data: Folder that curate wrote; its benchmark problems are used.
        model: Model folder.

    Returns:
        The record; its standard error is clustered by problem.
    """
    begun = time.time()
    engine = open_engine(model)
    problems = pq.read_table(data / "benchmark.parquet").to_pylist()
    progress = Progress("benchmark", candidate.candidate_id, samples * len(problems))
    scored = score_problems(engine, problems, Draw(samples, max_tokens, seed=seed), progress.update)
    greedy = score_problems(engine, problems, Draw(1, max_tokens, temperature=0))
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
        seconds=time.time() - begun,
        **describe_device(),
    )


def estimate_standard_error(shares: np.ndarray) -> float | None:
    """Returns the standard error of the mean over problems (each problem is a cluster), or None for one problem."""
    return float(shares.std(ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else None
