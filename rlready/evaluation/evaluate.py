"""Evaluates a model on benchmarks: checks everything before it is loaded, keeps every sample, resumes after an interruption."""

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rlready.config import Sampling
from rlready.data.problems import read_benchmark
from rlready.data.registry import BUILTIN, Source
from rlready.data.sources import examine
from rlready.errors import InputError, error_context
from rlready.evaluation.parts import EvaluationProgress, count_completions, count_kept, list_parts, sample_problems
from rlready.evaluation.samples import FILE, FORM, join_parts
from rlready.evaluation.score import count_samples, share_unknown
from rlready.evaluation.suite import BenchmarkScore, SuiteScore, average, score_suite
from rlready.models.load import choose_precision, find_model, takes_pictures, write_pointer
from rlready.models.prompts import INSTRUCTIONS, choose_prompt
from rlready.records.candidate import BaseModel
from rlready.records.serialization import write_atomically
from rlready.sampling.choose import choose_for, open_engine
from rlready.sampling.engine import Draw, Engine
from rlready.verifier import find_format, find_origin

PARTS = "parts"  # folder of an evaluation's samples as they are drawn


@dataclass(frozen=True)
class BenchmarkData:
    """The problems of a benchmark."""

    name: str  # in the results
    revision: str  # digest of its file, or hub commit
    problems: list[dict]
    left_out: Counter  # rows, by reason


@dataclass(frozen=True)
class Evaluation:
    """A model and the benchmarks to evaluate it on; equal evaluations draw equal samples."""

    base: BaseModel
    benchmarks: list[BenchmarkData]
    samples: int  # per problem at temperature 1; 0: greedy only
    sampling: Sampling
    engine: str  # the one that samples here; auto may choose another one elsewhere
    precision: str

    def describe(self) -> dict:
        """Returns everything that the samples depend on, as JSON values."""
        rows = [row for benchmark in self.benchmarks for row in benchmark.problems]
        prompts, origins = {choose_prompt(row) for row in rows}, map(find_origin, {row["format"] for row in rows})
        plugged = {origin.name: origin.release for origin in origins if origin.digest}
        return {
            "form": FORM,
            "model": self.base.location,
            "digest": self.base.digest,
            "samples": self.samples,
            "sampling": dataclasses.asdict(self.sampling) | {"engine": self.engine},
            "precision": self.precision,
            "temperatures": [0.0, 1.0] if self.samples else [0.0],
            "prompts": {name: INSTRUCTIONS.get(name, name) for name in sorted(prompts)},
            "benchmarks": {
                b.name: {"revision": b.revision, "problems": len(b.problems), "digest": _digest(b.problems)}
                for b in self.benchmarks
            },
        } | ({"formats": plugged} if plugged else {})

    @property
    def name(self) -> str:
        """Name of its folder: that of the model, and a digest of everything that the samples depend on."""
        model = re.sub(r"[^A-Za-z0-9_.-]", "-", Path(self.base.location).name)
        return f"{model}-{_digest(self.describe())[:8]}"


def plan_evaluation(
    model: str, revision: str, benchmarks: list[Source], samples: int, limit: int, sampling: Sampling
) -> Evaluation:
    """Reads the benchmarks and checks everything before the model, a folder, hub id or builtin name, is loaded.

    `samples` of 0 is greedy only; `limit` is the maximum number of problems per benchmark, the first ones, and 0 all. Raises
    InputError if the model or a benchmark cannot be read, or a number is out of range.
    """
    if samples < 0 or limit < 0:
        raise InputError(f"--samples and --limit must be 0 or more, got {samples} and {limit}")
    with error_context("--model"):
        base = find_model(model, revision)
    pictures, read = takes_pictures(base), []
    for source in benchmarks:
        if source.name in BUILTIN and not limit:
            raise InputError(f"{source.name} is infinite; give a number of problems with --limit")
        if source.format:
            find_format(source.format).find_prompt()  # raises, before any row is read, if it cannot be loaded
        found = "" if source.name in BUILTIN else examine(source, 0, parse=False).digest
        source = dataclasses.replace(source, pictures="image" in source.columns and pictures)
        problems, left_out = read_benchmark(source, "" if source.path else found, limit)
        read.append(BenchmarkData(source.benchmark, found, problems, left_out))
    engine = "transformers" if pictures else choose_for(base, sampling)[0]
    return Evaluation(base, read, samples, sampling, engine, choose_precision())


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=lambda picture: hashlib.sha256(picture).hexdigest())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Results:
    """The scores of each benchmark, their mean, and how many completions this call drew; the others were kept."""

    scores: list[BenchmarkScore]
    mean: SuiteScore
    sampled: int


