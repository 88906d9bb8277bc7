"""What gate and race saved and what that cost, in one sentence for report, terminal and MLflow; and the gate audit.

The audit is RL for some or all of the rejected, which shows which of them would have ended best.
"""

from dataclasses import dataclass

import numpy as np

from rlready.analysis.comparison import Interval, Row, compare, group_settings, list_scores
from rlready.analysis.costs import EXTERNAL, Balance, balance, measure_elsewhere
from rlready.analysis.format import count, show_estimate, show_percent, show_result
from rlready.analysis.policies import find_gate, price
from rlready.analysis.pool import find_pools
from rlready.stats.intervals import bound_drawn_share, estimate_interval
from rlready.stats.ties import reaches

NONE = "none: no candidate was approved"


@dataclass(frozen=True)
class Saving:
    """What the gate, and the race if there is one, saved and lost."""

    # share of the cost of RL for all that it avoids, its own cost deducted; below 0 it costs more than it avoids. None if not
    # all costs are known, or it approves none: what leaves no result saves nothing
    avoided: float | None
    # how far the best approved ended below the best of all; None if RL did not run for all, or none is approved
    regret: float | None
    interval: Interval | None  # the regret's 95% interval over settings
    said: str  # both in one sentence
    net: str  # the saving alone, in a few words

    def list_tags(self) -> dict[str, str]:
        """Returns the sentence as MLflow's tag."""
        return {"gate.saving": self.said}

    def list_figures(self) -> dict[str, float]:
        """Returns what is known as MLflow's metrics."""
        named = {"gate/avoided_share": self.avoided, "gate/regret": self.regret}
        return {name: value for name, value in named.items() if value is not None}


def name_judges(rows: list[Row]) -> tuple[str, str]:
    """Returns what decided for whom RL runs, the gate, the race or both, and its pronoun; empty texts if nothing did."""
    raced = any(row.outcome.race for row in rows)
    if any(row.verdict.mode == "off" for row in rows):
        return ("the race", "it") if raced else ("", "")
    return ("gate and race", "they") if raced else ("the gate", "it")


def weigh_gate(rows: list[Row], base: Row) -> Saving | None:
    """Returns what the gate, and the race if there is one, saved and lost; None if neither judged."""
    judged = [row for row in rows if row.judged]
    raced = any(row.outrun for row in judged)
    if not judged or (any(row.verdict.mode == "off" for row in judged) and not raced):
        return None
    pools, costs = find_pools(rows, base), balance(rows, base)
    theirs = [measure_elsewhere(row) for row in rows if row.elsewhere]
    if isinstance(costs, Balance) and any(cost is None or cost[0] != costs.device for cost in theirs):
        costs = EXTERNAL
    gate = find_gate(pools[0]) if pools and not raced else None
    seen = price(gate, pools[0]) if gate else None
    if seen is None or seen.regret is None:
        return _estimate(judged, rows, costs)
    share, net, saved = _measure_net(costs, judged, ("the gate", "it"))
    mixed = any(len({row.approved for row in setting.rows}) > 1 for setting in group_settings(judged))
    whose = ", of settings approved with half of their seeds or more" if mixed else ""
    missed = show_estimate(seen.regret, seen.interval, 3)
    shown = f"RL ran for all, which shows the regret{whose}: the best score was missed by {missed}."
    return Saving(share, seen.regret, seen.interval, f"{_count_approved(judged)}, {saved}. {shown}", net)


def _estimate(judged: list[Row], rows: list[Row], costs: Balance | str) -> Saving:
    """Says what was kept from RL if it did not run for all, or there was a race, and that what that lost is not known."""
    refused, outrun = [row for row in judged if not row.sent], [row for row in judged if row.sent and row.outrun]
    early, alone = sum(row.failed_early for row in rows), len(judged) == 1
    lost = f" that it could judge ({early} failed earlier)" if early else ""
    if not refused and not outrun:
        none = "did not reject the only candidate" if alone else f"rejected none of {len(judged)} candidates"
        return Saving(None, 0.0, None, f"The gate {none}{lost}, so it saved nothing.", "none: no candidate was rejected")
    if len(refused) == len(judged):
        ran = sum(row.score is not None for row in refused)
        none = "did not approve the only candidate" if alone else f"approved none of {len(judged)} candidates"
        leaves = "would leave" if ran else "leaves"
        also = f"RL ran for {'it' if alone else f'{ran} of them'} anyway." if ran else _describe_gate_audit(rows)
        return Saving(None, None, None, f"The gate {none}{lost}, which {leaves} no result. {also}", NONE)
    share, net, saved = _measure_net(costs, judged, name_judges(rows), "about ")
    told = f"{_count_approved(judged)}, {saved}."
    if judged[0].verdict.mode == "off":
        told = f"The race dropped {len(outrun)} of {count(len(judged), 'candidate')}, {saved}."
    elif outrun:
        colon = ":" if saved.startswith("a net") else ","
        told = f"{_count_approved(judged)} and the race dropped {len(outrun)} of them{colon} {saved}."
    told += f" {_describe_gate_audit(rows)}" if refused else ""
    told += f" {_describe_race_audit(rows, outrun)}" if outrun else ""
    return Saving(share, None, None, told, net)


def _count_approved(judged: list[Row]) -> str:
    return f"The gate approved {sum(row.sent for row in judged)} of {count(len(judged), 'candidate')}"


