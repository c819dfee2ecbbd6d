"""The same server app runs under Flower's Ray engine and gives the same bytes.

The engine runs in a process of its own: when a simulation fails, it waits forever for its threads,
and it leaves files open and warnings behind.
"""

import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from flwr.app import Context
from flwr.simulation import run_simulation

from tinyfleet.client.app import client_app, partition
from tinyfleet.client.devices import LocalFleet
from tinyfleet.kernel_learner import KernelLearner
from tinyfleet.messages import Training
from tinyfleet.networks import sine
from tinyfleet.server.algorithms import ALGORITHMS, Knobs, build
from tinyfleet.server.app import Round, run, server_app
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.strategy import MetaStrategy
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.tasks.sine import tecs2024
from tinyfleet.task import Task

NODES, PER_NODE, ROUNDS = 4, 2, 2


def test_ray_gives_the_same_bytes_as_the_grid(tmp_path: Path) -> None:
    rounds: list[Round] = []
    fleet = SimulatedFleet(sine(), tecs2024(seed=3), NODES * PER_NODE)
    run(FleetGrid(fleet, PER_NODE), strategy(), sine().init(1), ROUNDS, evaluate=rounds.append)
    subprocess.run([sys.executable, __file__, str(tmp_path)], check=True, timeout=180)
    under_ray = np.load(tmp_path / "rounds.npy")
    assert [row.tobytes() for row in under_ray] == [end.weights.tobytes() for end in rounds]
    assert rounds[-1].weights.tobytes() != rounds[0].weights.tobytes()
    assert rounds[-1].tally is not None
    assert rounds[-1].tally.devices == NODES * PER_NODE


def strategy() -> MetaStrategy:
    return build(ALGORITHMS["tinymetafed"], Knobs(Training(rate=0.01), share=0.5, step=0.5))


def task(device: int, round_number: int) -> Task:
    return tecs2024(seed=3).batch(np.array([device]), round_number).task(0)


def fleet_of(context: Context, _: object) -> AbstractContextManager[LocalFleet]:
    first = partition(context) * PER_NODE
    return nullcontext(LocalFleet(KernelLearner(sine()), task, range(first, first + PER_NODE)))


def main(folder: Path) -> None:
    """Run the simulation under Ray and keep the weights of all rounds, `(rounds + 1, 1153)`."""
    rounds: list[Round] = []
    run_simulation(
        server_app(strategy(), sine().init(1), ROUNDS, evaluate=rounds.append, nodes=NODES),
        client_app(fleet_of),
        num_supernodes=NODES,
        backend_config={
            "init_args": {"num_cpus": 2, "include_dashboard": False},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
    np.save(folder / "rounds.npy", np.array([end.weights for end in rounds]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
