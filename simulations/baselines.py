"""What a fleet's result is compared with: baselines of a study, an estimate for each shot.

All are judged on the study's test tasks, as its own result is; how a device fine-tunes is chosen on
validation tasks. TECS 2024 (arXiv 2405.07601, section 5) has cold start, transfer learning, and
frozen features with nearest neighbours.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tinyfleet.binding import variants
from tinyfleet.follow import local_start, rows
from tinyfleet.kernel_learner import Kernel
from tinyfleet.messages import Assignment, Floats
from tinyfleet.simulations.assemble import Setup
from tinyfleet.simulations.evaluation import Estimate, Judge, estimate
from tinyfleet.simulations.judging import Tuning
from tinyfleet.simulations.pretraining import body_of
from tinyfleet.task import TaskBatch

ByShots = Mapping[int, Estimate]
"""The score of the test part after each number of shots."""

RATES = (0.003, 0.01, 0.03, 0.1)
"""Rates that validation chooses from besides the study's, which were found for its own result."""

LONG = (8, 32, 128)
"""Passes that validation chooses from besides the study's for a device that learns alone."""

NEIGHBOURS = (1, 3, 5, 9)
"""Numbers of neighbours that validation chooses from."""

Option = TypeVar("Option")
Answer = Callable[[Judge, int, Option], tuple[Floats, Floats]]
"""From held-out tasks, shots and an option to outputs and targets, `(tasks, q, outputs)` each."""

_GROUP = 64  # tasks that are looked at side by side


def fine_tuned(
    setup: Setup, weights: Floats, frozen: tuple[str, ...] = (), local: tuple[str, ...] = ()
) -> ByShots:
    """Fine-tune `weights`, `(parameters,)`, on each device.

    Args:
        setup: the study's parts.
        weights: where devices start.
        frozen: layers that stay.
        local: layers that a device starts by itself, as those of the study's fleet do.
    """

    def answer(judge: Judge, shots: int, tuning: Tuning) -> tuple[Floats, Floats]:
        training = replace(judge.training, rate=tuning.rate, proximal=0.0)
        tuned = replace(judge, training=training, frozen=frozen, local=local)
        return tuned.outputs(weights, shots, tuning.passes)

    return _by_shots(setup, answer, _tunings(setup))


def cold_start(setup: Setup) -> ByShots:
    """Fine-tune random weights, the same for all devices."""
    return fine_tuned(setup, setup.network.init(setup.study.seed))


def local_only(setup: Setup, passes: Sequence[int] = LONG) -> ByShots:
    """Let each device learn alone, from random weights of its own, for as long as it likes.

    Args:
        setup: the study's parts.
        passes: numbers of passes that validation chooses from besides the study's.
    """
    network, seed = setup.network, setup.study.seed
    kernel = Kernel(network, variants()[-1])
    alone = Assignment(
        0, network.init(seed), setup.study.training, local=tuple(network.parts), seed=seed
    )

    def answer(judge: Judge, shots: int, tuning: Tuning) -> tuple[Floats, Floats]:
        training = replace(judge.training, passes=tuning.passes, rate=tuning.rate, proximal=0.0)

        def outputs(batch: TaskBatch, devices: NDArray[np.int64]) -> Floats:
            tuned, kept = local_start(network, alone, devices.tolist()), shots * judge.rows_per_shot
            if shots:
                x, y = rows(batch.support_x[:, :kept]), batch.support_y[:, :kept]
                tuned, _ = kernel.train(training, tuned, x, y, frozenset())
            return kernel.predict(tuned, batch.query_x)

        return _asked(judge, outputs)

    return _by_shots(setup, answer, _tunings(setup, passes))


def last_layer_only(setup: Setup, weights: Floats) -> ByShots:
    """Fine-tune the last layer of a fleet's result, `(parameters,)`; all others stay."""
    frozen = tuple(setup.network.parts)[:-1]
    return fine_tuned(setup, setup.network.check_weights(weights), frozen, setup.test.local)


