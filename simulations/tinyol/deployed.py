"""Deployed models: networks trained before the drift, each then cut into a body and a head."""

from dataclasses import dataclass, field

import numpy as np

from tinyfleet.binding import variants
from tinyfleet.client.head import head_network
from tinyfleet.kernel_learner import Kernel
from tinyfleet.messages import Floats, Training
from tinyfleet.network import Network
from tinyfleet.simulations.pretraining import body_of
from tinyfleet.simulations.tinyol.heads import Heads, Scalings
from tinyfleet.simulations.tinyol.problems import Samples

_TOGETHER = 32  # models that one call of the kernel trains


@dataclass(frozen=True)
class Deployed:
    """`n` trained networks, whose last layer is a head and all below it a frozen body.

    Attributes:
        network: all of it.
        weights: `(n, parameters)` float32.
    """

    network: Network
    weights: Floats = field(repr=False)

    @property
    def body(self) -> Network:
        """The network without its last layer."""
        return body_of(self.network)

    def says(self, x: Floats) -> Floats:
        """Return the outputs of the networks as they were deployed, `(n, q, outputs)`."""
        return Kernel(self.network, variants()[-1]).predict(self.weights, x)

    def features(self, x: Floats) -> Floats:
        """Return what the last layer reads of samples `(n, m, inputs)`: `(n, m, features)`."""
        below = np.ascontiguousarray(self.weights[:, : self.body.parameters])
        return Kernel(self.body, variants()[-1]).predict(below, x)

    def warm(self, known: Floats, rate: float, trust: int) -> Heads:
        """Return heads that say what the networks say.

        The last layer reads z; a head reads (z - mean) / deviation. So the head's weights are the
        layer's times the deviation, and its biases take up the mean.

        Args:
            known: features of known samples, `(n, k, f)`, which give mean and deviation.
            rate: step size.
            trust: samples that these count for when the device's own come.
        """
        n, _, f = known.shape
        mean, deviation = known.mean(axis=1, dtype=np.float64), known.std(axis=1, dtype=np.float64)
        spread = np.where(deviation == 0.0, 1.0, deviation)
        outputs = self.network.outputs
        last = self.weights[:, self.body.parameters :].astype(np.float64)
        matrix, biases = last[:, : f * outputs].reshape(n, f, outputs), last[:, f * outputs :]
        scaled = (matrix * spread[:, :, None]).reshape(n, -1)
        lifted = biases + np.einsum("nf,nfo->no", mean, matrix)
        weights = np.concatenate([scaled, lifted], axis=1).astype(np.float32)
        scalings = Scalings(trust, mean, deviation**2 * trust)
        return Heads(self._head(f), weights, scalings, rate)

    def fresh(self, rate: float, seed: int) -> Heads:
        """Return heads that have learned nothing, as the paper's begin."""
        head, n = self._head(self.body.outputs), len(self.weights)
        weights = np.stack([head.init((seed, i)) for i in range(n)])
        nothing = np.zeros((n, head.inputs), np.float64)
        return Heads(head, weights, Scalings(0, nothing, nothing), rate)

    def _head(self, features: int) -> Network:
        return head_network(features, self.network.outputs, loss=self.network.loss)


def deploy(network: Network, known: Samples, training: Training, seed: int) -> Deployed:
    """Train a network of its own for each device, from what its model knows."""
    kernel, x, y = Kernel(network, variants()[-1]), known.x, known.y
    starts = np.stack([network.init((seed, i)) for i in range(len(x))])
    trained = [
        kernel.train(training, starts[some], x[some], y[some], frozenset())[0]
        for some in (slice(i, i + _TOGETHER) for i in range(0, len(x), _TOGETHER))
    ]
    return Deployed(network, np.concatenate(trained))
