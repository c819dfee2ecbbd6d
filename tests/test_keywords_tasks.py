"""Keyword tasks: blocks, people and keywords kept apart, the same bytes for any grouping."""

import dataclasses
import os
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.mfcc import DEVIATION, MEAN
from tinyfleet.simulations.datasets.keywords import KeywordTakes, find_keywords
from tinyfleet.simulations.evaluation import Estimate, estimate
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.simulations.tasks.keywords import KeywordEpisodes, Keywords, keywords_family
from tinyfleet.simulations.tasks.noise import Room, WhiteNoise
from tinyfleet.simulations.tasks.split import PARTS, Part
from tinyfleet.task import TaskBatch

DEVICES = np.arange(60)


def made(speakers: int, keywords: int, takes: int, first: int = 0) -> KeywordTakes:
    """Takes that tell who they are: the first frame holds speaker, keyword and number."""
    speaker, keyword, take = np.indices((speakers, keywords, takes)).reshape(3, -1)
    features = np.zeros((speaker.size, 49, 10), np.float32)
    features[:, 0, 0], features[:, 0, 1], features[:, 0, 2] = speaker + first, keyword, take
    names = tuple(f"word {i}" for i in range(keywords))
    return KeywordTakes(features, keyword, speaker + first, names, "made takes")


def without(takes: KeywordTakes, left: NDArray[np.bool_]) -> KeywordTakes:
    return takes.of(left, takes.source)


def told(x: NDArray[np.float32]) -> tuple[NDArray[np.int64], ...]:
    """Speaker, keyword and number of takes, each of the shape of `x` without a take's own."""
    first = np.rint(x[..., 0, :3, 0] * DEVIATION[:3] + MEAN[:3]).astype(np.int64)
    return first[..., 0], first[..., 1], first[..., 2]


@pytest.fixture(scope="module")
def arabic(data_folder: Path) -> KeywordTakes:
    return find_keywords(None, {**os.environ, "TINYFLEET_DATA": str(data_folder)})


def test_every_block_holds_each_keyword_once_in_random_order() -> None:
    family: TaskFamily = Keywords(
        made(9, 8, 10), episodes=KeywordEpisodes(ways=4, shots=6, query_shots=4)
    )

    batch = family.batch(DEVICES, 1)

    assert batch.support_x.shape == (60, 24, 49, 10, 1)
    labels = batch.support_y.argmax(axis=-1).reshape(60, 6, 4)
    assert (np.sort(labels, axis=-1) == np.arange(4)).all()
    assert len(np.unique(labels.reshape(-1, 4), axis=0)) == 24  # every order
    query = batch.query_y.argmax(axis=-1).reshape(60, 4, 4)
    assert (np.sort(query, axis=-1) == np.arange(4)).all()


def test_a_device_is_one_speaker_and_hears_no_take_twice() -> None:
    family = Keywords(made(9, 8, 10), episodes=KeywordEpisodes(shots=6, query_shots=4))

    batch = family.batch(DEVICES, 1)

    speaker, keyword, take = told(np.concatenate([batch.support_x, batch.query_x], axis=1))
    np.testing.assert_array_equal(speaker, family.people(DEVICES).repeat(50, axis=1))
    assert len(np.unique(family.people(DEVICES))) == 9
    heard = np.sort(keyword * 10 + take, axis=1)
    assert (np.diff(heard, axis=1) > 0).all()


def test_a_label_means_the_same_keyword_throughout_a_device() -> None:
    family = Keywords(made(9, 8, 10), episodes=KeywordEpisodes(shots=6, query_shots=4))

    batch = family.batch(DEVICES, 1)

    classes = family.classes(DEVICES)
    for x, y in ((batch.support_x, batch.support_y), (batch.query_x, batch.query_y)):
        assert (y.sum(axis=-1) == 1.0).all()
        _, keyword, _ = told(x)
        meant = np.take_along_axis(classes, y.argmax(axis=-1), axis=1)
        np.testing.assert_array_equal(keyword, meant)


def test_a_household_has_as_many_people_as_asked_for_and_shots_for_all() -> None:
    episodes = KeywordEpisodes(ways=4, shots=16, query_shots=4, speakers=2)
    family = Keywords(made(9, 8, 10), episodes=episodes)

    batch = family.batch(DEVICES, 1)

    speaker, keyword, take = told(np.concatenate([batch.support_x, batch.query_x], axis=1))
    people = np.sort(family.people(DEVICES), axis=1)
    assert (people[:, 0] < people[:, 1]).all()
    heard = np.sort((speaker * 8 + keyword) * 10 + take, axis=1)
    assert (np.diff(heard, axis=1) > 0).all()  # all 20 takes of 4 keywords, each once
    for i in DEVICES:
        assert np.unique(speaker[i]).tolist() == people[i].tolist()


