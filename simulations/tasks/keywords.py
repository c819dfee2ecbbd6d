"""Keywords: every device learns to tell a few words of its speaker apart, N ways, K shots."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.mfcc import COEFFICIENTS, FRAMES, MELS, standardised
from tinyfleet.simulations.datasets.keywords import KeywordTakes
from tinyfleet.simulations.draws import Stream, distinct, integers, normals, uniforms
from tinyfleet.simulations.tasks.family import check_shots
from tinyfleet.simulations.tasks.noise import DRAWS, Room, WhiteNoise, louder, noisy, shifted
from tinyfleet.simulations.tasks.split import Part, part_number
from tinyfleet.simulations.tasks.takes import Numbers, TakeTable
from tinyfleet.task import Floats, TaskBatch

SMALL = 5  # a part to tune or test on is one in five keywords, and one in five speakers


@dataclass(frozen=True)
class KeywordEpisodes:
    """What a device's problem looks like.

    Attributes:
        ways: keywords of a device.
        shots: support takes of each keyword.
        query_shots: query takes of each keyword, none of them in the support; may be 0.
        min_shots: when given, a device has min_shots..shots takes of each keyword, always the same
            number.
        speakers: people that share a device.
        across: support and query are by different people, each by half of those there are; then
            `speakers` has no meaning.
        room: how far rooms and microphones differ from device to device.
        drift: white noise that all devices hear; None for none.

    Raises:
        DatasetError: a number cannot be.
    """

    ways: int = 5
    shots: int = 5
    query_shots: int = 0
    min_shots: int | None = None
    speakers: int = 1
    across: bool = False
    room: Room = field(default_factory=Room)
    drift: WhiteNoise | None = None

    def __post_init__(self) -> None:
        ways = "ways", self.ways, "at least 2", self.ways >= 2
        speakers = "speakers", self.speakers, "at least 1", self.speakers >= 1
        check_shots("keywords", self, ways, speakers)


@dataclass(frozen=True, eq=False)
class Keywords:
    """A population of devices, each with keywords and people of its own; a `TaskFamily`.

    A device's speakers, keywords, labels and room follow from seed, part and device; which takes it
    hears, and in which order, also from the round. Support and query come in blocks that hold one
    take of each keyword in random order: the first `ways * d` support rows are the d-shot problem.
    Coefficients are standardised (`tinyfleet.mfcc.standardised`).

    Attributes:
        takes: those of this part, and no others.
        part: which part they are; devices of different parts have different draws.
        seed: seed of the population, 0..2**64 - 1.
        episodes: what a device's problem looks like.

    Raises:
        DatasetError: too few keywords, speakers or takes for the episodes.
    """

    takes: KeywordTakes
    part: Part = "train"
    seed: int = 0
    episodes: KeywordEpisodes = field(default_factory=KeywordEpisodes)

    def __post_init__(self) -> None:
        part_number(self.part)
        _ = self._table  # refuses what cannot be drawn

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one take: frames, coefficients, channels."""
        return (FRAMES, COEFFICIENTS, 1)

    @property
    def outputs(self) -> int:
        """Length of one target: the ways."""
        return self.episodes.ways

    @property
    def provenance(self) -> str:
        """Say which takes these are."""
        return self.takes.source

    @property
    def fingerprint(self) -> str:
        """Tell populations of other takes, seeds or episodes apart: 16 hexadecimal digits."""
        told = repr((self.takes.fingerprint, self.part, self.seed, self.episodes))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @cached_property
    def _table(self) -> TakeTable:
        e = self.episodes
        keys = ("support" if self.part == "train" else "shots"), "query"  # as a study has them
        return TakeTable(self.takes, e.ways, e.shots, e.query_shots, e.speakers, e.across, keys)

    def most_query(self, bound: int) -> int:
        """Return how many query takes of a keyword there are beside the shots, at most `bound`."""
        return self._table.most_query(bound)

    def people(self, devices: Numbers) -> Numbers:
        """Return each device's speakers, as they are numbered in the takes, `(n, speakers)`.

        With `across` all there are: support is by the first half of those who said a keyword.
        """
        return np.unique(self.takes.speaker)[self._people(devices)]

    def classes(self, devices: Numbers) -> Numbers:
        """Return each device's keywords in the order of its labels, `(n, ways)`."""
        return np.unique(self.takes.keyword)[self._classes(devices)]

    def batch(self, devices: Numbers, round_number: int) -> TaskBatch:
        """Return the tasks of `devices`, `(n,)`; takes and their order are new every round."""
        takes, labels = self._layout(devices, round_number)
        x = self._heard(devices, round_number, takes)
        y = np.eye(self.episodes.ways, dtype=np.float32)[labels]
        cut = self.episodes.ways * self.episodes.shots
        return TaskBatch(
            np.ascontiguousarray(x[:, :cut]),
            np.ascontiguousarray(y[:, :cut]),
            np.ascontiguousarray(x[:, cut:]),
            np.ascontiguousarray(y[:, cut:]),
            self._counts(devices),
        )

    def _people(self, devices: Numbers) -> Numbers:
        key = (self.seed, Stream.KEYWORDS_PEOPLE, part_number(self.part))
        return self._table.people(uniforms(key, devices, len(np.unique(self.takes.speaker))))

    def _classes(self, devices: Numbers) -> Numbers:
        key = (self.seed, Stream.KEYWORDS_CLASSES, part_number(self.part))
        u = uniforms(key, devices, self.episodes.ways)
        return self._table.classes(self._people(devices), u)

    def _layout(self, devices: Numbers, round_number: int) -> tuple[Numbers, Numbers]:
        """Return which take and which label each row has, both `(n, rows)`; support first."""
        n, ways, width = len(devices), self.episodes.ways, self._table.width()
        blocks = self.episodes.shots + self.episodes.query_shots
        part = part_number(self.part)
        u = uniforms((self.seed, Stream.KEYWORDS_TAKES, part, round_number), devices, ways * width)
        chosen = self._table.chosen(
            self._people(devices), self._classes(devices), u.reshape(n, ways, width)
        )
        key = (self.seed, Stream.KEYWORDS_LABELS, part, round_number)
        v = uniforms(key, devices, blocks * ways).reshape(n * blocks, ways)
        labels = distinct(v, ways).reshape(n, blocks, ways)
        takes = np.take_along_axis(chosen.transpose(0, 2, 1), labels, axis=2)
        return takes.reshape(n, -1), labels.reshape(n, -1)

    def _heard(self, devices: Numbers, round_number: int, takes: Numbers) -> Floats:
        """Return the takes as the devices' rooms and microphones give them, standardised."""
        n, rows = takes.shape
        room, drift = self.episodes.room, self.episodes.drift
        own = uniforms((self.seed, Stream.KEYWORDS_ROOM, part_number(self.part)), devices, 3)
        shift, gain, level = own.T
        x = self.takes.features[takes.ravel()]
        if room.shift:
            frames = np.rint(room.shift * (2.0 * shift - 1.0)).astype(np.int64)
            x = shifted(x, frames.repeat(rows))
        if room.gain:
            x = louder(x, (room.gain * (2.0 * gain - 1.0)).repeat(rows))
        x = x.reshape(n, rows, FRAMES, COEFFICIENTS)
        if room.noise or drift:
            ratio = np.hypot(room.noise * level, drift.ratio if drift else 0.0)
            x = self._in_noise(devices, round_number, x, ratio)
        return standardised(x)[..., None]

    def _in_noise(
        self, devices: Numbers, round_number: int, x: Floats, ratio: NDArray[np.float64]
    ) -> Floats:
        """Return `x` `(n, rows, 49, 10)` in noise of each device's `ratio` `(n,)`."""
        rows = x.shape[1]
        key = (self.seed, Stream.KEYWORDS_NOISE, part_number(self.part), round_number)
        heard = np.empty_like(x)
        for i in range(len(x)):  # one by one, as a device's numbers then stay in the cache
            z = normals(uniforms(key, devices[i : i + 1], rows * DRAWS))
            heard[i] = noisy(x[i], np.full(rows, ratio[i]), z.reshape(rows, FRAMES, MELS))
        return heard

    def _counts(self, devices: Numbers) -> NDArray[np.int32]:
        ways, shots, least = self.episodes.ways, self.episodes.shots, self.episodes.min_shots
        if least is None:
            return np.full(len(devices), ways * shots, np.int32)
        key = (self.seed, Stream.KEYWORDS_COUNT, part_number(self.part))
        return (ways * integers(uniforms(key, devices, 1)[:, 0], least, shots)).astype(np.int32)


