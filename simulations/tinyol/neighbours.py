"""What TinyOL is compared with: samples that a device keeps, and their nearest neighbours."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from tinyfleet.messages import Floats
from tinyfleet.simulations.tinyol.heads import Scalings


def nearest_neighbours(
    scalings: Scalings, kept: tuple[Floats, Floats], held: tuple[Floats, Floats], neighbours: int
) -> NDArray[np.float64]:
    """Return the share of held samples that each device's neighbours name rightly, `(n,)`.

    Args:
        scalings: of the features.
        kept: features `(n, k, f)` and targets `(n, k, outputs)` of what the devices keep.
        held: those of what they are asked.
        neighbours: how many have a say.
    """
    x, at = scalings.standardised(kept[0]), scalings.standardised(held[0])
    y, asked = classes(kept[1]), classes(held[1])
    found = [
        KNeighborsClassifier(neighbours, algorithm="brute").fit(x[i], y[i]).score(at[i], asked[i])
        for i in range(len(x))
    ]
    return np.array(found, np.float64)


def classes(y: Floats) -> NDArray[np.int64]:
    """Return the class of each target `(n, m, outputs)`, `(n, m)`; one output is 0 or 1."""
    return np.asarray(y[:, :, 0] > 0.5 if y.shape[2] == 1 else y.argmax(axis=2), np.int64)
