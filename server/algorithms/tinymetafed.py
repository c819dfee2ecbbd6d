"""TinyMetaFed: local layers are rebuilt on the device, and of the others the top P% come back.

Ren, Li, Anicic & Runkler 2023, "TinyMetaFed: Efficient Federated Meta-Learning for TinyML", arXiv
2307.06822. Their step size falls along a cosine and restarts: `Knobs.period`. Where local
layers start from they leave open: `Knobs.local_start`.
"""

from dataclasses import replace

from tinyfleet.server import meta
from tinyfleet.server.algorithms.algorithm import STEPPING, Algorithm, Knobs, check_online
from tinyfleet.server.meta import MetaStep
from tinyfleet.server.settings import Settings


def ask(knobs: Knobs) -> Settings:
    """Ask devices to rebuild their local layers on the support, then to learn the others."""
    check_online("tinymetafed", knobs.training)
    return replace(
        knobs.settings(), local=knobs.local, local_start=knobs.local_start, share=knobs.share
    )


def step(knobs: Knobs) -> MetaStep:
    """Move the entries that came back, each towards the mean of the devices that returned it."""
    return meta.tinymetafed(knobs.schedule(), knobs.server_optimizer)


ALGORITHM = Algorithm(
    "tinymetafed", ask, step, reads=(*STEPPING, "query", "local", "local_start", "share")
)
