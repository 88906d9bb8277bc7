"""The plots of the report, as SVG to put into a page."""

import math
import statistics
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from rlready.analysis.comparison import Row, Setting, group_settings, list_scores, read_interval
from rlready.analysis.predictor import Measure, Predictor, label_pass_at, pick_main, select_finished
from rlready.stages.report.document import Plot
from rlready.stages.report.figure import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILION,
    finish,
    shorten,
    show_plain_ticks,
    start,
)
from rlready.stats.forecast import fit_line
from rlready.stats.intervals import Z95

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY)
MARKERS = "osD^vPX*"
SUBSET_MARKERS = {"random": "o", "shortest": "^", "longest": "v", "mixed": "D"}
SUBSET_COLORS = {"random": BLUE, "shortest": VERMILION, "longest": GREEN, "mixed": PURPLE}
FINISHED = "finished checkpoint"  # what candidates without a subset are called
MOST_NAMED = 10  # more candidates are coloured by subset and not named one by one
BASE_LABEL = "base model, no RL"


def draw_plots(rows: list[Row], base: Row, k: int | None, least: float | None, trains: bool = True) -> list[Plot]:
    """Returns the plots of the report, first those that show best what came out.

    Args:
        rows: The candidates, in the order of their colours.
        base: The base model.
        k: The gate's k.
        least: The gate's threshold for Pass@k; None or 0 where there is none.
        trains: Whether RL was asked for.

    Returns:
        The plots; one without data says why.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE):
        scores = Plot(
            "Pass@1 before and after RL",
            "Before RL on the predictors' problems; the others on the benchmark's, with 95% intervals, or, if seeds repeat,"
            " the mean ±1 standard deviation over them.",
            _draw_scores_by_epochs(rows, base),
            "no candidate has a Pass@1",
        )
        trajectories = Plot(
            "Held-out loss during SFT",
            "Lower is better. Dotted: not a random subset; its level is not comparable with the others.",
            _draw_trajectories(rows),
            "no candidate has a held-out loss during SFT",
        )
        curves = Plot(
            "Pass@k before RL",
            "How often at least one of k samples is right. Dotted curves: not a random subset.",
            _draw_curves(rows, base, k, least),
            "no candidate has a Pass@k curve",
        )
        main, label = pick_main(k), label_pass_at(k)
        predictions = [
            _plot_prediction(rows, predictor, name, measure)
            for predictor, name, measure in (
                (main.pass_at_k, label, lambda row: row.pass_at_k),
                (main.sft_pass_at_1, main.sft_pass_at_1.label, lambda row: row.sft_pass_at_1),
                (main.loss, "Generalization loss", lambda row: row.loss),
            )
        ]
    if not trains:
        return [curves] + [trajectories] * any(row.trajectory for row in rows)
    if any(row.score is not None for row in rows):
        return [scores, *predictions, curves, trajectories]
    return [curves, trajectories, scores, *predictions]


def _draw_scores_by_epochs(rows: list[Row], base: Row) -> str:
    shown = [row for row in rows if row.sft_pass_at_1 is not None or row.score is not None]
    if not shown:
        return ""
    from matplotlib.lines import Line2D

    trained = sorted({row.candidate.epochs for row in shown if not row.candidate.checkpoint})
    finished = [s for s in group_settings(shown) if s.rows[0].candidate.checkpoint]  # each at a place of its own
    places = {row.name: trained.index(row.candidate.epochs) for row in shown if not row.candidate.checkpoint}
    places |= {row.name: len(trained) + index for index, setting in enumerate(finished) for row in setting.rows}
    subsets = sorted({row.candidate.subset for row in shown}, key=lambda name: (name != "random", name))
    figure, axes = start(legend_rows=3 if len(subsets) < 4 else 4)
    phases = {  # what is measured, its spread, colour and face
        "before RL": (attrgetter("sft_pass_at_1"), None, BLUE, "white"),
        "after RL": (attrgetter("score"), _measure_spread, VERMILION, VERMILION),
    }
    for index, subset in enumerate(subsets):
        of_subset = sorted((row for row in shown if row.candidate.subset == subset), key=lambda r: r.candidate.epochs)
        for grid in sorted({row.setting[2:] for row in of_subset}, key=str):
            settings = [s for s in group_settings(of_subset) if s.rows[0].setting[2:] == grid]
            for measure, spread, color, face in phases.values():
                means = [setting.average(measure) for setting in settings]
                series = [(s, mean) for s, mean in zip(settings, means, strict=True) if mean is not None]
                axes.errorbar(
                    [places[setting.rows[0].name] + 0.1 * index for setting, _ in series],
                    [mean for _, mean in series],
                    yerr=list(zip(*(spread(setting) for setting, _ in series), strict=True)) if spread and series else None,
                    color=color,
                    markerfacecolor=face,
                    marker=SUBSET_MARKERS.get(subset, "s"),
                    linestyle="-" if subset == "random" else "none",
                )
    if base.score is not None:
        axes.axhline(base.score, color="black", linestyle="--", linewidth=1.2)
    ticks = [*map(str, trained), *(shorten(setting.name, 12) for setting in finished)]
    axes.set_xticks(range(len(ticks)), ticks, rotation=20 * (len(finished) > 2))
    axes.set(xlabel="SFT epochs" if trained else "", ylabel="Pass@1 (T=1)")
    handles = [
        *(Line2D([], [], color=c, marker="o", markerfacecolor=f, label=name) for name, (*_, c, f) in phases.items()),
        *([Line2D([], [], label=BASE_LABEL, color="black", linestyle="--", linewidth=1.2)] if base.score is not None else []),
        *(
            Line2D([], [], color=GREY, linestyle="none", marker=SUBSET_MARKERS.get(name, "s"), label=shorten(name or FINISHED))
            for name in subsets
        ),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=2)
    return finish(figure, "scores", f"Pass@1 before and after RL against SFT epochs, for {len(shown)} candidates")


def _measure_spread(setting: Setting) -> tuple[float, float]:
    """Returns how far the bar of a setting reaches down and up from its mean."""
    if len(setting.scores) > 1:
        deviation = statistics.stdev(setting.scores)
        return deviation, deviation
    return _measure_bar(*list_scores(setting.rows)[0])


def _measure_bar(row: Row, score: float) -> tuple[float, float]:
    """Returns how far a score's 95% interval reaches down and up from it; nan, which draws no bar, if unknown."""
    interval, error = read_interval(row.benchmark.interval), row.benchmark.standard_error
    if interval is None:
        reach = math.nan if not error else Z95 * error
        return reach, reach
    return max(0.0, score - interval[0]), max(0.0, interval[1] - score)


