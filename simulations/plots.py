"""Draws a finished run as SVG: its course, its result, and the published curves beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike

from tinyfleet.simulations import published
from tinyfleet.simulations.comparison import (
    NOTHING,
    Comparison,
    Reference,
    Row,
    difference,
    show_millions,
    ways_of,
)
from tinyfleet.simulations.published import Curve
from tinyfleet.simulations.run_folder import Example, Numbers, Result, Rounds, Run
from tinyfleet.simulations.svg import (
    INK,
    METHOD_COLOURS,
    METHOD_MARKERS,
    OURS,
    SOFT,
    STYLE,
    logarithmic,
    place,
    plain,
    to_svg,
)

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


def plots_of(run: Run, comparison: Comparison) -> tuple[Plot, ...]:
    """Draw whatever a run has something to show for, the result first."""
    with rc_context(STYLE):
        drawn = (
            _by_shots(
                comparison, 0 if run.result.regression else ways_of(run.result, run.settings)
            ),
            _fine_tuned(run.example) if run.example else None,
            _learning_curve(run.rounds, comparison) if len(run.rounds.number) else None,
            _by_communication(run.result, comparison, run.rounds),
        )
    return tuple(plot for plot in drawn if plot)


def _by_shots(comparison: Comparison, ways: int) -> Plot:
    """Draw the score against shots, what was published beside ours, and the difference."""
    rows, classes = comparison.groups[0][1], comparison.more_is_better
    compared = [r for r in comparison.references if not r.differs and len(r.values) > 1]
    figure = Figure(figsize=(7.4, 4.9 if compared else 3.9), layout="constrained")
    if compared:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.1))
        _differences(lower, rows, compared[0])
    else:
        upper = lower = figure.subplots()
    if ways > 1:
        upper.axhline(100 / ways, color=SOFT, linewidth=0.9, linestyle=(0, (1, 2)))
        last = max(row.shots for row in rows)
        upper.text(place(last), 100 / ways + 1.2, "chance", color=SOFT, ha="right")
    for reference in comparison.references:
        upper.plot(
            place(list(reference.values)),
            list(reference.values.values()),
            color=METHOD_COLOURS[reference.method],
            linestyle="none" if reference.differs else (0, (5, 2)),
            marker="x" if reference.differs else METHOD_MARKERS[reference.method],
            markerfacecolor="none",
            label=reference.label,
        )
    for name, group in reversed(comparison.groups):
        _ours(upper, group, f"ours, {name.lower()}", thin=group is not rows)
    for row in rows:
        upper.annotate(
            comparison.show(row.ours.mean),
            (float(place(row.shots)), row.ours.mean),
            xytext=((0, 7) if row.shots else (0, -14)) if classes else (-15, -13),
            textcoords="offset points",
            ha="center",
            color=OURS,
            fontsize=8.5,
            fontweight="bold",
        )
    _score_axis(upper, comparison)
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=2)
    lower.set_xticks(place([row.shots for row in rows]), [f"{row.shots:,}" for row in rows])
    lower.set_xlabel(f"{'shots a class' if classes else 'points'} to fine-tune on")
    return Plot(
        "shots",
        f"{comparison.score.capitalize()} on unseen tasks against the "
        f"{'shots' if classes else 'points'} that a device fine-tunes on",
        to_svg(figure, "shots"),
        f"{comparison.score.capitalize()}{', percent,' if classes else ''} by "
        + "; ".join(f"{row.label}: {comparison.show(row.ours.mean)}" for row in rows),
        "Bars are 95 % intervals over test tasks. No intervals were published.",
    )


def _score_axis(axes: Axes, comparison: Comparison) -> None:
    """Give accuracies their whole range, and errors, where less matters more, a logarithm."""
    if comparison.more_is_better:
        axes.set(ylabel=f"{comparison.score}, %", ylim=(0, 106), yticks=range(0, 101, 20))
    else:
        axes.set_ylabel(comparison.score)
        logarithmic(axes, "y")
        axes.margins(y=0.12)


def _differences(axes: Axes, rows: Sequence[Row], reference: Reference) -> None:
    """Draw how far ours are from a reference that measured the same; with intervals."""
    gaps = [(row, gap) for row in rows if (gap := difference(row, reference)) is not None]
    axes.errorbar(
        place([row.shots for row, _ in gaps]),
        [gap for _, gap in gaps],
        yerr=[row.ours.ci95 for row, _ in gaps],
        color=OURS,
        marker="o",
        capsize=3,
        linestyle="none",
        elinewidth=1.4,
    )
    axes.axhline(0, color=METHOD_COLOURS[reference.method], linewidth=1.2, linestyle=(0, (5, 2)))
    axes.set_ylabel(f"ours minus\n{reference.source.paper},\npoints")
    axes.margins(y=0.2)


def _ours(axes: Axes, rows: Sequence[Row], label: str, *, thin: bool) -> None:
    """Draw our scores with their intervals."""
    axes.errorbar(
        place([row.shots for row in rows]),
        [row.ours.mean for row in rows],
        yerr=[row.ours.ci95 for row in rows],
        color=OURS,
        marker="o",
        markerfacecolor="none" if thin else OURS,
        linewidth=1.0 if thin else 2.0,
        linestyle=(0, (1.5, 1.5)) if thin else "-",
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
        logarithmic(upper, "y")
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
        _score_axis(lower, comparison)
        lower.legend(loc="best")
    lower.set_xlabel("round")
    lower.xaxis.set_major_formatter(plain())
    each = -(-len(rounds.number) // max(len(number), 1))
    band = (
        f" The line is the mean of {each} rounds, the band their middle 80 %." if each > 1 else ""
    )
    first, last = (finite[0], finite[-1]) if len(finite) else (np.nan, np.nan)
    return Plot(
        "learning",
        "Learning curve: loss in training, score on validation tasks",
        to_svg(figure, "learning"),
        f"The mean loss goes from {_written(first)} to {_written(last)} in "
        f"{len(rounds.number):,} rounds.",
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
    _stars(axes, total, comparison)
    if wide:
        logarithmic(axes, "x")
        axes.set_xlim(left=min(end, total) / 100)
    else:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(plain())
    _wire_axis(axes, result)
    axes.set_xlabel("million parameters communicated, both directions")
    _score_axis(axes, comparison)
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
        to_svg(figure, "communication"),
        f"{what} against million parameters sent in both directions; ours ends at "
        f"{show_millions(total)} million.",
        f"Stars are results on test tasks after fine-tuning on {comparison.main.label}, lines of "
        "ours are on validation tasks after one pass. "
        "Published curves count parameters, no indices.",
    )


def _stars(axes: Axes, total: float, comparison: Comparison) -> None:
    """Draw the run's results on test tasks, after one pass as an empty star."""
    best = comparison.groups[0]
    for name, rows in reversed(comparison.groups):
        for row in (row for row in rows if row.shots == comparison.main.shots):
            axes.errorbar(
                total,
                row.ours.mean,
                yerr=row.ours.ci95,
                color=OURS,
                marker="*",
                markersize=11,
                markerfacecolor=OURS if name == best[0] else "none",
                capsize=3,
                linestyle="none",
                label=f"ours, test, {name.lower()}",
            )


