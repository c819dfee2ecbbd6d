"""Reptile: samples are stored and learned in batches, by several devices a round.

Nichol, Achiam & Schulman 2018, "On First-Order Meta-Learning Algorithms", arXiv 1803.02999,
algorithm 1 and its parallel form. Their devices take Adam with rate 0.001; TECS 2024 takes SGD.
"""

from tinyfleet.server import meta
from tinyfleet.server.algorithms.algorithm import STEPPING, Algorithm, Knobs
from tinyfleet.server.meta import MetaStep
from tinyfleet.server.settings import Settings


def ask(knobs: Knobs) -> Settings:
    """Ask devices to learn in batches and to send their weights."""
    return knobs.settings()


def step(knobs: Knobs) -> MetaStep:
    """Go part of the way to the mean device."""
    return meta.reptile(knobs.schedule(), knobs.server_optimizer)


ALGORITHM = Algorithm("reptile", ask, step, reads=STEPPING)
