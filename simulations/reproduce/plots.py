"""Draws the figures of the reproduction: our lines, and the published ones dashed beside them."""

from matplotlib import rc_context
from matplotlib.figure import Figure as Drawing

from tinyfleet.simulations.reproduce.cells import Figure, Line
from tinyfleet.simulations.svg import STYLE, to_svg

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b5588f", "#8a6d00", "#5b6875")
_MARKERS = "os^Dv*"


def draw(figure: Figure) -> str:
    """Return the figure as a file of SVG; a method has one colour, ours solid, published dashed."""
    with rc_context({**STYLE, "figure.facecolor": "white", "axes.facecolor": "white"}):
        drawing = Drawing(figsize=(7.4, 4.2), layout="constrained")
        axes = drawing.subplots()
        methods = list(dict.fromkeys(_method(line) for line in figure.lines))
        for line in figure.lines:
            place = methods.index(_method(line))
            colour = _COLOURS[place % len(_COLOURS)]
            axes.plot(
                line.x,
                line.y,
                color=colour,
                linestyle="--" if line.published else "-",
                linewidth=1.2 if line.published else 1.8,
                marker=_MARKERS[place % len(_MARKERS)],
                markersize=3.0,
                markevery=max(1, len(line.x) // 16),
                markerfacecolor="white" if line.published else colour,
                label=f"{line.label} (published)" if line.published else line.label,
            )
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, lw=0)
        axes.set_xlabel(figure.x)
        axes.set_ylabel(figure.y)
        axes.set_title(figure.title, fontsize=10, loc="left")
        axes.legend()
        svg = to_svg(drawing, figure.name)
    return f"{svg}\n".replace("<svg ", f'<svg role="img" aria-label="{_spoken(figure.title)}" ', 1)


def _method(line: Line) -> str:
    """Return what a line shows, up to the first comma: the method that gives it its colour."""
    return line.label.split(",")[0]


def _spoken(title: str) -> str:
    return title.replace("&", "and").replace('"', "'").replace("<", "under ")
