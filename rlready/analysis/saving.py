"""What gate and race saved and what that cost, in one sentence for report, terminal and MLflow."""

from dataclasses import dataclass

from rlready.analysis.comparison import Interval, Row, group_settings, list_scores
from rlready.analysis.costs import EXTERNAL, Balance, balance, measure_elsewhere
from rlready.analysis.format import count_of, count_them, show_estimate, show_percent
from rlready.analysis.gate_audit import audit_rejections, say_beaten
from rlready.analysis.policies import find_gate, price
from rlready.analysis.pool import find_pools
from rlready.stats.ties import reaches

NO_RESULT = "RL or its benchmark failed for every candidate that was to finish RL"


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
    off, raced = any(row.verdict.mode == "off" for row in judged), any(row.outrun for row in judged)
    if not judged or (off and not raced):
        return None
    refused, outrun = [row for row in judged if not row.sent], [row for row in judged if row.sent and row.outrun]
    costs, pools = balance(rows, base), find_pools(rows, base)
    theirs = [measure_elsewhere(row) for row in rows if row.elsewhere]
    if isinstance(costs, Balance) and any(cost is None or cost[0] != costs.device for cost in theirs):
        costs = EXTERNAL
    gate = find_gate(pools[0]) if pools and not raced else None
    seen = price(gate, pools[0]) if gate else None
    if seen and seen.regret is None:  # some seeds are approved, but of no setting half of them
        seen = None
    early = sum(row.failed_early for row in rows)
    approved = f"The gate approved {count_of(len(judged) - len(refused), len(judged), 'candidate')}"
    could = f"{approved} that it could judge ({early} failed earlier)" if early else approved
    if len(refused) == len(judged):
        ran = sum(row.score is not None for row in refused)
        told = f"{could}, which {'would leave' if ran else 'leaves'} no result."
        also = f"RL ran for {count_of(ran, len(judged), 'candidate')} anyway." if ran else _describe_gate_audit(rows)
        return Saving(None, None, None, f"{told} {also}", "none, because no candidate was approved")
    share, net, saved = _measure_net(costs, judged, ("the gate", "it") if seen else name_judges(rows), "" if seen else "about ")
    if not refused and not outrun:
        known = (share, seen.regret, seen.interval) if seen else (None, 0.0 if list_scores(judged) else None, None)
        return Saving(*known, f"{could}, so it saved nothing.", "none, because no candidate was rejected")
    if seen:
        mixed = any(len({row.approved for row in setting.rows}) > 1 for setting in group_settings(judged))
        whose = ", of settings approved with half of their seeds or more" if mixed else ""
        missed = show_estimate(seen.regret, seen.interval, 3)
        which = "all that did not fail" if any(row.lost for row in judged) else "all"
        shown = f"RL ran for {which}, which shows the regret{whose}: the best score was missed by {missed}."
        return Saving(share, seen.regret, seen.interval, f"{approved}, {saved}. {shown}", net)
    told = approved
    if off:
        told = f"The race dropped {count_of(len(outrun), len(judged), 'candidate')}"
    elif outrun:
        told += f" and the race dropped {count_them(len(outrun), len(judged) - len(refused))}"
    said = [f"{told}, {saved}."]
    said += [_describe_gate_audit(rows)] if refused else []
    said += [_describe_race_audit(rows, outrun)] if outrun else []
    return Saving(share, None, None, " ".join(said), net)


def _describe_gate_audit(rows: list[Row]) -> str:
    audit = audit_rejections(rows)
    if isinstance(audit, str):
        which, why = "without RL", " without an audit (gate_mode=audit or gate_audit_fraction)"
        if any(row.dropped and not row.sent for row in rows):
            which, why = "not approved", ": the race dropped some of those audited"
        elif any(row.verdict.audited and row.lost for row in rows):
            which, why = "not approved", ": RL or its benchmark failed for those audited"
        return f"Whether a candidate {which} would have {_name_success(rows)} is unknown{why}."
    which = count_of(audit.observed, audit.rejected + audit.failed, f"{audit.called} candidate")
    failed = f" ({audit.failed} more failed)" if audit.failed else ""
    said = f"RL ran for {which} anyway{failed}; {say_beaten(audit.false, audit.observed)} the best approved one."
    if unseen := audit.rejected - audit.observed:
        said += " The other one was not run." if unseen == 1 else f" The other {unseen} were not run."
    return said


def _describe_race_audit(rows: list[Row], outrun: list[Row]) -> str:
    """Says what became of those that the race decided against, if some of them finished RL anyway."""
    best = max((score for row, score in list_scores(rows) if row.sent and not row.outrun), default=None)
    audited = [score for _, score in list_scores(outrun)]
    if not audited:
        unknown = f"Whether a dropped candidate would have {_name_success(rows)} is unknown"
        return f"{unknown} without an audit (race_audit_fraction)."
    ran = f"RL went on for {count_of(len(audited), len(outrun), 'dropped candidate')} anyway"
    if best is None:
        return f"{ran}, but none of those that won the race has a result."
    return f"{ran}; {say_beaten(sum(not reaches(best, score) for score in audited), len(audited))} the best that won the race."


def _name_success(rows: list[Row]) -> str:
    return "ended best" if list_scores(rows) else "gained from RL"


def _measure_net(costs: Balance | str, judged: list[Row], judges: tuple[str, str], about: str) -> tuple[float | None, str, str]:
    """Measures the share of the cost of RL for all that the judges saved after their own cost.

    Returns it, if it is known, and what it is or why there is none in a few words, alone and for a sentence.
    """
    if isinstance(costs, str):
        return None, f"unknown, because {costs}", f"with an unknown net saving: {costs}"
    if not any(row.keeps for row in judged):
        return None, f"none, because {NO_RESULT}", f"with no net saving: {NO_RESULT}"
    alive = sum(not row.lost for row in judged)
    whole = alive * costs.mean
    share = costs.net / whole if whole else None
    (who, pronoun), some = judges, " that did not fail" if alive < len(judged) else ""
    if share is not None and share > 0 and costs.spent < whole:
        shown = f"{about}{show_percent(share)}"
        said = f"a net saving of {shown} over running RL on all{some or ' of them'}"
        return share, f"{shown} of the cost of RL for all candidates{some}", said
    more, avoids = ("costs more", "avoids") if pronoun == "it" else ("cost more", "avoid")
    if not costs.net:
        why = f"{who} saved as much as {pronoun} cost"
    elif costs.spent >= whole:
        why = "RL this short costs less than measuring"
    else:
        why = f"{who} {more} than {pronoun} {avoids}, by {show_percent(-costs.net / whole)} of the cost of RL for all"
    return share, f"none, because {why}", f"with no net saving: {why}"
