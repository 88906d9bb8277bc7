"""What the gate avoided and what that cost, beside what other policies would have: a sentence, a table and a plot."""

from dataclasses import dataclass

from rlready.analysis.comparison import Interval, Row
from rlready.analysis.costs import balance, measure_elsewhere
from rlready.analysis.format import MISSING, count, show_estimate, show_percent
from rlready.analysis.gate_audit import audit_rejections
from rlready.analysis.policies import ALL, GATE, HALVED, Pool, Price, find_gate, find_pools, list_policies, price, trace
from rlready.analysis.predictor import pick_main
from rlready.stages.report.document import Plot, Section
from rlready.stages.report.figure import GREY, MAIN_COLORS, STYLE, finish, shorten, start

AFFORDED, LOST = 0.4, 0.01  # good is what costs at most so much of RL for all and loses at most so much Pass@1
MARKS = {ALL: "s", GATE: "*", HALVED: "X"}
TITLE = "Cost and regret of other policies"
UNKNOWN = (
    "Whether a candidate without RL would have ended best is unknown without an audit (gate_mode=audit or gate_audit_fraction)."
)
NOTES = [
    "Cost: RL and benchmark of the settings chosen, plus the predictors if the policy needs them, as a share of RL and"
    " benchmark for all. SFT is not counted. –: not all costs were recorded.",
    "Regret: how far the best setting chosen ended below the best of all, in Pass@1 (mean over seeds). Ties are broken at"
    " random, in expectation. In brackets: 95% intervals over settings; there is none with fewer than 8 settings, or if"
    " hardly any resampling of them has a regret.",
    "All policies are judged on the same results of RL, so its noise is in every regret.",
]


@dataclass(frozen=True)
class Saving:
    """What the gate avoided and lost.

    Attributes:
        avoided: Share of the cost of RL for all that it avoids, its own cost deducted; below 0 it costs more than it avoids.
            None where not all costs are known, or it approves nobody: what leaves no result saves nothing.
        regret: How far the best approved ended below the best of all; None where RL did not run for all, or nobody is approved.
        interval: The regret's 95% interval over settings.
        said: Both in one sentence.
    """

    avoided: float | None
    regret: float | None
    interval: Interval | None
    said: str

    def list_tags(self) -> dict[str, str]:
        """Returns the sentence as MLflow's tag."""
        return {"gate.saving": self.said}

    def list_figures(self) -> dict[str, float]:
        """Returns what is known as MLflow's metrics."""
        named = {"gate/avoided_share": self.avoided, "gate/regret": self.regret}
        return {name: value for name, value in named.items() if value is not None}


def weigh_gate(rows: list[Row], base: Row) -> Saving | None:
    """Returns what the gate avoided and lost; None where it did not judge."""
    judged = [row for row in rows if row.judged and not row.failure]
    if not judged or any(row.verdict.mode == "off" for row in judged):
        return None
    pools = find_pools(rows, base)
    gate = find_gate(pools[0]) if pools else None
    return _look_back(pools[0], price(gate, pools[0])) if gate else _estimate(judged, rows, base)


def _look_back(pool: Pool, gate: Price) -> Saving:
    """Says what came of the verdicts where RL ran for all."""
    if gate.regret is None:
        return Saving(None, None, None, f"The gate approved none of {pool.size} {pool.label}, which would leave no result.")
    avoided, regret = 1 - gate.share if pool.priced else None, show_estimate(gate.regret, gate.interval, 3)
    said = (
        f"The gate approved {gate.taken} of {pool.size} {pool.label}, {_show_share(avoided)}. RL ran for all, which shows the"
        f" regret: the best score was missed by {regret}."
    )
    return Saving(avoided, gate.regret, gate.interval, said)


def _estimate(judged: list[Row], rows: list[Row], base: Row) -> Saving:
    """Says what the gate kept from RL where it did not run for all, and that what that cost is not known."""
    refused = [row for row in judged if row.verdict.decision != "approved"]
    if not refused:
        seen, early = count(sum(row.judged for row in rows), "candidate"), sum(row.failed_early for row in rows)
        lost = f" that it could judge ({early} failed earlier)" if early else ""
        return Saving(None, 0.0, None, f"The gate rejected none of {seen}{lost}, so it saved nothing.")
    if len(refused) == len(judged):
        ran = sum(row.score is not None for row in refused)
        also = f"RL ran for {ran} of them anyway." if ran else UNKNOWN
        said = f"The gate approved none of {count(len(judged), 'candidate')}, which leaves no result. {also}"
        return Saving(None, None, None, said)
    avoided = _estimate_share(judged, rows, base)
    approved = len(judged) - len(refused)
    said = f"The gate approved {approved} of {count(len(judged), 'candidate')}, {_show_share(avoided, 'about ')}."
    audit = audit_rejections(rows)
    if isinstance(audit, str):
        return Saving(avoided, None, None, f"{said} {UNKNOWN}")
    beat = f"{audit.false} of them beat the best approved one" if audit.false else "none beat the best approved one"
    said += f" RL ran for {audit.observed} of the {audit.rejected} {audit.called} candidates anyway; {beat}."
    if unseen := audit.rejected - audit.observed:
        said += f" The other {unseen} {'was' if unseen == 1 else 'were'} not run."
    return Saving(avoided, None, None, said)


