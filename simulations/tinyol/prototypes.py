"""A head of class means: the nearest mean names the class, and what is far from all is unknown.

Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning" 2017, arXiv 1703.05175, name
classes so; here the means begin with what the model knows and move with every labelled sample.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tinyfleet.client.head import Doubles
from tinyfleet.messages import Floats
from tinyfleet.simulations.tinyol.heads import Scalings


@dataclass(frozen=True)
class Prototypes:
    """The class means of `n` devices.

    Attributes:
        centres: of standardised features, `(n, classes, f)`.
        counts: samples that each stands for, `(n, classes)`.
        scalings: of the features.
    """

    centres: Doubles = field(repr=False)
    counts: Doubles = field(repr=False)
    scalings: Scalings = field(repr=False)

    def distances(self, z: Floats) -> Doubles:
        """Return squared distances from features `(n, m, f)` to each centre, by feature."""
        x = self.scalings.standardised(z).astype(np.float64)
        squares = (x**2).sum(axis=2)[:, :, None] + (self.centres**2).sum(axis=2)[:, None]
        cross = np.einsum("nmf,ncf->nmc", x, self.centres)
        return np.asarray((squares - 2.0 * cross) / z.shape[2])

    def seen(self, z: Floats, label: NDArray[np.int64]) -> "Prototypes":
        """Return the means that have seen features `z`, `(n, f)`, of classes `label`, `(n,)`."""
        scalings, who = self.scalings.seen(z), np.arange(len(z))
        x = scalings.standardised(z[:, None])[:, 0]
        counts, centres = self.counts.copy(), self.centres.copy()
        counts[who, label] += 1.0
        share = 1.0 / counts[who, label]
        centres[who, label] += share[:, None] * (x - centres[who, label])
        return replace(self, centres=centres, counts=counts, scalings=scalings)


def class_means(scalings: Scalings, z: Floats, y: Floats, trust: float) -> Prototypes:
    """Return the means of known features `(n, k, f)`; each counts for `trust` samples.

    Args:
        scalings: of the features.
        z: known features.
        y: their one-hot targets, `(n, k, classes)`.
        trust: samples that a known mean stands for when the device's own come.
    """
    x, y = scalings.standardised(z).astype(np.float64), y.astype(np.float64)
    centres = np.einsum("nkf,nkc->ncf", x, y) / y.sum(axis=1)[:, :, None]
    return Prototypes(centres, np.full(centres.shape[:2], float(trust)), scalings)
