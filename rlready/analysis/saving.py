"""What gate and race saved and what that cost, in one sentence: the top of the report, the terminal and MLflow share it."""

from dataclasses import dataclass

from rlready.analysis.comparison import Interval, Row, list_scores
from rlready.analysis.costs import EXTERNAL, Balance, balance, measure_elsewhere
from rlready.analysis.format import count, show_estimate, show_percent
from rlready.analysis.gate_audit import audit_rejections
from rlready.analysis.policies import Price, find_gate, price
from rlready.analysis.pool import Pool, find_pools
from rlready.stats.ties import reaches

UNKNOWN = (
    "Whether a candidate without RL would have ended best is unknown without an audit (gate_mode=audit or gate_audit_fraction)."
)
UNKNOWN_DROPPED = "Whether a candidate not approved would have ended best is unknown: the race dropped some of those audited."
UNKNOWN_RACE = "Whether a dropped candidate would have ended best is unknown without an audit (race_audit_fraction)."
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
    """Returns what decided for whom RL runs, the gate, the race or both, and its pronoun."""
    if not any(row.outcome.race for row in rows):
        return "the gate", "it"
    return ("the race", "it") if any(row.verdict.mode == "off" for row in rows) else ("gate and race", "they")


def weigh_gate(rows: list[Row], base: Row) -> Saving | None:
    """Returns what the gate, and the race if there is one, saved and lost; None if neither judged."""
    judged = [row for row in rows if row.judged and not row.failure]
    raced = any(row.outrun for row in judged)
    if not judged or (any(row.verdict.mode == "off" for row in judged) and not raced):
        return None
    pools, costs = find_pools(rows, base), balance(rows, base)
    theirs = [measure_elsewhere(row) for row in rows if row.elsewhere]
    if isinstance(costs, Balance) and any(cost is None or cost[0] != costs.device for cost in theirs):
        costs = EXTERNAL
    gate = find_gate(pools[0]) if pools and not raced else None
    return _look_back(pools[0], price(gate, pools[0]), len(judged), costs) if gate else _estimate(judged, rows, costs)


def _look_back(pool: Pool, gate: Price, judged: int, costs: Balance | str) -> Saving:
    """Says what came of the verdicts if RL ran for all."""
    if gate.regret is None:
        return Saving(
            None, None, None, f"The gate approved none of {pool.size} {pool.label}, which would leave no result.", NONE
        )
    share, net = _measure_net(costs, judged, ("the gate", "it"))
    said = (
        f"The gate approved {gate.taken} of {pool.size} {pool.label}, {_say(net)}. RL ran for all, which shows the"
        f" regret: the best score was missed by {show_estimate(gate.regret, gate.interval, 3)}."
    )
    return Saving(share, gate.regret, gate.interval, said, net)


def _estimate(judged: list[Row], rows: list[Row], costs: Balance | str) -> Saving:
    """Says what was kept from RL if it did not run for all, or there was a race, and that what that lost is not known."""
    refused, outrun = [row for row in judged if not row.sent], [row for row in judged if row.sent and row.outrun]
    if not refused and not outrun:
        seen, early = sum(row.judged for row in rows), sum(row.failed_early for row in rows)
        none = "did not reject the only candidate" if seen == 1 else f"rejected none of {seen} candidates"
        lost = f" that it could judge ({early} failed earlier)" if early else ""
        said = f"The gate {none}{lost}, so it saved nothing."
        return Saving(None, 0.0, None, said, "none: no candidate was rejected")
    if len(refused) == len(judged):
        ran, alone = sum(row.score is not None for row in refused), len(judged) == 1
        none = "did not approve the only candidate" if alone else f"approved none of {len(judged)} candidates"
        also = f"RL ran for {'it' if alone else f'{ran} of them'} anyway." if ran else _describe_gate_audit(rows)
        return Saving(None, None, None, f"The gate {none}, which leaves no result. {also}", NONE)
    share, net = _measure_net(costs, len(judged), name_judges(rows), "about ")
    total, saved = count(len(judged), "candidate"), _say(net)
    approved = f"The gate approved {len(judged) - len(refused)} of {total}"
    if judged[0].verdict.mode == "off":
        told = [f"The race dropped {len(outrun)} of {total}, {saved}."]
    elif outrun:
        colon = ":" if saved.startswith("a net") else ","
        told = [f"{approved} and the race dropped {len(outrun)} of them{colon} {saved}."]
    else:
        told = [f"{approved}, {saved}."]
    told += [_describe_gate_audit(rows)] if refused else []
    told += [_describe_race_audit(rows, outrun)] if outrun else []
    return Saving(share, None, None, " ".join(told), net)


def _describe_gate_audit(rows: list[Row]) -> str:
    audit = audit_rejections(rows)
    if isinstance(audit, str):
        return UNKNOWN_DROPPED if any(row.dropped and not row.sent for row in rows) else UNKNOWN
    if audit.rejected == 1:
        beat = "beat" if audit.false else "did not beat"
        return f"RL ran for the {audit.called} candidate anyway; it {beat} the best approved one."
    beat = f"{audit.false} of them beat the best approved one" if audit.false else "none beat the best approved one"
    said = f"RL ran for {audit.observed} of the {audit.rejected} {audit.called} candidates anyway; {beat}."
    if unseen := audit.rejected - audit.observed:
        said += f" The other {unseen} {'was' if unseen == 1 else 'were'} not run."
    return said


def _describe_race_audit(rows: list[Row], outrun: list[Row]) -> str:
    """Says what became of those that the race decided against, if some of them finished RL anyway."""
    best = max((score for row, score in list_scores(rows) if row.sent and not row.outrun), default=None)
    audited = [score for _, score in list_scores(outrun)]
    if not audited:
        return UNKNOWN_RACE
    if best is None:
        return f"RL went on for {len(audited)} of the dropped anyway, but none that won the race has a result."
    beat = sum(not reaches(best, score) for score in audited)
    return f"RL went on for {len(audited)} of the dropped anyway; {beat or 'none'} of them beat the best that won the race."


def _measure_net(costs: Balance | str, judged: int, judges: tuple[str, str], about: str = "") -> tuple[float | None, str]:
    """Returns the share of the cost of RL for all that the judges saved after their own cost, and in words, or why not."""
    if isinstance(costs, str):
        return None, f"unknown: {costs}"
    share = costs.net / (judged * costs.mean) if costs.mean else None
    if share is None or costs.spent >= judged * costs.mean:
        return share, "none: RL this short costs less than measuring"
    if share > 0:
        return share, f"{about}{show_percent(share)}"
    who, pronoun = judges
    costs_more, avoid = ("costs", "avoids") if pronoun == "it" else ("cost", "avoid")
    return share, f"none: {who} {costs_more} {show_percent(-share)} of RL for all more than {pronoun} {avoid}"


def _say(net: str) -> str:
    known, _, reason = net.partition(": ")
    if reason:
        return f"{'with no net saving' if known == 'none' else 'with an unknown net saving'}: {reason}"
    return f"a net saving of {net} over running RL on all of them"
