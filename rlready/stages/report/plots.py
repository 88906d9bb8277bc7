"""The plots of the report, as SVG to put into a page: those of the answer, then lines over k, epochs, steps and cost."""

import math
import statistics
from collections import Counter
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rlready.analysis.comparison import BASE_NAME, Row, Setting, group_settings, keep_known, list_scores, shorten_names
from rlready.analysis.format import count
from rlready.analysis.plateau import trace_ranking
from rlready.analysis.policies import AFFORDED, ALL, BOTH, GATE, LOST, RACE, Family, Price, name_cost, trace
from rlready.analysis.pool import Pool
from rlready.analysis.predictor import Measure, Predictor, label_pass_at, mixes_subsets, pick_main, select_finished
from rlready.gate.lead import SCORE, read_figure
from rlready.stages.report.document import Plot
from rlready.stages.report.figure import finish, name_points, shorten, show_plain_ticks, start
from rlready.stats.regression import fit_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colour-blind-safe colours, without the yellow that white paper swallows.
BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, GREY = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#767676",
)  # fmt: skip
MAIN_COLORS = (BLUE, VERMILION, GREEN, PURPLE)  # of the main predictors, in their order
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY)
MARKERS = "osD^vPX*"
SUBSET_MARKERS = {"random": "o", "shortest": "^", "longest": "v", "mixed": "D"}
SUBSET_COLORS = {"random": BLUE, "shortest": VERMILION, "longest": GREEN, "mixed": PURPLE}
STAR = "★ "  # before the names of what the gate approved
MOST_SETTINGS = 24  # one line each in the plot of scores
MOST_NAMED = 10  # more candidates are coloured by subset and not named one by one
CHOICE = "approved by the gate"
POLICY_MARKS = {ALL: "s", GATE: "*", RACE: "X", BOTH: "P"}

LineStyle = dict[str, Any]  # keyword arguments of matplotlib's plot; without a label the line is not in the legend
FAINT: LineStyle = {"linestyle": ":", "linewidth": 0.8, "alpha": 0.4, "zorder": 1}  # behind the other lines


def draw_plots(rows: list[Row], base: Row, k: int | None, least: float | None, trains: bool) -> list[Plot]:
    """Returns the plots of the report, first those that show best what came out; one without data says why.

    The candidates have colours in their order; `least` is the gate's threshold for Pass@k, None or 0 if there is none.
    """
    settings, main, label = _list_settings(rows), pick_main(k), label_pass_at(k)
    omitted = len(settings) - MOST_SETTINGS
    more = f" The other {omitted} settings are in the table." if omitted > 0 else ""
    star = f" Star: {CHOICE}." if any(row.approved for row in rows) else ""
    dotted = " Dotted: not a random subset." if any(_is_dotted(row) for row in rows) else ""
    scores = Plot(
        "Pass@1 before and after RL",
        "Before RL: on the predictors' problems. After RL, and the base model: on the benchmark's, with 95% intervals, or, if"
        f" seeds repeat, the mean ±1 standard deviation over them.{star}{more}",
        _draw_scores(settings[:MOST_SETTINGS], shorten_names(rows), base),
        "no candidate has a Pass@1",
    )
    trajectories = Plot(
        "Held-out loss during SFT",
        f"Lower is better; only random subsets compare.{dotted}",
        _draw_trajectories(rows),
        "no candidate has a held-out loss during SFT",
    )
    curves = Plot(
        "Pass@k before RL",
        f"How often at least one of k samples is right.{dotted}{star if len(rows) <= MOST_NAMED else ''}",
        _draw_curves(rows, base, k, least),
        "no candidate has a Pass@k curve",
    )
    predictions = [
        _plot_prediction(rows, main.pass_at_k, label, attrgetter("pass_at_k")),
        _plot_prediction(rows, main.sft_pass_at_1, main.sft_pass_at_1.label, attrgetter("sft_pass_at_1")),
        _plot_prediction(rows, main.loss, "Generalization loss", attrgetter("loss")),
    ]
    if not trains:
        return [curves] + [trajectories] * any(row.trajectory for row in rows)
    if any(row.score is not None for row in rows):
        return [scores, *predictions, curves, trajectories]
    return [curves, trajectories, scores, *predictions]


def _is_dotted(row: Row) -> bool:
    return row.candidate.subset not in ("random", "")


