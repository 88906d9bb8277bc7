"""What the report compares: one row a candidate, and the settings that several candidates repeat."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlready.components.config import InputError
from rlready.components.core.estimators.intervals import estimate_interval
from rlready.components.core.estimators.pass_at_k import correct_curve, estimate_curve
from rlready.components.core.records import Candidate, Outcome

STAGES = ("sft", "predictors", "rl", "benchmark")


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
        false_positives: Accepted, checked, rate, low and high of the verifier's false positives; or empty.
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
    false_positives: dict
    by_products: dict
    decision: str | None
    reason: str | None
    mode: str | None
    audited: bool
    propensity: float | None
    forecast: dict
    score: float | None
    standard_error: float | None
    score_greedy: float | None
    benchmarks: dict
    chance: float | None
    trajectory: list
    curve: list
    costs: dict
    ran: tuple

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
    found = (((outcome.verdict or {}).get("numbers") or {}).get("k") for outcome in outcomes)
    return next((int(k) for k in found if _finite(k) is not None), None)


def flatten(outcome: Outcome, k: int | None) -> Row:
    """Returns the row of an outcome."""
    parts = {stage: getattr(outcome, stage) or {} for stage in STAGES}
    predictors, benchmark, verdict = parts["predictors"], parts["benchmark"], outcome.verdict or {}
    curve = _finite_pairs(predictors.get("curve"))
    value, interval, corrected = _measure_pass_at_k(predictors, dict(curve), k)
    quarters = [_finite(quarter.get("loss")) for quarter in predictors.get("loss_by_length") or []]
    return Row(
        candidate=outcome.candidate,
        sft_pass_at_1=dict(curve).get(1),
        sft_greedy=_finite(predictors.get("greedy_pass_at_1")),
        pass_at_k=_finite((verdict.get("numbers") or {}).get("pass_at_k")) if value is None else value,
        pass_at_k_interval=interval,
        corrected=corrected,
        loss=_finite(predictors.get("generalization_loss")),
        loss_interval=_finite_interval(predictors.get("loss_interval")),
        loss_by_length=quarters,
        false_positives=_finite_values(predictors.get("false_positives")),
        by_products=_finite_values(predictors.get("by_products")),
        decision=verdict.get("decision"),
        reason=verdict.get("reason"),
        mode=verdict.get("mode"),
        audited=bool(verdict.get("audited")),
        propensity=_finite(verdict.get("propensity")),
        forecast=verdict.get("forecast") or {},
        score=_finite(benchmark.get("pass_at_1")),
        standard_error=_finite(benchmark.get("standard_error")),
        score_greedy=_finite(benchmark.get("greedy_pass_at_1")),
        benchmarks={name: (_finite(v), _finite(e)) for name, _, v, e, _ in benchmark.get("benchmarks", [])},
        chance=_finite(benchmark.get("chance")),
        trajectory=_finite_pairs(parts["sft"].get("trajectory")),
        curve=curve,
        costs={stage: _measure_cost(part) for stage, part in parts.items()},
        ran=tuple(stage for stage in STAGES if getattr(outcome, stage) is not None),
    )


def _measure_pass_at_k(predictors: dict, curve: dict, k: int | None) -> tuple:
    sequence = predictors.get("sequence")
    if sequence:
        return (
            None,
            _finite_interval([sequence.get("low"), sequence.get("high")] if sequence.get("k") == k else None),
            None,
        )
    interval = _finite_interval((predictors.get("intervals") or {}).get(str(k)))
    corrected = dict(_finite_pairs(predictors.get("corrected"))).get(k)
    if k in curve or k is None:
        return curve.get(k), interval, corrected
    try:  # the gate's k need not be one of the curve's
        values = estimate_curve(predictors.get("correct") or [], predictors.get("samples") or 0)[:, k - 1]
        rate = _finite((predictors.get("false_positives") or {}).get("rate")) or 0.0
        corrected = correct_curve(predictors["correct"], predictors["samples"], rate)[k - 1]
        return float(values.mean()), estimate_interval(values), float(corrected)
    except (InputError, IndexError):
        return None, interval, corrected


def _measure_cost(part: dict) -> tuple[str, float] | None:
    seconds, devices = _finite(part.get("seconds")), _finite(part.get("devices"))
    return None if None in (seconds, devices) else (part.get("device") or "unnamed device", seconds * devices)


def _finite(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return value if known else None


def _finite_pairs(pairs: list | None) -> list:
    return [[x, y] for x, y in pairs or [] if _finite(x) is not None and _finite(y) is not None]


def _finite_interval(interval: list | None) -> tuple | None:
    return tuple(interval) if interval and len(interval) == 2 and None not in map(_finite, interval) else None


def _finite_values(values: dict | None) -> dict:
    return {name: value for name, value in (values or {}).items() if _finite(value) is not None}


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
