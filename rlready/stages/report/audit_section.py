"""Whether the gate's rejections were right, from RL for rejected candidates."""

from rlready.analysis.comparison import Row
from rlready.analysis.format import count, show_result
from rlready.analysis.gate_audit import audit_rejections, is_refused
from rlready.stages.report.document import Section


def describe_audit(rows: list[Row]) -> Section:
    """Returns the section on how many rejections were wrong and what they cost, or why that is unknown."""
    audit, title = audit_rejections(rows), "Were the rejections right?"
    if isinstance(audit, str):
        return Section(title, [audit])
    everyone = audit.observed == audit.rejected
    drawn = (
        "RL ran for all of them, so nothing is extrapolated."
        if everyone
        else f"RL ran for {audit.drawn} of them, drawn at random; their results are weighted by inverse propensity."
    )
    if audit.chosen:
        drawn += f" External: {count(audit.chosen, 'result')}" + (
            "." if everyone else ", chosen and not drawn, so not extrapolated."
        )
    clear = f", {audit.clear or 'none'} of them beyond chance" if audit.false > audit.unknown else ""
    clear += f", {audit.unknown} unclear, without counts or standard errors" if audit.unknown else ""
    rate, regret = (
        ""
        if everyone
        else " (no interval: the candidates were drawn with different probabilities)"
        if interval is None
        else f" (95% interval {interval[0]:.{n}f} to {interval[1]:.{n}f})"
        for interval, n in ((audit.rate_interval, 2), (audit.regret_interval, 3))
    )
    said = [
        f"{count(audit.rejected, 'candidate')} {audit.called}. {drawn}",
        f"False rejections, which ended above the best approved candidate ({audit.best.name}, {show_result(audit.best)}):"
        f" {audit.false} of {audit.observed} seen{clear}. Estimated false-rejection rate {audit.rate:.2f}{rate}.",
        f"Regret, the mean over the {audit.called} of how far they end above it: {audit.regret:.3f}{regret}. Both figures are"
        " underestimated, because the best approved is the best of several noisy results and looks better than it is.",
    ]
    if waiting := sum(r.verdict.decision == "approved" and r.score is None and not r.failure for r in rows):
        said.append(f"{count(waiting, 'approved candidate')} without a result yet: the best approved may still be better.")
    undecided = [row for row in rows if row.verdict.decision == "undecided" and row.score is None and not row.failure]
    if without := sum(not is_refused(row) for row in undecided):
        said.append(f"Not counted: {count(without, 'undecided candidate')} without RL.")
    if failed := sum(row.failure is not None and row.score is None for row in rows):
        said.append(f"Not counted: {count(failed, 'failed candidate')}.")
    return Section(title, said)
