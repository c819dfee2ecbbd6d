"""Learning curves over what was communicated, beside published ones."""

from collections.abc import Sequence

from tinyfleet.simulations.assemble import Setup
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.judging import main_shots
from tinyfleet.simulations.published import Curve
from tinyfleet.simulations.reproduce.cells import Cell, Line, cell_of
from tinyfleet.simulations.reproduce.work import Ran, Work
from tinyfleet.simulations.study import study_to_dict


def at(curve: Sequence[tuple[float, float]], millions: float) -> float | None:
    """Return the last score that communicated at most so many million parameters.

    None where the run has ended before, so that nothing is carried on past its end.

    >>> at([(0.5, 10.0), (1.0, 20.0), (1.5, 30.0)], 1.2)
    20.0
    >>> at([(0.5, 10.0), (1.0, 20.0)], 9.0) is None
    True
    """
    if not curve or millions > curve[-1][0] + _gap(curve):
        return None
    before = [score for spent, score in curve if spent <= millions]
    return before[-1] if before else None


def _gap(curve: Sequence[tuple[float, float]]) -> float:
    """Return how far a run's end may lie before a place that still counts as reached."""
    return 0.03 * curve[-1][0]


def first_reaching(curve: Sequence[tuple[float, float]], threshold: float) -> float | None:
    """Return the million parameters at which the score first is `threshold` or more.

    >>> first_reaching([(1.0, 0.7), (2.0, 0.82), (3.0, 0.79)], 0.8)
    2.0
    """
    return next((spent for spent, score in curve if score >= threshold), None)


def columns_of(
    work: Work,
    cell: tuple[str, str],
    ran: Ran,
    then: Curve | None,
    places: Sequence[float],
    why: str,
) -> list[Cell]:
    """Return a cell for each place of a published curve, ours at the same place beside it.

    Args:
        work: the run of the reproduction.
        cell: name of the table, and of the row.
        ran: our run.
        then: the published curve, if there is one.
        places: million parameters communicated.
        why: why the two are not comparable; "" where they are.
    """
    (table, row), curve, found = cell, whole_curve(work, ran), []
    unit = "MSE" if "mse" in ran.result else "%"
    for millions in places:
        ours = at(curve, millions)
        told = then.at(millions) if then else None
        end = f"ours ends at {curve[-1][0]:,.3g} million parameters" if ours is None else ""
        place = table, row, f"{millions:g} M"
        found.append(cell_of(place, ours, told, unit=unit, why=why or end))
    return found


def whole_curve(work: Work, ran: Ran) -> list[tuple[float, float]]:
    """Return a run's learning curve from the weights that it began with."""
    inputs = {"study": study_to_dict(ran.study), "shots": main_shots(ran.study)}

    def before() -> float:
        return untrained(ran.setup).mean

    return [(0.0, work.once(f"{ran.study.app}-before", inputs, before)), *ran.curve()]


def untrained(setup: Setup) -> Estimate:
    """Return what random weights reach on validation tasks, after one pass over the main shots."""
    study = setup.study
    return setup.validation.estimate(setup.network.init(study.seed), main_shots(study), 1)


def line_of(work: Work, label: str, ran: Ran) -> Line:
    """Return the line of a run's learning curve."""
    spent, score = zip(*whole_curve(work, ran), strict=True)
    return Line(label, spent, score)
