"""The plots of lines: Pass@k, the loss during SFT, policies, and the predictors' ranking during RL."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from rlready.analysis.comparison import Row, keep_known, shorten_names
from rlready.analysis.plateau import trace_ranking
from rlready.analysis.policies import AFFORDED, ALL, BOTH, GATE, LOST, RACE, Family, Price, name_cost, trace
from rlready.analysis.pool import Pool
from rlready.analysis.predictor import label_pass_at, mixes_subsets, pick_main
from rlready.stages.report.figure import (
    FINISHED,
    GREY,
    MAIN_COLORS,
    MARKERS,
    PALETTE,
    STAR,
    SUBSET_COLORS,
    VERMILION,
    finish,
    shorten,
    show_plain_ticks,
    start,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 10  # more candidates are coloured by subset and not named one by one
POLICY_MARKS = {ALL: "s", GATE: "*", RACE: "X", BOTH: "P"}


LineStyle = dict[str, Any]  # keyword arguments of matplotlib's plot; without a label the line is not in the legend


def draw_trajectories(rows: list[Row]) -> str:
    """Draws the held-out loss of each candidate during SFT."""
    shown = [row for row in rows if row.trajectory]
    if not shown:
        return ""
    figure, axes, styles = _start(rows, shown)
    for row in shown:
        axes.plot(*zip(*row.trajectory, strict=True), **styles[row.name])
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xlim(left=0)
    show_plain_ticks(axes)
    axes.set(xlabel="SFT epoch", ylabel="held-out loss (nats per token)")
    figure.legend(loc="lower center")
    return finish(figure, "trajectories", f"Held-out loss against SFT epoch, for {len(shown)} candidates")


def draw_curves(rows: list[Row], base: Row, k: int | None, least: float | None) -> str:
    """Draws Pass@k of each candidate and of the base model, with the gate's k and threshold."""
    shown = [row for row in rows if row.curve]
    if not shown:
        return ""
    figure, axes, styles = _start(rows, shown, further=2 + bool(least))
    for row in shown:
        axes.plot(*zip(*row.curve, strict=True), **styles[row.name])
    if base.curve:
        axes.plot(*zip(*base.curve, strict=True), color="black", linestyle="--", linewidth=1.2, label="base model")
    if k:
        axes.axvline(k, color=GREY, linestyle=":", linewidth=1.2, label=f"k of the gate: {k}")
    if k and least:
        label = f"minimum {label_pass_at(k)} for RL: {least:g}"
        axes.plot([k], [least], "_", color=VERMILION, markersize=12, markeredgewidth=2.5, label=label)
    axes.set_xscale("log", base=2)
    show_plain_ticks(axes)
    axes.set(xlabel="k", ylabel="Pass@k before RL")
    figure.legend(loc="lower center")
    return finish(figure, "curves", f"Pass@k before RL against k, for {len(shown)} candidates")


def _start(rows: list[Row], shown: list[Row], further: int = 0) -> tuple["Figure", "Axes", dict[str, LineStyle]]:
    """Returns a figure with room for a legend of the shown candidates and `further` lines, and the candidates' styles."""
    styles = _style_candidates(rows, shown)
    return *start(legend_rows=sum("label" in style for style in styles.values()) + further), styles


def _style_candidates(rows: list[Row], shown: list[Row]) -> dict[str, LineStyle]:
    """Returns the line style of each shown candidate; of many, the legend has one per subset."""
    styles, short = {}, shorten_names(rows)
    unnamed = Counter(row.candidate.subset for row in shown)
    for index, row in enumerate(rows):
        if row not in shown:
            continue
        subset = row.candidate.subset
        style: LineStyle = {"linestyle": "-" if subset in ("random", "") else ":"}
        if len(rows) <= MOST_NAMED:
            style |= {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[index % len(MARKERS)], "markersize": 3.5}
            style |= {"label": STAR * row.approved + shorten(short[row.name])}
        else:
            style |= {"color": SUBSET_COLORS.get(subset, GREY), "linewidth": 1, "alpha": 0.7}
            if number := unnamed.pop(subset, 0):
                style |= {"label": shorten(f"{subset or FINISHED} ({number} candidates)")}
        styles[row.name] = style
    return styles


