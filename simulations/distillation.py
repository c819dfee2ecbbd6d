"""A first model from a larger one: stored, sparsified logits of a teacher train a student.

TinyViT (Wu et al. 2022, arXiv 2207.10666, section 3.1) stores the teacher's largest probabilities
of every sample once, spreads what is left evenly over all other classes, and never runs the teacher
again. Turc et al. 2019 (arXiv 1908.08962) train the student on labels first, then distil.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfleet.messages import Floats

KEPT = 10
"""Probabilities of a sample that are stored."""


@dataclass(frozen=True)
class Stored:
    """What a teacher said of `n` samples, sparsified.

    Attributes:
        places: classes of the largest probabilities, `(n, kept)` int16.
        values: these probabilities, `(n, kept)` float16.
        classes: how many classes there are.
    """

    places: NDArray[np.int16]
    values: NDArray[np.float16]
    classes: int

    @property
    def bytes(self) -> int:
        """Bytes that are stored."""
        return self.places.nbytes + self.values.nbytes

    def targets(self) -> Floats:
        """Return probabilities of all classes, `(n, classes)`, whose rows sum to 1."""
        kept = self.values.astype(np.float32)
        left = np.maximum(0.0, 1.0 - kept.sum(axis=1, keepdims=True))
        others = self.classes - kept.shape[1]
        rest = left / others if others else np.zeros_like(left)
        targets = np.repeat(rest, self.classes, axis=1).astype(np.float32)
        np.put_along_axis(targets, self.places.astype(np.int64), kept, axis=1)
        return np.asarray(targets / targets.sum(axis=1, keepdims=True), np.float32)


def store(logits: Floats, kept: int = KEPT) -> Stored:
    """Return the `kept` largest probabilities of each row of `logits`, `(n, classes)`.

    >>> told = store(np.log(np.array([[0.7, 0.2, 0.06, 0.04]], np.float32)), kept=2)
    >>> told.places.tolist(), told.targets().astype(float).round(2).tolist()
    ([[0, 1]], [[0.7, 0.2, 0.05, 0.05]])
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    chances = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    places = np.argsort(-chances, axis=1, kind="stable")[:, :kept]
    values = np.take_along_axis(chances, places, axis=1)
    return Stored(places.astype(np.int16), values.astype(np.float16), logits.shape[1])
