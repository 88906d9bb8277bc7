"""What the gate avoided and what that cost, beside what other policies would have: a sentence, a table and a plot."""

from dataclasses import dataclass

from rlready.components.report.audit import audit_rejections
from rlready.components.report.canvas import GREY, MAIN_COLORS, STYLE, finish, shorten, start
from rlready.components.report.comparison import Interval, Row
from rlready.components.report.document import Plot, Section
from rlready.components.report.ledger import balance
from rlready.components.report.notation import MISSING, count, show_estimate, show_percent
from rlready.components.report.policies import (
    ALL,
    GATE,
    HALVED,
    Pool,
    Price,
    find_gate,
    find_pools,
    list_policies,
    price,
    trace,
)
from rlready.components.report.predictors import pick_main

AFFORDED, LOST = 0.4, 0.01  # good is what costs at most so much of RL for all and loses at most so much Pass@1
MARKS = {ALL: "s", GATE: "*", HALVED: "X"}
TITLE = "What every policy would have cost"
UNKNOWN = (
    "whether one of them would have ended best nobody knows without an audit (gate_mode audit, or gate_audit_fraction)"
)
NOTES = [
    "Cost: RL and benchmark of those that it takes, as a share of those of all, and the predictors where the policy needs them"
    " (all of them, though it may need a part only). SFT counts nowhere.",
    "Regret: how far the best that it takes ended below the best of all, in Pass@1; with several seeds, means over them. Of"
    " settings that tie some are drawn, in expectation. In brackets: 95 % intervals, over settings; with fewer than 8, or"
    " where hardly any draw of them loses, there is none.",
    "All policies are judged on the results that they would have chosen among, so the noise of RL is in every regret.",
]


@dataclass(frozen=True)
class Saving:
    """What the gate avoided and lost.

    Attributes:
        avoided: Share of the cost of RL for all that it avoids, its own cost deducted; below 0 it costs more than it avoids.
        regret: How far the best approved ended below the best of all; None where RL did not run for all, or nobody is approved.
        interval: The regret's 95 % interval over settings.
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
    avoided = 1 - gate.share
    did = f"approves {gate.taken} of {pool.size} {pool.label}"
    if gate.regret is None:
        return Saving(avoided, None, None, f"The gate {did}, so it would have ended without a result.")
    regret = show_estimate(gate.regret, gate.interval, 3)
    return Saving(
        avoided,
        gate.regret,
        gate.interval,
        f"The gate {did}, which {_show_share(avoided)}{_explain_cost(pool.priced)}, at a"
        f" regret of {regret} in Pass@1: RL ran for all.",
    )


def _estimate(judged: list[Row], rows: list[Row], base: Row) -> Saving:
    """Says what the gate kept from RL where it did not run for all, and that what that cost is not known."""
    refused = [row for row in judged if row.verdict.decision != "approved"]
    if not refused:
        seen, early = count(sum(row.judged for row in rows), "candidate"), sum(row.failed_early for row in rows)
        lost = f" that it could judge ({early} failed before)" if early else ""
        return Saving(0.0, 0.0, None, f"The gate rejected none of {seen}{lost}, so it avoided nothing.")
    avoided, priced = _estimate_share(judged, rows, base)
    share = f", which {_show_share(avoided, 'about ')}{_explain_cost(priced)}"
    said = f"The gate kept {count(len(refused), 'candidate')} of {len(judged)} from RL{share}; {UNKNOWN}."
    audit = audit_rejections(rows)
    if not isinstance(audit, str):
        above = f"{audit.false or 'none'} of them ended above the best approved"
        seen = f"RL ran for {audit.observed} of the {audit.rejected} rejected all the same, and {above}"
        seen += "; of the others nobody knows" if audit.observed < audit.rejected else ""
        said = f"The gate approves {len(judged) - len(refused)} of {count(len(judged), 'candidate')}{share}; {seen}."
    return Saving(avoided, None, None, said)


def _estimate_share(judged: list[Row], rows: list[Row], base: Row) -> tuple[float, bool]:
    """Returns the share of RL's cost that was avoided, and whether it rests on costs or only on counts."""
    found = balance(rows, base)
    if isinstance(found, str) or not found.skipped:
        return sum(row.verdict.decision != "approved" for row in judged) / len(judged), False
    everyone = found.avoided / found.skipped * len(judged)  # at the mean of those that ran
    return (found.avoided + found.avoidable - found.spent) / everyone, True


