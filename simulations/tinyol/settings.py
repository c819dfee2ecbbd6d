"""The settings of each application's trial: found on its validation part, judged on its test part.

Searched were the training of models, for accuracy before the drift; rates of heads from 0.001 to
0.03 and 1 to 31 neighbours, for accuracy after it.
"""

from collections.abc import Mapping

from tinyfleet.messages import Training
from tinyfleet.simulations import published
from tinyfleet.simulations.datasets.characters import find_characters
from tinyfleet.simulations.datasets.keywords import find_keywords
from tinyfleet.simulations.datasets.presence import find_presence
from tinyfleet.simulations.tasks.drift import Drift
from tinyfleet.simulations.tasks.noise import WhiteNoise
from tinyfleet.simulations.tasks.split import Part
from tinyfleet.simulations.tinyol.characters import characters_problems
from tinyfleet.simulations.tinyol.keywords import keywords_problems
from tinyfleet.simulations.tinyol.presence import TRIES, WEEKS, presence_problems
from tinyfleet.simulations.tinyol.problems import Problems
from tinyfleet.simulations.tinyol.trial import Recipe

RECIPES: Mapping[str, Recipe] = {
    published.CHARACTERS: Recipe(
        Training(0.003, 40, 10, "adam"),
        rate=0.02,
        fresh_rate=0.01,
        trust=20,
        times=10,
        kept=250,
        neighbours=1,
    ),
    published.KEYWORDS: Recipe(
        Training(0.001, 6, 8, "adam"),
        rate=0.03,
        fresh_rate=0.03,
        trust=20,
        times=10,
        kept=500,
        neighbours=3,
    ),
    published.PRESENCE: Recipe(
        Training(0.003, 10, 16, "adam"),
        rate=0.003,
        fresh_rate=0.01,
        trust=20,
        times=10,
        kept=500,
        neighbours=31,
    ),
}

DEVICES: Mapping[str, int] = {
    published.CHARACTERS: 256,
    published.KEYWORDS: 64,
    published.PRESENCE: 64,
}
"""Devices of the test part."""

DRAWN: Mapping[str, Mapping[str, int]] = {published.PRESENCE: {"weeks": WEEKS, "tries": TRIES}}
"""What else decides the problems of an application's devices."""


def problems(app: str, part: Part, seed: int, devices: int, environ: Mapping[str, str]) -> Problems:
    """Return the problems of an application's devices under its stated drift.

    Raises:
        DatasetError: its data are missing or damaged.
    """
    if app == published.CHARACTERS:
        images = find_characters(None, environ, download=True)
        return characters_problems(images, part, seed, devices, Drift())
    if app == published.KEYWORDS:
        takes = find_keywords(None, environ)
        return keywords_problems(takes, part, seed, devices, WhiteNoise())
    return presence_problems(find_presence(None, environ), part, seed, devices)
