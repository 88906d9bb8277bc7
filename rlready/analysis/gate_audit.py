"""The gate audit: which rejected candidates would have ended best, from RL for some or all of them."""

from dataclasses import dataclass

import numpy as np

from rlready.analysis.comparison import Interval, Row, compare, list_scores
from rlready.analysis.format import count, count_of, count_them, show_result
from rlready.stats.intervals import bound_drawn_share, estimate_interval
from rlready.stats.ties import reaches

Scored = list[tuple[Row, float]]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What is known about the rejected. A false rejection is a rejected candidate that ended above the best approved one."""

    rejected: int  # rejected candidates that did not fail, and undecided ones if the gate drew from them too
    failed: int  # those whose RL or benchmark failed, so that they are not counted
    called: str  # the report's name for them
    drawn: int  # those that the gate drew for RL
    chosen: int  # those with an external result: their owner chose them, not a draw
    false: int  # observed false rejections
    clear: int  # false rejections beyond chance, with all observed candidates compared at once
    unknown: int  # false rejections for which that is not known
    best: Row  # the best approved candidate
    rate: float  # estimated share of false rejections among all rejected
    rate_interval: Interval | None  # its 95% interval over the draw of the audit; None if propensities differ
    regret: float  # estimated mean, over all rejected, of how far they end above the best approved one, or 0
    regret_interval: Interval | None  # its 95% interval

    @property
    def observed(self) -> int:
        """How many of the rejected have a result."""
        return self.drawn + self.chosen


def audit_rejections(rows: list[Row]) -> Audit | str:
    """Estimates the gate's false rejections by inverse propensity.

    The weights are 1 / propensity, normalised by their sum (Hajek 1971); if all propensities are the same, as in every draw of
    the gate, the estimate is the plain mean. The intervals are over the draw of the audit, not over the noise of RL: exact for
    the share (a draw without replacement), and for the regret that of a mean of values between 0 and 1. Candidates that failed
    without a result are neither rejected nor observed.

    A rejected candidate with an external result was chosen by its owner and has no propensity, so it counts only for itself: it
    limits estimate and interval to what is still possible. If every rejected candidate has a result, all count alike and
    nothing is estimated. Returns the audit, or a sentence that says why there is none.
    """
    refused = [row for row in rows if is_refused(row) and not row.failed_early]
    rejected = [row for row in refused if not row.lost]
    approved = list_scores([row for row in rows if row.approved])
    chosen = list_scores([row for row in rejected if row.elsewhere])
    drawn = list_scores([row for row in rejected if not row.elsewhere])
    if reason := _find_obstacle(rows, rejected, approved, drawn, chosen):
        return reason
    (best, top), seen = max(approved, key=lambda pair: pair[1]), drawn + chosen
    lost = np.array([max(0.0, score - top) for _, score in seen])
    wrong = np.array([float(not reaches(top, score)) for _, score in seen])
    unseen = len(rejected) - len(seen)
    weights = np.array([1 / (row.verdict.propensity or 1.0) for row, _ in drawn] if unseen else [1.0] * len(seen))
    sample = slice(len(weights))
    rate_interval: Interval | None = None
    regret_interval: Interval | None = None
    if np.ptp(weights) == 0:
        rate_interval = bound_drawn_share(int(wrong[sample].sum()), len(weights), len(rejected))
        regret_interval = estimate_interval(lost[sample]) if unseen else (lost.mean(), lost.mean())

    def estimate(values: np.ndarray, interval: Interval | None, worst: float) -> tuple[float, Interval | None]:
        least, most = values.sum() / len(rejected), (values.sum() + unseen * worst) / len(rejected)
        low, high = np.clip(interval, least, most).tolist() if interval else (0.0, 0.0)
        return float(np.clip((weights * values[sample]).sum() / weights.sum(), least, most)), interval and (low, high)

    rate, rate_interval = estimate(wrong, rate_interval, 1.0)
    regret, regret_interval = estimate(lost, regret_interval, 1 - top)
    leads = [compare(row, best, comparisons=len(seen)) for row, score in seen if not reaches(top, score)]
    return Audit(
        rejected=len(rejected),
        failed=len(refused) - len(rejected),
        called="rejected" if all(row.verdict.decision == "rejected" for row in rejected) else "unapproved",
        drawn=len(drawn),
        chosen=len(chosen),
        false=len(leads),
        clear=sum(lead.sure for lead in leads),
        unknown=sum(lead.low is None for lead in leads),
        best=best,
        rate=rate,
        rate_interval=rate_interval,
        regret=regret,
        regret_interval=regret_interval,
    )


def is_refused(row: Row) -> bool:
    """Returns True if the audit draws from this candidate; older versions drew none of the undecided."""
    return row.verdict.decision == "rejected" or (row.verdict.decision == "undecided" and bool(row.verdict.propensity))


def say_beaten(better: int, seen: int) -> str:
    """Returns how many of the candidates named before beat something, as the beginning of a sentence."""
    return "it did not beat" if seen == 1 and not better else f"{count_them(better, seen)} beat"


def _find_obstacle(rows: list[Row], rejected: list[Row], approved: Scored, drawn: Scored, chosen: Scored) -> str:
    """Returns why the rejections cannot be checked, or nothing."""
    seen = len(drawn) + len(chosen)
    ran = f"RL ran for {count_of(seen, len(rejected), 'rejected candidate')}"
    if any(row.verdict.mode == "off" for row in rows):
        return "The gate was off, so there are no rejections to check."
    if not seen and (lost := sum(row.verdict.audited and row.lost for row in rows)):
        whom, retry = count(lost, "audited candidate"), "it" if lost == 1 else "them"
        return f"Unknown: RL or its benchmark failed for {whom}; to find out, retry {retry} (sweep_attempts)."
    if not rejected:
        return "The gate rejected no candidate that it judged, so there are no rejections to check."
    if lost := sum(row.dropped for row in rejected):
        return (
            f"Unknown: the race dropped {lost} of the candidates that the gate audit sent to RL, so those with a result are no"
            " random draw."
        )
    if not seen:
        return (
            f"Unknown: {ran}. To find out, run again with gate_audit_fraction above 0, which runs it for a random share"
            " of the rejected, or with gate_mode=audit, which runs it for all."
        )
    if not approved:
        return f"{ran}, but there is no result of an approved one to compare with."
    if any(not row.verdict.propensity or not 0 < row.verdict.propensity <= 1 for row, _ in drawn):
        return "The rejections cannot be checked: the probability with which RL ran for the rejected is not recorded."
    if not drawn and len(chosen) < len(rejected):
        best, top = max(approved, key=lambda pair: pair[1])
        wrong, unseen = sum(not reaches(top, score) for _, score in chosen), len(rejected) - len(chosen)
        return (
            f"{len(chosen)} of {len(rejected)} rejected candidates {'has' if len(chosen) == 1 else 'have'} an external result;"
            f" {say_beaten(wrong, len(chosen))} the best approved one ({best.name}, {show_result(best)}). Results that were"
            f" chosen, not drawn at random, say nothing about the rest: between {wrong} and {wrong + unseen} of all rejections"
            " are wrong. To narrow this down, record results of all of them, or run RL for a random share"
            " (gate_audit_fraction)."
        )
    return ""