def nearest_neighbours(setup: Setup, weights: Floats) -> ByShots:
    """Answer with the mean target of the nearest support samples, in features that never change.

    Features are what reaches the last layer of `weights`, `(parameters,)`, such as `pretrained`
    returns; distances are Euclidean, and all support samples are kept. How many neighbours is
    chosen on validation tasks. Without a shot there is no neighbour, and no result.

    Raises:
        StudyError: the last layer is no dense one.
    """
    body = body_of(setup.network)
    kernel = Kernel(body, variants()[-1])
    features = setup.network.check_weights(weights)[: body.parameters]
    # Targets of a sigmoid are 0 and 1, its outputs are above or below 0.
    middle = np.float32(0.5 if setup.network.loss == "sigmoid-cross-entropy" else 0.0)

    def answer(judge: Judge, shots: int, neighbours: int) -> tuple[Floats, Floats]:
        kept = shots * judge.rows_per_shot

        def outputs(batch: TaskBatch, _: NDArray[np.int64]) -> Floats:
            known = kernel.predict(features, batch.support_x[:, :kept])
            asked = kernel.predict(features, batch.query_x)
            return nearest_targets(known, asked, batch.support_y[:, :kept], neighbours) - middle

        return _asked(judge, outputs)

    def options(shots: int) -> list[int]:
        return [k for k in NEIGHBOURS if k <= shots * setup.test.rows_per_shot]

    return _by_shots(setup, answer, options)


def nearest_targets(known: Floats, asked: Floats, targets: Floats, k: int) -> Floats:
    """Return the mean targets of the `k` nearest of `known` `(n, s, f)` to `asked` `(n, q, f)`."""
    known, asked = known.astype(np.float64), asked.astype(np.float64)
    squares = (known**2).sum(axis=2)[:, None] - 2.0 * asked @ known.transpose(0, 2, 1)
    places = np.argsort(squares, axis=2, kind="stable")[:, :, :k]
    near = np.take_along_axis(targets[:, None], places[..., None], axis=2)
    return np.asarray(near.mean(axis=2), np.float32)


def _tunings(setup: Setup, passes: Sequence[int] = ()) -> Callable[[int], list[Tuning]]:
    study = setup.study
    rates = sorted({study.training.rate, *study.rates, *RATES})
    every = [Tuning(*pair) for pair in product(sorted({1, *study.passes, *passes}), rates)]
    return lambda shots: every if shots else every[:1]


def _by_shots(
    setup: Setup, answer: Answer[Option], options: Callable[[int], list[Option]]
) -> ByShots:
    """Return the test part's score for each of the study's shots, by the best option of each."""
    sign = 1.0 if setup.application.classifies else -1.0

    def judged(option: Option, shots: int) -> float:
        score = sign * float(
            setup.validation.metric(*answer(setup.validation, shots, option)).mean()
        )
        return score if math.isfinite(score) else -math.inf

    found = {}
    for shots in setup.study.shots:
        choice = options(shots)
        if not choice:
            continue
        best = choice[0]
        if len(choice) > 1:
            best = max(choice, key=lambda option: judged(option, shots))
        found[shots] = estimate(setup.test.metric(*answer(setup.test, shots, best)))
    return found


def _asked(
    judge: Judge, outputs: Callable[[TaskBatch, NDArray[np.int64]], Floats]
) -> tuple[Floats, Floats]:
    parts = list(_parts(judge, outputs))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _parts(
    judge: Judge, outputs: Callable[[TaskBatch, NDArray[np.int64]], Floats]
) -> Iterator[tuple[Floats, Floats]]:
    for first in range(0, judge.tasks, _GROUP):
        devices = np.arange(first, min(first + _GROUP, judge.tasks))
        batch = judge.family.batch(devices, 0)
        yield outputs(batch, devices), batch.query_y
