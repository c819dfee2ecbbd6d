"""Draws a finished run as SVG: its course, its result, and the published curves beside them.

Colours are CSS variables with a fallback, so that a page can set its own for dark screens, and a
drawing that stands alone still has good ones. The palette is Okabe and Ito's, which people with any
colour vision can tell apart; line styles and markers say the same again.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, FuncFormatter, LogLocator, NullFormatter

from tinyfleet.simulations import published
from tinyfleet.simulations.comparison import METHODS, Comparison, difference
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.published import Curve
from tinyfleet.simulations.run_folder import Example, Numbers, Result, Rounds

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

STYLE: dict[str, object] = {
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

POINTS = 240  # of a learning curve: more cannot be seen apart


@dataclass(frozen=True)
class Plot:
    """One drawing.

    Attributes:
        name: short name, unique among the plots of a run.
        title: what is shown.
        svg: an `<svg>` element that needs nothing from outside.
        alt: the same in words, for who does not see it.
        note: how to read it.
    """

    name: str
    title: str
    svg: str
    alt: str
    note: str


def plots_of(
    result: Result, comparison: Comparison, rounds: Rounds, example: Example | None, ways: int
) -> tuple[Plot, ...]:
    """Draw whatever a run has something to show for, the result first."""
    with rc_context(STYLE):
        drawn = (
            _by_shots(result, comparison, ways) if result.accuracy else None,
            _fine_tuned(example) if example else None,
            _learning_curve(rounds, comparison) if len(rounds.number) else None,
            _by_communication(result, comparison, rounds),
        )
    return tuple(plot for plot in drawn if plot)


def _by_shots(result: Result, comparison: Comparison, ways: int) -> Plot:
    """Accuracy against shots a class, the published curves beside ours, and the difference."""
    figure = Figure(figsize=(7.4, 4.9 if comparison.references else 3.7), layout="constrained")
    if comparison.references:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.1))
    else:
        upper = lower = figure.subplots()
    if ways > 1:
        upper.axhline(100 / ways, color=SOFT, linewidth=0.9, linestyle=(0, (1, 2)))
        upper.text(_place(max(result.accuracy)), 100 / ways + 1.2, "chance", color=SOFT, ha="right")
    for reference in comparison.references:
        colour = METHOD_COLOURS[reference.method]
        shots = np.array([int(key) for key in reference.values])
        upper.plot(
            _place(shots),
            list(reference.values.values()),
            color=colour,
            linestyle=(0, (5, 2)),
            marker=METHOD_MARKERS[reference.method],
            markerfacecolor="none",
            label=reference.source.label(reference.method),
        )
    if result.accuracy_one_pass:
        _ours(upper, result.accuracy_one_pass, "ours, one pass", dashed=True)
    _ours(upper, result.accuracy, "ours", dashed=False)
    for shots_a_class, ours in result.accuracy.items():
        upper.annotate(
            f"{ours.mean:.1f}",
            (float(_place(shots_a_class)), ours.mean),
            xytext=(0, 7 if shots_a_class else -14),
            textcoords="offset points",
            ha="center",
            color=OURS,
            fontsize=8.5,
            fontweight="bold",
        )
    upper.set(ylabel="accuracy, %", ylim=(0, 106), yticks=range(0, 101, 20))
    handles, labels = upper.get_legend_handles_labels()
    upper.legend(
        handles[::-1], labels[::-1], loc="lower right",
        bbox_to_anchor=(1.0, 0.25 if ways > 2 else 0.02),
    )  # fmt: skip
    if comparison.references:
        _differences(lower, comparison)
    ticks = sorted(result.accuracy)
    lower.set_xticks(_place(np.array(ticks)), [str(shots) for shots in ticks])
    lower.set_xlabel("shots a class to fine-tune on")
    words = "; ".join(f"{shots} shots {ours.mean:.1f} %" for shots, ours in result.accuracy.items())
    return Plot(
        "shots",
        "Accuracy on unseen classes against the shots that a device fine-tunes on",
        _svg(figure, "shots"),
        f"Accuracy rises with shots a class: {words}.",
        "Bars are 95 % intervals over test tasks. No interval was published for the dashed curves.",
    )


def _differences(axes: Axes, comparison: Comparison) -> None:
    """Draw how far ours are from the first reference, which measured the same; with intervals."""
    reference = comparison.references[0]
    for row in comparison.groups[0][1]:
        gap = difference(row, reference)
        if gap is not None:
            axes.errorbar(
                _place(int(row.key)),
                gap,
                yerr=row.ours.ci95,
                color=OURS,
                marker="o",
                capsize=3,
                linewidth=1.4,
            )
    axes.axhline(0, color=METHOD_COLOURS[reference.method], linewidth=1.2, linestyle=(0, (5, 2)))
    axes.set_ylabel(f"ours minus\n{reference.source.paper},\npoints")
    axes.margins(y=0.2)


def _ours(axes: Axes, estimates: dict[int, Estimate], label: str, *, dashed: bool) -> None:
    """Draw our accuracy with its intervals."""
    axes.errorbar(
        _place(np.array(list(estimates))),
        [ours.mean for ours in estimates.values()],
        yerr=[ours.ci95 for ours in estimates.values()],
        color=OURS,
        marker="o",
        markerfacecolor="none" if dashed else OURS,
        linewidth=1.0 if dashed else 2.0,
        linestyle=(0, (1.5, 1.5)) if dashed else "-",
        capsize=2.5,
        elinewidth=1.2,
        label=label,
    )


def _learning_curve(rounds: Rounds, comparison: Comparison) -> Plot:
    """Loss a round, thinned, and below it the scores on validation tasks."""
    figure = Figure(figsize=(7.4, 4.6 if rounds.evaluations else 2.8), layout="constrained")
    if rounds.evaluations:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.2, 1))
    else:
        upper = lower = figure.subplots()
    number, mean, low, high = thinned(rounds.number, rounds.loss)
    if len(number) < len(rounds.number):
        upper.fill_between(number, low, high, color=OURS, alpha=0.18, linewidth=0)
    upper.plot(number, mean, color=OURS, linewidth=1.4)
    upper.set_ylabel("loss before learning")
    finite = mean[np.isfinite(mean)]
    if not comparison.more_is_better and len(finite) and finite.min() > 0:
        _logarithmic(upper, "y")
    elif len(finite) and finite.min() >= 0:
        upper.set_ylim(bottom=0)
    at = [evaluation.round for evaluation in rounds.evaluations]
    for series, (label, values) in enumerate(_scores(rounds)):
        lower.plot(
            at,
            values,
            color=OURS,
            marker="os^Dv"[series % 5],
            markersize=3.5,
            linestyle=("-", "--", ":")[series % 3],
            label=label,
        )
    if rounds.evaluations:
        lower.set_ylabel("accuracy, %" if comparison.more_is_better else "mean square error")
        if not comparison.more_is_better:
            _logarithmic(lower, "y")
        lower.legend(loc="best")
    lower.set_xlabel("round")
    lower.xaxis.set_major_formatter(_plain())
    each = -(-len(rounds.number) // max(len(number), 1))
    band = f" The line is the mean of {each} rounds, the band their middle 80 %." if each > 1 else ""
    first, last = (finite[0], finite[-1]) if len(finite) else (np.nan, np.nan)
    return Plot(
        "learning",
        "Learning curve: loss in training, score on validation tasks",
        _svg(figure, "learning"),
        f"The mean loss goes from {first:.3g} to {last:.3g} in {len(rounds.number):,} rounds.",
        "Each sample is scored before it is learned, so the loss is one on new data." + band,
    )


def _by_communication(result: Result, comparison: Comparison, rounds: Rounds) -> Plot | None:
    """Score against million parameters communicated, the published curves beside ours."""
    curves = published.by_parameters(result.app)
    sent = np.array([evaluation.parameters for evaluation in rounds.evaluations]) / 1e6
    total = result.parameters_communicated / 1e6
    if not (curves or len(sent)) or total <= 0:
        return None
    figure = Figure(figsize=(7.4, 4.7), layout="constrained")
    axes = figure.subplots()
    end = max((curve.x[-1] for curve in curves), default=total)
    wide = not 1 / 3 <= total / end <= 3
    for curve in curves:
        _published(axes, curve, wide=wide)
    for series, (label, values) in enumerate(_scores(rounds)):
        keep = sent > 0 if wide else sent >= 0
        axes.plot(
            sent[keep],
            np.array(values)[keep],
            color=OURS,
            linewidth=(2.0, 1.1)[series > 0],
            linestyle=("-", "--", ":")[series % 3],
            marker="o",
            markersize=2.5,
            label=f"ours, {label}",
        )
    final = _final(result, rounds)
    if final:
        label, ours = final
        axes.errorbar(
            total, ours.mean, yerr=ours.ci95, color=OURS, marker="*", markersize=11,
            markeredgecolor=INK, markeredgewidth=0.6, capsize=3, linestyle="none", label=label,
        )  # fmt: skip
    if wide:
        _logarithmic(axes, "x")
        axes.set_xlim(left=min(end, total) / 100)
    else:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(_plain())
    per_parameter = result.bytes_communicated / result.parameters_communicated
    upper = axes.secondary_xaxis(
        "top", functions=(lambda x: x * per_parameter, lambda x: x / per_parameter)
    )
    upper.set_xlabel("bytes of ours on the wire, MB", color=SOFT)
    upper.xaxis.set_major_formatter(_plain())
    upper.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("million parameters communicated, both directions")
    if comparison.more_is_better:
        axes.set(ylabel="accuracy, %", ylim=(0, 104))
    else:
        axes.set_ylabel("mean square error")
        _logarithmic(axes, "y")
    handles, labels = axes.get_legend_handles_labels()
    ours_first = [*range(len(curves), len(labels)), *range(len(curves))]
    figure.legend(
        [handles[i] for i in ours_first], [labels[i] for i in ours_first],
        loc="outside lower center", ncols=2,
    )  # fmt: skip
    what = "Accuracy" if comparison.more_is_better else "Mean square error"
    return Plot(
        "communication",
        f"{what} against what was communicated",
        _svg(figure, "communication"),
        f"{what} against million parameters sent in both directions; ours ends at {total:,.3g}"
        " million.",
        "The star is the result on test tasks; lines of ours are on validation tasks. "
        "Published curves count parameters, no indices.",
    )


def _logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with plain numbers on it: 0.2, 1, 5, 1,000."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0,) if which == "x" else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(_plain())
    axis.set_minor_formatter(NullFormatter())


def _plain() -> Formatter:
    return FuncFormatter(lambda value, _: f"{value:,.10g}")


def _published(axes: Axes, curve: Curve, *, wide: bool) -> None:
    first = 1 if wide and curve.x[0] == 0 else 0  # a logarithmic axis has no place for 0
    axes.plot(
        curve.x[first:],
        curve.y[first:],
        color=METHOD_COLOURS[curve.method],
        linestyle=(0, (5, 2)),
        linewidth=1.2,
        marker=METHOD_MARKERS[curve.method],
        markersize=3.5,
        markerfacecolor="none",
        label=curve.source.label(curve.method),
    )


def _fine_tuned(example: Example) -> Plot:
    """One unseen curve, what the network says before and after fine-tuning, and the points."""
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(example.x, example.truth, color=SOFT, linewidth=5, alpha=0.35, label="the curve")
    axes.plot(
        example.x, example.before, color=METHOD_COLOURS["TinyReptile"], linestyle="--",
        label="the network as the fleet learned it",
    )  # fmt: skip
    axes.plot(example.x, example.after, color=OURS, linewidth=2, label="the same, fine-tuned")
    axes.plot(
        example.support_x, example.support_y, color=INK, linestyle="none", marker="o",
        label="points it learned from",
    )  # fmt: skip
    axes.set(xlabel="x", ylabel="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, columnspacing=1.2)
    before, after = (float(np.mean((y - example.truth) ** 2)) for y in (example.before, example.after))
    points = len(example.support_x)
    return Plot(
        "example",
        f"One sine that no device has seen, before and after fine-tuning on {points} points",
        _svg(figure, "example"),
        f"Fine-tuning on {points} points takes the mean square error from {before:.3g} "
        f"to {after:.3g}.",
        f"Mean square error {before:.3g} before, {after:.3g} after. One curve shows what happens; "
        "the table says how well it goes on average.",
    )


def thinned(number: Numbers, values: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Gather rounds in at most `POINTS` groups of neighbours.

    Args:
        number: numbers of the rounds, `(r,)`.
        values: one value each, `(r,)`; NaN where there is none.

    Returns:
        Mean number, mean value, 10th and 90th percentile of each group, `(g,)` each; groups without
        any value are left out.
    """
    each = max(1, -(-len(number) // POINTS))
    found = []
    for first in range(0, len(number), each):
        part = values[first : first + each]
        part = part[np.isfinite(part)]
        if len(part):
            middle = number[first : first + each].mean()
            found.append((middle, part.mean(), *np.percentile(part, (10, 90))))
    columns = np.array(found, np.float64).reshape(-1, 4).T
    return columns[0], columns[1], columns[2], columns[3]


def _scores(rounds: Rounds) -> list[tuple[str, list[float]]]:
    """Return each series of validation scores, most shots first, NaN where it was not scored."""
    nothing = float("nan")
    shots = sorted({s for e in rounds.evaluations for s in e.accuracy}, reverse=True)
    series = [
        (
            f"{s} shot{'s' * (s != 1)}, validation",
            [e.accuracy.get(s, nothing) for e in rounds.evaluations],
        )
        for s in shots
    ]
    if any(e.mse is not None for e in rounds.evaluations):
        values = [nothing if e.mse is None else e.mse for e in rounds.evaluations]
        series.append(("validation", values))
    return series


def _final(result: Result, rounds: Rounds) -> tuple[str, Estimate] | None:
    """Return the result that continues the first validation series."""
    if "mse" in result.mse:
        return "ours, test", result.mse["mse"]
    scored = {s for e in rounds.evaluations for s in e.accuracy}
    shots = max((s for s in result.accuracy if s in scored), default=None)
    if shots is None:
        shots = 8 if 8 in result.accuracy else max(result.accuracy, default=None)
    return None if shots is None else (f"ours, {shots} shots, test", result.accuracy[shots])


def _place(shots: int | Numbers | Sequence[int]) -> Numbers:
    """Return where shots stand on the axis: doublings are one apart, and 0 is one before 1."""
    count = np.asarray(shots, np.float64)
    return np.where(count > 0, 1 + np.log2(np.maximum(count, 1)), 0.0)


def _svg(figure: Figure, name: str) -> str:
    """Return the figure as one element whose ids are unique among plots of different names."""
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)
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
