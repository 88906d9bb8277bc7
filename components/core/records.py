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

SCHEMA = 2


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
        model_digest: Digest of the weights, so that RL can tell whether it got the model that was measured.
        seconds: Wall time of training.
        device: Kind of device.
        devices: How many of them.
    """

    candidate: Candidate
    trajectory: list
    steps: int
    train_tokens: int
    model_digest: str
    seconds: float
    device: str
    devices: int


@dataclass(frozen=True)
class PredictorsRecord:
    """What was measured before RL. In sequential mode there are no counts and no curve, but a sequence.

    Attributes:
        candidate: The setting.
        generalization_loss: Nats per completion token on the held-out examples.
        loss_interval: Its 95 % interval over examples, [low, high].
        loss_by_length: The same by quartile of completion length: shortest, longest, loss, low, high.
        heldout_tokens: Completion tokens that the loss is a mean over.
        problems: Problems sampled.
        samples: Samples a problem (n).
        correct: Right samples of each problem (c), one number a problem, always in the same order of problems.
        curve: Pass@k as pairs [k, value] for the powers of two and n.
        intervals: 95 % intervals at those k, as {"1": [low, high], ...}.
        corrected: The curve corrected for false positives, as pairs [k, value].
        false_positives: Samples that the answer of another problem was held against: accepted, checked, rate, low, high.
        greedy_pass_at_1: Share of problems solved by greedy decoding.
        by_products: entropy, zero_variance, diversity, mean_tokens, truncated, verifier_disagreement; see
            `Scored.summarize`.
        sequence: What the sequential test saw: the fields of `SequentialResult`, its interval as low and high, and
            its k and threshold; None where n was fixed.
        tokens: Completion tokens sampled.
        engine: What sampled, transformers or vllm.
        seconds: Wall time.
        device: Kind of device.
        devices: How many of them.
    """

    candidate: Candidate
    generalization_loss: float | None
    loss_interval: list
    loss_by_length: list
    heldout_tokens: int
    problems: int
    samples: int
    correct: list
    curve: list
    intervals: dict
    corrected: list
    false_positives: dict | None
    greedy_pass_at_1: float | None
    by_products: dict
    sequence: dict | None
    tokens: int
    engine: str
    seconds: float
    device: str
    devices: int


@dataclass(frozen=True)
class Verdict:
    """What the gate decided, and why.

    Attributes:
        candidate_id: Whose verdict.
        decision: approved, rejected or undecided.
        proceed: Whether RL runs; differs from approved in the modes audit and off, and for the audited.
        reason: One line a person can read.
        mode: enforce, audit or off.
        propensity: Probability with which RL runs for a candidate with this decision; weights what the audit finds.
        audited: Whether RL runs although the candidate was not approved.
        numbers: The figures that the decision rests on.
        forecast: Post-RL Pass@1 to expect: predicted, low, high, points, predictor; or the reason why there is none.
    """

    candidate_id: str
    decision: str
    proceed: bool
    reason: str
    mode: str
    propensity: float
    audited: bool
    numbers: dict
    forecast: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """A verdict on its way to RL: whose it is, and the digest of the checkpoint that it was passed on."""

    candidate: Candidate
    model_digest: str
    verdict: dict


@dataclass(frozen=True)
class RlRecord:
    """What RL did.

    Attributes:
        candidate: The setting.
        rewards: Pairs [step, mean reward of the rollouts].
        steps: Optimizer steps.
        seconds: Wall time.
        device: Kind of device.
        devices: How many of them.
    """

    candidate: Candidate
    rewards: list
    steps: int
    seconds: float
    device: str
    devices: int


@dataclass(frozen=True)
class BenchmarkRecord:
    """Scores on the evaluation problems.

    Attributes:
        candidate: The setting.
        pass_at_1: Mean over problems of the share of right samples, at temperature 1; of several benchmarks, their mean.
        standard_error: Of pass_at_1, clustered by problem.
        interval: 95 % interval of pass_at_1, which says something even where no sample was right.
        greedy_pass_at_1: Share of problems solved by greedy decoding; of several benchmarks, the mean.
        chance: Pass@1 of guessing, above 0 for multiple choice.
        benchmarks: [name, problems, pass_at_1, standard_error, greedy_pass_at_1] of each, where there are several.
        problems: Number of problems.
        samples: Samples a problem.
        tokens: Completion tokens sampled.
        engine: What sampled, transformers or vllm.
        seconds: Wall time.
        device: Kind of device.
        devices: How many of them.
    """

    candidate: Candidate
    pass_at_1: float | None
    standard_error: float | None
    interval: list
    greedy_pass_at_1: float | None
    chance: float
    benchmarks: list
    problems: int
    samples: int
    tokens: int
    engine: str
    seconds: float
    device: str
    devices: int


@dataclass(frozen=True)
class Result:
    """What came after the gate, small enough for a KFP parameter: RL (None for the base model) and the benchmark."""

    candidate_id: str
    rl: dict | None
    benchmark: dict
    links: dict


@dataclass(frozen=True)
class Outcome:
    """Everything about one candidate. What has not happened is None.

    Attributes:
        candidate: The setting.
        sft: SftRecord without its candidate.
        predictors: PredictorsRecord without its candidate.
        verdict: Verdict.
        rl: RlRecord without its candidate.
        benchmark: BenchmarkRecord without its candidate.
        links: Where it comes from: base_model, data, sft_model, rl_model.
        measurement: Digest of what the predictors were measured with, the engine that `auto` chose included (engines draw
            other samples, in other precision); only outcomes with the same one can be compared.
        schema: Version of this form.
    """

    candidate: Candidate
    sft: dict | None = None
    predictors: dict | None = None
    verdict: dict | None = None
    rl: dict | None = None
    benchmark: dict | None = None
    links: dict = field(default_factory=dict)
    measurement: str = ""
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


def drop_candidate(record: Any) -> dict:
    """Returns a record's fields without its candidate, as an Outcome holds them."""
    values = dataclasses.asdict(record)
    del values["candidate"]
    return values


