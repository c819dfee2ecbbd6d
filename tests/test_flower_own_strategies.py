"""Flower's own strategies drive a fleet as they are."""

from collections.abc import Callable

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, FedProx, Krum, Strategy
from lines import LineFleet, vector

from tinyfleet.messages import Assignment, Training
from tinyfleet.server.app import run
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.strategy import from_arrays, to_arrays

PHI = vector(0.5, 0.25)
CONFIG = {"rate": 0.0625}


def learned(fleet: LineFleet) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return what each device would learn in a round, `(devices, 2)`."""
    assignment = Assignment(1, PHI, Training(rate=0.0625))
    return np.array([fleet.learn(assignment, d).values for d in fleet.devices], np.float64)


def test_fedavg_takes_the_mean_by_examples() -> None:
    fleet = LineFleet(devices=range(6), spread=2)
    weights = run(FleetGrid(fleet), FedAvg(), PHI, 1, train_config=CONFIG)
    expected = np.average(learned(fleet), axis=0, weights=[2, 3] * 3)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_fedmedian_takes_the_median() -> None:
    fleet = LineFleet(devices=range(6))
    weights = run(FleetGrid(fleet), FedMedian(), PHI, 1, train_config=CONFIG)
    np.testing.assert_allclose(weights, np.median(learned(fleet), axis=0), rtol=1e-6)


def test_krum_takes_a_device_among_the_many() -> None:
    fleet = LineFleet(devices=(1, 2, 3, 4, 5, 400))
    strategy = Krum(num_malicious_nodes=1)
    weights = run(FleetGrid(fleet), strategy, PHI, 1, train_config=CONFIG)
    assert weights.tolist() in learned(fleet)[:5].astype(np.float32).tolist()


def test_fedadam_steps_once_along_the_mean() -> None:
    fleet = LineFleet(devices=range(6))
    strategy = FedAdam(eta=0.1, beta_1=0.9, beta_2=0.99, tau=1e-3)
    weights = run(FleetGrid(fleet), strategy, PHI, 1, train_config=CONFIG)
    delta = learned(fleet).mean(axis=0) - PHI
    rate = 0.1 * np.sqrt(1 - 0.99**2) / (1 - 0.9**2)
    expected = PHI + rate * 0.1 * delta / (np.sqrt(0.01 * delta**2) + 1e-3)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_fedprox_of_flower_tells_devices_of_its_pull() -> None:
    fleet = LineFleet(devices=range(3))
    run(FleetGrid(fleet), FedProx(proximal_mu=0.75), PHI, 1, train_config=CONFIG)
    assert fleet.assignments[0].training == Training(rate=0.0625, proximal=0.75)


OWN: dict[str, Callable[[], Strategy]] = {
    "FedAvg": FedAvg,
    "FedMedian": FedMedian,
    "Krum": Krum,
    "FedAdam": FedAdam,
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("per_node", [1, 3])
def test_several_rounds_come_nearer_to_the_devices(name: str, per_node: int) -> None:
    fleet = LineFleet(devices=range(9), examples=4)
    grid = FleetGrid(fleet, per_node)
    weights = run(grid, OWN[name](), PHI, 20, train_config={"rate": 0.02})
    assert abs(weights[0] - 4) < abs(PHI[0] - 4) - 0.5
    assert fleet.assignments[0].round == 20


@pytest.mark.parametrize("name", OWN)
def test_silent_devices_and_shares_do_not_stop_them(name: str) -> None:
    fleet = LineFleet(devices=range(9), silent=frozenset({2, 7}))
    config = {"rate": 0.02, "share": 0.5}
    weights = run(FleetGrid(fleet), OWN[name](), PHI, 2, train_config=config)
    assert np.isfinite(weights).all()
    assert weights.tolist() != PHI.tolist()


def test_they_start_without_a_train_config_too() -> None:
    fleet = LineFleet(devices=range(3))
    result = FedAvg(fraction_evaluate=0.5).start(FleetGrid(fleet), to_arrays(PHI), num_rounds=2)
    assert fleet.assignments[0].round == 2
    assert from_arrays(result.arrays).tolist() != PHI.tolist()
    assert set(result.train_metrics_clientapp) == {1, 2}
