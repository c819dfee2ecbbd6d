"""Drawings and words that no model knows: how well a device tells them from those it knows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tinyfleet.client.head import Doubles
from tinyfleet.messages import Floats
from tinyfleet.simulations.tinyol.heads import right
from tinyfleet.simulations.tinyol.neighbours import classes
from tinyfleet.simulations.tinyol.prototypes import class_means
from tinyfleet.simulations.tinyol.trial import Trial

REJECTED = 10.0
"""Percent of known samples that a threshold rejects where it is chosen."""

TRUST = 1.0
"""Samples that a class mean of the model counts for; found among 1, 5 and 20 on validation."""


@dataclass(frozen=True, eq=False)
class Doubts:
    """What a way to name classes says of held samples, and how strange it finds samples.

    Attributes:
        hits: whether each held sample is named rightly, `(n, q)`.
        known: how strange each held sample is, `(n, q)`.
        unknown: how strange each sample of an unknown class is, `(n, u)`.
    """

    hits: NDArray[np.bool_]
    known: Doubles
    unknown: Doubles

    def accuracy(self) -> Doubles:
        """Return each device's share of held samples named rightly, percent, `(n,)`."""
        return np.asarray(100.0 * self.hits.mean(axis=1))

    def auroc(self) -> Doubles:
        """Return each device's area under the curve of unknown against known, percent, `(n,)`."""
        q, u = self.known.shape[1], self.unknown.shape[1]
        truth = np.concatenate([np.zeros(q), np.ones(u)])
        both = np.concatenate([self.known, self.unknown], axis=1)
        return np.array([100.0 * roc_auc_score(truth, one) for one in both])

    def threshold(self) -> float:
        """Return the strangeness that `REJECTED` percent of the held samples exceed."""
        return float(np.percentile(self.known, 100.0 - REJECTED))

    def accepted(self, threshold: float) -> Doubles:
        """Return the accuracy over held samples that are not rejected, percent; NaN for none."""
        kept = self.known <= threshold
        counts = kept.sum(axis=1)
        hits = (self.hits & kept).sum(axis=1)
        return np.asarray(np.where(counts > 0, 100.0 * hits / np.maximum(counts, 1), np.nan))

    def rejected(self, threshold: float) -> Doubles:
        """Return the share of unknown samples that are rejected, percent, `(n,)`."""
        return np.asarray(100.0 * (self.unknown > threshold).mean(axis=1))


def by_probability(trial: Trial) -> Doubts:
    """Return what warm heads say at the end; strange is what has no class of high probability."""
    heads = trial.learned(trial.warm()).at[len(trial.order)]
    held, y = trial.held, trial.problems.held.y
    unknown = trial.deployed.features(trial.problems.unknown)
    return Doubts(
        right(heads.says(held), y), _unsure(heads.says(held)), _unsure(heads.says(unknown))
    )


def by_class_means(trial: Trial) -> Doubts:
    """Return what class means say at the end; strange is what is far from all of them."""
    p, scalings = trial.problems, trial.warm().scalings
    means = class_means(scalings, trial.known, p.known.y, TRUST)
    labels = classes(p.met.y)
    for i in trial.order[: p.met.y.shape[1]]:  # once: met again, a sample says nothing new
        means = means.seen(trial.met[:, i], labels[:, i])
    held = means.distances(trial.held)
    unknown = means.distances(trial.deployed.features(p.unknown))
    return Doubts(held.argmin(axis=2) == classes(p.held.y), held.min(axis=2), unknown.min(axis=2))


def _unsure(logits: Floats) -> Doubles:
    """Return 1 less the largest probability, `(n, m)`."""
    apart = logits.astype(np.float64) - logits.max(axis=2, keepdims=True)
    return np.asarray(1.0 - 1.0 / np.exp(apart).sum(axis=2))
