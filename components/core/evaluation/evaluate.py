"""Evaluates a model on benchmarks, keeps every sample, and goes on where it was stopped."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from rlready.components.config import InputError, Sampling
from rlready.components.core.evaluation.plan import Evaluation
from rlready.components.core.evaluation.results import Results
from rlready.components.core.evaluation.samples import count_right, join_parts, list_samples, write_part
from rlready.components.core.evaluation.score import score_problems
from rlready.components.core.evaluation.suite import BenchmarkScore, average, score_benchmark
from rlready.components.core.models import find_base, takes_pictures, write_pointer
from rlready.components.core.records import BaseModel
from rlready.components.core.sampling.choose import open_engine
from rlready.components.core.sampling.engine import Draw, Engine
from rlready.components.core.serialization import write_atomically

PROBLEMS_AT_ONCE = 32  # whose samples are kept together: what is lost at most when the evaluation is killed


def evaluate(evaluation: Evaluation, out: Path, progress: Callable[[str, int, int], None]) -> Results:
    """Samples what is not in the folder yet, and scores all.

    Args:
        evaluation: From `plan_evaluation`.
        out: Folder of this evaluation: parts as they are drawn, then samples.parquet (columns SAMPLES; a greedy completion
            has temperature 0) and results.json.
        progress: Called with a benchmark's name, completions done in all, and completions in all.

    Returns:
        The results, also written to the folder.

    Raises:
        InputError: If the folder holds another evaluation, or the model cannot be loaded.
    """
    _open_folder(evaluation, out)
    blocks = list(_list_blocks(evaluation, out))
    total = sum(len(problems) for *_, problems in blocks) * (evaluation.samples + 1)
    missing = [block for block in blocks if not block[1].exists()]
    sampled = sum(len(problems) for *_, problems in missing) * (evaluation.samples + 1)
    done = total - sampled
    if missing:
        base = find_base(evaluation.model, evaluation.digest)
        write_pointer(out / "model", base)
        with _open_engine(base, str(out / "model"), evaluation.sampling) as engine:
            for benchmark, path, problems in missing:

                def tell(drawn: int, _: int, benchmark=benchmark, before=done) -> None:
                    progress(benchmark, before + drawn, total)

                tell(0, 0)
                write_part(path, _ask(engine, evaluation, benchmark, problems, tell))
                done += len(problems) * (evaluation.samples + 1)
    progress("", done, total)
    join_parts([path for _, path, _ in blocks], out / "samples.parquet")
    scores = []
    for benchmark in evaluation.benchmarks:
        counts = count_right(out / "samples.parquet", benchmark.name, [row["problem_id"] for row in benchmark.problems])
        scores.append(score_benchmark(benchmark.name, benchmark.problems, evaluation.samples, *counts))
    results = Results(scores, average(scores), sampled)
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


def _list_blocks(evaluation: Evaluation, out: Path) -> Iterator[tuple[str, Path, list[dict]]]:
    for number, benchmark in enumerate(evaluation.benchmarks):
        for start in range(0, len(benchmark.problems), PROBLEMS_AT_ONCE):
            problems = benchmark.problems[start : start + PROBLEMS_AT_ONCE]
            yield benchmark.name, out / "parts" / f"{number}-{start}.parquet", problems


def _ask(
    engine: Engine, evaluation: Evaluation, benchmark: str, problems: list[dict], progress: Callable
) -> list[dict]:
    """Returns the samples of some problems as rows: greedy, then at temperature 1."""
    sampling, rows = evaluation.sampling, []
    draws = [Draw.greedily(sampling)] + ([Draw.at_random(sampling, evaluation.samples)] if evaluation.samples else [])
    done = 0
    for draw in draws:
        scored = score_problems(engine, problems, draw, lambda n, tokens, done=done: progress(done + n, tokens))
        rows += list_samples(engine, benchmark, problems, draw, scored)
        done += len(problems)
    return rows
