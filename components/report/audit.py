"""What the gate got wrong: the rejected that would have ended best."""

from dataclasses import dataclass

import numpy as np

from rlready.components.core.estimators.intervals import bound_drawn_share, estimate_interval
from rlready.components.report.comparison import Interval, Row, count_standard_errors
from rlready.components.report.document import Section
from rlready.components.report.notation import count, show_score

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
        rate_interval: Its 95 % interval over the draw of the audit; None where propensities differ.
        regret: Estimated mean over all rejected of how far they end above the best approved one, 0 if they do not.
        regret_interval: Its 95 % interval.
    """

    rejected: int
    observed: int
    false: int
    clear: int
    best: Row
    rate: float
    rate_interval: Interval | None
    regret: float
    regret_interval: Interval | None


def audit_rejections(rows: list[Row]) -> Audit | str:
    """Estimates the gate's false rejections by inverse propensity.

    The weights are 1 / propensity, and what they add up to is divided by their sum (Hajek 1971); where all propensities are
    the same, as in every draw of the gate, that is the plain mean. The intervals are over the draw of the audit, not over
    the noise of RL: exact for the share (a draw without replacement), and for the regret that of a mean of values between 0
    and 1. Candidates that failed are neither rejected nor observed.

    Args:
        rows: The candidates.

    Returns:
        The audit, or a sentence that says why there is none.
    """
    rejected = [row for row in rows if row.verdict.decision == "rejected" and not row.failure]
    approved = [row for row in rows if row.verdict.decision == "approved" and row.score is not None]
    observed = [row for row in rejected if row.score is not None]
    if reason := _find_obstacle(rows, rejected, approved, observed):
        return reason
    best = max(approved, key=lambda row: row.score)
    lost = np.array([max(0.0, row.score - best.score) for row in observed])
    wrong = np.array([row.score > best.score for row in observed], dtype=float)
    weights = np.array([1 / row.verdict.propensity for row in observed])
    rate_interval = regret_interval = None
    if np.ptp(weights) == 0:
        rate_interval = bound_drawn_share(int(wrong.sum()), len(observed), len(rejected))
        regret_interval = estimate_interval(lost) if len(observed) < len(rejected) else (lost.mean(), lost.mean())
    clear = [count_standard_errors(row, best) for row in observed if row.score > best.score]
    return Audit(
        len(rejected),
        len(observed),
        int(wrong.sum()),
        sum(distance is not None and distance > CLEAR_DISTANCE for distance in clear),
        best,
        float((weights * wrong).sum() / weights.sum()),
        rate_interval,
        float((weights * lost).sum() / weights.sum()),
        regret_interval,
    )


def _find_obstacle(rows: list[Row], rejected: list[Row], approved: list[Row], observed: list[Row]) -> str:
    """Returns why the rejections cannot be checked, or nothing."""
    if any(row.verdict.mode == "off" for row in rows):
        return "The gate was off: it judged nobody, so there are no rejections to check."
    if not rejected:
        return "The gate rejected nobody, so there are no rejections to check."
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
    if any(not row.verdict.propensity or not 0 < row.verdict.propensity <= 1 for row in observed):
        return "The rejections cannot be checked: the probability with which RL ran for the rejected is not recorded."
    return ""


def describe_audit(rows: list[Row]) -> Section:
    """Returns the section on how many rejections were wrong and what they cost, or why that cannot be known."""
    audit, title = audit_rejections(rows), "Were the rejections right?"
    if isinstance(audit, str):
        return Section(title, [audit])
    everyone = audit.observed == audit.rejected
    drawn = (
        "RL ran for all of them, so nothing is extrapolated; what remains is the noise of RL."
        if everyone
        else f"RL ran for {audit.observed} of them, drawn at random; what they show is weighted by inverse propensity."
    )
    clear = f", {audit.clear or 'none'} of them by more than {CLEAR_DISTANCE} standard errors" if audit.false else ""
    rate, regret = (
        ""
        if everyone
        else " (no interval: the candidates were drawn with different probabilities)"
        if interval is None
        else f" (95 % interval {interval[0]:.{n}f} to {interval[1]:.{n}f})"
        for interval, n in ((audit.rate_interval, 2), (audit.regret_interval, 3))
    )
    said = [
        f"{count(audit.rejected, 'candidate')} rejected. {drawn}",
        f"False rejections, which ended above the best approved candidate ({audit.best.name}, {show_score(audit.best)}):"
        f" {audit.false} of {audit.observed} seen{clear}. Estimated false-rejection rate {audit.rate:.2f}{rate}.",
        f"Regret, the mean over the rejected of how far they end above it: {audit.regret:.3f}{regret}. The best approved is the"
        " best of several noisy results and looks better than it is, so both figures are rather too low.",
    ]
    undecided = sum(row.verdict.decision == "undecided" and row.score is None and not row.failure for row in rows)
    if undecided:
        said.append(f"{count(undecided, 'candidate')} undecided got no RL either and are not part of this.")
    if failed := sum(row.failure is not None for row in rows):
        said.append(f"{count(failed, 'candidate')} failed and are not part of this.")
    return Section(title, said)
