"""What the report compares: one row a candidate, and the settings that several candidates repeat."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlready.components.config import InputError
from rlready.components.core.estimators.intervals import estimate_interval
from rlready.components.core.estimators.pass_at_k import correct_curve, estimate_curve
from rlready.components.core.records import (
    CANDIDATE_STAGES,
    BenchmarkRecord,
    Candidate,
    Failure,
    FalsePositives,
    Forecast,
    Outcome,
    PredictorsRecord,
    SampleStatistics,
    Verdict,
)


@dataclass(frozen=True)
class Row:
    """One candidate, flat; what is missing or not finite is None.

    Attributes:
        candidate: The setting.
        sft_pass_at_1: Pass@1 at temperature 1 before RL.
        sft_greedy: Greedy Pass@1 before RL.
        pass_at_k: Pass@k before RL, at the gate's k.
        pass_at_k_interval: Its (low, high); of the sequential test where there is no pass_at_k.
        corrected: Pass@k corrected for false positives.
        loss: Generalization loss in nats per token.
        loss_interval: Its (low, high).
        loss_by_length: Losses of the quarters by completion length, the shortest first.
        false_positives: The verifier's false positives.
        by_products: What else the samples showed.
        decision: approved, rejected, undecided or None.
        reason: The gate's reason.
        mode: The gate's mode.
        audited: Whether RL ran although the candidate was not approved.
        propensity: Probability with which RL ran for a candidate with this decision.
        forecast: What the gate expected RL to end at.
        score: Pass@1 on the benchmark; after RL, but before any for the base model.
        standard_error: Of score.
        score_greedy: Greedy Pass@1 on the benchmark.
        benchmarks: (Pass@1, standard error) by benchmark, where there are several; `score` is their mean.
        chance: Pass@1 of guessing.
        trajectory: Pairs [epoch, held-out loss].
        curve: Pairs [k, Pass@k].
        costs: Kind of device and device-seconds by stage; None for a stage that did not run or was not measured.
        ran: Stages that ran.
        failure: Why there is no result.
    """

    candidate: Candidate
    sft_pass_at_1: float | None
    sft_greedy: float | None
    pass_at_k: float | None
    pass_at_k_interval: tuple | None
    corrected: float | None
    loss: float | None
    loss_interval: tuple | None
    loss_by_length: list
    false_positives: FalsePositives | None
    by_products: SampleStatistics
    decision: str | None
    reason: str | None
    mode: str | None
    audited: bool
    propensity: float | None
    forecast: Forecast
    score: float | None
    standard_error: float | None
    score_greedy: float | None
    benchmarks: dict
    chance: float | None
    trajectory: list
    curve: list
    costs: dict
    ran: tuple
    failure: Failure | None = None

    @property
    def setting(self) -> tuple:
        """All of the candidate but its seed."""
        c = self.candidate
        return c.epochs, c.subset, c.examples, c.learning_rate

    @property
    def sequential(self) -> bool:
        """Whether the sequential test left an interval for Pass@k, and no number."""
        return self.pass_at_k is None and self.pass_at_k_interval is not None


def find_k(outcomes: list[Outcome]) -> int | None:
    """Returns the k of the gate's Pass@k, or None if no verdict names one."""
    return next((o.verdict.numbers.k for o in outcomes if o.verdict and o.verdict.numbers.k), None)


def flatten(outcome: Outcome, k: int | None) -> Row:
    """Returns the row of an outcome."""
    predictors, benchmark = outcome.predictors or PredictorsRecord(), outcome.benchmark or BenchmarkRecord()
    verdict = outcome.verdict or Verdict(outcome.candidate.candidate_id, "", False, "", "")
    value, interval, corrected = _measure_pass_at_k(predictors, k)
    parts = {stage: getattr(outcome, stage) for stage in CANDIDATE_STAGES}
    return Row(
        candidate=outcome.candidate,
        sft_pass_at_1=predictors.get_pass_at(1),
        sft_greedy=predictors.greedy_pass_at_1,
        pass_at_k=verdict.numbers.pass_at_k if value is None else value,
        pass_at_k_interval=interval,
        corrected=corrected,
        loss=predictors.generalization_loss,
        loss_interval=_whole(predictors.loss_interval),
        loss_by_length=[quarter.loss for quarter in predictors.loss_by_length],
        false_positives=predictors.false_positives,
        by_products=predictors.by_products,
        decision=verdict.decision or None,
        reason=verdict.reason or None,
        mode=verdict.mode or None,
        audited=verdict.audited,
        propensity=verdict.propensity,
        forecast=verdict.forecast,
        score=benchmark.pass_at_1,
        standard_error=benchmark.standard_error,
        score_greedy=benchmark.greedy_pass_at_1,
        benchmarks={name: (value, error) for name, _, value, error, _ in benchmark.benchmarks},
        chance=benchmark.chance,
        trajectory=_keep_known(outcome.sft.trajectory if outcome.sft else []),
        curve=_keep_known(predictors.curve),
        costs={stage: _measure_cost(part) for stage, part in parts.items()},
        ran=tuple(stage for stage, part in parts.items() if part is not None),
        failure=outcome.failure,
    )