def assemble(measured: list[Outcome], verdicts: list[Verdict], results: list[Result]) -> list[Outcome]:
    """Puts together what the stages said of each candidate.

    Args:
        measured: Outcomes up to the predictors.
        verdicts: One a candidate.
        results: One for each candidate that RL ran for.

    Returns:
        Whole outcomes, in the order of `measured`.

    Raises:
        InputError: If a verdict or result belongs to none of them.
    """
    by_candidate = {outcome.candidate.candidate_id: outcome for outcome in measured}
    for record in (*verdicts, *results):
        if record.candidate_id not in by_candidate:
            raise InputError(f"{record.candidate_id}: has a {type(record).__name__.lower()}, but was not measured")
    for verdict in verdicts:
        outcome = by_candidate[verdict.candidate_id]
        by_candidate[verdict.candidate_id] = dataclasses.replace(outcome, verdict=dataclasses.asdict(verdict))
    for result in results:
        outcome = by_candidate[result.candidate_id]
        by_candidate[result.candidate_id] = dataclasses.replace(
            outcome, rl=result.rl, benchmark=result.benchmark, links=outcome.links | result.links
        )
    return list(by_candidate.values())


def check_comparable(outcomes: list[Outcome], reference: Outcome) -> None:
    """Raises InputError if an outcome was measured with other data, base model or settings than the reference."""
    for outcome in outcomes:
        if outcome.measurement != reference.measurement:
            raise InputError(
                f"{outcome.candidate.candidate_id}: measured in another experiment ({outcome.measurement}) than the base"
                f" model ({reference.measurement}); base model, held-out set, problems, sampling and engine must be the same"
            )


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


def read_scores(result: str) -> dict[str, float | None]:
    """Returns the headline figures of a Result's JSON, for the KFP UI."""
    benchmark = from_json(Result, result).benchmark
    return {name: benchmark[name] for name in ("pass_at_1", "standard_error", "greedy_pass_at_1", "chance")}


def write_metrics(figures: dict[str, float | None], path: str | Path) -> dict[str, float]:
    """Writes and returns the figures that are there, for the KFP UI.

    The file is for kfp.local, whose cache takes an artifact without one for lost.
    """
    known = {name: value for name, value in figures.items() if value is not None}
    write_atomically(path, json.dumps(known))
    return known
