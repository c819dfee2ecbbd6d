"""First-order MAML: devices answer with the gradient at what they adapted to.

Finn, Abbeel & Levine 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
arXiv 1703.03400, algorithm 2 and section 5.2, without the second derivatives: a device adapts to
its support, and the gradient of its whole query's loss there is taken for the gradient where it
started. It sends what it received, moved against that gradient by its rate; so the outer step size
of the paper is `Knobs.step` times the device's rate. Boards learn one sample at a time and refuse.
"""

from dataclasses import replace

from tinyfleet.server import meta
from tinyfleet.server.algorithms.algorithm import STEPPING, Algorithm, Knobs
from tinyfleet.server.meta import MetaStep
from tinyfleet.server.settings import Settings


def ask(knobs: Knobs) -> Settings:
    """Ask devices for the query's gradient at what they adapted to on their support."""
    return replace(knobs.settings(), answer="gradient")


def step(knobs: Knobs) -> MetaStep:
    """Step along the mean gradient, every device counting once."""
    return meta.reptile(knobs.schedule(), knobs.server_optimizer)


ALGORITHM = Algorithm("fomaml", ask, step, reads=(*STEPPING, "query"))
