"""Generalization loss and the Pass@k curve of one checkpoint."""

import time
from pathlib import Path

import pyarrow.parquet as pq

from rlready.components.core.events import Progress
from rlready.components.core.pass_at_k import bootstrap_interval, estimate_curve
from rlready.components.core.records import Candidate, PredictorsRecord
from rlready.components.core.sampling import Draw, open_engine
from rlready.components.core.scoring import count_correct


def measure(candidate: Candidate, samples: int, max_tokens: int, seed: int, data: Path, model: str) -> PredictorsRecord:
    """Measures what predicts the outcome of RL.

    Args:
        candidate: Whose checkpoint.
        samples: Samples a problem (n), at temperature 1.
        max_tokens: Longest completion.
        seed: Seeds the samples.
        data: Folder that curate wrote; its held-out examples and predictor problems are used.
        model: Model folder.

    Returns:
        The record, with the counts that every figure in it can be computed from again.
    """
    from rlready.components.core.generalization_loss import mean_loss, measure_losses
    from rlready.components.core.prompts import encode_example

    begun = time.time()
    engine = open_engine(model)
    heldout = [encode_example(engine.tokenizer, row) for row in pq.read_table(data / "heldout.parquet").to_pylist()]
    losses = measure_losses(engine.model, heldout, engine.tokenizer.pad_token_id)
    problems = pq.read_table(data / "predictors.parquet").to_pylist()
    greedy, greedy_tokens = count_correct(engine, problems, Draw(1, max_tokens, temperature=0))
    progress = Progress("predictors", candidate.candidate_id, samples * len(problems))
    correct, tokens = count_correct(engine, problems, Draw(samples, max_tokens, seed=seed), progress.update)
    curves = estimate_curve(correct, samples)
    ks = [k for k in range(1, samples + 1) if k & (k - 1) == 0 or k == samples]
    return PredictorsRecord(
        candidate=candidate,
        generalization_loss=mean_loss(losses),
        heldout_tokens=sum(count for _, count in losses),
        samples=samples,
        correct=correct,
        greedy_pass_at_1=sum(greedy) / len(problems),
        curve=[[k, value] for k, value in enumerate(curves.mean(axis=0).tolist(), 1)],
        intervals={str(k): list(bootstrap_interval(curves[:, k - 1])) for k in ks},
        tokens=tokens + greedy_tokens,
        seconds=time.time() - begun,
    )
