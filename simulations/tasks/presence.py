"""Presence: every device learns to tell whether somebody is in its room (application III)."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.presence import PERIOD, PresenceRows, only, shared_rooms
from tinyfleet.simulations.draws import Stream, distinct, integers, normals, uniforms
from tinyfleet.simulations.tasks.family import check_shots, noise_rule
from tinyfleet.simulations.tasks.presence_features import FEATURES, SENSED, features
from tinyfleet.simulations.tasks.split import Part, part_number, split_classes
from tinyfleet.task import Floats, TaskBatch

CLASSES = 2
WEEK = 7 * 1440  # minutes


@dataclass(frozen=True)
class PresenceEpisodes:
    """What a device's problem looks like.

    Attributes:
        shots: labelled support rows of each class.
        query_shots: query rows of each class.
        query_rows: query rows as they come, whatever their class, after those of each class.
        min_shots: when given, a device has min_shots..shots rows of each class, always the same.
        noise: largest standard deviation of a device's noise on the features of its sensors; each
            device's own is uniform in 0..noise.
        light: whether light takes the place of the humidity's change.

    Raises:
        DatasetError: a number cannot be.
    """

    shots: int = 8
    query_shots: int = 0
    query_rows: int = 0
    min_shots: int | None = None
    noise: float = 0.0
    light: bool = False

    def __post_init__(self) -> None:
        rows = "query_rows", self.query_rows, "at least 0", self.query_rows >= 0
        check_shots("presence", self, rows, noise_rule(self.noise))


@dataclass(frozen=True)
class _Moments:
    """When a device may be: midnights of rooms, and the rows of the weeks before and after.

    Attributes:
        of: moments of each room, `(rooms, 2)`: the first and the one after the last.
        rows: row numbers, those of absent rows, then present ones, then all, each ascending.
        first: where in `rows` a moment's begin, `(moments, 5)`: absent and present rows of the week
            before, absent, present and all rows of the week after.
        count: how many there are, `(moments, 5)`.
        known: how many of `rows` are the last kind, all.
    """

    of: NDArray[np.int64]
    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    known: int


@dataclass(frozen=True)
class Presence:
    """A population of devices, each in a room at a midnight of its own; a `TaskFamily`.

    Support is drawn from the week before that midnight, query from the week after: on other days,
    and later. Which room and which midnight follow from seed, part and device; which rows, and in
    which order, also from the round. Support comes in blocks of one row of each class in random
    order, so that the first `2 * d` rows are the d-shot problem. Device i is in room i modulo the
    number of rooms.

    Attributes:
        rows: the rooms of this part, and no others.
        part: which part they are; devices of different parts have different draws.
        seed: seed of the population, 0..2**64 - 1.
        episodes: what a device's problem looks like.

    Raises:
        DatasetError: a room has no midnight with rows enough around it.
    """

    rows: PresenceRows
    part: Part = "train"
    seed: int = 0
    episodes: PresenceEpisodes = PresenceEpisodes()
    _features: Floats = field(init=False, repr=False, compare=False)
    _moments: _Moments = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        part_number(self.part)
        x, known = features(self.rows, light=self.episodes.light)
        object.__setattr__(self, "_features", x)
        object.__setattr__(self, "_moments", _moments(self.rows, known, self.episodes))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row's features."""
        return (len(FEATURES),)

    @property
    def outputs(self) -> int:
        """Length of one target: 1 for somebody, 0 for nobody."""
        return 1

    @property
    def provenance(self) -> str:
        """Say which rooms these are."""
        return self.rows.source

    @property
    def fingerprint(self) -> str:
        """Tell populations of other rows, seeds or episodes apart: 16 hexadecimal digits."""
        told = repr((self.rows.fingerprint, self.part, self.seed, self.episodes))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def batch(self, devices: NDArray[np.int64], round_number: int) -> TaskBatch:
        """Return the tasks of `devices`, `(n,)`; rows and their order are new every round."""
        chosen = self.chosen(devices, round_number)
        x = self._features[chosen]
        y = self.rows.present[chosen].astype(np.float32)[:, :, None]
        if self.episodes.noise > 0.0:
            x[:, :, :SENSED] += self._noise(devices, round_number, chosen.shape[1])
        cut = CLASSES * self.episodes.shots
        return TaskBatch(
            np.ascontiguousarray(x[:, :cut]),
            np.ascontiguousarray(y[:, :cut]),
            np.ascontiguousarray(x[:, cut:]),
            np.ascontiguousarray(y[:, cut:]),
            self._counts(devices),
        )

    def chosen(self, devices: NDArray[np.int64], round_number: int) -> NDArray[np.int64]:
        """Return which rows the devices see, `(n, rows)`: support, query of each class, others."""
        e, part, n = self.episodes, part_number(self.part), len(devices)
        moment = self._moment(devices)
        counts = (e.shots, e.shots, e.query_shots, e.query_shots, e.query_rows)
        blocks = e.shots + e.query_shots
        key = (self.seed, Stream.PRESENCE_ROWS, part, round_number)
        u = uniforms(key, devices, sum(counts) + blocks)
        groups, at = [], 0
        for kind, count in enumerate(counts):
            several = self._moments.count[moment, kind][:, None]
            place = distinct(u[:, at : at + count], several) if count else np.empty((n, 0), int)
            groups.append(self._moments.rows[self._moments.first[moment, kind][:, None] + place])
            at += count
        swapped = u[:, at:] < 0.5  # which class comes first in each block
        first = np.concatenate([groups[0], groups[2]], axis=1)
        second = np.concatenate([groups[1], groups[3]], axis=1)
        pairs = np.stack(
            [np.where(swapped, second, first), np.where(swapped, first, second)], axis=2
        )
        return np.concatenate([pairs.reshape(n, CLASSES * blocks), groups[4]], axis=1)

    def table(self) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
        """Return features `(n, 8)`, presence and room of every row whose features are known."""
        places = np.sort(self._moments.rows[-self._moments.known :])
        return self._features[places], self.rows.present[places], self.rows.room[places]

    def weeks_before(self, devices: NDArray[np.int64]) -> list[tuple[Floats, NDArray[np.bool_]]]:
        """Return all that could be labelled in the week that each device's support is drawn from.

        Returns:
            Features `(n, 8)` and presence `(n,)` for each device.
        """
        found = []
        for moment in self._moment(devices).tolist():
            spans = zip(
                self._moments.first[moment, :2], self._moments.count[moment, :2], strict=True
            )
            rows = np.concatenate([self._moments.rows[a : a + n] for a, n in spans])
            found.append((self._features[rows], self.rows.present[rows]))
        return found

    def _moment(self, devices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return each device's moment, `(n,)`."""
        bounds = self._moments.of[devices % len(self.rows.rooms)]
        key = (self.seed, Stream.PRESENCE_MOMENT, part_number(self.part))
        u = uniforms(key, devices, 1)[:, 0]
        return bounds[:, 0] + (u * (bounds[:, 1] - bounds[:, 0])).astype(np.int64)

    def _noise(self, devices: NDArray[np.int64], round_number: int, rows: int) -> Floats:
        part, even = part_number(self.part), rows * SENSED + rows * SENSED % 2
        level = uniforms((self.seed, Stream.PRESENCE_NOISE_LEVEL, part), devices, 1)
        key = (self.seed, Stream.PRESENCE_NOISE, part, round_number)
        errors = (self.episodes.noise * level * normals(uniforms(key, devices, even))).astype(
            np.float32
        )
        return errors[:, : rows * SENSED].reshape(len(devices), rows, SENSED)

    def _counts(self, devices: NDArray[np.int64]) -> NDArray[np.int32]:
        shots, least = self.episodes.shots, self.episodes.min_shots
        if least is None:
            return np.full(len(devices), CLASSES * shots, np.int32)
        key = (self.seed, Stream.PRESENCE_COUNT, part_number(self.part))
        return (CLASSES * integers(uniforms(key, devices, 1)[:, 0], least, shots)).astype(np.int32)


def _moments(rows: PresenceRows, known: NDArray[np.bool_], episodes: PresenceEpisodes) -> _Moments:
    """Find every midnight with rows enough of each class in the weeks before and after it."""
    kinds = [np.flatnonzero(known & chosen) for chosen in (~rows.present, rows.present, known)]
    offsets = np.cumsum([0, *map(len, kinds)])
    e = episodes
    least = np.array(
        [e.shots, e.shots, max(1, e.query_shots), max(1, e.query_shots), max(1, e.query_rows)]
    )
    of, firsts, counts = [], [], []
    for room, name in enumerate(rows.rooms):
        place, found = rows.of(room), 0
        minute = rows.minute[place]
        _check_span(f"{rows.source}: room {name}", int(minute[-1] - minute[0]) + PERIOD)
        midnights = np.unique(minute // 1440)[1:] * 1440
        for midnight in midnights.tolist():
            ends = place.start + np.searchsorted(
                minute, [midnight - WEEK, midnight, midnight + WEEK]
            )
            cuts = [np.searchsorted(kind, ends) for kind in kinds]
            spans = [(0, 0, 1), (1, 0, 1), (0, 1, 2), (1, 1, 2), (2, 1, 2)]
            count = np.array([cuts[kind][b] - cuts[kind][a] for kind, a, b in spans])
            if (count >= least).all():
                firsts.append([offsets[kind] + cuts[kind][a] for kind, a, _ in spans])
                counts.append(count)
                found += 1
        if not found:
            raise DatasetError(
                f"{rows.source}: room {name}: expected a midnight with {e.shots} known rows of "
                f"each class in the week before and {least[2]} of each, {least[4]} in all, in the "
                "week after, got none; ask for fewer or leave the room out"
            )
        of.append((len(firsts) - found, len(firsts)))
    return _Moments(
        np.array(of), np.concatenate(kinds), np.array(firsts), np.array(counts), len(kinds[2])
    )


def _check_span(what: str, span: int) -> None:
    """Raise `DatasetError` unless a room's rows span the two weeks of a device, in minutes."""
    if span < 2 * WEEK:
        raise DatasetError(
            f"{what}: expected rows of 14 days or more, a week to learn from and the week after to "
            f"be judged on, got {span / 1440:.1f}; measure longer or leave the room out"
        )


def presence_family(
    rows: PresenceRows,
    part: Part,
    seed: int,
    episodes: PresenceEpisodes,
    *,
    room: str = "",
    whole: bool = False,
    unseen: PresenceRows | None = None,
) -> Presence:
    """Return the population of `part`; the parts share no room.

    Args:
        rows: all rooms.
        part: "train", "validation" or "test".
        seed: seed of the population.
        episodes: what a device's problem looks like.
        room: the room that is the test part, the next one being validation; "" for the same split
            in every run.
        whole: all rooms belong to `part`, as those of a separate test file do.
        unseen: those of a separate test file. A room that shares a row with them is left out, so
            that no device learns from what it is tested on.

    Raises:
        DatasetError: too few rooms or rows, or no room of that name.
    """
    total = len(rows.rooms)
    ids = np.arange(total) if whole else _split(rows, part, room)
    note = ""
    if unseen is not None:
        shared = shared_rooms(rows, unseen)[ids]
        ids, out = ids[~shared], [rows.rooms[i] for i in ids[shared]]
        note = f"; left out, as the test file holds them: {', '.join(out) or 'none'}"
    if not len(ids):
        raise DatasetError(
            f"{rows.source}, {part} part: expected a room that the test file does not hold, got "
            "none; test on rooms that the training data lack"
        )
    names = ", ".join(rows.rooms[i] for i in ids)
    source = f"{rows.source}; {part} part, {len(ids)} of {total} rooms: {names}{note}"
    return Presence(only(rows, ids, source), part, seed, episodes)


def _split(rows: PresenceRows, part: Part, room: str) -> NDArray[np.int64]:
    """Return the rooms of `part`, ascending."""
    total = len(rows.rooms)
    if not room:
        return split_classes(total, part)
    if room not in rows.rooms:
        raise DatasetError(f"room: expected one of {', '.join(rows.rooms)}, got {room!r}")
    if total < 3:
        raise DatasetError(
            f"room: expected two rooms beside {room!r}, to train and to choose, got {total - 1}"
        )
    test = rows.rooms.index(room)
    validation = (test + 1) % total
    held = {"validation": [validation], "test": [test]}
    others = [i for i in range(total) if i not in (test, validation)]
    return np.array(held.get(part, others), np.int64)
