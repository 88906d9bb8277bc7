"""The plan of an evaluation: model and benchmarks, read and checked before the model is loaded."""

import dataclasses
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rlready.config import Sampling
from rlready.data.problems import read_benchmark
from rlready.data.registry import BUILTIN, Source
from rlready.data.sources import examine
from rlready.errors import InputError, error_context
from rlready.evaluation.samples import FORM
from rlready.models.load import choose_precision, find_model, takes_pictures
from rlready.models.prompts import INSTRUCTIONS, choose_prompt
from rlready.sampling.choose import choose_for
from rlready.verifier import find_format, find_origin


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

    model: str  # folder, hub id or builtin name
    digest: str  # hub commit, or digest of the folder
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
            "model": self.model,
            "digest": self.digest,
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
        model = re.sub(r"[^A-Za-z0-9_.-]", "-", Path(self.model).name)
        return f"{model}-{_digest(self.describe())[:8]}"


def plan_evaluation(
    model: str, revision: str, benchmarks: list[Source], samples: int, limit: int, sampling: Sampling
) -> Evaluation:
    """Reads the benchmarks and checks everything before the model is loaded.

    `model` is a folder, hub id or builtin name with its hub revision; `samples` of 0 is greedy only; `limit` is the maximum
    number of problems per benchmark, the first ones, and 0 all. Raises InputError if the model or a benchmark cannot be read,
    or a number is out of range.
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
    return Evaluation(base.location, base.revision or base.digest, read, samples, sampling, engine, choose_precision())


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=lambda picture: hashlib.sha256(picture).hexdigest())
    return hashlib.sha256(text.encode()).hexdigest()[:16]