def keywords_family(
    takes: KeywordTakes,
    part: Part,
    seed: int,
    episodes: KeywordEpisodes,
    *,
    whole: bool = False,
    unseen: KeywordTakes | None = None,
) -> Keywords:
    """Return the population of `part`, whose parts share neither keywords nor speakers.

    Keywords and speakers are split once and for all: one in five of each is the test part, one in
    five validation, the rest training. What the keywords of one part were said by speakers of
    another is in none.

    Args:
        takes: all takes.
        part: "train", "validation" or "test".
        seed: seed of the population.
        episodes: what a device's problem looks like.
        whole: all takes belong to `part`, as those of a separate test file do.
        unseen: those of a separate test file. Where it holds some of the same recordings, their
            keywords and speakers are left out.

    Raises:
        DatasetError: too few keywords, speakers or takes for the episodes.
    """
    words, people = np.unique(takes.keyword), np.unique(takes.speaker)
    note = ""
    chosen = np.ones(len(takes), np.bool_)
    if not whole:
        words, people = split_part(words, part, 0), split_part(people, part, 1)
        chosen = np.isin(takes.keyword, words) & np.isin(takes.speaker, people)
    if unseen is not None:
        chosen, note = _apart(takes, chosen, unseen)
    counts = [len(np.unique(values[chosen])) for values in (takes.keyword, takes.speaker)]
    source = (
        f"{takes.source}; {part} part, {counts[0]} of {len(np.unique(takes.keyword))} keywords by "
        f"{counts[1]} of {len(np.unique(takes.speaker))} speakers{note}"
    )
    return Keywords(takes.of(chosen, source), part, seed, episodes)


