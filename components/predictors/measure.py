"""Generalization loss and Pass@k of one checkpoint, with fixed or sequential sampling."""

import dataclasses
import time
from pathlib import Path

import pyarrow.parquet as pq

from rlready.components.config import Gate, Predictors, Sampling
from rlready.components.core.estimators.intervals import estimate_interval
from rlready.components.core.estimators.pass_at_k import correct_curve, estimate_curve
from rlready.components.core.estimators.sequential import run_sequential
from rlready.components.core.evaluation.score import count_false_positives, estimate_false_positives, score_problems
from rlready.components.core.records import (
    Candidate,
    LengthQuarter,
    PredictorsRecord,
    SampleStatistics,
    SequenceRecord,
)
from rlready.components.core.runtime.devices import describe_device
from rlready.components.core.runtime.events import Progress
from rlready.components.core.sampling.choose import open_engine
from rlready.components.core.sampling.engine import Draw
from rlready.components.core.verifier import count_checks, judge, measure_disagreement, measure_trouble

SIDE_BY_SIDE = 16  # problems of the sequential test in one batch; more would be drawn for nothing when it stops


def measure(
    candidate: Candidate, settings: Predictors, sampling: Sampling, gate: Gate | None, data: Path, model: str
) -> PredictorsRecord:
    """Measures what predicts the outcome of RL.

    Args:
        candidate: Whose checkpoint.
        settings: How many samples, fixed or sequential.
        sampling: Engine, longest completion, stop strings and seed.
        gate: k and threshold of the sequential test; not used by fixed sampling.
        data: Folder that curate wrote; its held-out examples and predictor problems are used.
        model: Model folder.

    Returns:
        The record, with the counts or the sequence that every figure in it can be computed from again.
    """
    from rlready.components.core.estimators.generalization_loss import (
        estimate_loss_interval,
        mean_loss,
        measure_losses,
        split_by_length,
    )
    from rlready.components.core.prompts import encode_example
    from rlready.components.core.sampling.transformers_engine import TransformersEngine

    begun = time.time()
    embedded = TransformersEngine.load(model)
    tokenizer = embedded.tokenizer
    heldout = [encode_example(tokenizer, row) for row in pq.read_table(data / "heldout.parquet").to_pylist()]
    losses = measure_losses(embedded.model, heldout, tokenizer.pad_token_id)
    problems = pq.read_table(data / "predictors.parquet").to_pylist()
    with open_engine(model, sampling, embedded) as engine:
        greedy = score_problems(engine, problems, Draw.greedily(sampling))
        if settings.sampling == "sequential":
            sampled = _sample_sequentially(candidate, settings, sampling, gate, engine, problems)
        else:
            sampled = _sample_fixed(candidate, settings, sampling, engine, problems)
    sampled["tokens"] += greedy.tokens
    return PredictorsRecord(
        generalization_loss=mean_loss(losses),
        loss_interval=list(estimate_loss_interval(losses)),
        loss_by_length=[LengthQuarter(**quarter) for quarter in split_by_length(losses)],
        heldout_tokens=sum(count for _, count in losses),
        problems=len(problems),
        greedy_pass_at_1=sum(greedy.correct) / len(problems),
        engine=engine.identity,
        seconds=time.time() - begun,
        **sampled,
        **describe_device(),
    )


def _sample_fixed(candidate, settings, sampling, engine, problems) -> dict:
    """Draws n samples of every problem and returns the fields of the record that rest on them."""
    samples = settings.samples
    progress = Progress("predictors", candidate.candidate_id, samples * len(problems))
    scored = score_problems(engine, problems, Draw.at_random(sampling, samples), progress.update)
    curves = estimate_curve(scored.correct, samples)
    ks = [k for k in range(1, samples + 1) if k & (k - 1) == 0 or k == samples]
    means = curves.mean(axis=0).tolist()
    false_positives = estimate_false_positives(count_false_positives(scored, problems))
    rate = false_positives.rate
    corrected = None if rate is None else correct_curve(scored.correct, samples, rate).tolist()
    return {
        "samples": samples,
        "correct": scored.correct,
        "curve": [[k, means[k - 1]] for k in ks],
        "intervals": {str(k): list(estimate_interval(curves[:, k - 1])) for k in ks},
        "corrected": [[k, corrected[k - 1]] for k in ks if corrected],
        "false_positives": false_positives,
        "by_products": SampleStatistics(**scored.summarize()),
        "sequence": None,
        "tokens": scored.tokens,
    }


def _sample_sequentially(candidate, settings, sampling, gate, engine, problems) -> dict:
    """Samples until Pass@k is known to lie above or below the gate's threshold and returns the fields that rest on it.

    Every draw of a problem gets samples of its own, numbered by the draw, so no sample counts twice.
    """
    prompts = [engine.encode(row) for row in problems]
    budget = settings.count_samples(len(problems))
    progress = Progress("predictors", candidate.candidate_id, budget)
    tokens = done = 0
    judgements = []

    def attempt(draws: list[tuple[int, int]], numbers: range) -> list[list[bool]]:
        nonlocal tokens, done
        keys = [f"draw {draw} from {numbers.start}: {problems[index]['problem_id']}" for draw, index in draws]
        draw = Draw.at_random(sampling, len(numbers))
        completions = engine.sample([prompts[index] for _, index in draws], keys, draw)
        tokens += sum(len(completion.ids) for sampled in completions for completion in sampled)
        done += len(draws) * len(numbers)
        progress.update(min(done, budget - 1), tokens)
        judged = [
            [judge(completion.text, problems[index]["answer"], problems[index]["format"]) for completion in sampled]
            for (_, index), sampled in zip(draws, completions, strict=True)
        ]
        judgements.extend(judgement for row in judged for judgement in row)
        return [[judgement.right is True for judgement in row] for row in judged]

    result = run_sequential(
        attempt,
        problems=len(problems),
        k=gate.k,
        threshold=gate.min_pass_at_k,
        alpha=settings.sequential_alpha,
        budget=budget,
        seed=sampling.seed,
        batch=SIDE_BY_SIDE,
    )
    progress.update(budget, tokens)
    seen = dataclasses.asdict(result)
    low, high = seen.pop("interval")
    return {
        "sequence": SequenceRecord(gate.k, low, high, gate.min_pass_at_k, **seen),
        # Nothing else: samples are drawn until one is right, so what they show is not that of all samples.
        "by_products": SampleStatistics(
            verifier_checks=count_checks(judgements),
            verifier_disagreement=measure_disagreement(judgements),
            **measure_trouble(judgements),
        ),
        "tokens": tokens,
    }
