"""What the report compares: one row a candidate, and how well each predictor told the result of RL."""

import math
from dataclasses import dataclass
from typing import Any

from rlready.components.core.records import Candidate, Outcome
from rlready.components.core.statistics import r_squared, spearman

STAGES = ("sft", "predictors", "rl", "benchmark")


@dataclass(frozen=True)
class Row:
    """One candidate, flat; what is missing or not finite is None.

    Attributes:
        candidate: The setting.
        sft_pass_at_1: Pass@1 at temperature 1 before RL.
        sft_greedy: Greedy Pass@1 before RL.
        pass_at_k: Pass@k before RL, at the gate's k.
        loss: Generalization loss in nats per token.
        decision: approved, rejected, undecided or None.
        reason: The gate's reason.
        mode: The gate's mode.
        score: Pass@1 on the benchmark; after RL, but before any for the base model.
        standard_error: Of score.
        score_greedy: Greedy Pass@1 on the benchmark.
        trajectory: Pairs [epoch, held-out loss].
        curve: Pairs [k, Pass@k].
        seconds: Wall time by stage.
    """

    candidate: Candidate
    sft_pass_at_1: float | None
    sft_greedy: float | None
    pass_at_k: float | None
    loss: float | None
    decision: str | None
    reason: str | None
    mode: str | None
    score: float | None
    standard_error: float | None
    score_greedy: float | None
    trajectory: list
    curve: list
    seconds: dict


def find_k(outcomes: list[Outcome]) -> int | None:
    """Returns the k of the gate's Pass@k, or None if no verdict names one."""
    found = (((outcome.verdict or {}).get("numbers") or {}).get("k") for outcome in outcomes)
    return next((int(k) for k in found if _finite(k) is not None), None)


def flatten(outcome: Outcome, k: int | None) -> Row:
    """Returns the row of an outcome."""
    parts = {stage: getattr(outcome, stage) or {} for stage in STAGES}
    predictors, benchmark, verdict = parts["predictors"], parts["benchmark"], outcome.verdict or {}
    curve = _finite_pairs(predictors.get("curve"))
    at = dict(curve)
    return Row(
        candidate=outcome.candidate,
        sft_pass_at_1=at.get(1),
        sft_greedy=_finite(predictors.get("greedy_pass_at_1")),
        pass_at_k=at.get(k, _finite((verdict.get("numbers") or {}).get("pass_at_k"))),
        loss=_finite(predictors.get("generalization_loss")),
        decision=verdict.get("decision"),
        reason=verdict.get("reason"),
        mode=verdict.get("mode"),
        score=_finite(benchmark.get("pass_at_1")),
        standard_error=_finite(benchmark.get("standard_error")),
        score_greedy=_finite(benchmark.get("greedy_pass_at_1")),
        trajectory=_finite_pairs(parts["sft"].get("trajectory")),
        curve=curve,
        seconds={stage: _finite(part.get("seconds")) for stage, part in parts.items()},
    )


def _finite(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None


def _finite_pairs(pairs: list | None) -> list:
    return [[x, y] for x, y in pairs or [] if _finite(x) is not None and _finite(y) is not None]


def order(rows: list[Row]) -> list[Row]:
    """Returns the rows with the best result of RL first, then the best Pass@k; what is missing comes last."""

    def key(row: Row) -> tuple:
        return tuple(math.inf if value is None else -value for value in (row.score, row.pass_at_k))

    return sorted(rows, key=lambda row: (*key(row), row.candidate.candidate_id))


def label_predictors(k: int | None) -> dict[str, str]:
    """Returns the predictors: their labels by the field of Row that holds them."""
    return {
        "sft_pass_at_1": "SFT Pass@1 (T=1)",
        "sft_greedy": "SFT greedy Pass@1",
        "pass_at_k": f"Pass@{k or 'k'}",
        "loss": "Generalization loss",
    }


def select_pairs(rows: list[Row], predictor: str) -> list[tuple[float, float, float]]:
    """Returns (predictor, post-RL Pass@1, its standard error) of the rows on which the predictor can be judged.

    Losses on different data distributions are not comparable, so only random subsets are judged by their loss.
    """
    return [
        (getattr(row, predictor), row.score, row.standard_error or 0.0)
        for row in rows
        if getattr(row, predictor) is not None
        and row.score is not None
        and (predictor != "loss" or row.candidate.subset == "random")
    ]


@dataclass(frozen=True)
class Judgement:
    """How well a predictor told the result of RL: correlations are None where undefined."""

    points: int
    spearman: float | None
    r_squared: float | None


def judge_predictor(rows: list[Row], predictor: str) -> Judgement:
    """Returns how a predictor, or minus the loss, goes with post-RL Pass@1."""
    pairs = select_pairs(rows, predictor)
    sign = -1 if predictor == "loss" else 1
    x, y = [sign * pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Judgement(len(pairs), spearman(x, y), r_squared(x, y))


def count_standard_errors(better: Row, other: Row) -> float | None:
    """Returns how many standard errors of the difference lie between two scores, or None where that is unknown."""
    spread = math.hypot(better.standard_error or 0.0, other.standard_error or 0.0)
    return (better.score - other.score) / spread if spread else None
