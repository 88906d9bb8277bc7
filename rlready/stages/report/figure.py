"""What the plots are drawn on: colours, style, and figures that become SVG."""

import html
import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

# Okabe and Ito's colour-blind-safe colours, without the yellow that white paper swallows.
BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, GREY = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#767676",
)  # fmt: skip
MAIN_COLORS = (BLUE, VERMILION, GREEN, PURPLE)  # of the main predictors, in their order
WIDTH, HEIGHT, LEGEND_ROW = 4.4, 3.1, 0.18  # inches
LABEL_LENGTH = 44
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


def start(legend_rows: int = 0) -> "tuple[Figure, Axes]":
    """Returns a figure and its axes, with room for so many rows of a legend below."""
    from matplotlib.figure import Figure

    legend = legend_rows * LEGEND_ROW
    figure = Figure(figsize=(WIDTH, HEIGHT + legend))
    left, right, bottom, top = 0.72, 0.1, 0.52, 0.08  # fixed: matplotlib's layout engine takes longer than drawing
    box = (left, bottom + legend, WIDTH - left - right, HEIGHT - bottom - top)
    return figure, figure.add_axes((box[0] / WIDTH, box[1] / (HEIGHT + legend), box[2] / WIDTH, box[3] / (HEIGHT + legend)))


def finish(figure: "Figure", name: str, alternative: str) -> str:
    """Returns the figure as SVG, the same for the same drawing: `name` seeds its ids, `alternative` says it in words."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)  # half the time of savefig, which draws twice
    svg = buffer.getvalue()
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| id="[\w.]+_\d{1,4}"', "", svg[svg.index("<svg ") :])
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alternative)}" ', 1)


def shorten(label: str, most: int = LABEL_LENGTH) -> str:
    """Returns a label that fits into a legend."""
    label = " ".join(label.split()).lstrip("_")  # matplotlib leaves labels with a leading _ out of the legend
    return label if len(label) <= most else label[: most - 1] + "…"


def show_plain_ticks(axes: "Axes") -> None:
    """Writes the ticks of x as plain numbers."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
