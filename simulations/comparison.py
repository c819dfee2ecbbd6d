"""Puts what was published beside what a run reached, row by row, and says what differs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tinyfleet.simulations import published
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.published import Curve, Method, Source
from tinyfleet.simulations.run_folder import Fields, Result

METHODS: Mapping[str, Method] = {
    "tinyreptile": "TinyReptile",
    "tinyreptile-parallel": "TinyReptile",
    "tinymetafed": "TinyMetaFed",
    "reptile": "Reptile",
    "fedsgd": "FedSGD",
}


@dataclass(frozen=True)
class Reference:
    """What one publication says about some rows.

    Attributes:
        values: published value by the key of a row; percent or mean square error.
        comparable: whether a difference to it means anything.
    """

    method: Method
    source: Source
    values: Mapping[str, float]
    comparable: bool = True


@dataclass(frozen=True)
class Row:
    """One measured quantity of a run.

    Attributes:
        key: what references call it.
        label: the same for a person.
        passes: passes over the support samples; None when nothing was learned.
    """

    key: str
    label: str
    passes: int | None
    ours: Estimate


@dataclass(frozen=True)
class Comparison:
    """A table: rows of ours in named groups, and references beside them.

    Attributes:
        unit: of all values, "%" or "MSE".
        more_is_better: whether a greater value is a better one.
    """

    unit: str
    more_is_better: bool
    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    references: tuple[Reference, ...]

    def show(self, value: float) -> str:
        """Write a value of this table for a person: 91.4 (percent) or 0.131 (square error)."""
        if not math.isfinite(value):
            return "not a number"
        return f"{value:.1f}" if self.more_is_better else f"{value:#.3g}"

    def show_difference(self, difference: float) -> str:
        """Write a difference with its sign: +0.4 or \N{MINUS SIGN}0.279."""
        if not math.isfinite(difference):
            return "not a number"
        sign = "\N{MINUS SIGN}" if difference < 0 else "+"
        return sign + self.show(abs(difference))

    def verdict(self, row: Row, difference: float) -> str:
        """Return "better", "worse", or "even" when the row's interval covers the reference."""
        if not abs(difference) > row.ours.ci95:
            return "even"
        return "better" if (difference > 0) == self.more_is_better else "worse"


def difference(row: Row, reference: Reference) -> float | None:
    """Return ours minus published, or None where nothing comparable was published."""
    value = reference.values.get(row.key)
    return None if value is None or not reference.comparable else row.ours.mean - value


def compare(result: Result, settings: Fields | None = None) -> Comparison:
    """Return the table of a run; `settings` are those of `run.json`, None for the paper's own."""
    if result.accuracy:
        return _accuracy(result, settings)
    return _square_error(result)


def _accuracy(result: Result, settings: Fields | None) -> Comparison:
    ways = ways_of(result, settings)
    curves: list[Curve] = []
    paper = published.accuracy_by_shots(result.app)
    if paper and ways == published.WAYS[result.app]:
        curves.append(paper)
    reptile = published.omniglot(ways) if result.app == published.CHARACTERS else None
    if reptile:
        curves.append(reptile)
    comparable = same_data(result, settings)
    references = tuple(
        Reference(
            curve.method,
            curve.source,
            {f"{x:g}": y for x, y in zip(curve.x, curve.y, strict=True)},
            comparable,
        )
        for curve in curves
        if any(shots in result.accuracy for shots in curve.x)
    )
    several = tuple(
        Row(str(shots), _shots(shots), result.passes.get(shots) if shots else None, ours)
        for shots, ours in result.accuracy.items()
    )
    once = tuple(
        Row(str(shots), _shots(shots), 1 if shots else None, ours)
        for shots, ours in result.accuracy_one_pass.items()
    )
    groups = (("As many passes as served validation tasks best", several), ("One pass", once))
    return Comparison("%", True, tuple((name, rows) for name, rows in groups if rows), references)


def _square_error(result: Result) -> Comparison:
    method = METHODS.get(result.strategy, "TinyReptile")
    references: list[Reference] = []
    curves = {curve.method: curve for curve in published.by_parameters(result.app)}
    curve = curves.get(method) or curves.get("TinyReptile")
    if curve:
        last = curve.y[-1]
        references.append(
            Reference(curve.method, curve.source, {"mse": last, "mse_one_pass": last})
        )
    for one in published.SINE_FINE_TUNING if curve else ():
        if curve and one.method == curve.method:
            values = {"mse_before": one.before, "mse": one.after}
            references.append(Reference(one.method, one.source, values, comparable=False))
    labels = {
        "mse_before": "before fine-tuning",
        "mse_one_pass": "after one pass",
        "mse": "after fine-tuning",
    }
    rows = tuple(
        Row(key, labels[key], {"mse_one_pass": 1, "mse": result.mse_passes}.get(key), ours)
        for key, ours in result.mse.items()
    )
    return Comparison("MSE", False, (("Curves that no device has seen", rows),), tuple(references))


def ways_of(result: Result, settings: Fields | None) -> int:
    """Return how many classes a device tells apart; the paper's number when nothing says."""
    study = settings.fields("study") if settings else None
    if study and study.has("ways"):
        return study.count("ways")
    return published.WAYS.get(result.app, 0)


def same_data(result: Result, settings: Fields | None) -> bool:
    """Say whether a run was judged on the data set that the papers used."""
    if result.app != published.CHARACTERS or not settings:
        return result.app != published.PRESENCE
    return "omniglot" in settings.fields("data").text("test").lower()


def _shots(shots: int) -> str:
    return f"{shots} shot" + ("" if shots == 1 else "s")
