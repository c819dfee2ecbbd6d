"""A trial: models are deployed, the world drifts, and each way to go on is judged.

What is judged is the share of samples, held out and drifted, that a device names rightly; it meets
its own samples several times, in a new order each time, and those held out never.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet.client.head import Doubles
from tinyfleet.messages import Floats, Training
from tinyfleet.simulations.evaluation import Estimate, estimate
from tinyfleet.simulations.tinyol.deployed import Deployed, deploy
from tinyfleet.simulations.tinyol.heads import Course, Heads, follow, right
from tinyfleet.simulations.tinyol.neighbours import nearest_neighbours
from tinyfleet.simulations.tinyol.problems import Problems, Samples


@dataclass(frozen=True)
class Recipe:
    """How models are trained before they are deployed, and how devices go on.

    Attributes:
        training: of the models.
        rate: step size of a warm head.
        fresh_rate: step size of a fresh head.
        trust: samples that the deployed mean and variance count for.
        times: times that a device meets its samples.
        kept: samples that nearest neighbours may keep; the latest.
        neighbours: how many of them have a say.
    """

    training: Training
    rate: float
    fresh_rate: float
    trust: int
    times: int
    kept: int
    neighbours: int


@dataclass(frozen=True, eq=False)
class Trial:
    """Problems, with models deployed to their devices.

    Attributes:
        problems: the problems.
        recipe: how all is trained.
        seed: seed of first weights and of the order of streams.
    """

    problems: Problems
    recipe: Recipe
    seed: int

    @cached_property
    def deployed(self) -> Deployed:
        """The models as they are deployed."""
        p = self.problems
        return deploy(p.network, p.known, self.recipe.training, self.seed)

    @cached_property
    def known(self) -> Floats:
        """Features of known samples, `(n, k, f)`."""
        return self.deployed.features(self.problems.known.x)

    @cached_property
    def met(self) -> Floats:
        """Features of samples met, `(n, m, f)`."""
        return self.deployed.features(self.problems.met.x)

    @cached_property
    def held(self) -> Floats:
        """Features of samples held out, `(n, q, f)`."""
        return self.deployed.features(self.problems.held.x)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Which sample is met when, `(times * m,)`."""
        draw, m = np.random.default_rng((self.seed, 3)), self.problems.met.x.shape[1]
        return np.concatenate([draw.permutation(m) for _ in range(self.recipe.times)])

    @cached_property
    def marks(self) -> tuple[int, ...]:
        """Numbers of samples after which the held ones are judged."""
        m, last = self.problems.met.x.shape[1], len(self.order)
        return tuple(sorted({*range(0, m, max(1, m // 8)), *range(m, last, m), last}))

    def warm(self) -> Heads:
        """Return heads that begin as the deployed models."""
        return self.deployed.warm(self.known, self.recipe.rate, self.recipe.trust)

    def fresh(self) -> Heads:
        """Return heads that begin with nothing."""
        return self.deployed.fresh(self.recipe.fresh_rate, self.seed)

    def learned(self, heads: Heads) -> Course:
        """Return what becomes of heads on the devices' streams."""
        y = self.problems.met.y[:, self.order]
        return follow(heads, self.met[:, self.order], y, self.marks)

    def without_drift(self) -> Course:
        """Return what becomes of warm heads where nothing has drifted."""
        calm = self.problems.met_calm
        z = self.deployed.features(calm.x)[:, self.order]
        return follow(self.warm(), z, calm.y[:, self.order], (0, len(self.order)))

    def judge(self, heads: Heads) -> Doubles:
        """Return the share of held samples that heads name rightly, `(n,)`."""
        return np.asarray(right(heads.says(self.held), self.problems.held.y).mean(axis=1))

    def neighbours(self) -> Doubles:
        """Return the share that nearest neighbours of the latest kept samples name rightly."""
        p, kept = self.problems, self.recipe.kept
        z = np.concatenate([self.known, self.met], axis=1)[:, -kept:]
        y = np.concatenate([p.known.y, p.met.y], axis=1)[:, -kept:]
        scalings = self.warm().scalings
        return nearest_neighbours(scalings, (z, y), (self.held, p.held.y), self.recipe.neighbours)

    def static(self, samples: Samples) -> Doubles:
        """Return the share of samples that the models name rightly as they were deployed."""
        return np.asarray(right(self.deployed.says(samples.x), samples.y).mean(axis=1))

    def by_group(self, scores: Doubles) -> Doubles:
        """Return the mean score of each group of devices; those that have none, NaN, count not."""
        there = np.isfinite(scores)
        group, scores = self.problems.group[there], scores[there]
        return np.array([scores[group == one].mean() for one in np.unique(group)])

    def percent(self, scores: Doubles) -> Estimate:
        """Return the mean over groups in percent, with its interval."""
        return estimate(100.0 * self.by_group(scores))


def judged(trial: Trial) -> dict[str, Any]:
    """Return all that tables and figures show of a trial, as JSON values.

    `scores` in percent: `before` the drift; `static` after it; of `warm` and `fresh` heads and of
    `neighbours` at the end, and their `gain` over static; at their `first` point; and over the
    first time through the stream, each sample scored before it was learned (`prequential`).
    """
    p, last = trial.problems, len(trial.order)
    warm, fresh = trial.learned(trial.warm()), trial.learned(trial.fresh())
    curves = {
        name: {mark: trial.judge(heads) for mark, heads in course.at.items()}
        for name, course in (("warm", warm), ("fresh", fresh))
    }
    scores = _scores(trial, curves)
    for name, course in (("warm", warm), ("fresh", fresh)):
        m = p.met.x.shape[1]
        hits = right(course.said[:, :m], p.met.y[:, trial.order[:m]])
        scores[f"{name} prequential"] = hits.mean(axis=1)
    z, y, at = trial.deployed.features(p.held_calm.x), p.held_calm.y, trial.without_drift().at
    still, moved = (right(at[i].says(z), y).mean(axis=1) for i in (0, last))
    scores["gain without drift"] = moved - still
    for what, one, other in (
        ("warm over fresh", "warm", "fresh"),
        ("warm over fresh, prequential", "warm prequential", "fresh prequential"),
        ("warm over fresh, first", "warm first", "fresh first"),
        ("warm over neighbours", "warm", "neighbours"),
    ):
        scores[what] = scores[one] - scores[other]
    found = {
        name: [trial.percent(values).mean for values in curve.values()]
        for name, curve in curves.items()
    }
    return {
        "scores": {name: asdict(trial.percent(values)) for name, values in scores.items()},
        "curves": {"updates": list(trial.marks), **found},
        "devices": len(p),
        "source": p.source,
        "features": trial.known.shape[2],
        "parameters": p.network.parameters,
    }


def _scores(trial: Trial, curves: Mapping[str, Mapping[int, Doubles]]) -> dict[str, Doubles]:
    p = trial.problems
    static, neighbours = trial.static(p.held), trial.neighbours()
    scores = {
        "before": trial.static(p.held_calm),
        "static": static,
        "static prequential": trial.static(p.met),
        "neighbours": neighbours,
        "neighbours gain": neighbours - static,
    }
    for name, curve in curves.items():
        scores[name] = curve[len(trial.order)]
        scores[f"{name} gain"] = scores[name] - static
        scores[f"{name} first"] = curve[0]
    return scores