def _describe_gate_audit(rows: list[Row]) -> str:
    audit = audit_rejections(rows)
    if isinstance(audit, str):
        which, why = "candidate without RL", " without an audit (gate_mode=audit or gate_audit_fraction)"
        if any(row.dropped and not row.sent for row in rows):
            which, why = "candidate not approved", ": the race dropped some of those audited"
        elif any(row.verdict.audited and row.lost for row in rows):
            which, why = "candidate not approved", ": RL or its benchmark failed for those audited"
        return f"Whether a {which} would have ended best is unknown{why}."
    whole = audit.rejected + audit.failed
    which = f"the {audit.called} candidate" if whole == 1 else f"{audit.observed} of the {whole} {audit.called} candidates"
    failed = f" ({audit.failed} more failed)" if audit.failed else ""
    said = f"RL ran for {which} anyway{failed}; {_count_better(audit.false, audit.observed)} the best approved one."
    if unseen := audit.rejected - audit.observed:
        said += f" The other {unseen} {'was' if unseen == 1 else 'were'} not run."
    return said


def _describe_race_audit(rows: list[Row], outrun: list[Row]) -> str:
    """Says what became of those that the race decided against, if some of them finished RL anyway."""
    best = max((score for row, score in list_scores(rows) if row.sent and not row.outrun), default=None)
    audited = [score for _, score in list_scores(outrun)]
    if not audited:
        return "Whether a dropped candidate would have ended best is unknown without an audit (race_audit_fraction)."
    if best is None:
        return f"RL went on for {len(audited)} of the dropped anyway, but none that won the race has a result."
    beat = _count_better(sum(not reaches(best, score) for score in audited), len(audited))
    return f"RL went on for {len(audited)} of the dropped anyway; {beat} the best that won the race."


def _count_better(better: int, seen: int) -> str:
    if seen == 1:
        return "it beat" if better else "it did not beat"
    return f"{better} of them beat" if better else "none beat"


def _measure_net(
    costs: Balance | str, judged: list[Row], judges: tuple[str, str], about: str = ""
) -> tuple[float | None, str, str]:
    """Measures the share of the cost of RL for all that the judges saved after their own cost.

    Returns it, if it is known, and what it is or why there is none in a few words, alone and for a sentence.
    """
    if isinstance(costs, str):
        return None, f"unknown: {costs}", f"with an unknown net saving: {costs}"
    alive = sum(not row.lost for row in judged)
    whole = alive * costs.mean
    share = costs.net / whole if whole else None
    if share is not None and share > 0 and costs.spent < whole:
        shown, alive_only = f"{about}{show_percent(share)}", " that did not fail" * (alive < len(judged))
        net = f"{shown} of the cost of RL for all candidates{alive_only}"
        return share, net, f"a net saving of {shown} over running RL on all{alive_only or ' of them'}"
    who, pronoun = judges
    costs_more, avoid = ("costs", "avoids") if pronoun == "it" else ("cost", "avoid")
    why = "RL this short costs less than measuring"
    if share is not None and costs.spent < whole:
        why = f"{who} {costs_more} {show_percent(-share)} of RL for all more than {pronoun} {avoid}"
    return share, f"none: {why}", f"with no net saving: {why}"


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
        called="rejected" if all(row.verdict.decision == "rejected" for row in rejected) else "not approved",
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


Scored = list[tuple[Row, float]]


def _find_obstacle(rows: list[Row], rejected: list[Row], approved: Scored, drawn: Scored, chosen: Scored) -> str:
    """Returns why the rejections cannot be checked, or nothing."""
    seen = len(drawn) + len(chosen)
    if any(row.verdict.mode == "off" for row in rows):
        return "The gate was off, so there are no rejections to check."
    if not seen and (lost := sum(row.verdict.audited and row.lost for row in rows)):
        whom, retry = count(lost, "audited candidate"), "it" if lost == 1 else "them"
        return f"Unknown: RL or its benchmark failed for {whom}; to find out, retry {retry} (sweep_attempts)."
    if not rejected:
        return "The gate rejected none, so there are no rejections to check."
    if lost := sum(row.dropped for row in rejected):
        return (
            f"Unknown: the race dropped {lost} of the candidates that the gate audit sent to RL, so those with a result are no"
            " random draw."
        )
    if not seen:
        many = len(rejected) > 1
        ran = f"ran for none of {len(rejected)} rejected candidates" if many else "did not run for the rejected one"
        return (
            f"Unknown: RL {ran}. To find out, run again with gate_audit_fraction above 0, which runs it for a random share"
            " of the rejected, or with gate_mode=audit, which runs it for all."
        )
    if not approved:
        return (
            f"RL ran for {seen} of {len(rejected)} rejected candidates, but no approved one has finished it, so there is"
            " nothing to compare them with."
        )
    if any(not row.verdict.propensity or not 0 < row.verdict.propensity <= 1 for row, _ in drawn):
        return "The rejections cannot be checked: the probability with which RL ran for the rejected is not recorded."
    if not drawn and len(chosen) < len(rejected):
        best, top = max(approved, key=lambda pair: pair[1])
        wrong, unseen = sum(not reaches(top, score) for _, score in chosen), len(rejected) - len(chosen)
        return (
            f"{len(chosen)} of {len(rejected)} rejected candidates have an external result; {wrong or 'none'} of them ended"
            f" above the best approved one ({best.name}, {show_result(best)}). They were chosen, not drawn at random, so they"
            f" say nothing about the other {unseen}: between {wrong} and {wrong + unseen} of all rejections are wrong. To"
            " narrow this down, record results of all of them, or run RL for a random share (gate_audit_fraction)."
        )
    return ""
