"""Devices that drift meet nothing that they are judged on, and TinyOL helps them."""

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from needed import go_without

from tinyfleet.messages import Floats, Training
from tinyfleet.simulations.datasets.keywords import find_keywords
from tinyfleet.simulations.datasets.presence import find_presence, only
from tinyfleet.simulations.tasks.drift import Drift
from tinyfleet.simulations.tasks.noise import WhiteNoise
from tinyfleet.simulations.tasks.presence import Presence, PresenceEpisodes
from tinyfleet.simulations.tasks.presence_features import features
from tinyfleet.simulations.tasks.split import Part
from tinyfleet.simulations.tinyol.drift_watch import DriftWatch
from tinyfleet.simulations.tinyol.keywords import keywords_problems
from tinyfleet.simulations.tinyol.presence import HELD, MET, presence_problems, weeks_apart
from tinyfleet.simulations.tinyol.problems import Problems
from tinyfleet.simulations.tinyol.settings import RECIPES, problems
from tinyfleet.simulations.tinyol.sine import adapt
from tinyfleet.simulations.tinyol.trial import Trial, judged
from tinyfleet.simulations.tinyol.watching import losses, noticed


@pytest.fixture(scope="module")
def real_data() -> None:
    named = os.environ.get("TINYFLEET_DATA")
    if not named or not os.path.isdir(named):
        go_without(f"real data: TINYFLEET_DATA names no folder (got {named!r})")


def rows(x: Floats) -> Iterator[set[bytes]]:
    """Yield the different samples of each device."""
    for device in x:
        yield {sample.tobytes() for sample in device}


def check_apart(found: Problems) -> None:
    """Check that what is known, met and held out are different samples of each device."""
    parts = (found.known.x, found.met_calm.x, found.held_calm.x)
    for known, met, held in zip(*map(rows, parts), strict=True):
        assert not known & met
        assert not (known | met) & held


@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize("app", ["characters", "keywords", "presence"])
def test_nothing_that_is_judged_was_known_or_met(app: str) -> None:
    found = problems(app, "validation", 1, 4, os.environ)

    check_apart(found)
    for met, held in zip(rows(found.met.x), rows(found.held.x), strict=True):
        assert not met & held


@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize("app", ["characters", "keywords", "presence"])
def test_the_same_seed_gives_the_same_problems(app: str) -> None:
    one, again = (problems(app, "validation", 3, 3, os.environ) for _ in range(2))
    other = problems(app, "validation", 4, 3, os.environ)

    assert one.met.x.tobytes() == again.met.x.tobytes()
    assert one.known.x.tobytes() == again.known.x.tobytes()
    assert one.met.x.tobytes() != other.met.x.tobytes()


@pytest.mark.usefixtures("real_data")
def test_keywords_are_tuned_and_tested_on_different_speakers() -> None:
    takes = find_keywords(None, os.environ)
    parts: tuple[Part, Part] = ("validation", "test")
    tuned, tested = (keywords_problems(takes, p, 1, 12, WhiteNoise()).group for p in parts)

    assert not set(tuned.tolist()) & set(tested.tolist())
    assert len(set(tested.tolist())) > 6


@pytest.mark.usefixtures("real_data")
def test_a_presence_model_does_not_know_its_device_s_room() -> None:
    found = find_presence(None, os.environ)
    measured, _ = features(found)

    posed = presence_problems(found, "test", 1, 4)

    for device, room in enumerate(posed.group.tolist()):
        here = {row.tobytes() for row in measured[found.of(room)]}
        known, met = (next(rows(x[device : device + 1])) for x in (posed.known.x, posed.met.x))
        assert met <= here
        assert not known & here


