"""Evaluates a model on benchmarks, keeps every sample, and resumes where it was stopped."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from rlready.config import Sampling
from rlready.errors import InputError
from rlready.evaluation.parts import EvaluationProgress, find_progress, list_parts, sample_problems
from rlready.evaluation.plan import Evaluation
from rlready.evaluation.results import Results
from rlready.evaluation.samples import FILE, join_parts
from rlready.evaluation.suite import average, score_suite
from rlready.evaluation.tally import count_samples, share_unknown
from rlready.models.load import find_model, takes_pictures, write_pointer
from rlready.records.candidate import BaseModel
from rlready.records.serialization import write_atomically
from rlready.sampling.choose import open_engine
from rlready.sampling.engine import Draw, Engine

PARTS = "parts"  # folder of an evaluation's samples as they are drawn


def evaluate(evaluation: Evaluation, out: Path, report: Callable[[EvaluationProgress], None]) -> Results:
    """Samples what is not in the folder yet, and scores everything.

    Args:
        evaluation: From `plan_evaluation`.
        out: Folder of this evaluation: parts while they are drawn, then samples.parquet (columns SAMPLES; a greedy completion
            has temperature 0) and results.json.
        report: Called with the progress, once the model is loaded and then whenever some completions are done.

    Returns:
        The results, also written to the folder.

    Raises:
        InputError: If the folder holds another evaluation, or the model cannot be loaded.
    """
    _open_folder(evaluation, out)
    problems = [row | {"benchmark": benchmark.name} for benchmark in evaluation.benchmarks for row in benchmark.problems]
    draws = [Draw.greedily(evaluation.sampling)]
    draws += [Draw.at_random(evaluation.sampling, evaluation.samples)] if evaluation.samples else []
    progress = find_progress(out / PARTS, problems, draws)
    if progress.done < progress.total:
        base = find_model(evaluation.model, evaluation.digest)
        write_pointer(out / "model", base)
        with _open_engine(base, str(out / "model"), evaluation.sampling) as engine:
            sample_problems(engine, problems, draws, out / PARTS, report)
    parts = [[part for part, _ in list_parts(out / PARTS, draw)] for draw in draws]
    join_parts([part for some in parts for part in some], out / FILE)
    tallies = [count_samples(some, draw.samples) for some, draw in zip(parts, draws, strict=True)]
    counts = tallies[-1].correct, tallies[0].correct
    scores = score_suite(problems, evaluation.samples, *counts, share_unknown(*tallies))
    results = Results(scores, average(scores), progress.total - progress.kept)
    written = {
        "evaluation": evaluation.describe(),
        "left_out": {benchmark.name: dict(benchmark.left_out) for benchmark in evaluation.benchmarks},
        # Shares of single problems are in the samples.
        "scores": [{k: v for k, v in dataclasses.asdict(score).items() if k != "shares"} for score in scores],
        "mean": dataclasses.asdict(results.mean),
    }
    write_atomically(out / "results.json", json.dumps(written, indent=1))
    return results


def _open_folder(evaluation: Evaluation, out: Path) -> None:
    """Creates the folder, or checks that it belongs to this evaluation."""
    ours, written = evaluation.describe(), out / "evaluation.json"
    if written.exists():
        theirs = json.loads(written.read_text())
        if theirs.get("form") != ours["form"]:
            raise InputError(
                f"{out}: an older version of rlready wrote this evaluation; give another --output (rlready samples {out}"
                " still reads it)"
            )
        # A model that was moved is the same model.
        differing = [key for key in ours if key != "model" and ours[key] != theirs.get(key)]
        if differing:
            raise InputError(f"{out}: holds another evaluation (other {', '.join(differing)}); give another --output")
        return
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty and holds no evaluation; give another --output")
    (out / PARTS).mkdir(parents=True)
    write_atomically(written, json.dumps(ours, indent=1))


def _open_engine(base: BaseModel, folder: str, sampling: Sampling) -> Engine:
    if not takes_pictures(base):
        return open_engine(folder, sampling)
    from rlready.sampling.image_text_engine import ImageTextEngine

    return ImageTextEngine.load(folder, sampling)
