"""The algorithms by name, each a Flower strategy with settings of its own.

How devices learn is a `Training`: batched Reptile takes batches and perhaps Adam, TinyReptile takes
one sample at a time. Sources are in `tinyfleet.server.meta`.
"""

from typing import Literal

from tinyfleet.errors import TrainingError
from tinyfleet.messages import Training
from tinyfleet.server import meta
from tinyfleet.server.meta import Schedule
from tinyfleet.server.strategy import MetaStrategy, Settings


def reptile(
    *,
    training: Training,
    per_round: int | None = 5,
    step: float | Schedule = 1.0,
    seed: int = 0,
    first_round: int = 1,
) -> MetaStrategy:
    """Return Reptile: stored samples in batches, several devices a round (Nichol et al. 2018).

    Args:
        training: batches, passes and optimiser of the devices; 2018 takes Adam with rate 0.001.
        per_round: nodes a round, N of TECS 2024; 0 or None for all.
        step: the server's step size, or a schedule such as `meta.linear(1.0, 0.0, rounds)`.
        seed: seed of the draw of nodes.
        first_round: number of the first round, above 1 when a run goes on.
    """
    settings = Settings(training, per_round, seed, first_round)
    return MetaStrategy(settings, meta.reptile(step))


def tinyreptile(
    *,
    training: Training,
    per_round: int | None = 1,
    step: float | Schedule = 1.0,
    seed: int = 0,
    first_round: int = 1,
) -> MetaStrategy:
    """Return TinyReptile: each sample learned once and forgotten (Ren et al. 2023, algorithm 1).

    One device a round is the paper's serial schema; with more they learn in parallel and
    the server takes the mean of their differences.

    Args:
        training: as in `reptile`; only online training (`Training.online`) is TinyReptile.
        per_round: nodes a round; 0 or None for all.
        step: the server's step size alpha, or a schedule of it.
        seed: seed of the draw of nodes.
        first_round: number of the first round, above 1 when a run goes on.

    Raises:
        TrainingError: the training keeps samples or state, so that no microcontroller could run it.
    """
    _check_online("tinyreptile", training)
    settings = Settings(training, per_round, seed, first_round)
    return MetaStrategy(settings, meta.reptile(step))


def tinymetafed(
    *,
    training: Training,
    local: tuple[str, ...] = (),
    share: float = 1.0,
    local_start: Literal["received", "zeros", "fresh"] = "fresh",
    per_round: int | None = 1,
    step: float | Schedule = 1.0,
    seed: int = 0,
    first_round: int = 1,
) -> MetaStrategy:
    """Return TinyMetaFed: partial local reconstruction and top-P% return (Ren et al. 2023).

    Args:
        training: as in `tinyreptile`.
        local: layers that never leave the device; it rebuilds them before it learns the others.
        share: P, the part of the global entries, those that moved most, that comes back.
        local_start: where local layers start from, which the paper leaves open.
        per_round: nodes a round; 0 or None for all.
        step: the server's step size, or a schedule such as `meta.warm_restart(...)`, the paper's.
        seed: seed of the draw of nodes and of fresh local layers.
        first_round: number of the first round, above 1 when a run goes on.

    Raises:
        TrainingError: the training is not online, or the share is not in (0, 1].
    """
    _check_online("tinymetafed", training)
    settings = Settings(
        training,
        per_round,
        seed,
        first_round,
        local=local,
        local_start=local_start,
        share=share,
    )
    return MetaStrategy(settings, meta.tinymetafed(step))


def fedavg(
    *, training: Training, per_round: int | None = 10, seed: int = 0, first_round: int = 1
) -> MetaStrategy:
    """Return FedAvg: the mean of weights, by examples (McMahan et al. 2017, algorithm 1).

    Args:
        training: E passes over batches of B samples with plain SGD.
        per_round: nodes a round; 0 or None for all.
        seed: seed of the draw of nodes.
        first_round: number of the first round, above 1 when a run goes on.
    """
    return MetaStrategy(Settings(training, per_round, seed, first_round), meta.fedavg())


def fedsgd(
    *,
    rate: float,
    per_round: int | None = 10,
    step: float | Schedule | None = None,
    seed: int = 0,
    first_round: int = 1,
) -> MetaStrategy:
    """Return FedSGD: every device sends one gradient over all its samples (McMahan et al. 2017).

    Args:
        rate: the rate of the whole-batch step that devices take to show their gradient.
        per_round: nodes a round; 0 or None for all.
        step: the server's own rate, or a schedule of it; None for the devices' rate.
        seed: seed of the draw of nodes.
        first_round: number of the first round, above 1 when a run goes on.
    """
    training = Training(rate=rate, passes=1, batch=0)
    settings = Settings(training, per_round, seed, first_round)
    return MetaStrategy(settings, meta.fedsgd(rate if step is None else step, rate))


def fedprox(
    *, training: Training, per_round: int | None = 10, seed: int = 0, first_round: int = 1
) -> MetaStrategy:
    """Return FedProx: FedAvg whose devices are pulled towards what they received (Li et al. 2020).

    Args:
        training: as in `fedavg`, with `proximal`, the paper's mu, above 0.
        per_round: nodes a round; 0 or None for all.
        seed: seed of the draw of nodes.
        first_round: number of the first round, above 1 when a run goes on.

    Raises:
        TrainingError: the proximal pull is 0, which is FedAvg.
    """
    if training.proximal == 0.0:
        raise TrainingError("training.proximal: fedprox expects more than 0, got 0; or use fedavg")
    return fedavg(training=training, per_round=per_round, seed=seed, first_round=first_round)


def _check_online(name: str, training: Training) -> None:
    if not training.online:
        raise TrainingError(
            f"training: {name} expects batch 1, sgd and no proximal pull, got {training}; "
            "or use reptile"
        )
