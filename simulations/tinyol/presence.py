"""Devices that tell whether somebody is in a room; their drift is a room that no model knows."""

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.networks import named_network
from tinyfleet.simulations.datasets.presence import PresenceRows, only
from tinyfleet.simulations.tasks.presence import CLASSES, Presence, PresenceEpisodes
from tinyfleet.simulations.tasks.split import Part
from tinyfleet.simulations.tinyol.problems import Problems, Samples, query_of, support_of

Numbers = NDArray[np.int64]

MET, HELD = 32, 64
"""Rows of each class that a device meets in one week, and that it is judged on in the next."""

WEEKS = 16
"""Weeks of the other rooms that a model knows."""

TRIES = 64
"""Draws of a week of one room, until it is apart from another."""

TUNED_ON = 3
"""Every third room is one that settings are chosen on."""


def presence_problems(rows: PresenceRows, part: Part, seed: int, devices: int) -> Problems:
    """Return devices in rooms that their models do not know; an interval is over rooms.

    Settings are chosen on every third room, and tested in the others; a model knows all rooms but
    its device's. As many rows have somebody as nobody, so that accuracy is balanced.
    """
    rooms = [i for i in range(len(rows.rooms)) if (i % TUNED_ON == 0) == (part == "validation")]
    each = -(-devices // len(rooms))
    found = [_of_room(rows, room, seed, each) for room in rooms]
    joined = (
        Samples(np.concatenate([s.x for s in some]), np.concatenate([s.y for s in some]))
        for some in zip(*found, strict=True)
    )
    known, met, held, met_calm, held_calm = joined
    network = named_network("presence")
    return Problems(
        network=network,
        known=known,
        met=met,
        held=held,
        met_calm=met_calm,
        held_calm=held_calm,
        unknown=np.empty((len(known.y), 0, network.inputs), np.float32),
        group=np.repeat(np.array(rooms), each),
        source=f"{rows.source}; rooms {', '.join(rows.rooms[i] for i in rooms)}",
    )


def _of_room(rows: PresenceRows, room: int, seed: int, devices: int) -> tuple[Samples, ...]:
    """Return what devices in `room` know, meet and are judged on; the last two, elsewhere too."""
    episodes = PresenceEpisodes(MET, HELD)
    others = np.setdiff1d(np.arange(len(rows.rooms)), [room])
    here = Presence(only(rows, np.array([room]), rows.source), "test", seed, episodes)
    elsewhere = Presence(only(rows, others, rows.source), "train", seed, episodes)
    calm, earlier = weeks_apart(elsewhere, devices)
    there = elsewhere.batch(calm, 0)
    weeks = support_of(elsewhere.batch(earlier.ravel(), 0))
    known = Samples(weeks.x.reshape(devices, -1, weeks.x.shape[2]), weeks.y.reshape(devices, -1, 1))
    now = here.batch(np.arange(devices), 0)
    return known, support_of(now), query_of(now), support_of(there), query_of(there)


def weeks_apart(elsewhere: Presence, devices: int) -> tuple[Numbers, Numbers]:
    """Return which of `elsewhere` each device's calm weeks are, and the weeks that its model knows.

    A model knows weeks of the calm room, too, but only such as end before the calm ones begin.
    Where a first draw does not, the next one of the same room is taken.

    Returns:
        Numbers `(devices,)` and `(devices, WEEKS)`.

    Raises:
        DatasetError: a room is too short for weeks apart.
    """
    calm = np.arange(devices)
    known = devices + np.arange(WEEKS * devices).reshape(devices, WEEKS)
    names = elsewhere.rows.rooms
    tries = len(names) * (WEEKS + 1) * devices * np.arange(TRIES)  # of the same room
    for i in range(devices):
        room = calm[i] % len(names)
        slots = np.flatnonzero(known[i] % len(names) == room)
        drawn = calm[i] + tries
        begins = elsewhere.chosen(drawn, 0)[:, : CLASSES * MET].min(axis=1)
        weeks = known[i, slots, None] + tries
        support = elsewhere.chosen(weeks.ravel(), 0)[:, : CLASSES * MET]
        ends = support.max(axis=1).reshape(weeks.shape)
        late = begins > ends.min(axis=1).max(initial=-1)
        if not late.any():
            raise DatasetError(
                f"{elsewhere.rows.source}: room {names[room]}: expected a week to know and, later, "
                f"two to be judged on, got none among {TRIES} draws; measure longer"
            )
        first = late.argmax()
        calm[i] = drawn[first]
        known[i, slots] = weeks[np.arange(len(slots)), (ends < begins[first]).argmax(axis=1)]
    return calm, known
