"""A trial trains as a study does, and keeps on devices exactly what did not travel."""

from dataclasses import fields, replace

import numpy as np
import pytest

from tinyfleet import Assignment, Training, named_network
from tinyfleet.exchange import Exchange
from tinyfleet.server.algorithms import ALGORITHMS, Knobs, build
from tinyfleet.server.app import run
from tinyfleet.server.grid import FleetGrid
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.reproduce.encodings import FLEETS, Size, Way, trial_of
from tinyfleet.simulations.tasks.sine import tecs2024
from tinyfleet.simulations.trial import Trial, left_behind, train

SINE = named_network("sine")


def test_what_is_left_behind_and_what_arrived_make_what_was_meant() -> None:
    asked = Assignment(
        1,
        SINE.init(1),
        Training(rate=0.01),
        local=("dense-3",),
        share=0.2,
        encoding="int8",
        encoding_down="float16",
    )
    exchange = Exchange.of(SINE, asked)
    generator = np.random.default_rng(2)
    meant = asked.weights + generator.normal(0, 0.1, SINE.parameters).astype(np.float32)

    update = exchange.update(0, meant, 0.5, 1)
    missing = left_behind(exchange, meant, update)

    assert update.indices is not None
    arrived = exchange.arrived.weights.copy()
    arrived[update.indices] += update.values - asked.weights[update.indices]
    shared = slice(0, SINE.parts["dense-3"].start)
    assert np.allclose(arrived[shared] + missing[shared], meant[shared], atol=1e-6)
    assert (missing[SINE.parts["dense-3"].slice] == 0).all()
    assert np.count_nonzero(missing) > 0.7 * exchange.up.entries


def test_a_whole_vector_of_floats_leaves_nothing_behind() -> None:
    knobs = Knobs(Training(rate=0.005), per_round=2, rounds=6, seed=3)
    plain = Trial(SINE, tecs2024(3, support=8), 3, ALGORITHMS["tinyreptile"], knobs)
    keeping = Trial(**{f.name: getattr(plain, f.name) for f in fields(Trial)} | {"feedback": True})

    first, second = train(plain), train(keeping)

    assert np.allclose(first.weights, second.weights, atol=1e-5)
    assert first.bytes == second.bytes == 6 * 2 * 2 * 4 * SINE.parameters


@pytest.mark.parametrize("feedback", [False, True])
def test_a_trial_is_the_same_again(feedback: bool) -> None:
    way = Way("int8", "float16", share=0.1, feedback=feedback)
    trial = trial_of(FLEETS[1], way, Size(30), seed=1)[1]

    first, again = train(trial), train(trial)

    assert first.weights.tobytes() == again.weights.tobytes()
    assert first.bytes == again.bytes
    assert not np.array_equal(first.weights, SINE.init(1))


def test_a_trial_remembers_what_the_servers_adam_remembers() -> None:
    knobs = Knobs(Training(0.005), per_round=2, rounds=6, seed=3, step=0.03)
    adam = replace(knobs, server_optimizer="adam")
    family, algorithm = tecs2024(3, support=8), ALGORITHMS["tinyreptile"]

    found = train(Trial(SINE, family, 3, algorithm, adam)).weights

    grid = FleetGrid(SimulatedFleet(SINE, family, 3, workers=1))
    expected = run(grid, build(algorithm, adam), SINE.init(3), 6)
    assert found.tobytes() == expected.tobytes()


def test_feedback_changes_what_is_learned_where_something_is_left_out() -> None:
    ways = [Way("float32", "float32", share=0.1, feedback=feedback) for feedback in (False, True)]

    plain, keeping = (train(trial_of(FLEETS[1], way, Size(60), seed=1)[1]) for way in ways)

    assert not np.array_equal(plain.weights, keeping.weights)
