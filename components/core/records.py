"""The typed JSON contracts between stages. Stages never import each other; they meet here."""

import dataclasses
import json
import math
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlready.components.config import InputError

SCHEMA = 1


@dataclass(frozen=True)
class Candidate:
    """One SFT setting of the sweep.

    Attributes:
        candidate_id: Made from the other fields, so the same setting has the same id in every sweep.
        epochs: Passes over the subset; 0 is the base model itself.
        subset: random, shortest, longest or mixed.
        examples: Number of SFT examples.
        learning_rate: Peak learning rate of SFT.
        seed: Seeds SFT and RL.
    """

    candidate_id: str
    epochs: int
    subset: str
    examples: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class BaseModel:
    """The base model as plan found it: where it is, and a digest that changes when it does."""

    location: str
    revision: str
    digest: str


@dataclass(frozen=True)
class SftRecord:
    """What SFT did. Losses are in nats per completion token on the held-out examples.

    Attributes:
        candidate: The setting.
        trajectory: Pairs [epoch, held-out loss]; epoch 0 is before training.
        steps: Optimizer steps.
        train_tokens: Completion tokens trained on, all epochs together.
        seconds: Wall time of training.
    """

    candidate: Candidate
    trajectory: list
    steps: int
    train_tokens: int
    seconds: float


@dataclass(frozen=True)
class PredictorsRecord:
    """What was measured before RL.

    Attributes:
        candidate: The setting.
        generalization_loss: Nats per completion token on the held-out examples.
        heldout_tokens: Completion tokens that the loss is a mean over.
        samples: Samples a problem (n).
        correct: Right samples of each problem (c), one number a problem.
        greedy_pass_at_1: Share of problems solved by greedy decoding.
        curve: Pass@k as pairs [k, value] for every k from 1 to n.
        intervals: 95 % intervals of Pass@1 and Pass@k, as {"1": [low, high], ...}.
        tokens: Completion tokens sampled.
        seconds: Wall time.
    """

    candidate: Candidate
    generalization_loss: float | None
    heldout_tokens: int
    samples: int
    correct: list
    greedy_pass_at_1: float | None
    curve: list
    intervals: dict
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """What the gate decided, and why.

    Attributes:
        candidate_id: Whose verdict.
        decision: approved, rejected or undecided.
        proceed: Whether RL runs; differs from approved in the modes audit and off.
        reason: One line a person can read.
        mode: enforce, audit or off.
        numbers: The figures that the decision rests on.
    """

    candidate_id: str
    decision: str
    proceed: bool
    reason: str
    mode: str
    numbers: dict


@dataclass(frozen=True)
class RlRecord:
    """What RL did.

    Attributes:
        candidate: The setting.
        rewards: Pairs [step, mean reward of the rollouts].
        steps: Optimizer steps.
        seconds: Wall time.
    """

    candidate: Candidate
    rewards: list
    steps: int
    seconds: float


@dataclass(frozen=True)
class BenchmarkRecord:
    """Scores on the evaluation problems.

    Attributes:
        candidate: The setting.
        pass_at_1: Mean over problems of the share of right samples, at temperature 1.
        standard_error: Of pass_at_1, clustered by problem.
        greedy_pass_at_1: Share of problems solved by greedy decoding.
        problems: Number of problems.
        samples: Samples a problem.
        tokens: Completion tokens sampled.
        seconds: Wall time.
    """

    candidate: Candidate
    pass_at_1: float | None
    standard_error: float | None
    greedy_pass_at_1: float | None
    problems: int
    samples: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """Everything about one candidate that the report and tracking need, small enough for a KFP parameter.

    Stages fill it one after the other; what has not happened is None. The curve holds powers of two and n only.
    """

    candidate: Candidate
    sft: dict | None = None
    predictors: dict | None = None
    verdict: dict | None = None
    rl: dict | None = None
    benchmark: dict | None = None
    links: dict = field(default_factory=dict)
    schema: int = SCHEMA


