"""From a study to the parts that run it: network, tasks, fleet, strategy, judges."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from tinyfleet.description import load_network
from tinyfleet.envelope import assignment_to_config
from tinyfleet.errors import StudyError
from tinyfleet.messages import Assignment
from tinyfleet.network import Network
from tinyfleet.networks import NETWORKS, named_network
from tinyfleet.server import algorithms, meta
from tinyfleet.server.flowers_own import Strategy, flowers_own
from tinyfleet.server.meta import Schedule
from tinyfleet.server.select import Selection, read_selection
from tinyfleet.simulations.datasets.characters import find_characters
from tinyfleet.simulations.datasets.omniglot import CharacterImages
from tinyfleet.simulations.evaluation import Judge, accuracy, mean_squared_error
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.study import Study
from tinyfleet.simulations.tasks.characters import Episodes, characters_family
from tinyfleet.simulations.tasks.drift import Drift
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.simulations.tasks.sine import Sine, maml2017, tecs2024

QUERY_POINTS = 100
"""Points of a held-out sine, evenly spaced."""

DEVICES_PER_NODE = 1000
"""Most devices that one of Flower's nodes stands for, when all devices are asked."""


@dataclass(frozen=True)
class Machine:
    """How a study runs here; nothing of it changes a byte of the results."""

    workers: int | None = None
    chunk: int | None = None


@dataclass(frozen=True)
class Setup:
    """The parts of a study, ready to run.

    Attributes:
        study: what was asked.
        network: what is trained.
        fleet: the simulated devices.
        devices_per_node: devices that one of Flower's nodes stands for.
        validation: judges settings and learning curves.
        test: judges the result, once.
        provenance: where the data of each part come from.
        fingerprints: what tells the data of each part from any others.
        selection: what chooses who trains; None where they are drawn.
    """

    study: Study
    network: Network
    fleet: SimulatedFleet
    devices_per_node: int
    validation: Judge
    test: Judge
    provenance: Mapping[str, str]
    fingerprints: Mapping[str, str]
    selection: Selection | None = None


def assemble(study: Study, machine: Machine) -> Setup:
    """Build the parts of `study`.

    Raises:
        FleetError: a network, data or settings that do not fit together, by name.
    """
    network = load_study_network(study)
    train, validation, test = _FAMILIES[study.app](study)
    _check_fit(network, train)
    network.check_layers(study.local, "study.local")
    fleet = SimulatedFleet(
        network, train, study.devices, workers=machine.workers, chunk=machine.chunk
    )
    judge = Judge(
        network,
        validation,
        study.validation_tasks,
        rows_per_shot=study.ways if study.app == "characters" else 1,
        metric=accuracy if study.app == "characters" else mean_squared_error,
        training=replace(study.training, passes=1, proximal=0.0),
        workers=machine.workers,
    )
    parts = {"train": train, "validation": validation, "test": test}
    setup = Setup(
        study,
        network,
        fleet,
        _devices_per_node(study),
        judge,
        replace(judge, family=test, tasks=study.tasks),
        {name: part.provenance for name, part in parts.items()},
        {name: part.fingerprint for name, part in parts.items()},
        read_selection(study.select) if study.select else None,
    )
    # Built once in vain, so that settings which no strategy takes are refused before a run begins.
    strategy_of(setup, 1)
    train_config(setup)
    return setup


