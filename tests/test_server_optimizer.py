"""Adam on the server: a round by hand, and a state that survives whatever stops a run."""

import math
from pathlib import Path

import numpy as np
import pytest
from lines import ONLINE, LineFleet, update, vector

from tinyfleet.errors import StudyError
from tinyfleet.mean import mean_of_updates
from tinyfleet.server.algorithms import ALGORITHMS, Knobs, build
from tinyfleet.server.app import run
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.meta import BETA1, BETA2, TAU, Moments, reptile
from tinyfleet.simulations.assemble import Machine
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.journal import Journal, State, read_state
from tinyfleet.simulations.run import Progress, resume, start

PHI = vector(1, 2)


def test_two_rounds_of_adam_by_hand() -> None:
    step = reptile(0.5, "adam")
    phi, moments = PHI, None
    first, second, by_hand = [0.0, 0.0], [TAU * TAU] * 2, [1.0, 2.0]
    for round_number, moved in ((1, (0.25, -1.0)), (2, (0.5, 0.0))):
        learned = phi + vector(*moved)
        mean = mean_of_updates(phi, [update(0, learned, round_number=round_number)], round_number)
        phi, moments = step.move(phi, mean, round_number, moments)
        for i in range(2):
            first[i] = BETA1 * first[i] + (1 - BETA1) * moved[i]
            second[i] = BETA2 * second[i] + (1 - BETA2) * moved[i] ** 2
            by_hand[i] += 0.5 * first[i] / (math.sqrt(second[i]) + TAU)
    assert phi.tolist() == pytest.approx(by_hand, rel=1e-6)


def test_a_round_without_an_update_is_forgotten() -> None:
    before = Moments(np.ones(2), np.ones(2))
    phi, after = reptile(0.5, "adam").move(PHI, mean_of_updates(PHI, [], 1), 1, before)
    assert phi is PHI
    assert after is before


def test_the_plain_server_remembers_nothing() -> None:
    mean = mean_of_updates(PHI, [update(0, vector(3, 3))], 1)
    assert reptile(0.5).move(PHI, mean, 1)[1] is None


def test_a_strategy_that_runs_again_remembers_nothing_of_the_first_time() -> None:
    strategy = build(ALGORITHMS["tinyreptile"], Knobs(ONLINE, step=0.03, server_optimizer="adam"))
    first, second = (run(FleetGrid(LineFleet(range(3))), strategy, PHI, 4) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_stopped_run_goes_on_with_what_adam_remembers(tmp_path: Path) -> None:
    values = {
        "app": "sine",
        "strategy": "tinyreptile",
        "rounds": 12,
        "support": 8,
        "tasks": 4,
        "validation_tasks": 4,
        "shots": (1,),
        "passes": (),
        "rates": (),
        "step": 0.03,
        "server_optimizer": "adam",
    }
    study = complete(values, "test")

    def stop(heard: Progress) -> None:
        if heard.done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(study, tmp_path / "stopped", "", Machine(1), stop)
    assert read_state(tmp_path / "stopped", 1153).moments is not None
    resume(tmp_path / "stopped", Machine(1), lambda _: None)
    start(study, tmp_path / "whole", "", Machine(1), lambda _: None)
    for name in ("weights.npy", "rounds.jsonl"):
        assert (tmp_path / "stopped" / name).read_bytes() == (
            tmp_path / "whole" / name
        ).read_bytes()


def test_moments_of_another_network_are_refused(tmp_path: Path) -> None:
    state = State(1, PHI, moments=Moments(np.zeros(3), np.zeros(3)))
    with Journal(tmp_path, state):
        pass
    with pytest.raises(StudyError, match="expected moments of 2 float64"):
        read_state(tmp_path, 2)
