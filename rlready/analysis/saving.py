"""What gate and race saved and what that cost, in one sentence for report, terminal and MLflow."""

from dataclasses import dataclass

from rlready.analysis.comparison import Interval, Row, group_settings, list_scores
from rlready.analysis.costs import EXTERNAL, Balance, balance, measure_elsewhere
from rlready.analysis.format import count, show_estimate, show_percent
from rlready.analysis.gate_audit import audit_rejections
from rlready.analysis.policies import find_gate, price
from rlready.analysis.pool import find_pools
from rlready.stats.ties import reaches

NONE = "none: no candidate was approved"
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
    which = "all that did not fail" if any(row.lost for row in judged) else "all"
    shown = f"RL ran for {which}, which shows the regret{whose}: the best score was missed by {missed}."
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
        ended = "ended best" if list_scores(rows) else "gained from RL"
        return f"Whether a {which} would have {ended} is unknown{why}."
    whole = audit.rejected + audit.failed
    which = f"the {audit.called} candidate" if whole == 1 else f"{audit.observed} of the {whole} {audit.called} candidates"
    failed = f" ({audit.failed} more failed)" if audit.failed else ""
    said = f"RL ran for {which} anyway{failed}; {_count_better(audit.false, audit.observed)} the best approved one."
    if unseen := audit.rejected - audit.observed:
        said += " The other one was not run." if unseen == 1 else f" The other {unseen} were not run."
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
    if not any(row.keeps for row in judged):
        return None, f"none: {NO_RESULT}", f"with no net saving: {NO_RESULT}"
    alive = sum(not row.lost for row in judged)
    whole = alive * costs.mean
    share = costs.net / whole if whole else None
    if share is not None and share > 0 and costs.spent < whole:
        shown, alive_only = f"{about}{show_percent(share)}", " that did not fail" if alive < len(judged) else ""
        net = f"{shown} of the cost of RL for all candidates{alive_only}"
        return share, net, f"a net saving of {shown} over running RL on all{alive_only or ' of them'}"
    who, pronoun = judges
    costs_more, avoid = ("costs", "avoids") if pronoun == "it" else ("cost", "avoid")
    why = "RL this short costs less than measuring"
    if share is not None and costs.spent < whole:
        why = f"{who} {costs_more} {show_percent(-share)} of RL for all more than {pronoun} {avoid}"
    return share, f"none: {why}", f"with no net saving: {why}"
