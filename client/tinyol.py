"""TinyOL: a small head that learns on a gateway, one sample at a time, on frozen features.

Ren, Anicic, Runkler, "TinyOL: TinyML with Online-Learning on Microcontrollers", IJCNN 2021,
arXiv 2103.08295, section III. For every sample: bring the running mean and variance up to date,
standardise, predict; where there is a label, score first, then take one SGD step and forget the
sample. Steps are the scalar kernel's, so a microcontroller that is fed the same standardised
features computes the same bits. Ours beyond the paper: a warm start, and hidden layers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tinyfleet.binding import variant
from tinyfleet.client.head import Head, with_class
from tinyfleet.client.stream import Stream
from tinyfleet.errors import DatasetError, NetworkError, TrainingError
from tinyfleet.kernel_learner import Kernel
from tinyfleet.messages import Training
from tinyfleet.task import check_finite

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """What the head said of one sample before it learned it.

    Attributes:
        outputs: `(outputs,)` float32: logits, or estimates with mean square.
        predicted: class of the largest output; None where outputs have no names.
        loss: of this sample; None where it had no label.
        hit: whether `predicted` was its label; None where it had none.
    """

    outputs: Floats = field(repr=False)
    predicted: str | None
    loss: float | None
    hit: bool | None


Extract = Callable[[Floats], Floats]
"""What turns `n` samples into features `(n, f)`, such as `TfliteModel.features`."""


class TinyOL:
    """A device's head, learning.

    Attributes:
        head: its state; another one after every sample.
    """

    def __init__(self, head: Head) -> None:
        self.head = head
        self._kernel = Kernel(head.network, variant("scalar"))

    def classify(self, z: Floats, label: str | None = None) -> Score:
        """Score features `z`, `(f,)` float32; with a label, then learn it.

        A label that is not among the classes is a miss, and its class is added before it is
        learned.

        Raises:
            NetworkError: `z` has another length, or outputs have no names.
            DatasetError: `z` is not finite.
            TrainingError: the step left weights that are not finite; nothing was learned.
        """
        if not self.head.classes:
            raise NetworkError(f"{self.head.network.name}: outputs have no names; use estimate")
        seen, outputs = self._score(z)
        predicted = self.head.classes[int(outputs.argmax())]
        if label is None:
            self.head = seen
            return Score(outputs, predicted, None, None)
        if label not in seen.classes:
            seen = with_class(seen, label)
        target = np.zeros(len(seen.classes), np.float32)
        target[seen.classes.index(label)] = 1.0
        hit = predicted == label
        return Score(outputs, predicted, self._learn(seen, z, target, hit=hit), hit)

    def estimate(self, z: Floats, target: Floats | None = None) -> Score:
        """Score features `z`, `(f,)`; with a target, `(outputs,)` float32, then learn it.

        Raises:
            NetworkError: `z` or the target has another length.
            DatasetError: one of them is not finite.
            TrainingError: the step left weights that are not finite; nothing was learned.
        """
        seen, outputs = self._score(z)
        if target is None:
            self.head = seen
            return Score(outputs, None, None, None)
        if target.shape != outputs.shape:
            raise NetworkError(f"target: the head has {len(outputs)} outputs, got {target.shape}")
        check_finite("target", target)
        return Score(outputs, None, self._learn(seen, z, target, hit=False), None)

    def _score(self, z: Floats) -> tuple[Head, Floats]:
        """Return the head that has seen `z`, and what its weights say of it."""
        expected = (self.head.network.inputs,)
        if z.shape != expected:
            raise NetworkError(f"features: the head expects {expected}, got {z.shape}")
        check_finite("features", z)
        scaling = self.head.scaling.seen(z)
        x = scaling.standardised(z)[None, None]
        outputs: Floats = self._kernel.predict(self.head.weights, x)[0, 0]
        return replace(self.head, scaling=scaling, samples=self.head.samples + 1), outputs

    def _learn(self, seen: Head, z: Floats, target: Floats, *, hit: bool) -> float:
        """Take one step from `seen`, keep what it gives, and return the loss before it."""
        kernel = self._kernel
        if seen.network is not kernel.network:
            kernel = Kernel(seen.network, kernel.variant)
        x, y = seen.scaling.standardised(z)[None, None], target.astype(np.float32)[None, None]
        weights, losses = kernel.train(Training(seen.rate), seen.weights, x, y, frozenset())
        if not np.isfinite(weights).all():
            raise TrainingError(
                f"sample {seen.samples}: expected finite weights after a step, "
                f"got NaN or infinity; lower the rate of {seen.rate:g}"
            )
        labelled, hits = seen.labelled + 1, seen.hits + hit
        self.head = replace(seen, weights=weights[0], labelled=labelled, hits=hits)
        self._kernel = kernel
        return float(losses[0])


def follow_stream(learner: TinyOL, extract: Extract, stream: Stream) -> Iterator[Score]:
    """Yield the score of every sample of `stream`, each scored, then learned where labelled.

    Raises:
        DatasetError: a sample is not finite.
        NetworkError: a sample does not fit the extractor, or features do not fit the head.
    """
    for sample in stream:
        try:
            z = extract(sample.x[None])[0]
        except DatasetError as error:
            raise DatasetError(f"sample {learner.head.samples + 1}: {error}") from None
        yield learner.classify(z, sample.label)
