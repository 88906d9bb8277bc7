"""Evaluates a model on benchmarks, keeps every sample, and goes on where it was stopped."""

import dataclasses
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rlready.components.config import InputError, Sampling
from rlready.components.core.data.problems import read_benchmark
from rlready.components.core.data.registry import BUILTIN, Source
from rlready.components.core.data.sources import examine
from rlready.components.core.models import find_base, takes_pictures, write_pointer
from rlready.components.core.prompts import INSTRUCTIONS, choose_prompt
from rlready.components.core.records import BaseModel, write_atomically
from rlready.components.core.sampling import Draw, Engine, open_engine
from rlready.components.core.scoring import Scored, score_problems
from rlready.components.core.suite import BenchmarkScore, SuiteScore, average, score_benchmark

PROBLEMS_AT_ONCE = 32  # whose samples are kept together: what is lost at most when the evaluation is killed
SAMPLES = pa.schema(
    [
        ("benchmark", pa.string()),
        ("subject", pa.string()),
        ("problem_id", pa.string()),
        ("prompt", pa.string()),
        ("gold", pa.string()),
        ("temperature", pa.float64()),
        ("seed", pa.int64()),
        ("sample", pa.int64()),
        ("completion", pa.string()),
        ("answer", pa.string()),
        ("right", pa.bool_()),
        ("tokens", pa.int64()),
        ("finished", pa.bool_()),
        ("engine", pa.string()),
    ]
)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as it is evaluated.

    Attributes:
        name: What results call it.
        revision: Digest of its file, or hub commit.
        problems: Rows.
        left_out: Rows that are not asked, by reason.
    """

    name: str
    revision: str
    problems: list[dict]
    left_out: Counter


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated, and on what: the same one gives the same samples.

    Attributes:
        model: Folder, hub id or builtin name.
        digest: Of the model: hub commit, or digest of the folder.
        benchmarks: The suite.
        samples: Samples a problem at temperature 1; 0: greedy only.
        sampling: Engine, longest completion, stop strings and seed.
    """

    model: str
    digest: str
    benchmarks: list[Benchmark]
    samples: int
    sampling: Sampling

    def describe(self) -> dict:
        """Returns all that the samples depend on, in JSON's values."""
        prompts = {choose_prompt(row) for benchmark in self.benchmarks for row in benchmark.problems}
        return {
            "model": self.model,
            "digest": self.digest,
            "samples": self.samples,
            "sampling": dataclasses.asdict(self.sampling),
            "prompts": {name: INSTRUCTIONS[name] for name in sorted(prompts)},
            "benchmarks": {
                b.name: {"revision": b.revision, "problems": len(b.problems), "digest": _digest(b.problems)}
                for b in self.benchmarks
            },
        }

    @property
    def name(self) -> str:
        """A name for the folder of this evaluation: the model's, and a digest of all that the samples depend on."""
        model = re.sub(r"[^A-Za-z0-9_.-]", "-", Path(self.model).name)
        return f"{model}-{_digest(self.describe())[:8]}"


@dataclass(frozen=True)
class Results:
    """What came out.

    Attributes:
        scores: Of each benchmark.
        mean: Over benchmarks.
        sampled: Completions that were drawn by this call; the others were there already.
    """

    scores: list[BenchmarkScore]
    mean: SuiteScore
    sampled: int


def plan_evaluation(
    model: str, revision: str, benchmarks: list[Source], samples: int, limit: int, sampling: Sampling
) -> Evaluation:
    """Reads the benchmarks and checks everything before the model is loaded.

    Args:
        model: Folder, hub id or builtin name.
        revision: Hub revision.
        benchmarks: From `registry.find_benchmarks`.
        samples: Samples a problem at temperature 1; 0: greedy only.
        limit: Most problems of each benchmark, the first ones; 0: all.
        sampling: Engine, longest completion, stop strings and seed.

    Raises:
        InputError: If the model or a benchmark cannot be read, or a number makes no sense.
    """
    if samples < 0 or limit < 0:
        raise InputError(f"--samples and --limit must be 0 or more, got {samples} and {limit}")
    base = find_base(model, revision)
    read = []
    for source in benchmarks:
        if source.name == BUILTIN and not limit:
            raise InputError(f"{BUILTIN} has no end; say with --limit how many problems")
        found = "" if source.name == BUILTIN else examine(source, 0).digest
        source = dataclasses.replace(source, pictures="image" in source.columns and takes_pictures(base))
        problems, left_out = read_benchmark(source, "" if source.path else found, limit)
        read.append(Benchmark(source.benchmark, found, problems, left_out))
    return Evaluation(base.location, base.revision or base.digest, read, samples, sampling)


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
                _write_part(path, _ask(engine, evaluation, benchmark, problems, tell))
                done += len(problems) * (evaluation.samples + 1)
    progress("", done, total)
    _join([path for _, path, _ in blocks], out / "samples.parquet")
    scores = [_score(evaluation, benchmark, out / "samples.parquet") for benchmark in evaluation.benchmarks]
    results = Results(scores, average(scores), sampled)
    written = {
        "evaluation": evaluation.describe(),
        "left_out": {benchmark.name: dict(benchmark.left_out) for benchmark in evaluation.benchmarks},
        "scores": [dataclasses.asdict(score) for score in scores],
        "mean": dataclasses.asdict(results.mean),
    }
    write_atomically(out / "results.json", json.dumps(written, indent=1))
    return results


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
    draws = [Draw(1, sampling.max_tokens, temperature=0.0, stop=sampling.stop)]
    if evaluation.samples:
        draws.append(Draw(evaluation.samples, sampling.max_tokens, seed=sampling.seed, stop=sampling.stop))
    done = 0
    for draw in draws:
        scored = score_problems(engine, problems, draw, lambda n, tokens, done=done: progress(done + n, tokens))
        rows += _list_samples(engine, benchmark, problems, draw, scored)
        done += len(problems)
    return rows