def draw_validation(rows: list[Row]) -> str:
    """Draws Pass@1 in validation against the step of RL, with the reward of training, faintly, beside it."""
    shown = [row for row in rows if row.validated]
    if not shown:
        return ""
    figure, axes, styles = _start(rows, shown)
    for row in shown:
        if rewards := keep_known(row.rewards):
            axes.plot(*zip(*rewards, strict=True), color=styles[row.name]["color"], linestyle=":", linewidth=0.8, alpha=0.4)
        axes.plot(*zip(*row.validated, strict=True), **styles[row.name])
    axes.set(xlabel="step of RL", ylabel="Pass@1 in validation")
    figure.legend(loc="lower center")
    return finish(figure, "validation", f"Pass@1 in validation against the step of RL, for {len(shown)} candidates")


def draw_policies(pool: Pool, prices: list[Price], families: list[Family]) -> str:
    """Draws the regret of policies against their cost."""
    places, hues = range(len(families) - 1), PALETTE[:-1]
    styles = [*((hues[n % len(hues)], "-" if n < len(hues) else "--") for n in places), (GREY, "-")]
    lines = [(one.label, trace(pool, one.policies), *style) for one, style in zip(families, styles, strict=True)]
    marks = [(one, one.regret) for one in prices if one.label in POLICY_MARKS and one.regret is not None]
    figure, axes = start(legend_rows=len(lines) + len(marks))
    axes.axvline(AFFORDED, color=GREY, linestyle=":", linewidth=1)
    axes.axhline(LOST, color=GREY, linestyle=":", linewidth=1)
    for label, points, color, dashes in lines:
        axes.plot(*zip(*points, strict=True), color=color, linestyle=dashes, marker=".", label=shorten(label))
    for found, regret in marks:
        mark, label = POLICY_MARKS[found.label], shorten(found.label)
        axes.plot([found.share], [regret], mark, color="black", markersize=8, label=label)
    axes.set(xlabel=f"{name_cost(pool)}, as a share of RL for all", ylabel="regret in Pass@1")
    axes.set_xlim(left=0)
    figure.legend(loc="lower center")
    return finish(figure, "policies", f"Regret against cost of policies, over {pool.size} settings")


def draw_ranking(rows: list[Row], k: int | None) -> str:
    """Draws how the predictors rank the candidates by validation, or else their rewards, over the steps of RL."""
    shown = [(predictor, color, "-") for predictor, color in zip(pick_main(k), MAIN_COLORS, strict=True)]
    if mixes_subsets(rows):
        # The others of these are judged on random subsets only; these are what to compare them with.
        shown += [(predictor.restrict(), color, "--") for predictor, color, _ in shown[:2]]
    lines = [(p.label, points, color, dashes) for p, color, dashes in shown if (points := trace_ranking(rows, p))]
    if not lines:
        return ""
    figure, axes = start(legend_rows=len(lines))
    axes.axhline(0, color=GREY, linewidth=1)
    for label, points, color, dashes in lines:
        axes.plot(*zip(*points[:-1], strict=True), color=color, linestyle=dashes, label=shorten(label))
        axes.plot(*zip(*points[-2:], strict=True), color=color, linestyle=":")
        axes.plot(*points[-1], color=color, marker="o")
    axes.set(xlabel="share of RL's steps", ylabel="Spearman's correlation", ylim=(-1.05, 1.05), xlim=(0, 1.03))
    figure.legend(loc="lower center")
    return finish(figure, "ranking", "How the predictors rank the candidates by what they reached, over the steps of RL")
