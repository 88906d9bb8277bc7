"""Generalization loss and Pass@k of one checkpoint: a fixed number of samples per problem, or as many as the gate needs."""

import dataclasses
import time
from pathlib import Path
from types import SimpleNamespace

from rlready.data.curated import digest_completions, encode_heldout, read_set
from rlready.evaluation.parts import EvaluationProgress, count_completions, open_parts, sample_part, sample_problems
from rlready.evaluation.samples import RIGHT, keep_samples, read_rows
from rlready.evaluation.score import CONTROL_SAMPLES, count_false_positives, count_samples, estimate_false_positives, read_texts
from rlready.evaluation.suite import list_groups, record_pass_at_k
from rlready.records.candidate import Candidate
from rlready.records.outcome import LengthQuarter, PredictorsRecord, SampleStatistics, SequenceRecord
from rlready.runtime.events import Progress
from rlready.sampling.choose import open_engine
from rlready.sampling.engine import Draw, Engine
from rlready.sampling.transformers_engine import TransformersEngine
from rlready.stats.generalization_loss import estimate_loss_interval, mean_loss, measure_losses, split_by_length
from rlready.stats.pass_at_k import correct_curve
from rlready.stats.sequential import run_sequential
from rlready.training.processes import describe_device

SIDE_BY_SIDE = 16  # problems of the sequential test in one batch; with more, more samples are wasted when it stops

Sampled = tuple[PredictorsRecord, list[Path]]  # the fields computed from samples, and their parts


def measure(candidate: Candidate, given: SimpleNamespace, data: Path, model: str, out: Path) -> PredictorsRecord:
    """Returns the predictors of RL's outcome, by the held-out examples and predictor problems of curated data.

    `given` are the settings of the stage; the sequential test takes k and threshold from the gate's. What is kept of the
    completions is written to the folder `out`.
    """
    begun = time.time()
    embedded = TransformersEngine.load(model)
    tokenizer = embedded.tokenizer
    heldout = encode_heldout(data, tokenizer)
    losses = measure_losses(embedded.model, heldout, tokenizer.pad_token_id)
    problems = read_set(data, "predictors")
    work = [repr(given.predictors), repr(given.sampling), repr(getattr(given, "gate", None))]
    sample = sample_sequentially if given.predictors.is_sequential else sample_fixed
    with (
        open_engine(model, given.sampling, embedded) as engine,
        open_parts("predictors", candidate, engine, model, problems, work, out) as (folder, spent),
    ):
        record, parts = sample(candidate, given, engine, problems, folder)
        kept = keep_samples(parts, out, given.samples.text_mb)
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


def sample_fixed(candidate: Candidate, given: SimpleNamespace, engine: Engine, problems: list[dict], folder: Path) -> Sampled:
    """Draws one greedy answer and n samples of every problem, in parts in a folder."""
    samples = given.predictors.samples
    draws = [Draw.greedily(given.sampling), Draw.at_random(given.sampling, samples, candidate.candidate_id)]
    progress = EvaluationProgress.of_stage("predictors", candidate, count_completions(problems, draws))
    greedily, sampled = sample_problems(engine, problems, draws, folder, progress)
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


def sample_sequentially(
    candidate: Candidate, given: SimpleNamespace, engine: Engine, problems: list[dict], folder: Path
) -> Sampled:
    """Samples until Pass@k is known to lie above or below the gate's threshold, plus one greedy answer of every problem.

    Every draw of a problem gets samples of its own, numbered by the draw, so no sample counts twice. Existing parts are read
    instead of drawn again, so a resumed test takes the same course.
    """
    settings, gate = given.predictors, given.gate
    silent = EvaluationProgress(len(problems))  # the greedy answers are few
    (first,) = sample_problems(engine, problems, [Draw.greedily(given.sampling)], folder, silent)
    budget, done, tokens = settings.count_samples(len(problems)), 0, 0
    sampled: list[Path] = []
    progress = Progress("predictors", candidate.candidate_id, budget)

    def attempt(draws: list[tuple[int, int]], numbers: range) -> list[list[bool]]:
        nonlocal done, tokens
        part = folder / f"draw-{draws[0][0]}-{numbers.start}.parquet"
        if not part.exists():
            drawn = [problems[index] | {"draw": number} for number, index in draws]
            for row in drawn:
                row["key"] = f"draw {row['draw']} from {numbers.start}: {row['problem_id']}"
            draw = Draw.at_random(given.sampling, len(numbers), candidate.candidate_id)
            sample_part(part, engine, drawn, draw, first=numbers.start)
        sampled.append(part)
        rows = list(read_rows([part], ["verdict", "tokens"]))
        done, tokens = done + len(rows), tokens + sum(row["tokens"] for row in rows)
        progress.update(min(done, budget - 1), tokens)
        right = [RIGHT[row["verdict"]] is True for row in rows]
        return [right[at : at + len(numbers)] for at in range(0, len(right), len(numbers))]

    result = run_sequential(
        attempt,
        problems=len(problems),
        k=gate.k,
        threshold=gate.min_pass_at_k,
        alpha=settings.sequential_alpha,
        budget=budget,
        seed=given.sampling.seed,
        batch=SIDE_BY_SIDE,
    )
    progress.update(budget, tokens)
    greedy, statistics = count_samples(first, 1), count_samples(sampled, 1).summarize()
    seen = dataclasses.asdict(result)
    low, high = seen.pop("interval")
    record = PredictorsRecord(
        sequence=SequenceRecord(gate.k, low, high, gate.min_pass_at_k, **seen),
        # Only the verifier's: sampling stops at the first right sample, so the others would be biased.
        by_products=SampleStatistics(**{name: v for name, v in vars(statistics).items() if name.startswith("verifier_")}),
        greedy_pass_at_1=sum(greedy.correct) / len(problems),
        tokens=greedy.tokens + tokens,
    )
    return record, first + sampled
