"""Sampling in parts that are kept, so that predictors, benchmark and `rlready evaluate` resume from the last one.

Samples are seeded by problem, so they do not depend on how the problems are divided into parts.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from rlready.evaluation.samples import LONGEST_ANSWER, VERDICTS, read_seconds, write_part
from rlready.evaluation.score import Scored, score_problems
from rlready.models.load import digest_folder
from rlready.records.candidate import Candidate
from rlready.records.serialization import identify_work
from rlready.runtime.events import Progress
from rlready.sampling.engine import Draw, Engine, OnSampled, ignore_progress
from rlready.training import checkpoints
from rlready.verifier import find_origin

SECONDS_A_PART = 30  # target: what a kill loses, with room below a minute for slower problems
MOST_GROWTH = 4  # of a part's time over the one before, whose problems may have been short
SECONDS_AT_LEAST = 4  # that a part may grow to anyway
MOST_TOKENS = 4 << 20  # of a part, which is in memory until it is written


@dataclass
class EvaluationProgress:
    """Progress of sampling, in completions, over one or several sets of problems."""

    total: int
    kept: int = 0  # in the folders before
    done: int = 0
    benchmark: str = ""  # being sampled
    tokens: int = 0  # of this process
    report: Callable[["EvaluationProgress"], None] = lambda progress: None

    @classmethod
    def of_stage(cls, stage: str, candidate: Candidate, completions: int) -> "EvaluationProgress":
        """Returns the progress of a candidate's stage, which is reported as such."""
        reporter = Progress(stage, candidate.candidate_id, completions)
        return cls(completions, report=lambda progress: reporter.update(progress.done, progress.tokens))

    def count_call(self) -> OnSampled:
        """Returns an engine's progress function, which adds the completions and tokens of a call to those before."""
        done, tokens = self.done, self.tokens

        def count(drawn: int, drawn_tokens: int) -> None:
            self.done, self.tokens = done + drawn, tokens + drawn_tokens
            self.report(self)

        return count


@contextlib.contextmanager
def open_parts(
    stage: str, candidate: Candidate, engine: Engine, model: str, problems: Sequence[dict], work: list[str], beside: Path
) -> Iterator[tuple[Path, float]]:
    """Opens the folder for the parts of one stage of one candidate; yields it, and how many seconds the parts in it took.

    Only work that would draw and judge the same samples finds them again: those of this candidate, engine, model folder,
    problems and settings (`work`). The folder is removed when the work is done. For `beside` see `checkpoints.open_folder`.
    """
    asked = hashlib.sha256(json.dumps(problems, sort_keys=True, default=str).encode()).hexdigest()
    judged = [find_origin(form).release for form in sorted({row["format"] for row in problems})]
    identity = [identify_work(candidate), engine.identity, digest_folder(Path(model)), asked, *judged, *work]
    with checkpoints.open_folder(stage, identity, beside) as folder:
        yield folder, read_seconds(sorted(folder.glob("*.parquet")))[0]


def count_kept(folder: Path, draws: Sequence[Draw]) -> int:
    """Returns how many completions of some draws the parts in a folder have."""
    return sum(draw.samples * count for draw in draws for _, count in list_parts(folder, draw))


def count_completions(problems: Sequence[dict], draws: Sequence[Draw]) -> int:
    """Returns how many completions some draws of some problems are."""
    return len(problems) * sum(draw.samples for draw in draws)


def sample_problems(
    engine: Engine, problems: Sequence[dict], draws: Sequence[Draw], folder: Path, progress: EvaluationProgress
) -> list[list[Path]]:
    """Samples the problems of which the folder has no samples yet; returns the parts of each draw in their order.

    The problems, rows with problem_id, question, answer and format, are the same in every call; there is a greedy draw, a
    random one, or both. A part has as many problems as should take SECONDS_A_PART at the speed of the part before, at least as
    many as keep the engine busy, and at most MOST_TOKENS. The progress is reported before and during every part.
    """
    kept = count_kept(folder, draws)
    progress.kept, progress.done = progress.kept + kept, progress.done + kept
    for draw in draws:
        first = sum(count for _, count in list_parts(folder, draw))
        size = least = engine.count_fill(draw.samples)
        most = max(least, MOST_TOKENS // (draw.samples * draw.max_tokens))
        while first < len(problems):
            some = problems[first : first + size]
            progress.benchmark = some[0].get("benchmark") or ""
            progress.report(progress)
            seconds = sample_part(_name_part(folder, draw, first), engine, some, draw, progress.count_call())
            first += len(some)
            size = min(most, max(least, choose_size(len(some), seconds)))
    return [[part for part, _ in list_parts(folder, draw)] for draw in draws]


def sample_part(
    part: Path, engine: Engine, problems: Sequence[dict], draw: Draw, progress: OnSampled = ignore_progress, first: int = 0
) -> float:
    """Samples some problems, judges the samples, writes them as a part, and returns the seconds that this took.

    In the sequential test the problems also have the number of a draw (`draw`), and `first` is that of the first sample.
    """
    begun = time.monotonic()
    scored = score_problems(engine, problems, draw, progress)
    seconds = time.monotonic() - begun
    write_part(part, list_rows(engine, problems, draw, scored, first), seconds, scored.verifier_seconds)
    return seconds


def list_rows(engine: Engine, problems: Sequence[dict], draw: Draw, scored: Scored, first: int = 0) -> Iterator[dict]:
    """Yields a row of PART for every completion; for the arguments see `sample_part`."""
    for problem, completions, judgements in zip(problems, scored.completions, scored.judgements, strict=True):
        prompt = engine.show(problem)
        for sample, (completion, judgement) in enumerate(zip(completions, judgements, strict=True), first):
            yield {
                "benchmark": problem.get("benchmark") or "",
                "subject": problem.get("subject"),
                "problem_id": problem["problem_id"],
                "prompt": prompt,
                "gold": problem["answer"],
                "temperature": float(draw.temperature),
                "seed": draw.seed,
                "draw": problem.get("draw"),
                "sample": sample,
                "completion": completion.text,
                "answer": judgement.answer and judgement.answer[:LONGEST_ANSWER],
                "verdict": VERDICTS[judgement.right],
                "trouble": judgement.trouble,
                "tokens": len(completion.ids),
                "finished": completion.finished,
                "engine": engine.identity,
                "logprob": completion.logprob,
                "compared": judgement.reference,
                "checks": judgement.checks,
            }


def list_parts(folder: Path, draw: Draw) -> Iterator[tuple[Path, int]]:
    """Yields the parts of a draw, in their order, with their number of problems."""
    first = 0
    while (part := _name_part(folder, draw, first)).exists():
        problems = pq.read_metadata(part).num_rows // draw.samples
        yield part, problems
        first += problems


def choose_size(problems: int, seconds: float) -> int:
    """Returns how many problems the next part should have, given the size and duration of the part before."""
    wanted = min(SECONDS_A_PART, max(SECONDS_AT_LEAST, MOST_GROWTH * seconds))
    return max(1, int(problems * wanted / max(seconds, 1e-3)))


def _name_part(folder: Path, draw: Draw, first: int) -> Path:
    return folder / f"{'sampled' if draw.temperature else 'greedy'}-{first}.parquet"
