"""Puts what was published beside what a run reached, row by row, and says what differs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tinyfleet.simulations import published
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.fields import Fields
from tinyfleet.simulations.published import Curve, Method, Source
from tinyfleet.simulations.run_folder import Result

NOTHING = "\N{EN DASH}"  # where there is no number

METHODS: Mapping[str, Method] = {
    "tinyreptile": "TinyReptile",
    "tinyreptile-parallel": "TinyReptile",
    "tinymetafed": "TinyMetaFed",
    "reptile": "Reptile",
    "fedsgd": "FedSGD",
}


_DATA = {published.CHARACTERS: "Omniglot", published.KEYWORDS: "Google Speech Commands"}
"""How the data set of the papers is called where they say which."""


@dataclass(frozen=True)
class Reference:
    """What one publication says about some rows.

    Attributes:
        values: published score by shots.
        differs: why a difference to it would mean nothing; empty when it means something.
        budget: the same method's score against what was communicated, as far as it was published;
            its last point is where the values were reached. None when that is unknown.
    """

    method: Method
    source: Source
    values: Mapping[float, float]
    differs: str = ""
    budget: Curve | None = None

    @property
    def label(self) -> str:
        """Name method and source, and what sets them apart from ours."""
        name = self.source.label(self.method)
        return f"{name}, {self.differs}" if self.differs else name

    @property
    def short(self) -> str:
        """Name method and paper alone: TinyReptile, TECS 2024."""
        paper = self.source.paper
        return paper if paper.startswith(f"{self.method} ") else f"{self.method}, {paper}"


@dataclass(frozen=True)
class Row:
    """The score after fine-tuning on some shots.

    Attributes:
        label: the shots for a person.
        passes: passes over them; None when nothing was learned.
    """

    shots: int
    label: str
    passes: int | None
    ours: Estimate


@dataclass(frozen=True)
class Comparison:
    """A table: rows of ours in named groups, and references beside them.

    Attributes:
        score: what the scores are called.
        more_is_better: whether scores are accuracies in percent; else they are square errors.
        groups: the first has the scores that a run is judged by, a row for every shots.
    """

    score: str
    more_is_better: bool
    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    references: tuple[Reference, ...]

    @property
    def main(self) -> Row:
        """The row that stands for the run: 8 shots, else the most."""
        rows = {row.shots: row for row in self.groups[0][1]}
        return rows.get(8) or rows[max(rows)]

    def show(self, value: float) -> str:
        """Write a value of this table for a person: 91.4 (percent) or 0.131 (square error)."""
        if not math.isfinite(value):
            return NOTHING
        return f"{value:.1f}" if self.more_is_better else f"{value:#.3g}"

    def show_published(self, value: float) -> str:
        """Write a published value with the digits that were published: 75.0, 95.39 or 0.41."""
        if not self.more_is_better:
            return f"{value:g}"
        return f"{value:.1f}" if round(value, 1) == value else f"{value:.2f}"

    def show_interval(self, ci95: float) -> str:
        """Write half an interval, the part after ±: 0.7 (percent) or 0.021 (square error)."""
        if not math.isfinite(ci95):
            return NOTHING
        if not self.more_is_better:
            return f"{ci95:#.2g}"
        return f"{ci95:.1f}" if ci95 >= 0.05 or ci95 == 0 else f"{ci95:.1g}"

    def show_difference(self, difference: float) -> str:
        """Write a difference with its sign: +0.4 or \N{MINUS SIGN}0.279."""
        sign = "\N{MINUS SIGN}" if difference < 0 else "+"
        return sign + self.show(abs(difference))

    def verdict(self, row: Row, difference: float) -> str:
        """Return "better", "worse", or "even" when the row's interval covers the reference.

        Nothing is said of accuracies without shots: what tells nothing apart yet is chance.
        """
        if self.more_is_better and not row.shots:
            return ""
        if not abs(difference) > row.ours.ci95:
            return "even"
        return "better" if (difference > 0) == self.more_is_better else "worse"


def difference(row: Row, reference: Reference) -> float | None:
    """Return ours minus published, or None where one of them is not there to be compared."""
    value = reference.values.get(row.shots)
    known = math.isfinite(row.ours.mean) and math.isfinite(row.ours.ci95)
    return None if value is None or reference.differs or not known else row.ours.mean - value


def more_communication(result: Result, reference: Reference) -> str:
    """Say how much more a run communicated than what it is compared with; nothing if it did not."""
    if reference.budget is None:
        return ""
    times = result.parameters_communicated / 1e6 / reference.budget.x[-1]
    if times <= 1:
        return ""
    few = "with a little more communication"
    return few if times < 1.05 else f"with {show_times(times)} times the communication"


def show_times(times: float) -> str:
    """Write a ratio for a person: 0.031, 1.4, 24 or 1,200."""
    return f"{times:,.0f}" if times >= 9.95 else f"{times:.2g}"


def compare(result: Result, settings: Fields | None = None) -> Comparison:
    """Return the table of a run; `settings` are those of `run.json`, None for the paper's own."""
    noun = "point" if result.regression else "shot"
    groups = (
        (
            "As many passes as validation tasks like best",
            tuple(
                Row(shots, plural(shots, noun), result.passes.get(shots) if shots else None, ours)
                for shots, ours in result.scores.items()
            ),
        ),
        (
            "One pass",
            tuple(
                Row(shots, plural(shots, noun), 1 if shots else None, ours)
                for shots, ours in result.scores_one_pass.items()
            ),
        ),
    )
    references = _errors(result) if result.regression else _accuracies(result, settings)
    return Comparison(
        result.score,
        not result.regression,
        tuple((name, rows) for name, rows in groups if rows),
        tuple(r for r in references if not result.scores.keys().isdisjoint(r.values)),
    )


