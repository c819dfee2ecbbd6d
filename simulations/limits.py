"""Says what keeps the numbers of a run from being compared with published ones."""

from collections.abc import Iterator

from tinyfleet.simulations import published
from tinyfleet.simulations.comparison import METHODS, Comparison, same_data, ways_of
from tinyfleet.simulations.run_folder import Fields, Result


def limits(result: Result, settings: Fields, comparison: Comparison) -> Iterator[str]:
    """Yield one or two sentences for each; `settings` are those of `run.json`."""
    yield (
        "Our intervals cover the draw of test tasks, not the draw of seeds: this is one run. "
        "No intervals were published."
    )
    parameters = published.PARAMETERS.get(result.app, result.parameters)
    if parameters != result.parameters:
        yield f"Our network has {result.parameters:,} parameters, that of TECS 2024 {parameters:,}."
    if not same_data(result, settings):
        yield "This run was judged on other data than the papers, so no differences are given."
    if result.regression:
        yield from _of_error(result, comparison)
    else:
        yield from _of_accuracy(result, settings)
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


def _of_error(result: Result, comparison: Comparison) -> Iterator[str]:
    ours = result.parameters_communicated / 1e6
    for reference in comparison.references:
        if reference.differs:
            a, b, c = published.SINE_FINE_TUNING[0].curve
            yield (
                f"The published fine-tuning is of one sine (a = {a:g}, b = {b:g}, c = {c:g}), ours "
                "a mean over many, so no difference is given."
            )
            continue
        for curve in published.by_parameters(result.app):
            if curve.method == reference.method:
                yield (
                    f"The published {curve.y[-1]:g} is reached after {curve.x[-1]:g} million "
                    f"parameters were communicated, ours after {ours:,.3g} million."
                )


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
