"""Notices that a stream has drifted: the loss of samples, before they are learned, stays high.

Page-Hinkley's test (Page, "Continuous Inspection Schemes", Biometrika 1954; Hinkley, Biometrika
1971), one-sided, on the prequential loss. It keeps three numbers.
"""

import math
from dataclasses import dataclass, replace

LOUDEST = 4.0
"""Losses count as this at most: one sample, however wrong, is no drift."""


@dataclass(frozen=True)
class DriftWatch:
    """Losses of a stream so far, and whether they have risen for good.

    Attributes:
        tolerance: how far losses may rise above their mean without counting.
        threshold: what they may rise above that, summed up, until it is a drift.
        count: losses seen since the last drift.
        mean: their mean.
        excess: what they have risen above mean and tolerance, summed up and never below 0.

    >>> watch = DriftWatch(tolerance=0.1, threshold=2.0)
    >>> for loss in (0.2, 0.3, 0.2, 2.0, 2.0):
    ...     watch = watch.seen(loss)
    >>> watch.drifted
    True
    """

    tolerance: float = 0.5
    threshold: float = 8.0
    count: int = 0
    mean: float = 0.0
    excess: float = 0.0

    @property
    def drifted(self) -> bool:
        """Whether the last loss tells of a drift; the next one begins anew."""
        return self.excess > self.threshold

    def seen(self, loss: float) -> "DriftWatch":
        """Return the watch that has seen `loss`, of a sample before it was learned."""
        past = replace(self, count=0, mean=0.0, excess=0.0) if self.drifted else self
        loss = min(loss, LOUDEST) if math.isfinite(loss) else LOUDEST
        count = past.count + 1
        mean = past.mean + (loss - past.mean) / count
        return replace(
            past,
            count=count,
            mean=mean,
            excess=max(0.0, past.excess + loss - mean - past.tolerance),
        )