def _estimate_share(judged: list[Row], rows: list[Row], base: Row) -> float | None:
    """Returns the share of RL's cost that was avoided; None where not all costs that it rests on are known."""
    found = balance(rows, base)
    if isinstance(found, str):
        return None
    theirs = [measure_elsewhere(row) for row in rows if row.elsewhere]
    if any(cost is None or cost[0] != found.device for cost in theirs):
        return None
    return found.estimate_avoided_share(len(judged))


def _show_share(avoided: float | None, about: str = "") -> str:
    if avoided is None:
        return "a net saving of unknown size, because not all costs were recorded"
    if avoided < 0:
        return f"which costs {about}{show_percent(-avoided)} more than running RL on all of them"
    return f"a net saving of {about}{show_percent(avoided)} over running RL on all of them"


def describe_policies(rows: list[Row], base: Row, k: int | None) -> Section:
    """Returns the section that compares policies on candidates that RL ran for, or says why that cannot be."""
    pools = find_pools(rows, base)
    if not pools:
        return Section(TITLE, ["Unknown: RL did not run for all candidates."])
    table = [["Policy", "Among", "RL for", "Cost", "Regret"]]
    priced = [[price(policy, pool) for policy in list_policies(pool, k)] for pool in pools]
    for pool, prices in zip(pools, priced, strict=True):
        for found in prices:
            regret = MISSING if found.regret is None else show_estimate(found.regret, found.interval, 3)
            cost = f"{100 * found.share:.0f}%" if pool.priced else MISSING
            table.append([found.label, f"{pool.size} {pool.label}", str(found.taken), cost, regret])
    what = _name_cost(pools[0])
    plot = Plot(
        f"{what.capitalize()} against regret",
        f"Left and low is good; dotted: {100 * AFFORDED:.0f}% of the {what} and {LOST:g} of regret. Each line runs from the"
        " best setting by a predictor to all settings.",
        _draw(pools[0], priced[0], k),
    )
    return Section(TITLE, _describe_best(pools[0], k), table, NOTES, [plot])


def _describe_best(pool: Pool, k: int | None) -> list[str]:
    """Returns which policies lose little at a small part of the cost, in hindsight."""
    found = []
    for predictor in pick_main(k):
        enough = [
            most for most, (share, regret) in enumerate(trace(pool, predictor), 1) if share <= AFFORDED and regret <= LOST
        ]
        if enough:
            found.append(f"the best {enough[0]} by {predictor.label}")
    limits = f"at most {100 * AFFORDED:.0f}% of the {_name_cost(pool)} of RL for all, with a regret of at most {LOST:g}"
    by = ", ".join(found) if found else "none of the main predictors, for any number of settings"
    said = [f"In hindsight, these choices would have had {limits}: {by}."]
    if not pool.priced:
        said.append(
            "Not all costs were recorded on one kind of device, so every RL run counts the same here and predictors count 0."
        )
    return said


def _name_cost(pool: Pool) -> str:
    return "cost" if pool.priced else "runs"


def _draw(pool: Pool, prices: list[Price], k: int | None) -> str:
    import matplotlib

    lines = [(f"1, 2, ... by {p.short}", trace(pool, p), c) for p, c in zip(pick_main(k), MAIN_COLORS, strict=True)]
    lines = [line for line in [*lines, ("1, 2, ... at random", trace(pool, None), GREY)] if line[1]]
    marks = [(one, one.regret, MARKS[one.label]) for one in prices if one.label in MARKS and one.regret is not None]
    with matplotlib.rc_context(STYLE):
        figure, axes = start(legend_rows=len(lines) + len(marks))
        axes.axvline(AFFORDED, color=GREY, linestyle=":", linewidth=1)
        axes.axhline(LOST, color=GREY, linestyle=":", linewidth=1)
        for label, points, color in lines:
            axes.plot(*zip(*points, strict=True), color=color, marker=".", label=shorten(label))
        for found, regret, mark in marks:
            axes.plot([found.share], [regret], mark, color="black", markersize=8, label=shorten(found.label))
        axes.set(xlabel=f"{_name_cost(pool)}, as a share of RL for all", ylabel="regret in Pass@1")
        axes.set_xlim(left=0)
        figure.legend(loc="lower center")
        return finish(figure, "policies", f"Regret against cost of policies, over {pool.size} settings")
