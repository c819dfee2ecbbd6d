"""FedRep: the body of a network is shared, its head stays on the device.

Collins, Hassani, Mokhtari & Shakkottai 2021, "Exploiting Shared Representations for Personalized
Federated Learning", arXiv 2102.07078, algorithm 1: a device first fits its head with the body
frozen, then the body with the head frozen, on the same samples, and sends the body alone. Theirs
keep their heads from round to round. In a large fleet a device takes part about once,
and one that keeps nothing is what a microcontroller can be; so here heads start anew each time
(`Knobs.local_start`), and one number of passes holds for head and body. A new device fits its
head alone.
"""

from dataclasses import replace

from tinyfleet.server import meta
from tinyfleet.server.algorithms.algorithm import Algorithm, Knobs, check_local
from tinyfleet.server.meta import MetaStep
from tinyfleet.server.settings import Settings


def ask(knobs: Knobs) -> Settings:
    """Ask devices to fit their head, then the body, on the support; the body comes back."""
    check_local("fedrep", knobs.local)
    return replace(
        knobs.settings(), local=knobs.local, local_start=knobs.local_start, shared_from="support"
    )


def step(knobs: Knobs) -> MetaStep:
    """Take the mean of the bodies, every device counting once."""
    del knobs
    return meta.reptile()


ALGORITHM = Algorithm("fedrep", ask, step, reads=("local", "local_start"), personal="local")
