"""What the gate got wrong: the rejected that would have ended best."""

from dataclasses import dataclass

import numpy as np

from rlready.analysis.comparison import Interval, Row, compare
from rlready.analysis.format import show_result
from rlready.stats.intervals import bound_drawn_share, estimate_interval


@dataclass(frozen=True)
class Audit:
    """What is known about the rejected. A false rejection is a rejected candidate that ended above the best approved one.

    Attributes:
        rejected: Rejected candidates, and undecided ones where the gate drew from them too.
        called: What the report calls them.
        drawn: Those of them that the gate drew for RL.
        chosen: Those whose result is from elsewhere: RL ran for them because somebody wanted it, not by a draw.
        false: Observed false rejections.
        clear: Those of them that lie above it beyond chance, with all that are seen compared at once.
        unknown: Those of them of which that is not known.
        best: The best approved candidate.
        rate: Estimated share of false rejections among all rejected.
        rate_interval: Its 95 % interval over the draw of the audit; None where propensities differ.
        regret: Estimated mean over all rejected of how far they end above the best approved one, 0 if they do not.
        regret_interval: Its 95 % interval.
    """

    rejected: int
    called: str
    drawn: int
    chosen: int
    false: int
    clear: int
    unknown: int
    best: Row
    rate: float
    rate_interval: Interval | None
    regret: float
    regret_interval: Interval | None

    @property
    def observed(self) -> int:
        """How many of the rejected have a result."""
        return self.drawn + self.chosen


def audit_rejections(rows: list[Row]) -> Audit | str:
    """Estimates the gate's false rejections by inverse propensity.

    The weights are 1 / propensity, and what they add up to is divided by their sum (Hajek 1971); where all propensities are
    the same, as in every draw of the gate, that is the plain mean. The intervals are over the draw of the audit, not over
    the noise of RL: exact for the share (a draw without replacement), and for the regret that of a mean of values between 0
    and 1. Candidates that failed and have no result are neither rejected nor observed.

    A rejected candidate whose result is from elsewhere was chosen, by whatever its owner knew, and has no propensity: it
    counts for itself. The draw tells of all rejected as before, whoever was chosen besides; what is certain by now confines
    estimate and interval. Where nobody is left without a result, all count alike and nothing is estimated.

    Args:
        rows: The candidates.

    Returns:
        The audit, or a sentence that says why there is none.
    """
    rejected = [row for row in rows if _is_refused(row) and (not row.failure or row.elsewhere)]
    approved = [row for row in rows if row.verdict.decision == "approved" and row.score is not None]
    chosen = [row for row in rejected if row.elsewhere]
    drawn = [row for row in rejected if row.score is not None and not row.elsewhere]
    if reason := _find_obstacle(rows, rejected, approved, drawn, chosen):
        return reason
    best, seen = max(approved, key=lambda row: row.score), drawn + chosen
    lost = np.array([max(0.0, row.score - best.score) for row in seen])
    wrong = np.array([row.score > best.score for row in seen], dtype=float)
    unseen = len(rejected) - len(seen)
    weights = np.array([1 / row.verdict.propensity for row in drawn] if unseen else [1.0] * len(seen))
    sample = slice(len(weights))
    rate_interval = regret_interval = None
    if np.ptp(weights) == 0:
        rate_interval = bound_drawn_share(int(wrong[sample].sum()), len(weights), len(rejected))
        regret_interval = estimate_interval(lost[sample]) if unseen else (lost.mean(), lost.mean())
    figures = []
    for values, interval, worst in ((wrong, rate_interval, 1.0), (lost, regret_interval, 1 - best.score)):
        certain = values.sum() / len(rejected), (values.sum() + unseen * worst) / len(rejected)
        figures.append(float(np.clip((weights * values[sample]).sum() / weights.sum(), *certain)))
        figures.append(interval and tuple(np.clip(interval, *certain).tolist()))
    leads = [compare(row, best, comparisons=len(seen)) for row in seen if row.score > best.score]
    clear, unknown = sum(lead.sure for lead in leads), sum(lead.low is None for lead in leads)
    called = "rejected" if all(row.verdict.decision == "rejected" for row in rejected) else "not approved"
    return Audit(len(rejected), called, len(drawn), len(chosen), len(leads), clear, unknown, best, *figures)


def _is_refused(row: Row) -> bool:
    """Whether a draw of the audit is from this candidate too; of the undecided older versions drew none."""
    return row.verdict.decision == "rejected" or (row.verdict.decision == "undecided" and bool(row.verdict.propensity))


def _find_obstacle(rows: list[Row], rejected: list[Row], approved: list[Row], drawn: list[Row], chosen: list[Row]) -> str:
    """Returns why the rejections cannot be checked, or nothing."""
    seen = drawn + chosen
    if any(row.verdict.mode == "off" for row in rows):
        return "The gate was off: it judged nobody, so there are no rejections to check."
    if not rejected:
        return "The gate rejected nobody, so there are no rejections to check."
    if not seen:
        return (
            f"How many of the {len(rejected)} rejections are wrong, and what they cost, cannot be known: RL ran for none of"
            " the rejected. To find out, run again with gate_audit_fraction above 0, which sends a random share of them to"
            " RL anyway, or with gate_mode audit, which sends all."
        )
    if not approved:
        return (
            f"RL ran for {len(seen)} of {len(rejected)} rejected candidates, but no approved one has finished it, so"
            " there is nothing to compare them with."
        )
    if any(not row.verdict.propensity or not 0 < row.verdict.propensity <= 1 for row in drawn):
        return "The rejections cannot be checked: the probability with which RL ran for the rejected is not recorded."
    if not drawn and len(chosen) < len(rejected):
        best = max(approved, key=lambda row: row.score)
        wrong, unseen = sum(row.score > best.score for row in chosen), len(rejected) - len(chosen)
        return (
            f"{len(chosen)} of {len(rejected)} rejections can be held against a result from elsewhere; {wrong or 'none'} of"
            f" them ended above the best approved one ({best.name}, {show_result(best)}). They were chosen and not drawn at"
            f" random, so they say nothing of the other {unseen}: of all rejections {wrong} to {wrong + unseen} are wrong."
            " Results of all of them, or RL of a random share (gate_audit_fraction), would tell."
        )
    return ""
