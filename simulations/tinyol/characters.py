"""Devices that tell characters apart, and whose camera is turned, moved and zoomed by the drift."""

from dataclasses import replace

import numpy as np

from tinyfleet.networks import named_network
from tinyfleet.simulations.datasets.omniglot import CharacterImages
from tinyfleet.simulations.tasks.characters import Episodes, characters_family
from tinyfleet.simulations.tasks.drift import Drift
from tinyfleet.simulations.tasks.split import Part
from tinyfleet.simulations.tinyol.problems import (
    Problems,
    first_classes,
    other_classes,
    query_of,
    rows_of,
    support_of,
)

WAYS, UNKNOWN = 5, 5
KNOWN, MET, HELD = 8, 8, 4
"""Drawers of each character whom the model knows, the device meets, and neither: all 20."""


def characters_problems(
    images: CharacterImages, part: Part, seed: int, devices: int, drift: Drift
) -> Problems:
    """Return devices that tell 5 characters apart, of `part`, each through a camera of its own.

    A model knows drawings as they are, by 8 of a character's 20 drawers. Its device sees those by
    8 others through its camera, and is judged on those by the last 4. The camera stays as it is.
    """
    episodes = Episodes(WAYS + UNKNOWN, KNOWN + MET, HELD)
    numbers = np.arange(devices)
    family = characters_family(images, part, seed, episodes)
    calm = family.batch(numbers, 0)
    drifted = replace(family, episodes=replace(episodes, drift=drift)).batch(numbers, 0)
    support, after = slice(0, WAYS * KNOWN), slice(WAYS * KNOWN, None)
    drawn = first_classes(support_of(calm), WAYS)
    return Problems(
        network=named_network("characters"),
        known=rows_of(drawn, support),
        met=rows_of(first_classes(support_of(drifted), WAYS), after),
        held=first_classes(query_of(drifted), WAYS),
        met_calm=rows_of(drawn, after),
        held_calm=first_classes(query_of(calm), WAYS),
        unknown=other_classes(query_of(drifted), WAYS),
        group=numbers,
        source=family.provenance,
    )
