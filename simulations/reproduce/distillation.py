"""Whether a teacher makes a better first model: labels, stored logits, labels and then logits."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tinyfleet.binding import variants
from tinyfleet.description import network_from_toml
from tinyfleet.kernel_learner import Kernel
from tinyfleet.messages import Floats
from tinyfleet.network import Network
from tinyfleet.simulations import published
from tinyfleet.simulations.assemble import Machine, Setup, assemble
from tinyfleet.simulations.baselines import fine_tuned, nearest_neighbours
from tinyfleet.simulations.distillation import KEPT, store
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.pretraining import body_of, pooled_training, train, widened
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.work import Work

NAME, SHOTS, DEVICES = "distillation", (1, 8), 100
NOTES = """
Characters: a student (the application's network) is trained on 5,000 drawings of the training part
to tell all its characters apart, for as many passes each time: from labels, from a teacher's ten
largest probabilities a drawing, stored as int16 and float16, or half from labels and then half from
those. The teacher has four convolutions of 32 filters. All are trained for 8 passes by Adam at
0.001 in batches of 64, on what 100 devices have. Then 300 test devices: with a new head fine-tuned,
and by nearest neighbours in its frozen features, as among the baselines; intervals are over these
devices. A teacher gains no more than the intervals; its stored logits take a fiftieth of all.
"""

_TEACHER = (
    """
name = "teacher"
input = [28, 28, 1]
loss = "softmax-cross-entropy"
"""
    + 4 * '[[layer]]\nkind = "conv2d"\nfilters = 32\nstride = 2\n[[layer]]\nkind = "relu"\n'
    + ('[[layer]]\nkind = "flatten"\n[[layer]]\nkind = "dense"\noutputs = 5\n')
)


def cells(work: Work) -> Sequence[Cell]:
    """Return each student's accuracy, and what the stored logits take."""
    values = {"app": "characters", "strategy": "tinyreptile", "shots": list(SHOTS)}
    study = work.planned({**values, "tasks": 300, "validation_tasks": 64}, NAME)
    setup, epochs = assemble(study, Machine(work.workers)), work.pick(8, 2)
    devices = work.pick(DEVICES, 20)
    inputs = {"epochs": epochs, "devices": devices, "tasks": study.tasks}
    told = work.once(NAME, inputs, partial(_students, setup, devices, epochs))
    found = []
    for row, scores in told["scores"].items():
        for column, (mean, ci95) in scores.items():
            score = Estimate(mean, ci95, study.tasks)
            found.append(cell_of((NAME, row, column), score, unit="%"))
    for column, size in told["bytes"].items():
        found.append(cell_of((NAME, "stored logits", column), size, unit="bytes"))
    return found


def _students(setup: Setup, devices: int, epochs: int) -> dict[str, Any]:
    x, y = pooled_training(setup, devices)
    seed, classes = setup.study.seed, y.shape[1]
    teacher = widened(network_from_toml(_TEACHER, "teacher"), classes)
    taught = train(teacher, teacher.init(seed), lambda _: (x, y), epochs, seed)
    told = store(_logits(teacher, taught, x))
    student, soft = widened(setup.network, classes), told.targets()
    start, half = student.init(seed), epochs // 2
    first = train(student, start, lambda _: (x, y), half, seed)
    students = {
        "from labels": train(student, start, lambda _: (x, y), epochs, seed),
        "from stored logits": train(student, start, lambda _: (x, soft), epochs, seed),
        "labels, then logits": train(student, first, lambda _: (x, soft), epochs - half, seed + 1),
    }
    scores = {row: _scores(setup, weights) for row, weights in students.items()}
    whole = 4 * len(x) * classes
    return {"scores": scores, "bytes": {f"{KEPT} largest": told.bytes, "all as float32": whole}}


def _scores(setup: Setup, weights: Floats) -> dict[str, list[float]]:
    """Return the accuracy of a student with a new head, by what it is asked."""
    body = body_of(setup.network).parameters
    first = np.concatenate([weights[:body], setup.network.init(setup.study.seed)[body:]])
    asked = {
        "fine-tuned": fine_tuned(setup, first),
        "nearest neighbours": nearest_neighbours(setup, first),
    }
    return {
        f"{what}, {shots} shot{'s' if shots > 1 else ''}": [e.mean, e.ci95]
        for what, by_shots in asked.items()
        for shots, e in by_shots.items()
    }


def _logits(network: Network, weights: Floats, x: Floats) -> Floats:
    kernel = Kernel(network, variants()[-1])
    return np.concatenate(
        [kernel.predict(weights, part[None])[0] for part in np.array_split(x, 64)]
    )


TABLE = Table(
    NAME, "A first model from a teacher", "ours", cells, NOTES, needs=(published.CHARACTERS,)
)