def _measure_pass_at_k(predictors: PredictorsRecord, k: int | None) -> tuple:
    if sequence := predictors.sequence:
        return None, _whole([sequence.low, sequence.high] if sequence.k == k else None), None
    interval, curve = _whole(predictors.intervals.get(str(k))), dict(_keep_known(predictors.curve))
    corrected = dict(_keep_known(predictors.corrected)).get(k)
    if k in curve or k is None:
        return curve.get(k), interval, corrected
    try:  # the gate's k need not be one of the curve's
        values = estimate_curve(predictors.correct, predictors.samples)[:, k - 1]
        rate = predictors.false_positives and predictors.false_positives.rate
        if rate is not None:
            corrected = float(correct_curve(predictors.correct, predictors.samples, rate)[k - 1])
        return float(values.mean()), estimate_interval(values), corrected
    except (InputError, IndexError):
        return None, interval, corrected


def _measure_cost(part: Any) -> tuple[str, float] | None:
    if part is None or None in (part.seconds, part.devices):
        return None
    return part.device or "unnamed device", part.seconds * part.devices


def _keep_known(pairs: list) -> list:
    return [[x, y] for x, y in pairs if None not in (x, y)]


def _whole(interval: list | None) -> tuple | None:
    return tuple(interval) if interval and len(interval) == 2 and None not in interval else None


def order(rows: list[Row]) -> list[Row]:
    """Returns the rows with the best result of RL first, then the best Pass@k; what is missing comes last."""

    def key(row: Row) -> tuple:
        return tuple(math.inf if value is None else -value for value in (row.score, row.pass_at_k))

    return sorted(rows, key=lambda row: (*key(row), row.candidate.candidate_id))


def label_predictors(k: int | None) -> dict[str, str]:
    """Returns the predictors of the candidates' table: their labels by the field of Row that holds them."""
    return {
        "sft_pass_at_1": "SFT Pass@1 (T=1)",
        "sft_greedy": "SFT greedy Pass@1",
        "pass_at_k": f"Pass@{k or 'k'}",
        "loss": "Generalization loss",
    }


@dataclass(frozen=True)
class Setting:
    """Candidates that differ by their seed only.

    Attributes:
        name: The candidates' name without the seed.
        rows: The candidates.
    """

    name: str
    rows: list[Row]

    @property
    def scores(self) -> list[float]:
        """Post-RL Pass@1 of the seeds that have one."""
        return [row.score for row in self.rows if row.score is not None]

    def average(self, measure: Callable[[Row], float | None]) -> float | None:
        """Returns the mean over the seeds that have the value, or None."""
        known = [value for value in map(measure, self.rows) if value is not None]
        return statistics.fmean(known) if known else None


def group_settings(rows: list[Row]) -> list[Setting]:
    """Returns the settings, in the order of their first rows."""
    grouped: dict[tuple, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.setting, []).append(row)
    named = [(members[0].candidate, members) for members in grouped.values()]
    return [Setting(first.candidate_id.removesuffix(f"-s{first.seed}"), members) for first, members in named]


def count_standard_errors(better: Row, other: Row) -> float | None:
    """Returns how many standard errors of the difference lie between two scores, or None where that is unknown."""
    spread = math.hypot(better.standard_error or 0.0, other.standard_error or 0.0)
    return (better.score - other.score) / spread if spread else None