def _accuracies(result: Result, settings: Fields | None) -> Iterator[Reference]:
    """Yield the published accuracies for as many classes as the run's devices tell apart.

    TECS 2024 prints no communication beside its accuracies; the curve of the method ends at them.
    """
    ways = ways_of(result, settings)
    curves = []
    if ways == published.WAYS.get(result.app):
        curves.append(published.accuracy_by_shots(result.app))
    if result.app == published.CHARACTERS:
        curves.append(published.omniglot(ways))
    differs = " and ".join(differing(result, settings))
    sent = {(c.method, c.source.paper): c for c in published.by_parameters(result.app)}
    for curve in curves:
        if curve:
            values = dict(zip(curve.x, curve.y, strict=True))
            budget = sent.get((curve.method, curve.source.paper))
            yield Reference(curve.method, curve.source, values, differs, budget)


def _errors(result: Result) -> Iterator[Reference]:
    """Yield the published errors on sines of the run's method, else of TinyReptile."""
    curves = {curve.method: curve for curve in published.by_parameters(result.app)}
    method = METHODS.get(result.strategy, "TinyReptile")
    curve = curves.get(method) or curves.get("TinyReptile")
    if curve is None:
        return
    for one in published.SINE_FINE_TUNING:
        if one.method == curve.method:
            yield Reference(curve.method, curve.source, {one.points: curve.y[-1]}, budget=curve)
            values: dict[float, float] = {0: one.before, one.points: one.after}
            yield Reference(one.method, one.source, values, "a single sine")
            return
    yield Reference(curve.method, curve.source, {8: curve.y[-1]}, budget=curve)


def show_millions(millions: float) -> str:
    """Write millions for a person: 0.031, 5.5 or 19,000."""
    return f"{millions:,.0f}" if millions >= 99.5 else f"{millions:.3g}"


def ways_of(result: Result, settings: Fields | None) -> int:
    """Return how many classes a device tells apart; the paper's number when nothing says."""
    for said in (settings, settings.fields("study")) if settings else ():
        if said.has("ways"):
            return said.count("ways")
    return published.WAYS.get(result.app, 0)


def differing(result: Result, settings: Fields | None) -> Iterator[str]:
    """Yield how a run was trained or judged that the papers' were not; nothing if as they were."""
    how = {"train": "trained", "test": "judged"}
    others = [done for part, done in how.items() if not same_data(result, settings, part)]
    if others:
        yield f"{' and '.join(others)} on other data"
    if settings and settings.fields("study").values.get("across") is True:
        yield "judged on other people than it learned from"


def same_data(result: Result, settings: Fields | None, part: str = "test") -> bool:
    """Say whether a part of a run's data is of the data set that the papers used.

    Only what stands first counts: a path or an address may hold its name, too.
    """
    theirs = _DATA.get(result.app, "")
    if theirs and settings:
        return settings.fields("data").text(part).startswith(theirs)
    return result.app != published.PRESENCE


def plural(count: int, noun: str) -> str:
    """Write a count and what is counted: 1 shot, 2,000 shots."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