def test_across_people_nobody_is_in_support_and_query() -> None:
    episodes = KeywordEpisodes(shots=16, query_shots=16, across=True)
    family = Keywords(made(6, 8, 10), episodes=episodes)

    batch = family.batch(DEVICES, 1)

    one, other = told(batch.support_x)[0], told(batch.query_x)[0]
    for i in DEVICES:
        support, query = set(one[i].tolist()), set(other[i].tolist())
        assert len(support) == len(query) == 3
        assert not support & query


def test_across_people_who_said_little_are_halved_by_keyword() -> None:
    takes = made(12, 6, 3)
    takes = without(takes, np.random.default_rng(0).random(len(takes)) < 0.6)
    family = Keywords(takes, episodes=KeywordEpisodes(ways=3, shots=2, query_shots=2, across=True))

    batch = family.batch(DEVICES, 1)

    one, other = (told(x)[:2] for x in (batch.support_x, batch.query_x))
    for i in DEVICES:
        support = {*zip(*(part[i].tolist() for part in one), strict=True)}
        query = {*zip(*(part[i].tolist() for part in other), strict=True)}
        assert not support & query


def test_a_speaker_has_only_keywords_with_takes_enough() -> None:
    takes = made(8, 8, 6)
    few = (takes.keyword < 4) == (takes.speaker < 4)  # each says half of the words once
    takes = without(takes, ~few | (takes.features[:, 0, 2] == 0))
    family = Keywords(takes, episodes=KeywordEpisodes(ways=4, shots=3, query_shots=3))

    people, classes = family.people(DEVICES)[:, 0], family.classes(DEVICES)

    assert ((classes < 4) != (people[:, None] < 4)).all()
    speaker, keyword, _ = told(family.batch(DEVICES, 1).support_x)
    assert ((keyword < 4) != (speaker < 4)).all()


ROOMY = Room(shift=2, gain=3.0, noise=0.3)


@pytest.mark.parametrize(
    "episodes",
    [
        KeywordEpisodes(shots=4, query_shots=2),
        KeywordEpisodes(shots=4, query_shots=2, across=True),
        KeywordEpisodes(shots=3, min_shots=1, speakers=2, room=ROOMY, drift=WhiteNoise()),
    ],
    ids=["plain", "across", "roomy"],
)
def test_a_batch_is_the_same_bytes_however_devices_are_grouped(
    arabic: KeywordTakes, episodes: KeywordEpisodes
) -> None:
    family = keywords_family(arabic, "train", 7, episodes)
    order = np.array([21, 3, 4, 19])

    whole, part = family.batch(np.arange(22), 4), family.batch(order, 4)

    for field in dataclasses.fields(TaskBatch):
        some, every = getattr(part, field.name), getattr(whole, field.name)
        assert some.tobytes() == every[order].tobytes(), field.name


def test_a_new_round_brings_other_takes_of_the_same_keywords() -> None:
    family = Keywords(made(9, 8, 10), episodes=KeywordEpisodes(shots=5))

    one, two = (told(family.batch(DEVICES, number).support_x) for number in (1, 2))

    assert not np.array_equal(one[2], two[2])
    for same in (0, 1):
        np.testing.assert_array_equal(np.sort(one[same], axis=1), np.sort(two[same], axis=1))


def test_fewer_shots_are_the_same_for_every_round() -> None:
    family = Keywords(made(9, 8, 10), episodes=KeywordEpisodes(shots=6, min_shots=2))

    one, two = (family.batch(np.arange(500), number).counts for number in (1, 2))

    assert np.unique(one).tolist() == [10, 15, 20, 25, 30]
    np.testing.assert_array_equal(one, two)


def test_parts_share_neither_keywords_nor_speakers(arabic: KeywordTakes) -> None:
    parts = [keywords_family(arabic, part, 0, KeywordEpisodes(ways=5)).takes for part in PARTS]

    for one, other in combinations(parts, 2):
        assert not np.intersect1d(one.keyword, other.keyword).size
        assert not np.intersect1d(one.speaker, other.speaker).size
    sizes = [(len(np.unique(p.keyword)), len(np.unique(p.speaker))) for p in parts]
    assert sizes == [(18, 18), (6, 6), (6, 6)]


