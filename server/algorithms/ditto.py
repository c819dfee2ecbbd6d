"""Ditto: one model is learned together, and each device pulls a model of its own towards it.

Li, Hu, Beirami & Smith 2021, "Ditto: Fair and Robust Federated Learning Through Personalization",
arXiv 2012.04221, algorithm 1. The global model is FedAvg's and knows nothing of the personal
ones. A personal model minimises the device's loss plus lambda / 2 times its squared
distance from the global one (equation 1), lambda being `Training.proximal`; in a large fleet, where
a device takes part about once, that is how a new device fine-tunes.
"""

from dataclasses import replace

from tinyfleet.errors import TrainingError
from tinyfleet.server import meta
from tinyfleet.server.algorithms.algorithm import Algorithm, Knobs
from tinyfleet.server.meta import MetaStep
from tinyfleet.server.settings import Settings


def ask(knobs: Knobs) -> Settings:
    """Ask for FedAvg's answer; `TrainingError` without a pull, which is FedAvg altogether."""
    if knobs.training.proximal == 0.0:
        raise TrainingError("training.proximal: ditto expects more than 0, got 0; or use fedavg")
    return replace(knobs.settings(), training=replace(knobs.training, proximal=0.0))


def step(knobs: Knobs) -> MetaStep:
    """Take the mean of the weights, by examples."""
    del knobs
    return meta.fedavg()


ALGORITHM = Algorithm("ditto", ask, step, personal="pulled")