def evaluate(evaluation: Evaluation, out: Path, report: Callable[[EvaluationProgress], None]) -> Results:
    """Samples what is not in the folder of an evaluation yet, scores everything, and writes FILE and results.json there.

    `report` is called with the progress, once the model is loaded and then whenever some completions are done. Raises
    InputError if the folder holds another evaluation, or the model cannot be loaded.
    """
    _open_folder(evaluation, out)
    problems = [row | {"benchmark": benchmark.name} for benchmark in evaluation.benchmarks for row in benchmark.problems]
    draws = [Draw.greedily(evaluation.sampling)]
    draws += [Draw.at_random(evaluation.sampling, evaluation.samples)] if evaluation.samples else []
    total, kept = count_completions(problems, draws), count_kept(out / PARTS, draws)
    if kept < total:
        write_pointer(out / "model", evaluation.base)
        with _open_engine(evaluation.base, str(out / "model"), evaluation.sampling) as engine:
            sample_problems(engine, problems, draws, out / PARTS, EvaluationProgress(total, report=report))
    parts = [[part for part, _ in list_parts(out / PARTS, draw)] for draw in draws]
    join_parts([part for some in parts for part in some], out / FILE)
    tallies = [count_samples(some, draw.samples) for some, draw in zip(parts, draws, strict=True)]
    counts = tallies[-1].correct, tallies[0].correct
    scores = score_suite(problems, evaluation.samples, *counts, share_unknown(*tallies))
    results = Results(scores, average(scores), total - kept)
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
    else:
        out.mkdir(parents=True, exist_ok=True)
        if any(not path.name.startswith(".") for path in out.iterdir()):  # hidden: a lock, or what a killed process left
            raise InputError(f"{out}: is not empty and holds no evaluation; give another --output")
        write_atomically(written, json.dumps(ours, indent=1))
    (out / PARTS).mkdir(exist_ok=True)


def _open_engine(base: BaseModel, folder: str, sampling: Sampling) -> Engine:
    if not takes_pictures(base):
        return open_engine(folder, sampling)
    from rlready.sampling.image_text_engine import ImageTextEngine

    return ImageTextEngine.load(folder, sampling)


def list_metrics(results: Results) -> dict[str, float | None]:
    """Returns the metrics for MLflow, e.g. gsm8k/pass_at_1 and mean/pass_at_1."""
    metrics: dict[str, float | None] = {
        "mean/pass_at_1": results.mean.pass_at_1,
        "mean/pass_at_1_low": results.mean.interval[0],
        "mean/pass_at_1_high": results.mean.interval[1],
    }
    for score in results.scores:
        metrics |= {f"{score.benchmark}/pass_at_{int(k)}": value for k, value, *_ in score.curve}
        metrics[f"{score.benchmark}/pass_at_1"] = score.pass_at_1
        metrics[f"{score.benchmark}/pass_at_1_standard_error"] = score.standard_error
        metrics[f"{score.benchmark}/greedy_pass_at_1"] = score.greedy
        metrics[f"{score.benchmark}/verifier_unknown"] = score.unknown
    return metrics


def describe_results(evaluation: Evaluation, results: Results) -> str:
    """Returns the results as a table for a terminal."""
    ks = sorted({int(k) for score in results.scores for k, *_ in score.curve if k > 1})
    lines = [f"{'benchmark':<22}{'problems':>9}{'Pass@1':>18}{'greedy':>8}" + "".join(f"{f'Pass@{k}':>9}" for k in ks)]
    for benchmark, score in zip(evaluation.benchmarks, results.scores, strict=True):
        curve = {int(k): value for k, value, *_ in score.curve}
        cells = "".join(f"{curve[k]:>9.3f}" if k in curve else f"{'-':>9}" for k in ks)
        notes = [f"chance {score.chance:.3f}"] if score.chance else []
        if score.unknown:
            notes.append(f"not judged: {score.unknown:.1%}, counted as wrong, so Pass@1 is too low by at most that share")
        notes += [f"left out: {count} x {reason}" for reason, count in benchmark.left_out.items()]
        shown = _show(score.pass_at_1, score.standard_error)
        lines.append(f"{score.benchmark:<22}{score.problems:>9}{shown:>18}{score.greedy:>8.3f}{cells}  {'; '.join(notes)}")
        lines += [f"  {name:<20}{count:>9}{_show(mean, error):>18}" for name, count, mean, error in score.subjects]
    if len(results.scores) > 1:
        low, high = results.mean.interval
        shown = _show(results.mean.pass_at_1, results.mean.standard_error)
        lines.append(f"{'mean of benchmarks':<22}{'':>9}{shown:>18}  95% interval {low:.3f} to {high:.3f}")
    return "\n".join(line.rstrip() for line in lines)


def _show(mean: float, error: float | None) -> str:
    return f"{mean:.3f}" + ("" if error is None else f" ± {error:.3f}")
