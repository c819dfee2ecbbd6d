"""FedSGD: every device sends one gradient over all its samples.

McMahan et al. 2017, arXiv 1602.05629, section 2: a device takes one step over all its samples, so
its difference is minus the rate times its gradient, and the mean by examples of the stepped weights
is the step along the mean gradient.
"""

from dataclasses import replace

from tinyfleet.messages import Training
from tinyfleet.server import meta
from tinyfleet.server.algorithms.algorithm import Algorithm, Knobs
from tinyfleet.server.meta import MetaStep
from tinyfleet.server.settings import Settings


def ask(knobs: Knobs) -> Settings:
    """Ask devices for one step over all their samples; of the training the rate alone is read."""
    whole = Training(rate=knobs.training.rate, passes=1, batch=0)
    return replace(knobs.settings(), training=whole)


def step(knobs: Knobs) -> MetaStep:
    """Take the mean of the stepped weights, by examples."""
    del knobs
    return meta.fedavg()


ALGORITHM = Algorithm("fedsgd", ask, step)