def _list_settings(rows: list[Row]) -> list[Setting]:
    """Returns the settings with a Pass@1, the best result of RL first, then the best before it."""
    settings = group_settings([row for row in rows if row.sft_pass_at_1 is not None or row.score is not None])
    measures = attrgetter("score"), attrgetter("sft_pass_at_1")
    ends = {s.name: [-math.inf if (mean := s.average(measure)) is None else mean for measure in measures] for s in settings}
    return sorted(settings, key=lambda setting: ends[setting.name], reverse=True)


def _draw_scores(shown: list[Setting], short: dict[str, str], base: Row) -> str:
    if not shown:
        return ""
    figure, axes = start(legend_rows=2, lines=len(shown))
    names = []
    for place, setting in enumerate(shown):
        before, after = (setting.average(attrgetter(measure)) for measure in ("sft_pass_at_1", "score"))
        if before is not None and after is not None:
            axes.plot([before, after], [place, place], color=GREY, linewidth=1)
        if before is not None:
            axes.plot([before], [place], "o", color=BLUE, markerfacecolor="white")
        if len(setting.scores) > 1:
            spread = [[statistics.stdev(setting.scores)]] * 2
        elif after is not None:
            spread = _measure_bar(*list_scores(setting.rows)[0])
        if after is not None:
            axes.errorbar([after], [place], xerr=spread, color=VERMILION, marker="o", elinewidth=1.2)
        name = short[setting.rows[0].name] if len(setting.rows) == 1 else setting.name
        names.append(STAR * any(row.approved for row in setting.rows) + shorten(name, 22))
    if base.score is not None:
        axes.axvline(base.score, color="black", linestyle="--", linewidth=1.2, label=BASE_NAME)
    axes.plot([], [], "o", color=BLUE, markerfacecolor="white", label="before RL")
    axes.plot([], [], "o", color=VERMILION, label="after RL")
    axes.set_yticks(range(len(shown)), names, fontsize=9)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set(xlabel="Pass@1 (T=1)")
    figure.legend(loc="lower center", ncols=3, columnspacing=1.2, handletextpad=0.4)
    return finish(figure, "scores", f"Pass@1 before and after RL, for {count(len(shown), 'setting')}")


def _measure_bar(row: Row, score: float) -> list[list[float]]:
    """Returns how far a score's 95% interval reaches down and up from it; nan, which draws no bar, if unknown."""
    figure = read_figure(row.outcome, SCORE)
    low, high = (figure and figure.interval) or (math.nan, math.nan)
    return [[max(0.0, score - low)], [max(0.0, high - score)]]


def _plot_prediction(rows: list[Row], predictor: Predictor, label: str, measure: Measure) -> Plot:
    """Returns the plot of post-RL Pass@1 against what was measured before, on the rows that the predictor is judged on."""
    shown, axis = select_finished(rows, predictor), f"{label} (random subsets)" if predictor.restricted else label
    caption = ["One point per candidate that finished RL, with its 95% interval."]
    if len(shown) > 1:
        caption.append("Line: least squares.")
    if len({row.candidate.subset for row in shown}) > 1:
        caption.append("Markers: the subset.")
    if 0 < sum(row.approved for row in shown) < len(shown):
        caption.append(f"Ringed: {CHOICE}.")
    if any(row.elsewhere for row in shown):
        caption.append("Hollow: an external result.")
    return Plot(
        f"Predicted by {label}",
        " ".join(caption),
        _draw_prediction(shown, axis, measure, shorten_names(rows)) if shown else "",
        f"no candidate has both {label} and a result of RL",
    )


def _draw_prediction(shown: list[Row], label: str, measure: Measure, short: dict[str, str]) -> str:
    figure, axes = start()
    points = [(row, x, y) for row, y in list_scores(shown) if (x := measure(row)) is not None]
    for row, x, y in points:
        subset = row.candidate.subset
        axes.errorbar(
            [x],
            [y],
            yerr=_measure_bar(row, y),
            color=SUBSET_COLORS.get(subset, GREY),
            markerfacecolor="white" if row.elsewhere else None,
            marker=SUBSET_MARKERS.get(subset, "s"),
            linestyle="none",
            elinewidth=1.2,
        )
    axes.locator_params(nbins=5)
    xs = [x for _, x, _ in points]
    if line := fit_line(xs, [y for *_, y in points]):
        axes.plot([min(xs), max(xs)], [line[0] * end + line[1] for end in (min(xs), max(xs))], color=GREY)
    if not all(row.approved for row, *_ in points):
        for _, x, y in [point for point in points if point[0].approved]:
            axes.plot([x], [y], "o", markersize=13, markerfacecolor="none", color="black", markeredgewidth=1.2)
    name_points(axes, [(x, y, short[row.name]) for row, x, y in points])
    axes.set(xlabel=label, ylabel="Pass@1 after RL")
    return finish(figure, label, f"Pass@1 after RL against {label}, {count(len(shown), 'point')}")