def _wire_axis(axes: Axes, result: Result) -> None:
    """Say above the plot how many bytes our parameters took on the wire."""
    per_parameter = result.bytes_communicated / result.parameters_communicated

    def wire(millions: ArrayLike) -> Numbers:
        return np.asarray(millions, np.float64) * per_parameter

    def back(megabytes: ArrayLike) -> Numbers:
        return np.asarray(megabytes, np.float64) / per_parameter

    upper = axes.secondary_xaxis("top", functions=(wire, back))
    upper.set_xlabel("bytes of ours on the wire, MB", color=SOFT)
    upper.xaxis.set_major_formatter(plain())
    upper.xaxis.set_minor_formatter(NullFormatter())


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
        example.x, example.before, color=OURS, linewidth=1.2, linestyle="--",
        label="the network as the fleet learned it",
    )  # fmt: skip
    axes.plot(example.x, example.after, color=OURS, linewidth=2, label="the same, fine-tuned")
    axes.plot(
        example.support_x, example.support_y, color=INK, linestyle="none", marker="o",
        label="points it learned from",
    )  # fmt: skip
    axes.set(xlabel="x", ylabel="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, columnspacing=1.2)
    before, after = (
        _written(np.mean((y - example.truth) ** 2)) for y in (example.before, example.after)
    )
    points = len(example.support_x)
    return Plot(
        "example",
        f"One sine that no device has seen, before and after fine-tuning on {points} points",
        to_svg(figure, "example"),
        f"Fine-tuning on {points} points takes the mean square error from {before} to {after}.",
        f"Mean square error {before} before, {after} after. One curve shows what happens; "
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


def _written(value: float | np.floating[Any]) -> str:
    return f"{value:.3g}" if np.isfinite(value) else NOTHING
