"""tinyfleet itself: a simulated fleet run from assignments to updates."""

import numpy as np

from tinyfleet.binding import variants
from tinyfleet.simulations.bench.bout import Gate, Settings, fitting, keep_training
from tinyfleet.simulations.bench.workloads import WORKLOADS, Prepared, Workload
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.tasks.family import TaskFamily

PREPARED = 256
LEAST = 64


def end_to_end(settings: Settings, gate: Gate) -> None:
    """Measure a fleet whose devices' tasks are drawn while the clock runs."""
    workload = WORKLOADS[settings.workload]()
    _run(settings, gate, workload, workload.tasks)


def kernel_alone(settings: Settings, gate: Gate) -> None:
    """Measure the same fleet on tasks that were drawn beforehand."""
    workload = WORKLOADS[settings.workload]()
    _run(settings, gate, workload, Prepared(workload.tasks, workload.batch(PREPARED)))


def _run(settings: Settings, gate: Gate, workload: Workload, tasks: TaskFamily) -> None:
    assignment = workload.assignment(1)

    def train(devices: int) -> None:
        fleet = SimulatedFleet(workload.network, tasks, devices, workers=settings.workers)
        answered = 0
        for update in fleet.run(dict.fromkeys(range(devices), assignment)):
            answered += update.examples
        assert answered == devices * workload.steps

    how = f"{variants()[-1].name} on {settings.workers} threads"
    keep_training(gate, train, fitting(train, LEAST, settings.seconds), how)


def learn(workload: Workload, devices: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return what devices 0..`devices` - 1 learn, `(n, parameters)`."""
    fleet = SimulatedFleet(workload.network, workload.tasks, devices)
    asked = dict.fromkeys(range(devices), workload.assignment(1))
    return np.stack([update.values for update in fleet.run(asked)])
