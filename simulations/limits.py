"""Says what keeps the numbers of a run from being compared with published ones."""

import math
from collections.abc import Iterator

from tinyfleet.simulations import published
from tinyfleet.simulations.comparison import (
    METHODS,
    Comparison,
    differing,
    plural,
    show_millions,
    show_times,
    ways_of,
)
from tinyfleet.simulations.fields import Fields
from tinyfleet.simulations.run_folder import Evaluation, Result, Rounds, Run


def limits(run: Run, comparison: Comparison) -> Iterator[str]:
    """Yield one or two sentences for each."""
    result, settings = run.result, run.settings
    yield (
        "Our intervals cover the draw of test tasks, not the draw of seeds: this is one run. "
        "No intervals were published."
    )
    parameters = published.PARAMETERS.get(result.app, result.parameters)
    if parameters != result.parameters:
        yield f"Our network has {result.parameters:,} parameters, that of TECS 2024 {parameters:,}."
    if others := " and ".join(differing(result, settings)):
        yield f"This run was {others}, unlike those of the papers, so no differences are given."
    if result.regression:
        yield from _of_error(comparison)
    else:
        yield from _of_accuracy(result, settings)
    yield from _of_communication(run, comparison)
    yield from _of_papers(result, comparison)
    if any(curve.source.read_off for curve in published.by_parameters(result.app)):
        yield "Values read off a figure are as exact as the drawing."
    yield (
        "The papers count the parameters that are sent; our bytes on the wire also count the "
        "indices of partial updates."
    )


def _of_accuracy(result: Result, settings: Fields) -> Iterator[str]:
    ways = ways_of(result, settings)
    theirs = published.WAYS.get(result.app, ways)
    if ways != theirs:
        yield (
            f"Devices of TECS 2024 tell {theirs} classes apart, ours {ways}; its accuracies are "
            "left out of the table."
        )


def _of_error(comparison: Comparison) -> Iterator[str]:
    if any(reference.differs for reference in comparison.references):
        a, b, c = published.SINE_FINE_TUNING[0].curve
        yield (
            f"The published fine-tuning is of one sine (a = {a:g}, b = {b:g}, c = {c:g}), ours "
            "a mean over many, so no difference is given."
        )


def _of_communication(run: Run, comparison: Comparison) -> Iterator[str]:
    """Yield what was communicated for the published scores and for ours, and ours at theirs."""
    ours = run.result.parameters_communicated / 1e6
    unit = " %" if comparison.more_is_better else ""
    for reference in comparison.references:
        curve = reference.budget
        if curve is None or reference.differs:
            continue
        none, times = "", ours / curve.x[-1]
        if curve.source != reference.source:
            none = f"{reference.source.place} says nothing of communication. "
        ratio = f"{show_times(times)} times" if abs(times - 1) >= 0.05 else "about"
        yield (
            f"{none}The published curve of {curve.method} ({curve.source.place}) ends at "
            f"{comparison.show_published(curve.y[-1])}{unit} after {curve.x[-1]:g} million "
            "parameters were communicated, both directions; ours were judged after "
            f"{show_millions(ours)} million, {ratio} as many."
            + _within(run.rounds, comparison, curve.x[-1])
        )


def _within(rounds: Rounds, comparison: Comparison, budget: float) -> str:
    """Say what our learning curve shows last before more than `budget` million were sent."""
    within = [
        (evaluation.parameters / 1e6, score, how)
        for evaluation in rounds.evaluations
        for score, how in _scores(evaluation, comparison)
        if evaluation.parameters / 1e6 <= budget and math.isfinite(score)
    ]
    if not within:
        return ""
    sent, score, how = within[-1]
    unit = " %" if comparison.more_is_better else ""
    return (
        f" Within that budget our learning curve is last at {comparison.show(score)}{unit}, after "
        f"{show_millions(sent)} million: validation tasks, one pass{how}."
    )


def _scores(evaluation: Evaluation, comparison: Comparison) -> Iterator[tuple[float, str]]:
    """Yield the score that stands for an evaluation, if it has one, and over what it is."""
    main = comparison.main.shots
    if not comparison.more_is_better and evaluation.mse is not None:
        yield evaluation.mse, ""
    elif comparison.more_is_better and evaluation.accuracy:
        shots = main if main in evaluation.accuracy else max(evaluation.accuracy)
        yield evaluation.accuracy[shots], f" over {plural(shots, 'shot')} of each class"


def _of_papers(result: Result, comparison: Comparison) -> Iterator[str]:
    papers = {reference.source.paper for reference in comparison.references}
    methods = {r.method for r in comparison.references if r.source.paper == "TECS 2024"}
    if methods and METHODS.get(result.strategy) not in methods:
        yield f"The published numbers are of {', '.join(methods)}; this run used {result.strategy}."
    if "TECS 2024" in papers:
        yield (
            "TECS 2024 publishes no step sizes, rounds, number of devices or split of its data; it "
            "says how many samples it fine-tunes on, not how many times it goes through them."
        )
    if "Reptile 2018" in papers:
        yield (
            "Reptile 2018 (numbers without transduction) trains on stored data in batches, with "
            "four convolutions of 64 filters and batch normalisation: an upper reference, not a "
            "microcontroller."
        )
