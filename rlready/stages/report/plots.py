"""The plots of the report, as SVG to put into a page: first those of the answer, each point with the candidate's name."""

import math
import statistics
from operator import attrgetter

from rlready.analysis.comparison import BASE_NAME, Row, Setting, group_settings, list_scores, shorten_names
from rlready.analysis.predictor import Measure, Predictor, label_pass_at, pick_main, select_finished
from rlready.gate.lead import SCORE, read_figure
from rlready.stages.report.curves import draw_curves, draw_trajectories
from rlready.stages.report.document import Plot
from rlready.stages.report.figure import (
    BLUE,
    GREY,
    STAR,
    SUBSET_COLORS,
    SUBSET_MARKERS,
    VERMILION,
    finish,
    name_points,
    shorten,
    start,
)
from rlready.stats.regression import fit_line

MOST_SETTINGS = 24  # one line each in the plot of scores
CHOICE = "approved by the gate"


def draw_plots(rows: list[Row], base: Row, k: int | None, least: float | None, trains: bool = True) -> list[Plot]:
    """Returns the plots of the report, first those that show best what came out; one without data says why.

    The candidates have colours in their order; `least` is the gate's threshold for Pass@k, None or 0 if there is none.
    """
    omitted = len(_list_settings(rows)) - MOST_SETTINGS
    more = f" The other {omitted} settings are in the table." if omitted > 0 else ""
    scores = Plot(
        "Pass@1 before and after RL",
        "Before RL on the predictors' problems; the others on the benchmark's, with 95% intervals, or, if seeds repeat,"
        f" the mean ±1 standard deviation over them. Star: {CHOICE}." + more,
        _draw_scores(rows, base),
        "no candidate has a Pass@1",
    )
    trajectories = Plot(
        "Held-out loss during SFT",
        "Lower is better. Dotted: not a random subset; its level is not comparable with the others.",
        draw_trajectories(rows),
        "no candidate has a held-out loss during SFT",
    )
    curves = Plot(
        "Pass@k before RL",
        f"How often at least one of k samples is right. Dotted curves: not a random subset. Star: {CHOICE}.",
        draw_curves(rows, base, k, least),
        "no candidate has a Pass@k curve",
    )
    main, label = pick_main(k), label_pass_at(k)
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


def _list_settings(rows: list[Row]) -> list[Setting]:
    """Returns the settings with a Pass@1, the best result of RL first, then the best before it."""
    settings = group_settings([row for row in rows if row.sft_pass_at_1 is not None or row.score is not None])
    measures = attrgetter("score"), attrgetter("sft_pass_at_1")
    ends = {s.name: [-math.inf if (mean := s.average(measure)) is None else mean for measure in measures] for s in settings}
    return sorted(settings, key=lambda setting: ends[setting.name], reverse=True)


def _draw_scores(rows: list[Row], base: Row) -> str:
    """Draws one line per setting: its Pass@1 before RL, and after RL with its spread."""
    shown = _list_settings(rows)[:MOST_SETTINGS]
    if not shown:
        return ""
    figure, axes = start(legend_rows=2, lines=len(shown))
    for place, setting in enumerate(shown):
        before, after = (setting.average(attrgetter(measure)) for measure in ("sft_pass_at_1", "score"))
        if before is not None and after is not None:
            axes.plot([before, after], [place, place], color=GREY, linewidth=1)
        if before is not None:
            axes.plot([before], [place], "o", color=BLUE, markerfacecolor="white")
        if after is not None:
            below, above = _measure_spread(setting)
            axes.errorbar([after], [place], xerr=[[below], [above]], color=VERMILION, marker="o", elinewidth=1.2)
    if base.score is not None:
        axes.axvline(base.score, color="black", linestyle="--", linewidth=1.2, label=BASE_NAME)
    axes.plot([], [], "o", color=BLUE, markerfacecolor="white", label="before RL")
    axes.plot([], [], "o", color=VERMILION, label="after RL")
    short = shorten_names(rows)
    named = [short[s.rows[0].name] if len(s.rows) == 1 else s.name for s in shown]
    stars = [STAR * any(row.approved for row in s.rows) for s in shown]
    names = [star + shorten(name, 22) for star, name in zip(stars, named, strict=True)]
    axes.set_yticks(range(len(shown)), names, fontsize=9)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set(xlabel="Pass@1 (T=1)")
    figure.legend(loc="lower center", ncols=3, columnspacing=1.2, handletextpad=0.4)
    return finish(figure, "scores", f"Pass@1 before and after RL, for {len(shown)} settings")


def _measure_spread(setting: Setting) -> tuple[float, float]:
    """Returns how far the bar of a setting reaches down and up from its mean."""
    if len(setting.scores) > 1:
        deviation = statistics.stdev(setting.scores)
        return deviation, deviation
    return _measure_bar(*list_scores(setting.rows)[0])


def _measure_bar(row: Row, score: float) -> tuple[float, float]:
    """Returns how far a score's 95% interval reaches down and up from it; nan, which draws no bar, if unknown."""
    figure = read_figure(row.outcome, SCORE)
    low, high = (figure and figure.interval) or (math.nan, math.nan)
    return max(0.0, score - low), max(0.0, high - score)


def _plot_prediction(rows: list[Row], predictor: Predictor, label: str, measure: Measure) -> Plot:
    """Returns the plot of post-RL Pass@1 against what was measured before, on the rows that the predictor is judged on."""
    shown, axis = select_finished(rows, predictor), label + " (random subsets)" * predictor.restricted
    return Plot(
        f"Predicted by {label}",
        "One point per candidate that finished RL, with its 95% interval and the least-squares line; markers by subset."
        f" Ringed, if not all are: {CHOICE}." + " Hollow: an external result." * any(r.elsewhere for r in shown),
        _draw_prediction(shown, axis, measure, shorten_names(rows)) if shown else "",
        f"no candidate with RL to judge {label} by",
    )


def _draw_prediction(shown: list[Row], label: str, measure: Measure, short: dict[str, str]) -> str:
    figure, axes = start()
    points = [(row, x, y) for row, y in list_scores(shown) if (x := measure(row)) is not None]
    for row, x, y in points:
        subset, (below, above) = row.candidate.subset, _measure_bar(row, y)
        axes.errorbar(
            [x],
            [y],
            yerr=[[below], [above]],
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
    ringed = [] if all(row.approved for row, *_ in points) else [(x, y) for row, x, y in points if row.approved]
    for x, y in ringed:
        axes.plot([x], [y], "o", markersize=13, markerfacecolor="none", color="black", markeredgewidth=1.2)
    name_points(axes, [(x, y, short[row.name]) for row, x, y in points])
    axes.set(xlabel=label, ylabel="Pass@1 after RL")
    return finish(figure, label, f"Pass@1 after RL against {label}, {len(shown)} points")