def _draw_trajectories(rows: list[Row]) -> str:
    figure, axes, shown = _draw_lines(rows, attrgetter("trajectory"))
    if not shown:
        return ""
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xlim(left=0)
    show_plain_ticks(axes)
    axes.set(xlabel="SFT epoch", ylabel="held-out loss (nats per token)")
    return finish(figure, "trajectories", f"Held-out loss against SFT epoch, for {count(len(shown), 'candidate')}")


def _draw_curves(rows: list[Row], base: Row, k: int | None, least: float | None) -> str:
    figure, axes, shown = _draw_lines(rows, attrgetter("curve"), further=2 + bool(least))
    if not shown:
        return ""
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
    return finish(figure, "curves", f"Pass@k before RL against k, for {count(len(shown), 'candidate')}")


def draw_validation(rows: list[Row]) -> str:
    """Draws Pass@1 in validation against the step of RL, with the reward of training, faintly, beside it."""
    figure, axes, shown = _draw_lines(rows, attrgetter("validated"))
    if not shown:
        return ""
    for row in rows:
        if row.name in shown and (rewards := keep_known(row.rewards)):
            axes.plot(*zip(*rewards, strict=True), color=shown[row.name], **FAINT)
    axes.set(xlabel="step of RL", ylabel="Pass@1 in validation")
    return finish(figure, "validation", f"Pass@1 in validation against the step of RL, for {count(len(shown), 'candidate')}")


def _draw_lines(rows: list[Row], line: Callable[[Row], list], further: int = 0) -> tuple["Figure", "Axes", dict[str, str]]:
    """Draws a line per candidate that has one, with room for `further` rows in the legend; of many, the legend names subsets.

    Returns the colours of those drawn, too.
    """
    shown, short = [row for row in rows if line(row)], shorten_names(rows)
    unnamed, styles = Counter(row.candidate.subset for row in shown), {}
    for index, row in enumerate(rows):
        subset = row.candidate.subset
        style: LineStyle = {"linestyle": ":" if _is_dotted(row) else "-"}
        if len(rows) <= MOST_NAMED:
            style |= {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[index % len(MARKERS)], "markersize": 3.5}
            style |= {"label": STAR * row.approved + shorten(short[row.name])}
        else:
            style |= {"color": SUBSET_COLORS.get(subset, GREY), "linewidth": 1, "alpha": 0.7}
            if line(row) and (number := unnamed.pop(subset, 0)):
                style |= {"label": shorten(f"{subset or 'finished checkpoint'} ({count(number, 'candidate')})")}
        styles[row.name] = style
    figure, axes = start(legend_rows=sum("label" in styles[row.name] for row in shown) + further)
    for row in shown:
        axes.plot(*zip(*line(row), strict=True), **styles[row.name])
    return figure, axes, {row.name: styles[row.name]["color"] for row in shown}


def draw_policies(pool: Pool, prices: list[Price], families: list[Family]) -> str:
    """Draws the regret of policies against their cost."""
    places, hues = range(len(families) - 1), PALETTE[:-1]
    styles = [*((hues[n % len(hues)], "-" if n < len(hues) else "--") for n in places), (GREY, "-")]
    marks = [(one, one.regret) for one in prices if one.label in POLICY_MARKS and one.regret is not None]
    figure, axes = start(legend_rows=len(families) + len(marks))
    axes.axvline(AFFORDED, color=GREY, linestyle=":", linewidth=1)
    axes.axhline(LOST, color=GREY, linestyle=":", linewidth=1)
    for family, (color, dashes) in zip(families, styles, strict=True):
        points, label = trace(pool, family.policies), shorten(family.label)
        axes.plot(*zip(*points, strict=True), color=color, linestyle=dashes, marker=".", label=label)
    for one, regret in marks:
        axes.plot([one.share], [regret], POLICY_MARKS[one.label], color="black", markersize=8, label=shorten(one.label))
    axes.set(xlabel=f"{name_cost(pool)}, as a share of RL for all", ylabel="regret in Pass@1")
    axes.set_xlim(left=0)
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
    return finish(figure, "ranking", "How the predictors rank the candidates by what they reached, over the steps of RL")
