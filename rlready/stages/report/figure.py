"""What the plots are drawn on: their style, and figures that become SVG."""

import html
import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

WIDTH, HEIGHT, LEGEND_ROW, LINE = 4.4, 3.1, 0.18, 0.24  # inches
LABEL_LENGTH = 44
LETTER = 0.0175  # width of a letter of a point's name, as a share of the axes
MOST_POINTS, FEW = 12, 3  # points that are named, and how many of them if there are more
STYLE: "dict[RcKeyType, Any]" = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.labelspacing": 0.3,
    "lines.markersize": 5,
}


def start(legend_rows: int = 0, lines: int = 0) -> "tuple[Figure, Axes]":
    """Returns a figure and its axes, with room for this many rows of a legend below, or as high as this many named lines."""
    from matplotlib.figure import Figure

    legend = legend_rows * LEGEND_ROW
    inside = max(1.2, lines * LINE) if lines else HEIGHT - 0.6
    height = inside + 0.6 + legend
    figure = Figure(figsize=(WIDTH, height))
    left = 1.95 if lines else 0.72  # fixed: matplotlib's layout engine takes longer than drawing
    box = (left / WIDTH, (0.52 + legend) / height, (WIDTH - left - 0.1) / WIDTH, inside / height)
    return figure, figure.add_axes(box)


def name_points(axes: "Axes", points: list[tuple[float, float, str]]) -> None:
    """Writes the names beside the first points, towards the middle, each above those that it would overlap."""
    from matplotlib.transforms import ScaledTranslation

    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    letter, line = (right - left) * LETTER, (high - low) * 0.055
    placed: list[tuple[float, float, float]] = []  # where names begin and end, and their height
    for x, y, name in sorted(points if len(points) <= MOST_POINTS else points[:FEW], key=lambda point: point[1]):
        text, side, align = shorten(name, 24), 1, "left"
        if x > (left + right) / 2:
            side, align = -1, "right"
        begin, end = sorted((x, x + side * letter * (len(text) + 2)))
        y = max([y, *(height + line for start, stop, height in placed if start < end and begin < stop)])
        placed.append((begin, end, y))
        beside = axes.transData + ScaledTranslation(side * 0.12, 0, axes.figure.dpi_scale_trans)
        behind = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5}  # so that a line does not cross it out
        axes.text(x, min(y, high), text, ha=align, va="center", fontsize=8, transform=beside, bbox=behind)


def finish(figure: "Figure", name: str, alternative: str) -> str:
    """Returns the figure as SVG, with a legend of what has a label, the same for the same drawing.

    `name` seeds its ids, `alternative` says it in words.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    if not figure.legends and figure.axes[0].get_legend_handles_labels()[1]:
        figure.legend(loc="lower center")
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)  # half the time of savefig, which draws twice
    svg = buffer.getvalue()
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| id="[\w.]+_\d{1,4}"', "", svg[svg.index("<svg ") :])
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alternative)}" ', 1)


def draw_alone(drawing: str) -> str:
    """Returns an SVG of the page as a file of its own, which needs its namespaces."""
    return drawing.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)


def shorten(label: str, most: int = LABEL_LENGTH) -> str:
    """Returns a label that fits into a legend."""
    label = " ".join(label.split()).lstrip("_")  # matplotlib leaves labels with a leading _ out of the legend
    return label if len(label) <= most else label[: most - 1] + "…"


def show_plain_ticks(axes: "Axes") -> None:
    """Writes the ticks of x as plain numbers."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
