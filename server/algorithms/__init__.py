"""The algorithms by name, one file each: two functions, and the paper that they come from."""

from collections.abc import Mapping

from tinyfleet.server.algorithms import (
    ditto,
    fedavg,
    fedprox,
    fedrep,
    fedsgd,
    fomaml,
    reptile,
    tinymetafed,
    tinyreptile,
)
from tinyfleet.server.algorithms.algorithm import Algorithm, Knobs, Personal, build

ALGORITHMS: Mapping[str, Algorithm] = {
    module.ALGORITHM.name: module.ALGORITHM
    for module in (
        tinyreptile,
        tinymetafed,
        reptile,
        fomaml,
        fedavg,
        fedsgd,
        fedprox,
        fedrep,
        ditto,
    )
}
"""Every algorithm of tinyfleet's own."""

__all__ = ["ALGORITHMS", "Algorithm", "Knobs", "Personal", "build"]
