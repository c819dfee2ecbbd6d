"""Baselines: each is judged as the study is, and does what its name says."""

from dataclasses import replace
from functools import cache

import torch

from tinyfleet.messages import Floats
from tinyfleet.simulations import baselines
from tinyfleet.simulations.assemble import Machine, Setup, assemble
from tinyfleet.simulations.baselines import ByShots
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.pretraining import Pretraining, body_of, pretrained

SMALL = {"tasks": 24, "validation_tasks": 8, "shots": (0, 1, 4), "passes": (4,), "devices": 40}
BRIEF = Pretraining(epochs=2, devices=40)


@cache
def sine() -> Setup:
    return assemble(complete({"app": "sine", "support": 16, **SMALL}, "test"), Machine(1))


@cache
def characters() -> Setup:
    study = complete({"app": "characters", "support": 4, **SMALL}, "test")
    return assemble(study, Machine(1))


@cache
def learned(which: str) -> Floats:
    return pretrained({"sine": sine, "characters": characters}[which](), BRIEF)


def score(found: ByShots, shots: int) -> float:
    return found[shots].mean


def test_a_baseline_reports_every_shot_of_the_study() -> None:
    found = baselines.cold_start(sine())
    assert list(found) == [0, 1, 4]
    assert all(one.tasks == 24 and one.ci95 > 0 for one in found.values())


def test_a_cold_start_without_a_shot_is_the_random_network() -> None:
    setup = sine()
    expected = setup.test.estimate(setup.network.init(setup.study.seed), 0, 1)
    assert baselines.cold_start(setup)[0] == expected


def test_a_device_alone_starts_from_weights_of_its_own() -> None:
    alone, cold = baselines.local_only(sine(), ()), baselines.cold_start(sine())
    assert alone[0] != cold[0]
    assert score(alone, 4) < score(alone, 0)


def test_conventional_training_lowers_the_loss_before_any_shot() -> None:
    setup = sine()
    starts = setup.network.init(setup.study.seed), learned("sine")
    before, after = (setup.validation.estimate(start, 0, 1).mean for start in starts)
    assert after < before


def test_a_transferred_classifier_gets_the_random_head_of_the_network() -> None:
    setup = characters()
    head = setup.network.parts["dense-1"].slice
    fresh = setup.network.init(setup.study.seed)
    assert learned("characters")[head].tobytes() == fresh[head].tobytes()
    assert (learned("characters")[: head.start] != fresh[: head.start]).any()


def test_transfer_is_fine_tuned_from_what_was_trained_before() -> None:
    found = baselines.fine_tuned(sine(), pretrained(sine(), BRIEF))
    assert found[0] == sine().test.estimate(learned("sine"), 0, 1)


def test_the_last_layer_alone_moves() -> None:
    setup = characters()
    found = baselines.last_layer_only(setup, learned("characters"))
    kept = tuple(setup.network.parts)[:-1]
    tuned = [
        replace(setup.test, frozen=kept, training=replace(setup.test.training, rate=rate)).estimate(
            learned("characters"), 4, passes
        )
        for rate in {*baselines.RATES, setup.study.training.rate, *setup.study.rates}
        for passes in (1, 4)
    ]
    assert found[4] in tuned


def test_neighbours_need_a_shot_and_know_what_they_have_seen() -> None:
    setup = characters()
    found = baselines.nearest_neighbours(setup, learned("characters"))
    assert list(found) == [1, 4]
    assert score(found, 4) > 100 / setup.study.ways + found[4].ci95


def test_the_body_is_all_but_the_last_layer() -> None:
    network = characters().network
    body = body_of(network)
    assert body.parameters + 5 * (body.outputs + 1) == network.parameters


def test_conventional_training_has_the_same_bytes_on_any_number_of_cores() -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(pretrained(characters(), BRIEF).tobytes())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_the_same_seed_gives_the_same_baseline() -> None:
    first, second = (pretrained(sine(), BRIEF) for _ in range(2))
    assert first.tobytes() == second.tobytes()