NESTED = {"candidate": Candidate}


def to_json(record: Any) -> str:
    """Returns a record as JSON; non-finite numbers become null, so that no reader can take them for numbers."""
    return json.dumps(_finite(dataclasses.asdict(record)), sort_keys=True, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def from_json(kind: type, text: str) -> Any:
    """Returns the record of this kind.

    Args:
        kind: A dataclass of this module.
        text: Its JSON.

    Returns:
        The record.

    Raises:
        InputError: If the text is not JSON, or its fields are not those of the record (another version wrote it).
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not a {kind.__name__}: {error}") from error
    names = {f.name for f in dataclasses.fields(kind)}
    if not isinstance(values, dict) or set(values) != names:
        found = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise InputError(f"not a {kind.__name__} of this version: expected the fields {sorted(names)}, found {found}")
    if values.get("schema", SCHEMA) != SCHEMA:
        raise InputError(f"{kind.__name__} has schema {values['schema']}, this version reads {SCHEMA}")
    nested = {name: from_json(NESTED[name], json.dumps(values[name])) for name in names & NESTED.keys()}
    return kind(**{**values, **nested})


def read_record(kind: type, path: str | Path) -> Any:
    """Returns the record in a file; errors name the file."""
    try:
        return from_json(kind, Path(path).read_text())
    except (OSError, InputError) as error:
        raise InputError(f"{path}: {error}") from error


def write_record(record: Any, path: str | Path) -> None:
    """Writes a record atomically."""
    write_atomically(path, to_json(record))


def write_atomically(path: str | Path, text: str) -> None:
    """Writes a text so that a reader sees all of it or nothing, also after a kill or on a full disk."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def summarize_predictors(record: PredictorsRecord) -> dict:
    """Returns the part of the predictors that travels in an Outcome: no counts, and the curve at powers of two and n."""
    summary = dataclasses.asdict(record)
    del summary["candidate"]
    summary["problems"] = len(summary.pop("correct"))
    summary["curve"] = [[k, v] for k, v in record.curve if k & (k - 1) == 0 or k == record.samples]
    return summary


def check_outcomes(outcomes: list[Outcome], candidates: list[Candidate]) -> None:
    """Checks that what ran is what the gate decided; an orchestrator can skip a branch silently.

    Args:
        outcomes: One a candidate.
        candidates: What plan expanded the sweep to.

    Raises:
        InputError: If a candidate has no outcome, or RL ran where the verdict says no, or did not where it says yes.
    """
    found = {outcome.candidate.candidate_id: outcome for outcome in outcomes}
    for candidate in candidates:
        outcome = found.get(candidate.candidate_id)
        if outcome is None or outcome.verdict is None:
            raise InputError(f"{candidate.candidate_id}: planned, but has no verdict; the orchestrator skipped it")
        ran = outcome.rl is not None and outcome.benchmark is not None
        if ran != outcome.verdict["proceed"]:
            raise InputError(
                f"{candidate.candidate_id}: the gate said {'run' if outcome.verdict['proceed'] else 'do not run'} RL,"
                f" but RL {'ran' if ran else 'did not run'}; this report cannot be trusted"
            )


def write_metrics(outcome: str, path: str | Path) -> dict[str, float]:
    """Writes and returns the headline figures of an outcome's JSON, for the KFP UI.

    The file is for kfp.local, whose cache takes an artifact without one for lost.
    """
    read = from_json(Outcome, outcome)
    figures = {f"sft_pass_at_{k}": value for k, value in read.predictors["curve"]}
    figures["sft_generalization_loss"] = read.predictors["generalization_loss"]
    if read.benchmark:
        name = "rl" if read.rl else "base"
        figures |= {f"{name}_{key}": read.benchmark[key] for key in ("pass_at_1", "standard_error", "greedy_pass_at_1")}
    figures = {name: value for name, value in figures.items() if value is not None}
    write_atomically(path, json.dumps(figures))
    return figures