@pytest.mark.usefixtures("real_data")
def test_a_presence_model_knows_its_calm_room_by_earlier_weeks() -> None:
    found, devices = find_presence(None, os.environ), 16
    elsewhere = Presence(only(found, np.arange(5), "five"), "train", 1, PresenceEpisodes(MET, HELD))

    calm, earlier = weeks_apart(elsewhere, devices)

    judged_on = elsewhere.chosen(calm, 0)
    for rows_there, weeks in zip(judged_on, earlier, strict=True):
        known = elsewhere.chosen(weeks, 0)[:, : 2 * MET]
        same = elsewhere.rows.room[known[:, 0]] == elsewhere.rows.room[rows_there[0]]
        assert 3 <= same.sum() <= 4  # of 16 weeks in five rooms
        assert known[same].max() < rows_there.min()


@pytest.mark.usefixtures("real_data")
def test_tinyol_gains_under_the_stated_drift_and_never_starts_at_chance() -> None:
    posed = problems("characters", "validation", 1, 32, os.environ)
    found = judged(Trial(posed, replace(RECIPES["characters"], times=4), 1))
    scores = {name: one["mean"] for name, one in found["scores"].items()}

    assert scores["before"] > scores["static"] + 5
    assert scores["warm gain"] > 8
    assert scores["warm first"] == pytest.approx(scores["static"], abs=1.0)
    assert scores["warm first"] > 40
    assert scores["fresh first"] < 35
    assert scores["warm prequential"] > scores["fresh prequential"] + 5
    assert found["parameters"] <= 108_229


@pytest.mark.usefixtures("real_data")
def test_drift_turns_every_camera_its_own_way() -> None:
    posed = problems("characters", "validation", 1, 3, os.environ)

    assert (posed.met.x != posed.met_calm.x).any(axis=(1, 2)).all()
    assert posed.met.y.tobytes() == posed.met_calm.y.tobytes()
    assert Drift() == Drift(10.0, 0.1, 0.1)


def test_a_head_learns_the_sine_that_it_meets() -> None:
    found = adapt(devices=4, samples=600, passes=60, marks=(0, 600), seed=1)

    assert found.fit.max() < 0.5
    assert 0.7 < found.errors[0].mean() < 1.3
    assert found.errors[600].mean() < found.errors[0].mean() / 2


def test_a_watch_notices_losses_that_stay_high_and_no_single_one() -> None:
    draw = np.random.default_rng(0)
    calm = draw.exponential(0.3, 500).tolist()
    watch = DriftWatch(tolerance=0.25, threshold=8.0)
    for loss in (*calm, 1e9, float("inf"), *calm):
        watch = watch.seen(loss)
        assert not watch.drifted

    alarms = 0
    for loss in [2.0] * 20:
        watch = watch.seen(loss)
        alarms += watch.drifted
    assert alarms == 1


def test_delays_and_false_alarms_are_counted() -> None:
    quiet, loud = [0.0] * 10, [3.0] * 10
    losses = np.array([quiet + loud, quiet + quiet, loud + quiet], np.float32)

    found = noticed(losses, DriftWatch(tolerance=0.0, threshold=4.0))

    assert found.found.tolist() == [True, False, False]
    assert found.delay.tolist() == [2, 10, 10]
    assert found.false_alarms.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.usefixtures("real_data")
def test_watched_streams_are_as_long_for_all_and_differ_in_their_drift_alone() -> None:
    posed = problems("characters", "validation", 1, 4, os.environ)
    trial = Trial(posed, replace(RECIPES["characters"], training=Training(0.003, 1, 10, "adam")), 1)
    samples = posed.met.y.shape[1] + posed.held.y.shape[1]
    half = samples // 2

    drifted, calm = losses(trial, drifts=True), losses(trial, drifts=False)

    for one, other in ((drifted.stays, calm.stays), (drifted.learns, calm.learns)):
        assert one.shape == other.shape == (4, samples)
        assert one[:, :half].tobytes() == other[:, :half].tobytes()
        assert (one[:, half:] != other[:, half:]).any(axis=1).all()
    for device in calm.stays:
        assert len(set(device.tolist())) == samples  # no sample comes twice
