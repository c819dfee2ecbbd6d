"""TinyOL on a sine that changes (TECS 2024, Figure 5): a head that estimates a number."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfleet.messages import Training
from tinyfleet.networks import named_network
from tinyfleet.simulations.evaluation import mean_squared_error
from tinyfleet.simulations.tasks.sine import Sine
from tinyfleet.simulations.tinyol.deployed import deploy
from tinyfleet.simulations.tinyol.heads import follow
from tinyfleet.simulations.tinyol.problems import query_of, support_of

Curve = tuple[float, float, float]
"""a, b and c of a sin(b x + c)."""

DEPLOYED: Curve = (2.78, 1.57, 3.78)
MET: Curve = (2.88, 1.47, 4.16)
KNOWN, JUDGED = 512, 200
"""Points that a model is made from, and evenly spaced ones that it is judged on."""

RATE, TRUST = 0.005, 1000
"""Found on another pair of sines, (3.2, 1.4, 2.0) and (3.3, 1.32, 2.35); 0.01 diverges in time."""


@dataclass(frozen=True)
class Adaptation:
    """Mean square errors on the sine that is met.

    Attributes:
        fit: on the deployed sine, before all, `(n,)`.
        errors: number of samples learned -> error, `(n,)`.
    """

    fit: NDArray[np.float64]
    errors: dict[int, NDArray[np.float64]]


def adapt(devices: int, samples: int, passes: int, marks: tuple[int, ...], seed: int) -> Adaptation:
    """Train a network for each device on the deployed sine, then let its head meet the other.

    Args:
        devices: each with first weights, points and a stream of its own.
        samples: of the stream.
        passes: of training, through the known points.
        marks: numbers of samples after which a device is judged.
        seed: seed of all that is drawn.
    """
    network, numbers = named_network("sine"), np.arange(devices)
    before = _sine(DEPLOYED, seed, KNOWN).batch(numbers, 0)
    after = _sine(MET, seed, samples).batch(numbers, 1)
    known, met, held = support_of(before), support_of(after), query_of(after)
    model = deploy(network, known, Training(0.002, passes, 16, "adam"), seed)
    heads = model.warm(model.features(known.x), RATE, TRUST)
    course = follow(heads, model.features(met.x), met.y, marks)
    z, calm = model.features(held.x), query_of(before)
    return Adaptation(
        mean_squared_error(model.says(calm.x), calm.y),
        {mark: mean_squared_error(head.says(z), held.y) for mark, head in course.at.items()},
    )


def _sine(curve: Curve, seed: int, support: int) -> Sine:
    a, b, c = curve
    return Sine(
        seed=seed, support=support, query=JUDGED, amplitude=(a, a), frequency=(b, b), phase=(c, c)
    )
