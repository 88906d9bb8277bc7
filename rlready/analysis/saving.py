"""What the gate saved and what that cost, in one sentence: the top of the report, the terminal and MLflow share it."""

from dataclasses import dataclass

from rlready.analysis.comparison import Interval, Row
from rlready.analysis.costs import EXTERNAL, Balance, balance, measure_elsewhere
from rlready.analysis.format import count, show_estimate, show_percent
from rlready.analysis.gate_audit import audit_rejections
from rlready.analysis.policies import Pool, Price, find_gate, find_pools, price

UNKNOWN = (
    "Whether a candidate without RL would have ended best is unknown without an audit (gate_mode=audit or gate_audit_fraction)."
)
NONE = "none: no candidate was approved"


@dataclass(frozen=True)
class Saving:
    """What the gate saved and lost."""

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


def weigh_gate(rows: list[Row], base: Row) -> Saving | None:
    """Returns what the gate saved and lost; None if it did not judge."""
    judged = [row for row in rows if row.judged and not row.failure]
    if not judged or any(row.verdict.mode == "off" for row in judged):
        return None
    pools, costs = find_pools(rows, base), _find_costs(rows, base)
    gate = find_gate(pools[0]) if pools else None
    return _look_back(pools[0], price(gate, pools[0]), len(judged), costs) if gate else _estimate(judged, rows, costs)


def _find_costs(rows: list[Row], base: Row) -> Balance | str:
    found = balance(rows, base)
    theirs = [measure_elsewhere(row) for row in rows if row.elsewhere]
    unknown = isinstance(found, Balance) and any(cost is None or cost[0] != found.device for cost in theirs)
    return EXTERNAL if unknown else found


def _look_back(pool: Pool, gate: Price, judged: int, costs: Balance | str) -> Saving:
    """Says what came of the verdicts if RL ran for all."""
    if gate.regret is None:
        return Saving(
            None, None, None, f"The gate approved none of {pool.size} {pool.label}, which would leave no result.", NONE
        )
    net = _describe_net(costs, judged)
    said = (
        f"The gate approved {gate.taken} of {pool.size} {pool.label}, {_say(net)}. RL ran for all, which shows the"
        f" regret: the best score was missed by {show_estimate(gate.regret, gate.interval, 3)}."
    )
    return Saving(_measure_share(costs, judged), gate.regret, gate.interval, said, net)


def _estimate(judged: list[Row], rows: list[Row], costs: Balance | str) -> Saving:
    """Says what the gate kept from RL if it did not run for all, and that what that lost is not known."""
    refused = [row for row in judged if not row.approved]
    if not refused:
        seen, early = count(sum(row.judged for row in rows), "candidate"), sum(row.failed_early for row in rows)
        lost = f" that it could judge ({early} failed earlier)" if early else ""
        return Saving(
            None, 0.0, None, f"The gate rejected none of {seen}{lost}, so it saved nothing.", "none: no candidate was rejected"
        )
    if len(refused) == len(judged):
        ran = sum(row.score is not None for row in refused)
        also = f"RL ran for {ran} of them anyway." if ran else UNKNOWN
        said = f"The gate approved none of {count(len(judged), 'candidate')}, which leaves no result. {also}"
        return Saving(None, None, None, said, NONE)
    net = _describe_net(costs, len(judged), "about ")
    share = _measure_share(costs, len(judged))
    approved = f"{len(judged) - len(refused)} of {count(len(judged), 'candidate')}"
    said = f"The gate approved {approved}, {_say(net)}."
    audit = audit_rejections(rows)
    if isinstance(audit, str):
        return Saving(share, None, None, f"{said} {UNKNOWN}", net)
    beat = f"{audit.false} of them beat the best approved one" if audit.false else "none beat the best approved one"
    said += f" RL ran for {audit.observed} of the {audit.rejected} {audit.called} candidates anyway; {beat}."
    if unseen := audit.rejected - audit.observed:
        said += f" The other {unseen} {'was' if unseen == 1 else 'were'} not run."
    return Saving(share, None, None, said, net)


def _measure_share(costs: Balance | str, judged: int) -> float | None:
    return None if isinstance(costs, str) or not costs.mean else costs.net / (judged * costs.mean)


def _describe_net(costs: Balance | str, judged: int, about: str = "") -> str:
    """Returns the share of the cost of RL for all that the gate saved after its own cost, or why there is none."""
    if isinstance(costs, str):
        return f"unknown: {costs}"
    if costs.spent >= judged * costs.mean:
        return "none: RL this short costs less than measuring"
    share = costs.net / (judged * costs.mean)
    return (
        f"{about}{show_percent(share)}"
        if share > 0
        else f"none: the gate costs {show_percent(-share)} of RL for all more than it avoids"
    )


def _say(net: str) -> str:
    known, _, reason = net.partition(": ")
    if reason:
        return f"{'with no net saving' if known == 'none' else 'with an unknown net saving'}: {reason}"
    return f"a net saving of {net} over running RL on all of them"
