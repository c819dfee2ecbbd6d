"""Devices that tell keywords apart, and whose room becomes noisy by the drift."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tinyfleet.messages import Floats
from tinyfleet.mfcc import FRAMES, MELS, standardised
from tinyfleet.networks import named_network
from tinyfleet.simulations.datasets.keywords import KeywordTakes
from tinyfleet.simulations.tasks.keywords import KeywordEpisodes, Keywords, split_part
from tinyfleet.simulations.tasks.noise import WhiteNoise, noisy
from tinyfleet.simulations.tasks.split import Part
from tinyfleet.simulations.tinyol.problems import (
    Problems,
    Samples,
    first_classes,
    other_classes,
    query_of,
    support_of,
)

WAYS, UNKNOWN = 4, 2
OTHERS, TAKES = 16, 5
"""Speakers whom a model knows, and takes of a keyword: by each of them, met, and held out."""

KNOWN_NOISE = 0.1
"""Half of what a model knows is heard in white noise of up to this share of the sound's amplitude,
as the recipe of MLPerf Tiny (Banbury et al. 2021) has background noise; a model that only knows
silence loses far more to the drift."""


def keywords_problems(
    takes: KeywordTakes, part: Part, seed: int, devices: int, drift: WhiteNoise
) -> Problems:
    """Return devices that tell 4 keywords of one speaker apart, in white noise.

    Settings are chosen on one in five keywords by one in five speakers, and tested on all other
    keywords by all other speakers. A model knows 5 takes of each keyword by 16 other speakers; its
    device meets 5 by its own, and is judged on the other 5. An interval is over speakers.
    """
    words, people = _parts(takes, part)
    chosen = np.isin(takes.keyword, words) & np.isin(takes.speaker, people)
    source = f"{takes.source}; {len(words)} keywords by {len(people)} speakers"
    episodes = KeywordEpisodes(WAYS + UNKNOWN, TAKES, TAKES)
    family = Keywords(takes.of(chosen, source), part, seed, episodes)
    numbers = np.arange(devices)
    speakers = family.people(numbers)[:, 0]
    rows = _known_takes(takes, family.classes(numbers)[:, :WAYS], speakers, seed)
    calm = family.batch(numbers, 0)
    drifted = replace(family, episodes=replace(episodes, drift=drift)).batch(numbers, 0)
    return Problems(
        network=named_network("keywords"),
        known=Samples(_heard(takes, rows, seed), _targets(*rows.shape)),
        met=first_classes(support_of(drifted), WAYS),
        held=first_classes(query_of(drifted), WAYS),
        met_calm=first_classes(support_of(calm), WAYS),
        held_calm=first_classes(query_of(calm), WAYS),
        unknown=other_classes(query_of(drifted), WAYS),
        group=speakers,
        source=source,
    )


def _parts(takes: KeywordTakes, part: Part) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return keywords and speakers of the devices of `part`."""
    parts = []
    for what, values in enumerate((takes.keyword, takes.speaker)):
        every = np.unique(values)
        tuned_on = split_part(every, "validation", what)
        parts.append(tuned_on if part == "validation" else np.setdiff1d(every, tuned_on))
    return parts[0], parts[1]


def _known_takes(
    takes: KeywordTakes,
    classes: NDArray[np.int64],
    speakers: NDArray[np.int64],
    seed: int,
) -> NDArray[np.int64]:
    """Return takes of each device's keywords by others, one of each keyword after the other.

    `(devices, OTHERS * TAKES * ways)`
    """
    draw = np.random.default_rng((seed, 1))
    every = np.unique(takes.speaker)
    rows = []
    for words, speaker in zip(classes, speakers, strict=True):
        others = draw.choice(every[every != speaker], OTHERS, replace=False)
        by_word = []
        for word in words:
            said = [
                draw.choice(
                    np.flatnonzero((takes.keyword == word) & (takes.speaker == other)),
                    TAKES,
                    replace=False,
                )
                for other in others
            ]
            by_word.append(draw.permutation(np.concatenate(said)))
        rows.append(np.stack(by_word, axis=1).ravel())
    return np.array(rows)


def _heard(takes: KeywordTakes, chosen: NDArray[np.int64], seed: int) -> Floats:
    """Return chosen takes standardised, half of them in noise of up to `KNOWN_NOISE`."""
    x = takes.features[chosen.ravel()]
    draw = np.random.default_rng((seed, 2))
    in_noise = draw.random(len(x)) < 0.5
    ratio = KNOWN_NOISE * draw.random(int(in_noise.sum()))
    z = draw.standard_normal((len(ratio), FRAMES, MELS))
    x[in_noise] = noisy(x[in_noise], ratio, z)
    return standardised(x).reshape(*chosen.shape, -1)


def _targets(devices: int, rows: int) -> Floats:
    one = np.tile(np.eye(WAYS, dtype=np.float32), (rows // WAYS, 1))
    return np.tile(one, (devices, 1, 1))
