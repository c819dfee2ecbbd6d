"""What TinyOL is compared with: samples that a device keeps, and their nearest neighbours."""

import numpy as np
from numpy.typing import NDArray

from tinyfleet.messages import Floats
from tinyfleet.simulations.baselines import nearest_targets
from tinyfleet.simulations.tinyol.heads import Scalings, right


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
    said = nearest_targets(x, at, kept[1], neighbours)
    middle = np.float32(0.5 if said.shape[2] == 1 else 0.0)  # of one output, 0 or 1
    return np.asarray(right(said - middle, held[1]).mean(axis=1))


def classes(y: Floats) -> NDArray[np.int64]:
    """Return the class of each target `(n, m, outputs)`, `(n, m)`; one output is 0 or 1."""
    return np.asarray(y[:, :, 0] > 0.5 if y.shape[2] == 1 else y.argmax(axis=2), np.int64)
