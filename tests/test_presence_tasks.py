"""A device's room, its samples and its query never meet those of a device it is judged against."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rooms import made_rooms

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.presence import PresenceRows
from tinyfleet.simulations.tasks.presence import Presence, PresenceEpisodes, presence_family
from tinyfleet.simulations.tasks.split import PARTS

EPISODES = PresenceEpisodes(shots=8, query_rows=64)
DEVICES = np.arange(40)


@pytest.fixture
def rows(tmp_path: Path) -> PresenceRows:
    return made_rooms(tmp_path)


def rooms_of(family: Presence) -> set[str]:
    return set(family.rows.rooms)


@pytest.mark.parametrize("room", ["", "room_2", "room_5"])
def test_every_room_is_of_one_part(rows: PresenceRows, room: str) -> None:
    parts = [rooms_of(presence_family(rows, part, 1, EPISODES, room=room)) for part in PARTS]

    assert sum(map(len, parts)) == len(set.union(*parts)) == 6
    assert not room or parts[2] == {room}


def test_a_query_lies_on_later_days_than_its_support(rows: PresenceRows) -> None:
    family = presence_family(rows, "train", 1, EPISODES)

    chosen = family.chosen(DEVICES, 3)

    minute, room = family.rows.minute[chosen], family.rows.room[chosen]
    support, query = minute[:, :16], minute[:, 16:]
    assert (support.max(axis=1) // 1440 < query.min(axis=1) // 1440).all()
    assert (query.max(axis=1) - support.min(axis=1) < 14 * 1440).all()
    assert (room == room[:, :1]).all()


def test_no_row_is_drawn_twice(rows: PresenceRows) -> None:
    episodes = PresenceEpisodes(shots=16, query_shots=4)

    chosen = presence_family(rows, "train", 1, episodes).chosen(DEVICES, 1)

    assert all(len(set(mine)) == 2 * 16 + 2 * 4 for mine in chosen.tolist())


def test_the_first_rows_are_the_problem_of_fewer_shots(rows: PresenceRows) -> None:
    episodes = PresenceEpisodes(shots=8, query_shots=4)

    batch = presence_family(rows, "train", 1, episodes).batch(DEVICES, 1)

    blocks = batch.support_y.reshape(len(DEVICES), 8, 2)
    assert (blocks.sum(axis=2) == 1).all()
    assert (batch.query_y.reshape(len(DEVICES), 4, 2).sum(axis=2) == 1).all()
    assert 0.3 < blocks[:, :, 0].mean() < 0.7  # either class comes first


def test_a_device_is_the_same_alone_and_among_others(rows: PresenceRows) -> None:
    family = presence_family(rows, "train", 1, PresenceEpisodes(noise=0.3, query_rows=8))

    every, one = family.batch(DEVICES, 2), family.batch(np.array([17]), 2)

    assert np.array_equal(every.support_x[17], one.support_x[0])
    assert np.array_equal(every.query_x[17], one.query_x[0])


def test_rounds_bring_other_rows_of_the_same_room(rows: PresenceRows) -> None:
    family = presence_family(rows, "train", 1, EPISODES)

    first, second = family.chosen(DEVICES, 1), family.chosen(DEVICES, 2)

    assert not np.array_equal(first, second)
    assert np.array_equal(family.rows.room[first[:, 0]], family.rows.room[second[:, 0]])


def test_query_rows_come_as_they_are(rows: PresenceRows) -> None:
    batch = presence_family(rows, "train", 1, EPISODES).batch(np.arange(200), 0)

    assert batch.query_y.mean() == pytest.approx(rows.present.mean(), abs=0.03)


def test_a_clock_has_no_noise(rows: PresenceRows) -> None:
    clean = presence_family(rows, "train", 1, PresenceEpisodes()).batch(DEVICES, 1)
    noisy = presence_family(rows, "train", 1, PresenceEpisodes(noise=0.5)).batch(DEVICES, 1)

    assert np.array_equal(clean.support_x[:, :, 5:], noisy.support_x[:, :, 5:])
    assert (clean.support_x[:, :, :5] != noisy.support_x[:, :, :5]).mean() > 0.9


def test_devices_with_less_have_whole_shots(rows: PresenceRows) -> None:
    family = presence_family(rows, "train", 1, PresenceEpisodes(shots=8, min_shots=3))

    counts = family.batch(np.arange(200), 1).counts

    assert set(counts.tolist()) == set(range(6, 17, 2))


def test_the_week_before_holds_the_support_and_nothing_later(rows: PresenceRows) -> None:
    family = presence_family(rows, "test", 1, EPISODES)
    batch = family.batch(DEVICES, 0)

    for device, (x, present) in enumerate(family.weeks_before(DEVICES)):
        known = {row.tobytes() for row in x}
        assert len(x) == len(present) <= 7 * 288
        assert all(row.tobytes() in known for row in batch.support_x[device])
        assert not any(row.tobytes() in known for row in batch.query_x[device])


def test_a_room_of_the_test_file_is_left_out(rows: PresenceRows, tmp_path: Path) -> None:
    copy = made_rooms(tmp_path, rooms=3)
    families = {}
    for part in ("train", "validation"):
        families[part] = presence_family(
            rows, part, 1, EPISODES, room="room_4", unseen=rows_of(rows, copy)
        )

    assert rooms_of(families["train"]) == {"room_1", "room_2", "room_3"}
    assert "left out, as the test file holds them: room_0" in families["train"].provenance


def rows_of(rows: PresenceRows, other: PresenceRows) -> PresenceRows:
    """Return other rooms, with the first of `rows` for their first."""
    measured = other.measured.copy()
    measured[other.of(0)] = rows.measured[rows.of(0)]
    measured[other.of(1).start :, 0] += 0.5
    return PresenceRows(
        other.rooms, other.room, other.minute, measured, other.present, "another file"
    )


def test_a_file_that_is_tested_is_tested_whole(rows: PresenceRows) -> None:
    family = presence_family(rows, "test", 1, EPISODES, whole=True)

    assert len(rooms_of(family)) == 6


def test_no_room_is_left_when_the_test_file_holds_all(rows: PresenceRows) -> None:
    with pytest.raises(DatasetError, match="train part: expected a room"):
        presence_family(rows, "train", 1, EPISODES, unseen=rows)


def test_an_unknown_room_names_those_there_are(rows: PresenceRows) -> None:
    with pytest.raises(DatasetError, match="one of room_0, room_1"):
        presence_family(rows, "test", 1, EPISODES, room="attic")


def test_more_shots_than_a_week_has_are_refused_by_room(rows: PresenceRows) -> None:
    with pytest.raises(DatasetError, match="room room_1: expected a midnight with 900 known rows"):
        presence_family(rows, "train", 1, PresenceEpisodes(shots=900), room="room_5")


def test_rooms_of_less_than_two_weeks_are_refused_by_name(rows: PresenceRows) -> None:
    first = rows.minute[0]

    def of_days(days: int) -> PresenceRows:
        kept = rows.minute < first + days * 1440
        names = ("room", "minute", "measured", "present")
        return replace(rows, **{name: getattr(rows, name)[kept] for name in names})

    presence_family(of_days(14), "test", 1, PresenceEpisodes(shots=1), whole=True)
    with pytest.raises(DatasetError, match=r"room room_0: expected rows of 14 days .* got 2\.0; "):
        presence_family(of_days(2), "test", 1, PresenceEpisodes(shots=1), whole=True)


def test_fingerprints_tell_populations_apart(rows: PresenceRows) -> None:
    families = [
        presence_family(rows, "train", 1, EPISODES),
        presence_family(rows, "test", 1, EPISODES),
        presence_family(rows, "train", 2, EPISODES),
        presence_family(rows, "train", 1, PresenceEpisodes(light=True)),
        presence_family(rows, "train", 1, EPISODES, room="room_3"),
    ]

    assert len({family.fingerprint for family in families}) == len(families)
