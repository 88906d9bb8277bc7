"""Asking problems in parts that are kept, so that whatever stops it, it goes on from the last part.

One implementation behind predictors, benchmark and `rlready evaluate`. Samples are seeded by problem, so the parts in which
they come change nothing.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlready.evaluation.samples import count_rows, list_rows, read_seconds, write_part
from rlready.evaluation.score import score_problems
from rlready.models.load import digest_folder
from rlready.records.outcome import Candidate
from rlready.records.serialization import identify_work
from rlready.runtime.events import Progress
from rlready.sampling.engine import Draw, Engine, ignore_progress
from rlready.training import checkpoints
from rlready.verifier import find_origin

# Seconds that a part should take: what a kill loses, with room below a minute for problems that take longer.
SECONDS_A_PART = 30
MOST_GROWTH = 4  # of a part's time over the one before, whose problems may have been short ones
SECONDS_AT_LEAST = 4  # that a part may grow to all the same
MOST_TOKENS = 4 << 20  # that a part may come to: it is in memory until it is written


@dataclass
class Reached:
    """How far the asking is.

    Attributes:
        total: Completions in all.
        kept: Of them, in the folder before.
        done: Of them, so far.
        benchmark: That is being asked.
        tokens: Drawn by this process.
    """

    total: int
    kept: int
    done: int
    benchmark: str = ""
    tokens: int = 0


@contextlib.contextmanager
def open_parts(
    stage: str,
    candidate: Candidate,
    engine: Engine,
    model: str,
    problems: Sequence[dict],
    work: list[str],
    beside: Path,
) -> Iterator[tuple[Path, float]]:
    """Opens the folder for the parts of one stage of one candidate, where checkpoints of training are kept too.

    Only what would draw the same samples, and judge them alike, finds them again; the folder goes when the work is done.

    Args:
        stage: Name of the stage.
        candidate: Whose samples.
        engine: What draws them; another one, or another precision, draws others.
        model: Model folder.
        problems: That are asked.
        work: Settings that the samples depend on.
        beside: Output path; see `checkpoints.open_folder`.

    Yields:
        The folder, and how many seconds what is in it took before.
    """
    asked = hashlib.sha256(json.dumps(problems, sort_keys=True, default=str).encode()).hexdigest()
    judged = [find_origin(form).release for form in sorted({row["format"] for row in problems})]
    identity = [identify_work(candidate), engine.identity, digest_folder(Path(model)), asked, *judged, *work]
    with checkpoints.open_folder(stage, identity, beside) as folder:
        yield folder, read_seconds(sorted(folder.glob("*.parquet")))[0]


def look(folder: Path, problems: Sequence[dict], draws: Sequence[Draw]) -> Reached:
    """Returns how far the asking is in a folder.

    Args:
        folder: Where the parts are.
        problems: All of them.
        draws: All that will be asked.
    """
    kept = sum(draw.samples * count for draw in draws for _, count in list_parts(folder, draw))
    return Reached(len(problems) * sum(draw.samples for draw in draws), kept, kept)


def report(stage: str, candidate: Candidate) -> Callable[[Reached], None]:
    """Returns what tells whoever watches the run how far a stage of a candidate is."""
    progress = None

    def tell(reached: Reached) -> None:
        nonlocal progress
        progress = progress or Progress(stage, candidate.candidate_id, reached.total)
        progress.update(reached.done, reached.tokens)

    return tell


def ask(
    engine: Engine, problems: Sequence[dict], draws: Sequence[Draw], folder: Path, tell: Callable[[Reached], None]
) -> list[list[Path]]:
    """Asks the problems of which the folder has no samples yet.

    A part is as many problems as should take SECONDS_A_PART at the speed of the part before, and at least as many as keep the
    engine busy; nowhere more than MOST_TOKENS need.

    Args:
        engine: What draws.
        problems: Rows with problem_id, question, answer and format; the same in every call.
        draws: How to sample, one after another: one greedy, one at random, or both.
        folder: Of the parts, each of which holds the samples of some problems, one problem after another.
        tell: Called with how far it is before every part, and whenever some completions are done.

    Returns:
        The parts of each draw, in the order of the problems.
    """
    reached = look(folder, problems, draws)
    return [_ask(engine, problems, draw, folder, reached, tell) for draw in draws]


def _ask(
    engine: Engine,
    problems: Sequence[dict],
    draw: Draw,
    folder: Path,
    reached: Reached,
    tell: Callable[[Reached], None],
) -> list[Path]:
    first = sum(count for _, count in list_parts(folder, draw))
    least = engine.count_fill(draw.samples)
    most = max(least, MOST_TOKENS // (draw.samples * draw.max_tokens))
    size = least
    while first < len(problems):
        some = problems[first : first + size]
        reached.benchmark = some[0].get("benchmark") or ""
        tell(reached)
        seconds = ask_part(_name_part(folder, draw, first), engine, some, draw, _count_into(reached, tell))
        first += len(some)
        size = min(most, max(least, choose_size(len(some), seconds)))
    return [part for part, _ in list_parts(folder, draw)]


def ask_part(
    part: Path,
    engine: Engine,
    problems: Sequence[dict],
    draw: Draw,
    progress: Callable[[int, int], None] = ignore_progress,
    keys: Sequence[str] | None = None,
    draws: Sequence[int] | None = None,
    first: int = 0,
) -> float:
    """Draws and judges the samples of some problems, writes them as a part, and returns how many seconds it took.

    Args:
        part: The file.
        engine: What draws.
        problems: Their rows.
        draw: How to sample.
        progress: Called with completions and tokens so far.
        keys: What the samples of each problem are seeded by; its id unless given.
        draws: Number of the draw that each problem stands for, in the sequential test.
        first: Number of the first sample.
    """
    begun = time.monotonic()
    scored = score_problems(engine, problems, draw, progress, keys)
    seconds = time.monotonic() - begun
    write_part(part, list_rows(engine, problems, draw, scored, draws, first), seconds, scored.verifier_seconds)
    return seconds


def _count_into(reached: Reached, tell: Callable[[Reached], None]) -> Callable[[int, int], None]:
    """Returns what an engine calls with completions and tokens of one call, which adds them to what was reached before."""
    done, tokens = reached.done, reached.tokens

    def count(drawn: int, drawn_tokens: int) -> None:
        reached.done, reached.tokens = done + drawn, tokens + drawn_tokens
        tell(reached)

    return count


def list_parts(folder: Path, draw: Draw) -> Iterator[tuple[Path, int]]:
    """Yields the parts of a draw, each of which begins where the one before ends, with how many problems they hold."""
    first = 0
    while (part := _name_part(folder, draw, first)).exists():
        problems = count_rows(part) // draw.samples
        yield part, problems
        first += problems


def choose_size(problems: int, seconds: float) -> int:
    """Returns how many problems the next part should have, after one of so many took so many seconds."""
    wanted = min(SECONDS_A_PART, max(SECONDS_AT_LEAST, MOST_GROWTH * seconds))
    return max(1, int(problems * wanted / max(seconds, 1e-3)))


def _name_part(folder: Path, draw: Draw, first: int) -> Path:
    return folder / f"{'sampled' if draw.temperature else 'greedy'}-{first}.parquet"
