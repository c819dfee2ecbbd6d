"""TinyReptile: each sample is learned once and forgotten.

Ren, Anicic & Runkler 2023, "TinyReptile: TinyML with Federated Meta-Learning", arXiv 2304.05201,
algorithm 1. One device a round is the paper's serial schema; with more they learn in
parallel and the server takes the mean of their differences.
"""

from tinyfleet.server import meta
from tinyfleet.server.algorithms.algorithm import STEPPING, Algorithm, Knobs, check_online
from tinyfleet.server.meta import MetaStep
from tinyfleet.server.settings import Settings


def ask(knobs: Knobs) -> Settings:
    """Ask devices to learn one sample at a time; `TrainingError` where no microcontroller could."""
    check_online("tinyreptile", knobs.training)
    return knobs.settings()


def step(knobs: Knobs) -> MetaStep:
    """Go part of the way to the mean device."""
    return meta.reptile(knobs.schedule(), knobs.server_optimizer)


ALGORITHM = Algorithm("tinyreptile", ask, step, reads=STEPPING)
