"""Evaluates a model on benchmarks, keeps every sample, and goes on where it was stopped."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rlready.components.config import InputError, Sampling
from rlready.components.core.evaluation.plan import Evaluation
from rlready.components.core.evaluation.results import Results
from rlready.components.core.evaluation.samples import count_right, count_rows, join_parts, list_samples, write_part
from rlready.components.core.evaluation.score import score_problems
from rlready.components.core.evaluation.suite import BenchmarkScore, average, score_benchmark
from rlready.components.core.models import find_model, takes_pictures, write_pointer
from rlready.components.core.records import BaseModel
from rlready.components.core.sampling.choose import open_engine
from rlready.components.core.sampling.engine import Draw, Engine
from rlready.components.core.serialization import write_atomically

SECONDS_A_PART = (
    30  # that a part should take: what a kill loses, with room below a minute for problems that take longer
)
MOST_GROWTH = 4  # of a part over the one before, whose problems may have been short ones


@dataclass
class Reached:
    """How far an evaluation is.

    Attributes:
        total: Completions in all.
        kept: Of them, in the folder before this call.
        done: Of them, so far.
        benchmark: That is being asked.
        tokens: Drawn by this call.
    """

    total: int
    kept: int
    done: int
    benchmark: str = ""
    tokens: int = 0


def evaluate(evaluation: Evaluation, out: Path, tell: Callable[[Reached], None]) -> Results:
    """Samples what is not in the folder yet, and scores all.

    Args:
        evaluation: From `plan_evaluation`.
        out: Folder of this evaluation: parts as they are drawn, then samples.parquet (columns SAMPLES; a greedy completion
            has temperature 0) and results.json.
        tell: Called with how far it is, once the model is loaded and then whenever some completions are done.

    Returns:
        The results, also written to the folder.

    Raises:
        InputError: If the folder holds another evaluation, or the model cannot be loaded.
    """
    _open_folder(evaluation, out)
    asked = evaluation.samples + 1  # completions a problem
    held = [sum(problems for _, problems in _list_parts(out, n, asked)) for n in range(len(evaluation.benchmarks))]
    total = asked * sum(len(benchmark.problems) for benchmark in evaluation.benchmarks)
    reached = Reached(total, asked * sum(held), asked * sum(held))
    if reached.done < total:
        base = find_model(evaluation.model, evaluation.digest)
        write_pointer(out / "model", base)
        with _open_engine(base, str(out / "model"), evaluation.sampling) as engine:
            for number, first in enumerate(held):
                _sample(engine, evaluation, number, first, out, reached, tell)
    parts = [part for number in range(len(held)) for part, _ in _list_parts(out, number, asked)]
    join_parts(parts, out / "samples.parquet")
    scores = []
    for benchmark in evaluation.benchmarks:
        counts = count_right(out / "samples.parquet", benchmark.name, [row["problem_id"] for row in benchmark.problems])
        scores.append(score_benchmark(benchmark.name, benchmark.problems, evaluation.samples, *counts))
    results = Results(scores, average(scores), total - reached.kept)
    written = {
        "evaluation": evaluation.describe(),
        "left_out": {benchmark.name: dict(benchmark.left_out) for benchmark in evaluation.benchmarks},
        "scores": [_describe(score) for score in scores],
        "mean": dataclasses.asdict(results.mean),
    }
    write_atomically(out / "results.json", json.dumps(written, indent=1))
    return results


def _describe(score: BenchmarkScore) -> dict:
    """Returns a score in JSON's values, without those of single problems, which the samples hold."""
    return {name: value for name, value in dataclasses.asdict(score).items() if name != "shares"}


def _open_folder(evaluation: Evaluation, out: Path) -> None:
    """Makes the folder, or checks that it is this evaluation's."""
    ours, written = evaluation.describe(), out / "evaluation.json"
    if written.exists():
        theirs = json.loads(written.read_text())
        # A model that was moved is the same model.
        differing = [key for key in ours if key != "model" and ours[key] != theirs.get(key)]
        if differing:
            raise InputError(
                f"{out}: holds another evaluation (other {', '.join(differing)}); give another --output, or remove it"
            )
        return
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty and holds no evaluation; give another --output")
    (out / "parts").mkdir(parents=True)
    write_atomically(written, json.dumps(ours, indent=1))


def _open_engine(base: BaseModel, folder: str, sampling: Sampling) -> Engine:
    if not takes_pictures(base):
        return open_engine(folder, sampling)
    from rlready.components.core.sampling.image_text_engine import ImageTextEngine

    return ImageTextEngine.load(folder, sampling)


def _name_part(out: Path, number: int, first: int) -> Path:
    """Returns where the samples of problems of a benchmark lie, of which this is the first."""
    return out / "parts" / f"{number}-{first}.parquet"


def _list_parts(out: Path, number: int, asked: int) -> Iterator[tuple[Path, int]]:
    """Yields the parts of a benchmark, each of which begins where the one before ends, with how many problems they hold."""
    first = 0
    while (part := _name_part(out, number, first)).exists():
        problems = count_rows(part) // asked
        yield part, problems
        first += problems


def _sample(
    engine: Engine,
    evaluation: Evaluation,
    number: int,
    first: int,
    out: Path,
    reached: Reached,
    tell: Callable[[Reached], None],
) -> None:
    """Asks the problems of a benchmark from the first that is missing on.

    A part is as many problems as should take SECONDS_A_PART at the speed of the part before; the first one is one problem.
    """
    benchmark, size = evaluation.benchmarks[number], 1
    reached.benchmark = benchmark.name
    while first < len(benchmark.problems):
        tell(reached)
        begun, problems = time.monotonic(), benchmark.problems[first : first + size]
        write_part(_name_part(out, number, first), _ask(engine, evaluation, benchmark.name, problems, reached, tell))
        first += len(problems)
        size = choose_size(len(problems), time.monotonic() - begun)


def choose_size(problems: int, seconds: float) -> int:
    """Returns how many problems the next part should have, after one of so many took so many seconds."""
    return max(1, int(problems * min(MOST_GROWTH, SECONDS_A_PART / max(seconds, 1e-9))))


def _ask(
    engine: Engine,
    evaluation: Evaluation,
    benchmark: str,
    problems: list[dict],
    reached: Reached,
    tell: Callable[[Reached], None],
) -> list[dict]:
    """Returns the samples of some problems as rows: of each problem first greedy, then at temperature 1."""
    sampling, rows = evaluation.sampling, []
    draws = [Draw.greedily(sampling)] + ([Draw.at_random(sampling, evaluation.samples)] if evaluation.samples else [])
    for draw in draws:
        done, tokens = reached.done, reached.tokens

        def count(drawn: int, drawn_tokens: int, done=done, tokens=tokens) -> None:
            reached.done, reached.tokens = done + drawn, tokens + drawn_tokens
            tell(reached)

        scored = score_problems(engine, problems, draw, count)
        rows += list_samples(engine, benchmark, problems, draw, scored)
    # Whichever parts an evaluation came in, its samples stand in one order.
    places = {problem["problem_id"]: place for place, problem in enumerate(problems)}
    return sorted(rows, key=lambda row: places[row["problem_id"]])
