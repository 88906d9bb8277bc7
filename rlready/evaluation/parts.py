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

from rlready.evaluation.samples import list_rows, read_seconds, write_part
from rlready.evaluation.score import score_problems
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
    """Progress of sampling, in completions."""

    total: int
    kept: int  # in the folder before
    done: int
    benchmark: str = ""  # being sampled
    tokens: int = 0  # of this process


@contextlib.contextmanager
def open_parts(
    stage: str, candidate: Candidate, engine: Engine, model: str, problems: Sequence[dict], work: list[str], beside: Path
) -> Iterator[tuple[Path, float]]:
    """Opens the folder for the parts of one stage of one candidate, next to the checkpoints of training.

    Only work that would draw and judge the same samples finds them again: those of this candidate, engine, model folder,
    problems and settings (`work`). The folder is removed when the work is done. For `beside` see `checkpoints.open_folder`.

    Yields:
        The folder, and how many seconds the parts in it took.
    """
    asked = hashlib.sha256(json.dumps(problems, sort_keys=True, default=str).encode()).hexdigest()
    judged = [find_origin(form).release for form in sorted({row["format"] for row in problems})]
    identity = [identify_work(candidate), engine.identity, digest_folder(Path(model)), asked, *judged, *work]
    with checkpoints.open_folder(stage, identity, beside) as folder:
        yield folder, read_seconds(sorted(folder.glob("*.parquet")))[0]


def find_progress(folder: Path, problems: Sequence[dict], draws: Sequence[Draw]) -> EvaluationProgress:
    """Returns how far sampling is by the parts in a folder."""
    kept = sum(draw.samples * count for draw in draws for _, count in list_parts(folder, draw))
    return EvaluationProgress(count_completions(problems, draws), kept, kept)


def count_completions(problems: Sequence[dict], draws: Sequence[Draw]) -> int:
    """Returns how many completions some draws of some problems are."""
    return len(problems) * sum(draw.samples for draw in draws)


class SetsProgress:
    """Reports the progress of a candidate's stage over one or several sets of problems, sampled one after another."""

    def __init__(self, stage: str, candidate: Candidate, completions: int):
        self.reporter = Progress(stage, candidate.candidate_id, completions)  # of all sets
        self.done = self.tokens = self.counted = 0

    def __call__(self, progress: EvaluationProgress) -> None:
        """Reports the progress of the current set."""
        self.counted = progress.tokens
        self.reporter.update(self.done + progress.done, self.tokens + progress.tokens)

    def finish(self, completions: int) -> None:
        """Goes on to the next set."""
        self.done, self.tokens, self.counted = self.done + completions, self.tokens + self.counted, 0


def sample_problems(
    engine: Engine, problems: Sequence[dict], draws: Sequence[Draw], folder: Path, report: Callable[[EvaluationProgress], None]
) -> list[list[Path]]:
    """Samples the problems of which the folder has no samples yet; returns the parts of each draw in their order.

    The problems, rows with problem_id, question, answer and format, are the same in every call; there is a greedy draw, a
    random one, or both. A part has as many problems as should take SECONDS_A_PART at the speed of the part before, at least as
    many as keep the engine busy, and at most MOST_TOKENS. `report` is called before every part, and whenever some completions
    are done.
    """
    progress = find_progress(folder, problems, draws)
    for draw in draws:
        first = sum(count for _, count in list_parts(folder, draw))
        size = least = engine.count_fill(draw.samples)
        most = max(least, MOST_TOKENS // (draw.samples * draw.max_tokens))
        while first < len(problems):
            some = problems[first : first + size]
            progress.benchmark = some[0].get("benchmark") or ""
            report(progress)
            seconds = sample_part(_name_part(folder, draw, first), engine, some, draw, _add_to(progress, report))
            first += len(some)
            size = min(most, max(least, choose_size(len(some), seconds)))
    return [[part for part, _ in list_parts(folder, draw)] for draw in draws]


def sample_part(
    part: Path,
    engine: Engine,
    problems: Sequence[dict],
    draw: Draw,
    progress: OnSampled = ignore_progress,
    keys: Sequence[str] | None = None,
    draws: Sequence[int] | None = None,
    first: int = 0,
) -> float:
    """Samples some problems, judges the samples, writes them as a part, and returns the seconds that this took.

    `keys` seed each problem's samples, by default its id; `draws` is the number of each problem's draw in the sequential test,
    and `first` that of the first sample.
    """
    begun = time.monotonic()
    scored = score_problems(engine, problems, draw, progress, keys)
    seconds = time.monotonic() - begun
    write_part(part, list_rows(engine, problems, draw, scored, draws, first), seconds, scored.verifier_seconds)
    return seconds


def _add_to(progress: EvaluationProgress, report: Callable[[EvaluationProgress], None]) -> OnSampled:
    """Returns an engine's progress function, which adds the completions and tokens of a call to those before."""
    done, tokens = progress.done, progress.tokens

    def count(drawn: int, drawn_tokens: int) -> None:
        progress.done, progress.tokens = done + drawn, tokens + drawn_tokens
        report(progress)

    return count


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
