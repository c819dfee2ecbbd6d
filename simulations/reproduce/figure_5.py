"""Figure 5 of TECS 2024: a network that knows one sine meets another, and its head learns it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tinyfleet.simulations.evaluation import Estimate, estimate
from tinyfleet.simulations.reproduce.cells import Cell, Figure, Line, Table, cell_of
from tinyfleet.simulations.reproduce.work import Work

NAME = "figure-5"
NOTES = """
The network 1-32-32-1 learns a sin(b x + c) with a = 2.78, b = 1.57, c = 3.78 from 512 points;
then its last layer meets a = 2.88, b = 1.47, c = 4.16, one random point and one SGD step after
the other, 6,000 of them. Mean and interval are over 64 networks with first weights, points and
streams of their own; the paper shows one, and does not say its samples. The rate, 0.005, was
found on another pair of sines. A model is made by 400 passes of Adam at 0.002 in batches of 16; the
mean and variance that its features are standardised by count for 1,000 samples. Errors are those at
200 evenly spaced points.
"""

BEFORE, AFTER = 0.934, 0.078
"""Read off."""

_MARKS = (0, 100, 250, 500, 1000, 1500, 2000, 3000, 4000, 5000, 6000)


def _errors(work: Work) -> Mapping[str, Estimate]:
    """Return the error before all, under "fit", and after so many samples."""
    devices, passes, samples = work.pick((64, 400, 6000), (8, 20, 250))
    marks = tuple(mark for mark in _MARKS if mark <= samples)
    inputs = {"devices": devices, "passes": passes, "samples": samples}

    def compute() -> dict[str, Any]:
        from tinyfleet.simulations.tinyol.sine import adapt

        found = adapt(devices, samples, passes, marks, work.seed)
        named = {"fit": found.fit, **{str(mark): e for mark, e in found.errors.items()}}
        return {name: asdict(estimate(errors)) for name, errors in named.items()}

    made = work.once("tinyol-sine", inputs, compute)
    return {name: Estimate(**one) for name, one in made.items()}


def cells(work: Work) -> Sequence[Cell]:
    """Return the error on the sine that is met, before and after."""
    errors = _errors(work)
    last = max((name for name in errors if name != "fit"), key=int)
    return [
        cell_of((NAME, "TinyOL", column), error, printed)
        for column, error, printed in (
            ("MSE on the deployed sine", errors["fit"], None),
            ("MSE before", errors["0"], BEFORE),
            ("MSE after", errors[last], AFTER),
        )
    ]


def figures(work: Work) -> Sequence[Figure]:
    """Draw the error over the samples learned."""
    errors = {int(name): e for name, e in _errors(work).items() if name != "fit"}
    marks = sorted(errors)
    ends = (marks[0], marks[-1])
    mean = [errors[mark].mean for mark in marks]
    lines = [
        Line(
            "TinyOL",
            marks,
            mean,
            low=[errors[mark].mean - errors[mark].ci95 for mark in marks],
            high=[errors[mark].mean + errors[mark].ci95 for mark in marks],
        ),
        Line("TinyOL, after", ends, (AFTER, AFTER), published=True),
        Line("TinyOL, before", ends, (BEFORE, BEFORE), published=True),
    ]
    return [Figure(NAME, "TinyOL on a sine that changed", "samples learned", "MSE", lines)]


TABLE = Table(
    NAME,
    "Figure 5: TinyOL on a sine that changed",
    "TECS 2024, Figure 5 (read off)",
    cells,
    NOTES,
    figures,
)
