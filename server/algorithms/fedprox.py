"""FedProx: FedAvg whose devices are pulled towards what they received.

Li, Sahu, Zaheer, Sanjabi, Talwalkar & Smith 2020, "Federated Optimization in Heterogeneous
Networks", arXiv 1812.06127, algorithm 2; the pull is equation 2, its mu `Training.proximal`.
"""

from tinyfleet.errors import TrainingError
from tinyfleet.server import meta
from tinyfleet.server.algorithms.algorithm import Algorithm, Knobs
from tinyfleet.server.meta import MetaStep
from tinyfleet.server.settings import Settings


def ask(knobs: Knobs) -> Settings:
    """Ask devices to learn under the pull; `TrainingError` without one, which is FedAvg."""
    if knobs.training.proximal == 0.0:
        raise TrainingError("training.proximal: fedprox expects more than 0, got 0; or use fedavg")
    return knobs.settings()


def step(knobs: Knobs) -> MetaStep:
    """Take the mean of the weights, by examples."""
    del knobs
    return meta.fedavg()


ALGORITHM = Algorithm("fedprox", ask, step)