def split_part(numbers: Numbers, part: Part, what: int) -> Numbers:
    """Return those of `numbers` that belong to `part`: the same in every run, whatever its seed.

    Args:
        numbers: keywords or speakers, `(n,)`, ascending.
        part: "train", "validation" or "test".
        what: 0 for keywords, 1 for speakers, which are put in different orders.

    Raises:
        DatasetError: no such part.
    """
    number = part_number(part)
    few = len(numbers) // SMALL
    key = (0, Stream.KEYWORDS_SPLIT, what)
    order = np.argsort(uniforms(key, np.arange(len(numbers)), 1)[:, 0], kind="stable")
    held_out, tuned_on, learned = np.split(order, [few, 2 * few])
    return np.asarray(numbers[np.sort((learned, tuned_on, held_out)[number])])


def _apart(
    takes: KeywordTakes, chosen: NDArray[np.bool_], unseen: KeywordTakes
) -> tuple[NDArray[np.bool_], str]:
    """Leave out keywords and speakers of recordings that `unseen` holds too; say how many.

    Recordings are the same when every coefficient is.
    """
    known = {take.tobytes() for take in unseen.features}
    mine = [np.unique(values[chosen]) for values in (takes.keyword, takes.speaker)]
    shared = np.array([take.tobytes() in known for take in takes.features], np.bool_)
    words, people = np.unique(takes.keyword[shared]), np.unique(takes.speaker[shared])
    left = chosen & ~np.isin(takes.keyword, words) & ~np.isin(takes.speaker, people)
    if not left.any():
        raise DatasetError(
            f"{takes.source}: expected keywords and speakers that the test file does not hold, got "
            "none; test on recordings that the training data lack"
        )
    if not shared.any():
        return left, " (none left out: the test file holds none of these recordings)"
    lost = [np.isin(one, out).sum() for one, out in zip(mine, (words, people), strict=True)]
    return left, (
        f" ({lost[0]} keywords and {lost[1]} speakers of this part left out: the test file holds "
        "takes of them)"
    )