def _list_samples(engine: Engine, benchmark: str, problems: list[dict], draw: Draw, scored: Scored) -> Iterator[dict]:
    for problem, completions, judgements in zip(problems, scored.completions, scored.judgements, strict=True):
        prompt = engine.show(problem)
        for number, (completion, judgement) in enumerate(zip(completions, judgements, strict=True)):
            yield {
                "benchmark": benchmark,
                "subject": problem.get("subject"),
                "problem_id": problem["problem_id"],
                "prompt": prompt,
                "gold": problem["answer"],
                "temperature": float(draw.temperature),
                "seed": draw.seed,
                "sample": number,
                "completion": completion.text,
                "answer": judgement.answer,
                "right": judgement.right,
                "tokens": len(completion.ids),
                "finished": completion.finished,
                "engine": engine.name,
            }


def _write_part(path: Path, rows: list[dict]) -> None:
    partial = path.with_suffix(".partial")
    pq.write_table(pa.Table.from_pylist(rows, SAMPLES), partial)
    os.replace(partial, path)


def _join(parts: list[Path], out: Path) -> None:
    partial = out.with_suffix(".partial")
    with pq.ParquetWriter(partial, SAMPLES) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part))
    os.replace(partial, out)


def _score(evaluation: Evaluation, benchmark: Benchmark, samples: Path) -> BenchmarkScore:
    table = pq.read_table(
        samples, columns=["problem_id", "temperature", "right"], filters=[("benchmark", "=", benchmark.name)]
    )
    correct, greedy = Counter(), Counter()
    for problem, temperature, right in zip(*(column.to_pylist() for column in table.columns), strict=True):
        (correct if temperature else greedy)[problem] += right
    ids = [row["problem_id"] for row in benchmark.problems]
    counts = ([counter[problem] for problem in ids] for counter in (correct, greedy))
    return score_benchmark(benchmark.name, benchmark.problems, evaluation.samples, *counts)


def list_metrics(results: Results) -> dict[str, float]:
    """Returns the figures as MLflow keeps them, e.g. gsm8k/pass_at_1 and mean/pass_at_1."""
    metrics = {
        "mean/pass_at_1": results.mean.pass_at_1,
        "mean/pass_at_1_low": results.mean.interval[0],
        "mean/pass_at_1_high": results.mean.interval[1],
    }
    for score in results.scores:
        metrics |= {f"{score.benchmark}/pass_at_{int(k)}": value for k, value, *_ in score.curve}
        metrics[f"{score.benchmark}/pass_at_1"] = score.pass_at_1
        metrics[f"{score.benchmark}/pass_at_1_standard_error"] = score.standard_error
        metrics[f"{score.benchmark}/greedy_pass_at_1"] = score.greedy
    return metrics


def describe_results(evaluation: Evaluation, results: Results) -> str:
    """Returns the results as a table for a terminal."""
    ks = sorted({int(k) for score in results.scores for k, *_ in score.curve if k > 1})
    header = f"{'benchmark':<22}{'problems':>9}{'Pass@1':>18}{'greedy':>8}" + "".join(f"{f'Pass@{k}':>9}" for k in ks)
    lines = [header]
    for benchmark, score in zip(evaluation.benchmarks, results.scores, strict=True):
        curve = {int(k): value for k, value, *_ in score.curve}
        cells = "".join(f"{curve[k]:>9.3f}" if k in curve else f"{'-':>9}" for k in ks)
        notes = [f"chance {score.chance:.3f}"] if score.chance else []
        notes += [f"left out: {count} x {reason}" for reason, count in benchmark.left_out.items()]
        shown = _show(score.pass_at_1, score.standard_error)
        lines.append(
            f"{score.benchmark:<22}{score.problems:>9}{shown:>18}{score.greedy:>8.3f}{cells}  {'; '.join(notes)}"
        )
        lines += [f"  {name:<20}{count:>9}{_show(mean, error):>18}" for name, count, mean, error in score.subjects]
    if len(results.scores) > 1:
        low, high = results.mean.interval
        shown = _show(results.mean.pass_at_1, results.mean.standard_error)
        lines.append(f"{'mean of benchmarks':<22}{'':>9}{shown:>18}  95 % interval {low:.3f} to {high:.3f}")
    return "\n".join(line.rstrip() for line in lines)


def _show(mean: float, error: float | None) -> str:
    return f"{mean:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=lambda picture: hashlib.sha256(picture).hexdigest())
    return hashlib.sha256(text.encode()).hexdigest()[:16]