def test_a_device_hears_all_in_its_own_room(arabic: KeywordTakes) -> None:
    plain, roomy, drifted = (
        keywords_family(arabic, "test", 0, KeywordEpisodes(shots=2, room=room, drift=drift))
        for room, drift in ((Room(), None), (ROOMY, None), (Room(), WhiteNoise()))
    )

    x, y, z = (family.batch(np.arange(4), 1).support_x for family in (plain, roomy, drifted))

    moved = np.abs(y - x).mean(axis=(1, 2, 3, 4))
    assert (moved > 0.02).all()
    assert len(np.unique(np.round(moved, 4))) == 4
    assert (z - x)[..., 0, 0].mean() > 0.3  # noise fills the pauses
    assert len({f.fingerprint for f in (plain, roomy, drifted)}) == 3


def test_who_is_in_the_test_file_is_not_in_training(arabic: KeywordTakes) -> None:
    words, people = np.unique(arabic.keyword)[:3], np.unique(arabic.speaker)[:2]
    some = np.isin(arabic.keyword, words) & np.isin(arabic.speaker, people)
    test_file = arabic.of(some, "a test file")

    train = keywords_family(arabic, "train", 0, KeywordEpisodes(), unseen=test_file)

    assert not np.isin(train.takes.keyword, words).any()
    assert not np.isin(train.takes.speaker, people).any()
    lost = [18 - len(np.unique(one)) for one in (train.takes.keyword, train.takes.speaker)]
    assert 0 < lost[0] + lost[1] < 5  # the others were of other parts
    assert f"{lost[0]} keywords and {lost[1]} speakers of this part left out" in train.provenance
    other = keywords_family(arabic, "train", 0, KeywordEpisodes(), unseen=made(9, 8, 10))
    assert "none left out" in other.provenance
    with pytest.raises(DatasetError, match="test on recordings that the training data lack"):
        keywords_family(arabic, "train", 0, KeywordEpisodes(), unseen=arabic)


@pytest.mark.parametrize("part", PARTS)
def test_devices_of_another_part_or_seed_draw_otherwise(part: Part) -> None:
    takes = made(9, 8, 10)
    other: Part = "train" if part != "train" else "test"

    one = Keywords(takes, part, 0).batch(DEVICES, 1).support_x
    two = Keywords(takes, other, 0).batch(DEVICES, 1).support_x
    three = Keywords(takes, part, 1).batch(DEVICES, 1).support_x

    assert not np.array_equal(one, two)
    assert not np.array_equal(one, three)


@pytest.mark.parametrize(
    ("episodes", "message"),
    [
        ({"ways": 9}, "keywords.ways: expected at most 8, the keywords of made takes"),
        ({"speakers": 10}, "keywords.speakers: expected at most 9"),
        ({"shots": 9, "query_shots": 2}, "keywords.support: expected .* at most 10 .*.*got 9 . 2"),
        (
            {"shots": 41, "query_shots": 1, "across": True},
            "keywords.support: expected at most 40 takes of each of 5 .*got 41",
        ),
        ({"ways": 1}, "keywords.ways: expected at least 2, got 1"),
        ({"min_shots": 6}, "keywords.min_shots: expected 1..5, the shots, got 6"),
        ({"speakers": 0}, "keywords.speakers: expected at least 1, got 0"),
    ],
    ids=["ways", "speakers", "shots", "across", "one", "fewest", "nobody"],
)
def test_what_cannot_be_drawn_is_refused_at_once(episodes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Keywords(made(9, 8, 10), episodes=KeywordEpisodes(**episodes))


def nearest_class_mean(family: Keywords, tasks: int) -> Estimate:
    """Accuracy of the nearest mean of the support, in percent."""
    batch = family.batch(np.arange(tasks), 1)
    support, query = (x.reshape(*x.shape[:2], -1) for x in (batch.support_x, batch.query_x))
    means = np.einsum("nsw,nsf->nwf", batch.support_y, support) / family.episodes.shots
    distance = ((query[:, :, None] - means[:, None]) ** 2).sum(axis=-1)
    right = distance.argmin(axis=-1) == batch.query_y.argmax(axis=-1)
    return estimate(100.0 * right.mean(axis=1))


@pytest.mark.parametrize(
    ("across", "shots", "low", "high"),
    [
        (False, 1, 80.0, 90.0),
        (False, 5, 91.6, 97.0),
        (True, 1, 47.0, 57.0),
        (True, 5, 68.3, 76.0),
    ],
    ids=["own-1", "own-5", "across-1", "across-5"],
)
def test_nearest_class_mean_of_unseen_keywords_and_speakers_is_above_its_reference(
    arabic: KeywordTakes, across: bool, shots: int, low: float, high: float
) -> None:
    episodes = KeywordEpisodes(ways=5, shots=shots, query_shots=5, across=across)

    found = nearest_class_mean(keywords_family(arabic, "test", 0, episodes), 300)

    assert low < found.mean - found.ci95
    assert found.mean + found.ci95 < high
