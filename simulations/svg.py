"""How plots look, and how a figure becomes an SVG element for a page.

Colours are CSS variables with a fallback, so that a page can set its own for dark screens, and a
drawing that stands alone still has good ones. The palette is after Okabe and Ito's, which people
with any colour vision can tell apart; line styles and markers say the same again.
"""

import io
import re
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

INK, SOFT, GRID = "#1b2530", "#5b6875", "#dfe4e9"
OURS = "#0072b2"
METHOD_COLOURS = {
    "TinyReptile": "#d55e00",
    "TinyMetaFed": "#009e73",
    "Reptile": "#b5588f",
    "FedSGD": "#8a6d00",
}
METHOD_MARKERS = {"TinyReptile": "s", "TinyMetaFed": "^", "Reptile": "D", "FedSGD": "v"}
VARIABLES = {
    INK: "--plot-ink",
    SOFT: "--plot-soft",
    GRID: "--plot-grid",
    OURS: "--plot-ours",
    **{colour: f"--plot-{name.lower()}" for name, colour in METHOD_COLOURS.items()},
}

STYLE: dict[Any, Any] = {
    "axes.edgecolor": SOFT,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "tinyfleet",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": SOFT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": SOFT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with plain numbers on it: 0.2, 1, 5, 1,000."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0,) if which == "x" else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(plain())
    axis.set_minor_formatter(NullFormatter())


def plain() -> Formatter:
    """Return a formatter that writes ticks without powers of ten: 0.05, 1,000."""
    return FuncFormatter(lambda value, _: f"{value:,.10g}")


def place(shots: ArrayLike) -> NDArray[np.float64]:
    """Return where shots stand on the axis: doublings are one apart, and 0 is one before 1."""
    count = np.asarray(shots, np.float64)
    return np.where(count > 0, 1 + np.log2(np.maximum(count, 1)), 0.0)


def to_svg(figure: Figure, name: str) -> str:
    """Return the figure as one element whose ids are unique among plots of different names."""
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    return text.strip()
