"""What the audited of the rejected candidates say about the gate."""

from rlready.analysis.comparison import Row
from rlready.analysis.format import count, show_result
from rlready.analysis.gate_audit import _is_refused, audit_rejections
from rlready.stages.report.document import Section


def describe_audit(rows: list[Row]) -> Section:
    """Returns the section on how many rejections were wrong and what they cost, or why that cannot be known."""
    audit, title = audit_rejections(rows), "Were the rejections right?"
    if isinstance(audit, str):
        return Section(title, [audit])
    everyone = audit.observed == audit.rejected
    drawn = (
        "RL ran for all of them, so nothing is extrapolated; what remains is the noise of RL."
        if everyone
        else f"RL ran for {audit.drawn} of them, drawn at random; what they show is weighted by inverse propensity."
    )
    if audit.chosen:
        drawn += f" From elsewhere: {count(audit.chosen, 'result')}" + (
            "." if everyone else ": chosen and not drawn, they count for themselves, and nothing is extrapolated from them."
        )
    clear = f", {audit.clear or 'none'} of them beyond chance" if audit.false > audit.unknown else ""
    clear += f", {audit.unknown} without the counts or standard errors that would tell" if audit.unknown else ""
    rate, regret = (
        ""
        if everyone
        else " (no interval: the candidates were drawn with different probabilities)"
        if interval is None
        else f" (95 % interval {interval[0]:.{n}f} to {interval[1]:.{n}f})"
        for interval, n in ((audit.rate_interval, 2), (audit.regret_interval, 3))
    )
    said = [
        f"{count(audit.rejected, 'candidate')} {audit.called}. {drawn}",
        f"False rejections, which ended above the best approved candidate ({audit.best.name}, {show_result(audit.best)}):"
        f" {audit.false} of {audit.observed} seen{clear}. Estimated false-rejection rate {audit.rate:.2f}{rate}.",
        f"Regret, the mean over the {audit.called} of how far they end above it: {audit.regret:.3f}{regret}. The best"
        " approved is the best of several noisy results and looks better than it is, so both figures are rather too low.",
    ]
    if waiting := sum(r.verdict.decision == "approved" and r.score is None and not r.failure for r in rows):
        said.append(f"{count(waiting, 'approved candidate')} without a result yet: the best approved may be better still.")
    undecided = [row for row in rows if row.verdict.decision == "undecided" and row.score is None and not row.failure]
    if undecided := sum(not _is_refused(row) for row in undecided):
        said.append(f"{count(undecided, 'candidate')} undecided got no RL either and are not part of this.")
    if failed := sum(row.failure is not None and row.score is None for row in rows):
        said.append(f"{count(failed, 'candidate')} failed and are not part of this.")
    return Section(title, said)
