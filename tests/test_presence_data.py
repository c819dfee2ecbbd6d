"""Rooms are read whole or refused by name, and what a device knows is only ever its past."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rooms import made_rooms, room_arrays, write_rooms

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.presence import find_presence, load_presence
from tinyfleet.simulations.tasks.presence_features import FEATURES, features

Arrays = dict[str, NDArray[Any]]


def test_the_pack_of_the_data_folder_has_six_rooms(data_folder: Path) -> None:
    rows = find_presence(None, {"TINYFLEET_DATA": str(data_folder)})

    assert (len(rows.rooms), len(rows.room)) == (6, 40_609)
    assert 0.2 < rows.present.mean() < 0.3


def test_rows_in_any_order_are_the_same_rooms(tmp_path: Path) -> None:
    arrays = room_arrays()
    order = np.random.default_rng(0).permutation(len(arrays["room"]))
    mixed = {k: v if k == "room_names" else v[order] for k, v in arrays.items()}

    rows = load_presence(write_rooms(tmp_path / "mixed.npz", mixed))

    assert rows.fingerprint == made_rooms(tmp_path).fingerprint


def test_a_name_without_rows_is_no_room(tmp_path: Path) -> None:
    arrays = room_arrays()
    kept = np.isin(arrays["room"], [1, 4])
    less = {k: v if k == "room_names" else v[kept] for k, v in arrays.items()}

    rows = load_presence(write_rooms(tmp_path / "two.npz", less))

    assert rows.rooms == ("room_1", "room_4")
    assert np.unique(rows.room).tolist() == [0, 1]


def damaged(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Arrays:
    arrays = room_arrays()
    return {**arrays, name: change(arrays[name])}


def with_first(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda values: np.concatenate([[np.float32(value)], values[1:]])


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("co2", with_first(np.nan), "finite co2"),
        ("light", with_first(np.inf), "light: expected 0 to 200000, or nan for unknown"),
        ("co2", lambda v: -v, "co2: expected 0 to 100000"),
        ("presence", lambda v: v + 1, "presence: expected whole numbers of 0 to 1, got 1 to 2"),
        ("presence", lambda v: v.astype(float), "whole numbers of 0 to 1, got float64"),
        ("room", lambda v: v + 1, "room: expected whole numbers of 0 to 5"),
        ("humidity", lambda v: v[1:], "humidity: expected shape"),
        ("temperature", lambda v: v.astype(str), "temperature: expected numbers"),
        ("minute_local", np.zeros_like, "each room's times once"),
        ("minute_local", lambda v: v + np.arange(len(v)) % 2, "multiples of 5"),
        ("minute_local", lambda v: 10**7 * np.arange(len(v)), "minutes, not seconds"),
    ],
)
def test_other_values_are_refused_by_name(
    tmp_path: Path, name: str, change: Callable[[NDArray[Any]], NDArray[Any]], told: str
) -> None:
    path = write_rooms(tmp_path / "bad.npz", damaged(name, change))

    with pytest.raises(DatasetError, match=told) as caught:
        load_presence(path)

    assert "\n" not in str(caught.value)


def test_a_pack_without_an_array_names_it(tmp_path: Path) -> None:
    arrays = room_arrays()
    del arrays["humidity"]

    with pytest.raises(DatasetError, match="rooms with `humidity`"):
        load_presence(write_rooms(tmp_path / "less.npz", arrays))


def test_where_nothing_is_found_it_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--data"):
        find_presence(None, {"TINYFLEET_DATA": str(tmp_path)})


@pytest.mark.parametrize("light", [False, True])
def test_no_feature_knows_the_future(tmp_path: Path, light: bool) -> None:
    rows = made_rooms(tmp_path, rooms=1)
    now = 3000
    later = rows.measured.copy()
    later[now + 1 :] = later[now + 1 :] * 3.0 + 7.0

    before, known = features(rows, light=light)
    after, still = features(dataclasses.replace(rows, measured=later), light=light)

    assert np.array_equal(before[: now + 1], after[: now + 1])
    assert np.array_equal(known[: now + 1], still[: now + 1])
    assert not np.array_equal(before[now + 1 :], after[now + 1 :])


def test_a_room_tells_nothing_about_another(tmp_path: Path) -> None:
    rows = made_rooms(tmp_path)
    second, measured = rows.of(1), rows.measured.copy()
    measured[rows.of(0)] *= 2.0

    before, _ = features(rows)
    after, _ = features(dataclasses.replace(rows, measured=measured))

    assert np.array_equal(before[second], after[second])


def test_features_of_one_row_are_those_computed_by_hand(tmp_path: Path) -> None:
    rows = made_rooms(tmp_path, rooms=1)
    now = 1000
    co2, warm, damp = (rows.measured[:, i] for i in range(3))
    day = slice(now - 287, now + 1)
    angle = 2 * np.pi * (rows.minute[now] % 1440) / 1440

    x, _ = features(rows)

    expected = [
        (np.log1p(co2[now] - co2[day].min()) - 3.5) / 1.5,
        (co2[now] - co2[now - 3]) / 30,
        (co2[now] - co2[now - 12]) / 80,
        (warm[now] - warm[day].mean()) / warm[day].std(),
        (damp[now] - damp[now - 12]) / 2,
        np.sin(angle),
        np.cos(angle),
        float((rows.minute[now] // 1440 + 3) % 7 >= 5),
    ]
    assert x.shape[1] == len(expected) == len(FEATURES)
    assert x[now] == pytest.approx(np.clip(expected, -4, 4), abs=1e-4)


def test_what_follows_a_gap_is_not_known(tmp_path: Path) -> None:
    arrays = room_arrays(rooms=1)
    kept = np.ones(len(arrays["room"]), np.bool_)
    kept[2000:2006] = False  # half an hour is missing
    less = {k: v if k == "room_names" else v[kept] for k, v in arrays.items()}

    x, known = features(load_presence(write_rooms(tmp_path / "gap.npz", less)))

    assert not known[:143].any()  # half a day must be there first
    assert known[143:2000].all()
    assert not known[2000:2003].any()  # nothing was there a quarter of an hour earlier
    assert not known[2006:2012].any()  # nor an hour earlier
    assert known[2012:].all()
    assert (x[~known] == 0).all()


def test_a_light_that_is_not_there_counts_as_dark(tmp_path: Path) -> None:
    rows = made_rooms(tmp_path)
    dark = rows.measured.copy()
    dark[:, 3] = np.nan_to_num(dark[:, 3], nan=0.0)

    x, _ = features(rows, light=True)
    told, _ = features(dataclasses.replace(rows, measured=dark), light=True)

    assert np.isfinite(x).all()
    assert np.array_equal(x, told)