def _devices_per_node(study: Study) -> int:
    if study.per_round or study.select:
        return 1
    return max(1, min(DEVICES_PER_NODE, study.devices // DEVICES_PER_NODE))


def load_study_network(study: Study) -> Network:
    """Return the study's network, by name or from its TOML file."""
    if study.network in NETWORKS:
        return named_network(study.network)
    return load_network(Path(study.network))


def _check_fit(network: Network, family: TaskFamily) -> None:
    if network.input_shape != family.input_shape or network.outputs != family.outputs:
        raise StudyError(
            f"network {network.name}: expected input {family.input_shape} and {family.outputs} "
            f"outputs for this study, got {network.input_shape} and {network.outputs}"
        )


def _sines(study: Study) -> tuple[TaskFamily, TaskFamily, TaskFamily]:
    for name in ("data", "test_data"):
        if getattr(study, name) is not None:
            raise StudyError(f"study.{name}: sines are made, not read; leave it out")
    make: Callable[..., Sine] = {"tecs2024": tecs2024, "maml2017": maml2017}[study.setting]
    train = replace(
        make(study.seed, "train", support=study.support, query=study.query),
        query_at="random",
        min_support=study.min_support or None,
        noise=study.noise,
    )
    held_out = max(1, *study.shots)
    validation = make(study.seed, "validation", support=held_out, query=QUERY_POINTS)
    return train, validation, make(study.seed, "test", support=held_out, query=QUERY_POINTS)


def _characters(study: Study) -> tuple[TaskFamily, TaskFamily, TaskFamily]:
    images = find_characters(Path(study.data) if study.data else None, os.environ, download=True)
    held_out = max(1, *study.shots)
    drift = Drift() if study.drift else None
    train = Episodes(
        study.ways, study.support, study.query, study.min_support or None, study.noise, drift
    )
    unseen = find_characters(Path(study.test_data), os.environ) if study.test_data else None
    other = unseen or images
    judged = Episodes(study.ways, held_out, _query_shots(images, held_out))
    tested = replace(judged, query_shots=_query_shots(other, held_out))
    return (
        characters_family(images, "train", study.seed, train, unseen=unseen),
        characters_family(images, "validation", study.seed, judged, unseen=unseen),
        characters_family(other, "test", study.seed, tested, whole=unseen is not None),
    )


def _query_shots(images: CharacterImages, shots: int) -> int:
    """Return how many images of a class are left to judge by, at most 5; 1 when there are none."""
    return max(1, min(5, images.drawers - shots))


_FAMILIES: dict[str, Callable[[Study], tuple[TaskFamily, TaskFamily, TaskFamily]]] = {
    "sine": _sines,
    "characters": _characters,
}


def _schedule(study: Study) -> Schedule:
    if study.period:
        return meta.warm_restart(study.step_end, study.step, study.period, study.decay)
    return meta.linear(study.step, study.step_end, study.rounds)


def strategy_of(setup: Setup, first_round: int) -> Strategy:
    """Build the study's strategy, its rounds counted from `first_round`."""
    return _STRATEGIES[setup.study.strategy](setup, first_round)


def _common(setup: Setup, first_round: int) -> dict[str, Any]:
    study = setup.study
    per_round = study.per_round if setup.devices_per_node == 1 else 0
    return {"per_round": per_round, "seed": study.seed, "first_round": first_round}


def _stepping(make: Callable[..., Strategy]) -> Callable[[Setup, int], Strategy]:
    """Return a builder for a strategy of training and server step, Reptile or TinyReptile."""

    def build(setup: Setup, first_round: int) -> Strategy:
        study = setup.study
        return make(training=study.training, step=_schedule(study), **_common(setup, first_round))

    return build


def _averaging(make: Callable[..., Strategy]) -> Callable[[Setup, int], Strategy]:
    """Return a builder for a strategy of training alone, FedAvg or FedProx."""

    def build(setup: Setup, first_round: int) -> Strategy:
        return make(training=setup.study.training, **_common(setup, first_round))

    return build


def _tinymetafed(setup: Setup, first_round: int) -> Strategy:
    study = setup.study
    return algorithms.tinymetafed(
        training=study.training,
        local=study.local,
        share=study.share,
        local_start=cast(Literal["received", "zeros", "fresh"], study.local_start),
        step=_schedule(study),
        **_common(setup, first_round),
    )


def _fedsgd(setup: Setup, first_round: int) -> Strategy:
    return algorithms.fedsgd(rate=setup.study.training.rate, **_common(setup, first_round))


def _flowers_own(setup: Setup, first_round: int) -> Strategy:
    del first_round  # Flower's strategies always start at round 1
    nodes = -(-setup.study.devices // setup.devices_per_node)
    return flowers_own(setup.study.strategy, nodes, setup.study.per_round or nodes)


_STRATEGIES: dict[str, Callable[[Setup, int], Strategy]] = {
    "tinyreptile": _stepping(algorithms.tinyreptile),
    "tinyreptile-parallel": _stepping(algorithms.tinyreptile),
    "tinymetafed": _tinymetafed,
    "reptile": _stepping(algorithms.reptile),
    "fedavg": _averaging(algorithms.fedavg),
    "fedsgd": _fedsgd,
    "fedprox": _averaging(algorithms.fedprox),
    "flower-fedavg": _flowers_own,
    "flower-fedadam": _flowers_own,
    "flower-fedmedian": _flowers_own,
    "flower-krum": _flowers_own,
}


def train_config(setup: Setup) -> dict[str, Any]:
    """Return what strategies of Flower's must tell devices besides, for ours say it themselves."""
    if not setup.study.strategy.startswith("flower-"):
        return {}
    assignment = Assignment(1, setup.network.init(0), setup.study.training, seed=setup.study.seed)
    config: dict[str, Any] = dict(assignment_to_config(assignment))
    del config["server-round"]
    return config