def _show_share(avoided: float, about: str = "") -> str:
    if avoided < 0:
        return f"costs {about}{show_percent(-avoided)} more than RL for all"
    return f"avoids {about}{show_percent(avoided)} of the cost of RL for all"


def _explain_cost(priced: bool) -> str:
    return ", its own counted" if priced else ", counted in runs, for not all costs were recorded"


def describe_policies(rows: list[Row], base: Row, k: int | None) -> Section:
    """Returns the section that compares policies on candidates that RL ran for, or says why that cannot be."""
    pools = find_pools(rows, base)
    if not pools:
        return Section(
            TITLE, ["RL did not run for all candidates, so what another policy would have missed is not known."]
        )
    table = [["Policy", "Among", "RL for", "Cost", "Regret"]]
    priced = [[price(policy, pool) for policy in list_policies(pool, k)] for pool in pools]
    for pool, prices in zip(pools, priced, strict=True):
        for found in prices:
            regret = MISSING if found.regret is None else show_estimate(found.regret, found.interval, 3)
            cost = f"{100 * found.share:.0f} %"
            table.append([found.label, f"{pool.size} {pool.label}", str(found.taken), cost, regret])
    plot = Plot(
        "Cost against regret",
        f"Left and low is good; dotted: {100 * AFFORDED:.0f} % of the cost, {LOST:g} of regret. A line runs from the best"
        " setting by a predictor to all of them.",
        _draw(pools[0], priced[0], k),
    )
    return Section(TITLE, _describe_best(pools[0], k), table, NOTES, [plot])


def _describe_best(pool: Pool, k: int | None) -> list[str]:
    """Returns which policies lose little at a small part of the cost, in hindsight."""
    found = []
    for predictor in pick_main(k):
        enough = [
            most
            for most, (share, regret) in enumerate(trace(pool, predictor), 1)
            if share <= AFFORDED and regret <= LOST
        ]
        if enough:
            found.append(f"the best {enough[0]} by {predictor.label}")
    limits = f"At most {100 * AFFORDED:.0f} % of the cost of RL for all, and at most {LOST:g} of regret"
    by = ", ".join(found) if found else "by none of the main predictors, however many it takes"
    said = [f"{limits}: {by}. Which number does that is known in hindsight only."]
    if not pool.priced:
        said.append(
            "Not all costs were recorded on one kind of device: every RL counts alike here, and predictors nothing."
        )
    return said


def _draw(pool: Pool, prices: list[Price], k: int | None) -> str:
    import matplotlib

    lines = [(f"1, 2, ... by {p.short}", trace(pool, p), c) for p, c in zip(pick_main(k), MAIN_COLORS, strict=True)]
    lines = [line for line in [*lines, ("1, 2, ... at random", trace(pool, None), GREY)] if line[1]]
    marks = [(found, MARKS[found.label]) for found in prices if found.label in MARKS and found.regret is not None]
    with matplotlib.rc_context(STYLE):
        figure, axes = start(legend_rows=len(lines) + len(marks))
        axes.axvline(AFFORDED, color=GREY, linestyle=":", linewidth=1)
        axes.axhline(LOST, color=GREY, linestyle=":", linewidth=1)
        for label, points, color in lines:
            axes.plot(*zip(*points, strict=True), color=color, marker=".", label=shorten(label))
        for found, mark in marks:
            axes.plot([found.share], [found.regret], mark, color="black", markersize=8, label=shorten(found.label))
        axes.set(xlabel="cost, as a share of RL for all", ylabel="regret in Pass@1")
        axes.set_xlim(left=0)
        figure.legend(loc="lower center")
        return finish(figure, "policies", f"Regret against cost of policies, over {pool.size} settings")
