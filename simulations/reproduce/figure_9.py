"""Figure 9 of TECS 2024: the test loss of sines against the parameters communicated."""

from collections.abc import Mapping, Sequence
from typing import Any

from tinyfleet.simulations import published
from tinyfleet.simulations.reproduce.cells import Cell, Figure, Line, Table, cell_of
from tinyfleet.simulations.reproduce.curves import columns_of, line_of
from tinyfleet.simulations.reproduce.studies import study_file
from tinyfleet.simulations.reproduce.work import Ran, Work

NAME = "figure-9"
NOTES = """
Mean square error after eight points, one pass, on 500 held-out curves. The published axis counts
parameters, both ways, and so does ours. A point of ours is the last evaluation that communicated no
more than its column says; these are curves of the validation part, and the row *at the end* is the
test part, looked at once, with passes and rate chosen on validation, and so below its curve; its
interval is over 500 test curves. On sines our TinyMetaFed keeps no layer on the device, as a local
layer did worse: it is the share and the restarts of the step. *Best* ends within 2 million
parameters; its network is `sine-tanh` where the others' and the published one has ReLU, of as many
parameters.
"""

_SINE: Mapping[str, Any] = {"app": "sine", "evaluations": 110}


def tinyreptile(work: Work) -> Ran:
    """Return TinyReptile as published: one device a round, 5.5 million parameters."""
    return work.study("sine-tinyreptile", {**_SINE, "strategy": "tinyreptile"})


def tinymetafed(work: Work) -> Ran:
    """Return TinyMetaFed on sines."""
    return work.study("sine-tinymetafed", {**_SINE, "strategy": "tinymetafed"})


def fedsgd(work: Work) -> Ran:
    """Return FedSGD on sines."""
    return work.study("sine-fedsgd", {**_SINE, "strategy": "fedsgd"})


def best(work: Work) -> Ran:
    """Return our best method within two million parameters."""
    return work.study("sine-best", study_file("sine"))


def _runs(work: Work) -> Sequence[tuple[str, Ran]]:
    return (
        ("FedSGD", fedsgd(work)),
        ("TinyReptile", tinyreptile(work)),
        ("TinyMetaFed", tinymetafed(work)),
        ("best", best(work)),
    )


def cells(work: Work) -> Sequence[Cell]:
    """Return each method's loss at the published places, and at its end."""
    found = []
    for method, ran in _runs(work):
        curve = next((c for c in published.by_parameters("sine") if c.method == method), None)
        found.extend(
            columns_of(work, (NAME, f"{method}, curve"), ran, curve, published.SINE_MILLIONS, "")
        )
        score, spent = ran.score(8), ran.result["parameters_communicated"] / 1e6
        place = NAME, f"{method}, test", f"at the end, {spent:.2f} million parameters"
        found.append(cell_of(place, score, curve.y[-1] if curve else None, unit="MSE"))
    return found


def figures(work: Work) -> Sequence[Figure]:
    """Draw the curves, the published ones dashed."""
    lines = [line_of(work, method, ran) for method, ran in _runs(work)]
    lines += [
        Line(curve.method, curve.x, curve.y, published=True)
        for curve in published.by_parameters("sine")
    ]
    across = "million parameters communicated, both ways"
    return [Figure(NAME, "Sine: loss against communication", across, "MSE, 8 points", lines)]


TABLE = Table(
    NAME,
    "Figure 9: sine, loss against parameters communicated",
    "TECS 2024, Figure 9 (read off)",
    cells,
    NOTES,
    figures,
)
