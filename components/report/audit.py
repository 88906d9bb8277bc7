"""What the gate got wrong: the rejected that would have ended best, and the forecasts that reality missed."""

import statistics
from collections import Counter
from dataclasses import dataclass

import numpy as np

from rlready.components.core.estimators.intervals import bootstrap, bound_drawn_share, bound_share, estimate_interval
from rlready.components.report.comparison import Row, count_standard_errors

CLEAR_DISTANCE = 2  # standard errors of the difference


@dataclass(frozen=True)
class Audit:
    """What is known about the rejected. A false rejection is a rejected candidate that ended above the best approved one.

    Attributes:
        rejected: Rejected candidates.
        observed: Those of them that RL ran for.
        false: Observed false rejections.
        clear: Those of them that lie clearly above, by their standard errors.
        best: The best approved candidate.
        rate: Estimated share of false rejections among all rejected.
        rate_interval: Its 95 % interval over the draw of the audit; None if there are too few for one.
        regret: Estimated mean over all rejected of how far they end above the best approved one, 0 if they do not.
        regret_interval: Its 95 % interval.
    """

    rejected: int
    observed: int
    false: int
    clear: int
    best: Row
    rate: float
    rate_interval: tuple[float, float] | None
    regret: float
    regret_interval: tuple[float, float] | None


def audit_rejections(rows: list[Row]) -> Audit | str:
    """Estimates the gate's false rejections by inverse propensity.

    The weights are 1 / propensity, and what they add up to is divided by their sum (Hajek 1971); where all propensities are
    the same, that is the plain mean. The intervals are over the draw of the audit, not over the noise of RL: exact for the
    share (a draw without replacement), and for the regret that of a mean of values between 0 and 1. Where propensities
    differ, both are bootstrap intervals.

    Args:
        rows: The candidates.

    Returns:
        The audit, or a sentence that says why there is none.
    """
    rejected = [row for row in rows if row.decision == "rejected" and not row.failure]
    approved = [row for row in rows if row.decision == "approved" and row.score is not None]
    if any(row.mode == "off" for row in rows):
        return "The gate was off: it judged nobody, so there are no rejections to check."
    if not rejected:
        return "The gate rejected nobody, so there are no rejections to check."
    observed = [row for row in rejected if row.score is not None]
    if not observed:
        return (
            f"How many of the {len(rejected)} rejections are wrong, and what they cost, cannot be known: RL ran for none of"
            " the rejected. To find out, run again with gate_audit_fraction above 0, which sends a random share of them to"
            " RL anyway, or with gate_mode audit, which sends all."
        )
    if not approved:
        return (
            f"RL ran for {len(observed)} of {len(rejected)} rejected candidates, but no approved one has finished it, so"
            " there is nothing to compare them with."
        )
    if any(not row.propensity or not 0 < row.propensity <= 1 for row in observed):
        return "The rejections cannot be checked: the probability with which RL ran for the rejected is not recorded."
    best = max(approved, key=lambda row: row.score)
    lost = np.array([max(0.0, row.score - best.score) for row in observed])
    wrong = np.array([row.score > best.score for row in observed], dtype=float)
    inverse = np.array([1 / row.propensity for row in observed])
    if np.ptp(inverse) == 0:
        rate_interval = bound_drawn_share(int(wrong.sum()), len(observed), len(rejected))
        regret_interval = estimate_interval(lost) if len(observed) < len(rejected) else (lost.mean(), lost.mean())
    else:
        rate_interval, regret_interval = (
            bootstrap(lambda w, v=values: (w * inverse * v).sum(1) / (w * inverse).sum(1), range(len(observed)))
            for values in (wrong, lost)
        )
    clear = [count_standard_errors(row, best) for row in observed if row.score > best.score]
    return Audit(
        len(rejected),
        len(observed),
        int(wrong.sum()),
        sum(distance is not None and distance > CLEAR_DISTANCE for distance in clear),
        best,
        float((inverse * wrong).sum() / inverse.sum()),
        rate_interval,
        float((inverse * lost).sum() / inverse.sum()),
        regret_interval,
    )


@dataclass(frozen=True)
class Forecasts:
    """How the forecasts that were logged before RL compare with what RL did.

    Attributes:
        finished: Candidates that finished RL.
        made: Those of them that had a forecast.
        inside: Those of them that ended inside their interval.
        share_interval: Exact 95 % interval of the share inside; None without forecasts.
        error: Mean absolute error of the prediction; None without forecasts.
        reasons: Why the others had none, the most frequent reason first.
    """

    finished: int
    made: int
    inside: int
    share_interval: tuple[float, float] | None
    error: float | None
    reasons: list[str]


def read_forecast(row: Row) -> tuple[float, float, float] | None:
    """Returns (predicted, low, high), or None if there was none."""
    return (row.forecast.predicted, row.forecast.low, row.forecast.high) if row.forecast.made else None


def check_forecasts(rows: list[Row]) -> Forecasts:
    """Compares forecasts with results."""
    finished = [row for row in rows if row.score is not None]
    made = [(row.score, *forecast) for row in finished if (forecast := read_forecast(row)) is not None]
    inside = sum(low <= score <= high for score, _, low, high in made)
    reasons = Counter(row.forecast.reason or "none was logged" for row in rows if read_forecast(row) is None)
    return Forecasts(
        len(finished),
        len(made),
        inside,
        bound_share(inside, len(made)) if made else None,
        statistics.fmean(abs(score - predicted) for score, predicted, _, _ in made) if made else None,
        [reason for reason, _ in reasons.most_common()],
    )
