"""Generalization loss and Pass@k of one checkpoint."""

import dataclasses
import time
from pathlib import Path

import pyarrow.parquet as pq

from rlready.config import Gate, Predictors, Samples, Sampling
from rlready.data.heldout import digest_completions, encode_heldout
from rlready.evaluation.parts import open_parts
from rlready.evaluation.samples import keep_samples
from rlready.evaluation.suite import list_groups
from rlready.records.candidate import Candidate
from rlready.records.outcome import LengthQuarter, PredictorsRecord
from rlready.runtime.devices import describe_device
from rlready.sampling.choose import open_engine
from rlready.sampling.transformers_engine import TransformersEngine
from rlready.stages.predictors.sample import SamplingJob, sample_fixed, sample_sequentially
from rlready.stats.generalization_loss import estimate_loss_interval, mean_loss, measure_losses, split_by_length


def measure(
    candidate: Candidate,
    settings: Predictors,
    sampling: Sampling,
    samples: Samples,
    gate: Gate | None,
    data: Path,
    model: str,
    out: Path,
) -> PredictorsRecord:
    """Measures the predictors of RL's outcome on the held-out examples and predictor problems of curated data.

    The sequential test takes k and threshold from the gate. What `samples` keeps of the completions is written to the folder
    `out`. Returns a record with the counts, or the sequence, that its figures are computed from.
    """
    begun = time.time()
    embedded = TransformersEngine.load(model)
    tokenizer = embedded.tokenizer
    heldout = encode_heldout(data, tokenizer)
    losses = measure_losses(embedded.model, heldout, tokenizer.pad_token_id)
    problems = pq.read_table(data / "predictors.parquet").to_pylist()
    work = [repr(settings), repr(sampling), repr(gate)]
    sample = sample_sequentially if settings.is_sequential else sample_fixed
    with (
        open_engine(model, sampling, embedded) as engine,
        open_parts("predictors", candidate, engine, model, problems, work, out) as (folder, spent),
    ):
        record, parts = sample(SamplingJob(candidate, settings, sampling, gate or Gate(), engine, problems, folder))
        kept = keep_samples(parts, out, samples.text_mb)
    if losses:
        record = dataclasses.replace(
            record,
            generalization_loss=mean_loss(losses),
            loss_interval=list(estimate_loss_interval(losses)),
            loss_by_length=[LengthQuarter(**quarter) for quarter in split_by_length(losses)],  # type: ignore[arg-type]
            losses=[(round(nats, 6), count) for nats, count in losses],
            heldout_digest=digest_completions(heldout),
        )
    return dataclasses.replace(
        record,
        heldout_tokens=sum(count for _, count in losses),
        problems=len(problems),
        groups=list_groups(problems),
        problem_ids=[row["problem_id"] for row in problems],
        engine=engine.identity,
        seconds=time.time() - begun + spent,
        kept=kept,
        **describe_device(),
    )
