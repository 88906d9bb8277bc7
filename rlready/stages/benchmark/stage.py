"""The benchmark stage: Pass@1 on the evaluation problems, and after RL what else shows what it changed."""

import contextlib
import dataclasses
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from rlready.config import read_settings
from rlready.data.curated import read_set
from rlready.evaluation.parts import EvaluationProgress, count_completions, open_parts, sample_problems
from rlready.evaluation.samples import FILE, keep_samples
from rlready.evaluation.score import count_samples, share_unknown
from rlready.evaluation.suite import record_pass_at_k, record_scores
from rlready.models.load import write_pointer
from rlready.records.candidate import BaseModel, Candidate
from rlready.records.outcome import BenchmarkRecord, EffectRecord, Outcome, PredictorsRecord
from rlready.records.serialization import from_json, read_record, write_atomically, write_record
from rlready.sampling.choose import open_engine
from rlready.sampling.engine import Draw
from rlready.tracking.log import log_outcome, log_samples
from rlready.training.processes import describe_device

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
    start: str | None = None,
) -> dict[str, float | None]:
    """Scores one model, by default the base model before RL, writes samples and outcome, and returns its headline figures.

    After RL, the checkpoint `start` that it started from is scored on the same problems.
    """
    chosen, given = from_json(Candidate, candidate), read_settings(settings)
    so_far = read_record(Outcome, before) if before else Outcome(chosen)
    if not given.benchmark.samples:  # without RL there is nothing to compare with the base model
        write_record(so_far, outcome)
        write_atomically(Path(samples) / "none.json", '{"samples": 0}')  # KFP treats a missing output as lost
        return {}
    with tempfile.TemporaryDirectory() as folder:
        if not model:
            write_pointer(folder, BaseModel(**given.base_model))
        out = Path(samples)
        scored, effect = measure(chosen, given, Path(data), model or folder, out, start)
    links = so_far.links | {"benchmark_samples": samples_uri}
    reached = dataclasses.replace(so_far, benchmark=scored, effect=effect, links=links)
    write_record(reached, outcome)
    if before:
        log_outcome(reached)
    log_samples(chosen, "benchmark", out / FILE, baseline=not before)
    return {name: getattr(scored, name) for name in FIGURES}


@dataclass(frozen=True)
class Drawn:
    """The samples of one model on some problems."""

    problems: list[dict]
    draws: list[Draw]
    parts: list[list[Path]]  # of each draw
    engine: str


def measure(
    candidate: Candidate, given: SimpleNamespace, data: Path, model: str, out: Path, start: str | None = None
) -> tuple[BenchmarkRecord, EffectRecord | None]:
    """Scores a model on the benchmark problems of curated data, greedily and at temperature 1; keeps samples in `out`.

    With the model that RL started from, `start`, that one is scored too, both on the off-target benchmarks, and Pass@k on the
    predictors' problems is measured after RL; the record has the cost of all of it.
    """
    begun = time.time()
    rows = read_set(data, "benchmark")
    main, off_target = ([row for row in rows if bool(row.get("off_target")) == aside] for aside in (False, True))
    count, covered = given.benchmark.samples, given.benchmark.coverage_samples if start else 0
    draws = [Draw.greedily(given.sampling), Draw.at_random(given.sampling, count)]
    tasks = [(main, draws), (off_target, draws)] if off_target and start else [(main, draws)]
    more = []
    if covered and (asked := read_set(data, "predictors")):
        more = [(asked, [Draw.at_random(given.sampling, covered, candidate.candidate_id)])]
    total = sum(count_completions(*one) for one in (tasks if start else []) + tasks + more)
    progress = EvaluationProgress.of_stage("benchmark", candidate, total)
    spent: list[float] = []  # seconds of what had been sampled before a kill

    def draw(what: str, model: str, tasks: Sequence[tuple[list[dict], list[Draw]]]) -> Iterator[Drawn]:
        with open_engine(model, given.sampling) as engine:
            for problems, draws in tasks:
                work = [what, repr(draws)]  # `what` tells the folders of two models apart, which may be equal
                parts = open_parts("benchmark", candidate, engine, model, problems, work, out)
                folder, before = folders.enter_context(parts)
                spent.append(before)
                yield Drawn(problems, draws, sample_problems(engine, problems, draws, folder, progress), engine.identity)

    with contextlib.ExitStack() as folders:  # until all is done, so that a kill loses no part
        earlier = list(draw("before RL", start, tasks)) if start else []
        later = list(draw("", model, tasks + more))
        scored, *aside_after = map(score, later[: len(tasks)])
        kept = keep_samples([*itertools.chain(*later[0].parts)], out, given.samples.text_mb)
        effect = None
        if start:
            before, *aside_before = map(score, earlier)
            effect = EffectRecord(
                before=before,
                off_target_before=next(iter(aside_before), None),
                off_target=next(iter(aside_after), None),
                predictors=summarize(later[-1]) if more else None,
            )
    seconds = time.time() - begun + sum(spent)
    return dataclasses.replace(scored, kept=kept, seconds=seconds, **describe_device()), effect


def score(drawn: Drawn) -> BenchmarkRecord:
    """Returns the scores of a greedy and a random draw."""
    count = drawn.draws[1].samples
    greedy, scored = count_samples(drawn.parts[0], 1), count_samples(drawn.parts[1], count)
    return record_scores(
        drawn.problems,
        count,
        scored.correct,
        greedy.correct,
        share_unknown(greedy, scored),
        tokens=scored.tokens + greedy.tokens,
        truncated=scored.truncated,
        unreadable=scored.unreadable,
        engine=drawn.engine,
    )


def summarize(drawn: Drawn) -> PredictorsRecord:
    """Returns Pass@k of a random draw."""
    samples = drawn.draws[0].samples
    scored = count_samples(drawn.parts[0], samples)
    measured = {"by_products": scored.summarize(), "tokens": scored.tokens, "engine": drawn.engine}
    return record_pass_at_k(drawn.problems, samples, scored.correct, **measured)