def _draw_trajectories(rows: list[Row]) -> str:
    shown = [row for row in rows if row.trajectory]
    if not shown:
        return ""
    styles = _style_candidates(rows, shown)
    figure, axes = start(legend_rows=_count_labels(styles))
    for row in shown:
        _draw_line(axes, row.trajectory, styles[row.name])
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xlim(left=0)
    show_plain_ticks(axes)
    axes.set(xlabel="SFT epoch", ylabel="held-out loss (nats per token)")
    figure.legend(loc="lower center")
    return finish(figure, "trajectories", f"Held-out loss against SFT epoch, for {len(shown)} candidates")


def _draw_curves(rows: list[Row], base: Row, k: int | None, least: float | None) -> str:
    shown = [row for row in rows if row.curve]
    if not shown:
        return ""
    styles = _style_candidates(rows, shown)
    figure, axes = start(legend_rows=_count_labels(styles) + 2 + bool(least))
    for row in shown:
        _draw_line(axes, row.curve, styles[row.name])
    if base.curve:
        _draw_line(axes, base.curve, LineStyle("black", "--", linewidth=1.2, label="base model"))
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


def _plot_prediction(rows: list[Row], predictor: Predictor, label: str, measure: Measure) -> Plot:
    """Returns the plot of post-RL Pass@1 against what was measured before, on the rows that the predictor is judged on."""
    shown = select_finished(rows, predictor)
    return Plot(
        f"Predicted by {label}",
        "One point per candidate that finished RL, with its 95% interval and the least-squares line; markers by subset as in"
        " the plot of Pass@1." + " Hollow: an external result." * any(r.elsewhere for r in shown),
        _draw_prediction(shown, label + " (random subsets)" * predictor.restricted, measure) if shown else "",
        f"no candidate with RL to judge {label} by",
    )


def _draw_prediction(shown: list[Row], label: str, measure: Measure) -> str:
    figure, axes = start()
    points = [(row, x, y) for row, y in list_scores(shown) if (x := measure(row)) is not None]
    for subset, theirs in sorted({(row.candidate.subset, bool(row.elsewhere)) for row in shown}):
        alike = [(row, x, y) for row, x, y in points if (row.candidate.subset, bool(row.elsewhere)) == (subset, theirs)]
        axes.errorbar(
            [x for _, x, _ in alike],
            [y for *_, y in alike],
            yerr=list(zip(*(_measure_bar(row, y) for row, _, y in alike), strict=True)),
            color=SUBSET_COLORS.get(subset, GREY),
            markerfacecolor="white" if theirs else None,
            marker=SUBSET_MARKERS.get(subset, "s"),
            linestyle="none",
            elinewidth=1.2,
        )
    axes.locator_params(nbins=5)
    xs = [x for _, x, _ in points]
    if line := fit_line(xs, [y for *_, y in points]):
        axes.plot([min(xs), max(xs)], [line[0] * end + line[1] for end in (min(xs), max(xs))], color=GREY)
    axes.set(xlabel=label, ylabel="Pass@1 after RL")
    return finish(figure, label, f"Pass@1 after RL against {label}, {len(shown)} points")


@dataclass
class LineStyle:
    """How a candidate's line is drawn; without a label it is not in the legend."""

    color: str
    linestyle: str
    marker: str = ""
    linewidth: float = 1.5
    alpha: float = 1.0
    label: str = ""


def _style_candidates(rows: list[Row], shown: list[Row]) -> dict[str, LineStyle]:
    """Returns the line style of each shown candidate; of many, the legend has one per subset."""
    styles, named = {}, set()
    for index, row in enumerate(rows):
        if row not in shown:
            continue
        subset = row.candidate.subset
        dashes = "-" if subset in ("random", "") else ":"
        if len(rows) <= MOST_NAMED:
            marker = MARKERS[index % len(MARKERS)]
            styles[row.name] = LineStyle(PALETTE[index % len(PALETTE)], dashes, marker, label=shorten(row.name))
            continue
        styles[row.name] = LineStyle(SUBSET_COLORS.get(subset, GREY), dashes, linewidth=1, alpha=0.7)
        if subset not in named:
            number = sum(r.candidate.subset == subset for r in shown)
            styles[row.name].label = shorten(f"{subset or FINISHED} ({number} candidates)")
            named.add(subset)
    return styles


def _draw_line(axes: "Axes", points: list, style: LineStyle) -> None:
    x, y = zip(*points, strict=True)
    axes.plot(
        x,
        y,
        color=style.color,
        linestyle=style.linestyle,
        marker=style.marker,
        markersize=3.5,
        linewidth=style.linewidth,
        alpha=style.alpha,
        label=style.label or None,
    )


def _count_labels(styles: dict[str, LineStyle]) -> int:
    return sum(bool(style.label) for style in styles.values())
