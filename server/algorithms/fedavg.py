"""FedAvg: the mean of the devices' weights, each counting once for each of its examples.

McMahan, Moore, Ramage, Hampson & Aguera y Arcas 2017, "Communication-Efficient Learning of Deep
Networks from Decentralized Data", arXiv 1602.05629, algorithm 1: E passes over batches of B with
plain SGD.
"""

from tinyfleet.server import meta
from tinyfleet.server.algorithms.algorithm import Algorithm, Knobs
from tinyfleet.server.meta import MetaStep
from tinyfleet.server.settings import Settings


def ask(knobs: Knobs) -> Settings:
    """Ask devices to learn in batches and to send their weights."""
    return knobs.settings()


def step(knobs: Knobs) -> MetaStep:
    """Take the mean of the weights, by examples."""
    del knobs
    return meta.fedavg()


ALGORITHM = Algorithm("fedavg", ask, step)
