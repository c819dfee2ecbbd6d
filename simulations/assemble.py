"""From a study to the parts that run it: network, tasks, fleet, strategy, judges."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfleet.description import load_network
from tinyfleet.envelope import assignment_to_config
from tinyfleet.errors import DatasetError, StudyError
from tinyfleet.follow import check_assignment, check_tasks
from tinyfleet.messages import Assignment
from tinyfleet.network import Network
from tinyfleet.networks import NETWORKS, named_network
from tinyfleet.server.select import Selection, read_selection
from tinyfleet.simulations.applications import Application, Parts, find_application
from tinyfleet.simulations.evaluation import Judge
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.own_file import asking, is_own
from tinyfleet.simulations.strategies import FLOWERS, build_strategy, find_algorithm
from tinyfleet.simulations.study import Study
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.simulations.tasks.split import PARTS
from tinyfleet.task import TaskBatch

if TYPE_CHECKING:
    from tinyfleet.server.flowers_own import Strategy

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
        application: what devices learn.
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
    application: Application
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
    application = find_application(study.app)
    network = load_study_network(study)
    families = _parts(application, study)
    train, validation, test = (families[name] for name in PARTS)
    _check_fit(network, train)
    network.check_layers(study.local, "study.local")
    fleet = SimulatedFleet(
        network, train, study.devices, workers=machine.workers, chunk=machine.chunk
    )
    judge = Judge(
        network,
        validation,
        study.validation_tasks,
        rows_per_shot=_rows_per_shot(application, study),
        metric=application.metric,
        **_personal(study, network),
        workers=machine.workers,
    )
    setup = Setup(
        study,
        application,
        network,
        fleet,
        _devices_per_node(study),
        judge,
        replace(judge, family=test, tasks=study.tasks),
        {name: part.provenance for name, part in families.items()},
        {name: part.fingerprint for name, part in families.items()},
        read_selection(study.select) if study.select else None,
    )
    # Built once in vain, so that settings which no strategy takes are refused before a run begins.
    _check_asked(setup, strategy_of(setup, 1))
    train_config(setup)
    _check_judging(setup)
    return setup


def _parts(application: Application, study: Study) -> Mapping[str, TaskFamily]:
    """Return the families of a study by part, after checking that each is one."""
    with asking(study.app, "parts"):
        found: object = application.parts(study)
        if not isinstance(found, Parts):
            raise StudyError(f"expected Parts, got {type(found).__name__}; return Parts(...)")
    families: dict[str, TaskFamily] = {name: getattr(found, name) for name in PARTS}
    for part, family in families.items():
        for name, kind in _FAMILY:
            with asking(study.app, f"{part} part"):
                value = getattr(family, name)
                if not isinstance(value, kind):
                    got = type(value).__name__
                    raise StudyError(
                        f"{name}: expected {kind.__name__}, got {got}; make it a property of that"
                    )
    told = [family.fingerprint for family in families.values()]
    if len(set(told)) < len(told):
        raise StudyError(
            f"{study.app}: parts: expected three populations, got {', '.join(told)} as the "
            f"fingerprints of {', '.join(families)}; judge on devices that did not train"
        )
    return families


_FAMILY = (("input_shape", tuple), ("outputs", int), ("provenance", str), ("fingerprint", str))


def _rows_per_shot(application: Application, study: Study) -> int:
    with asking(study.app, "rows_per_shot"):
        rows = application.rows_per_shot(study)
        if rows != int(rows) or rows < 1:
            raise StudyError(f"expected a whole number of 1 or more, got {rows!r}; mend it")
    return rows


def _check_asked(setup: Setup, strategy: "Strategy") -> None:
    """Raise `NetworkError` where an algorithm of ours asks for layers that there are not."""
    from tinyfleet.server.strategy import MetaStrategy  # Flower, once there is a strategy of it

    if isinstance(strategy, MetaStrategy):
        with asking(setup.study.strategy, "ALGORITHM: ask"):
            weights = setup.network.init(setup.study.seed)
            check_assignment(setup.network, strategy.settings.assignment(1, weights))


def _check_judging(setup: Setup) -> None:
    """Draw a few tasks of each part, and score some, so that what cannot be ends before training.

    Raises:
        FleetError: tasks that do not fit, too few rows for the shots, or scores that are none.
    """
    study, network = setup.study, setup.network
    with asking(study.app, "train part: batch"):
        _drawn(network, setup.fleet.tasks, min(2, study.devices), 1)
    for part, judge in (("validation", setup.validation), ("test", setup.test)):
        with asking(study.app, f"{part} part: batch"):
            judge.check(_drawn(network, judge.family, 2, 0), max(study.shots))
    outputs, targets = replace(setup.validation, tasks=2).outputs(network.init(study.seed), 0, 1)
    with asking(study.app, "metric"):
        scores: object = setup.application.metric(outputs, targets)
        if not isinstance(scores, np.ndarray) or scores.shape != (2,):
            got = f"{type(scores).__name__} of shape {np.asarray(scores).shape}"
            raise StudyError(
                f"expected an array with a number for each task, (2,) for 2 tasks, got {got}; "
                "take means over axes 1 and 2"
            )
    if setup.application.summary is not None and is_own(study.app):
        with asking(study.app, "summary"):
            json.dumps(dict(setup.application.summary(outputs, targets)))


def _drawn(network: Network, family: TaskFamily, devices: int, round_number: int) -> TaskBatch:
    tasks: object = family.batch(np.arange(devices, dtype=np.int64), round_number)
    if not isinstance(tasks, TaskBatch) or len(tasks) != devices:
        got = len(tasks) if isinstance(tasks, TaskBatch) else type(tasks).__name__
        raise DatasetError(f"expected a TaskBatch of {devices} devices, got {got}; return one")
    check_tasks(network, tasks)
    return tasks


def _personal(study: Study, network: Network) -> dict[str, Any]:
    """Return how a new device makes the result its own: what a `Judge` is told of it."""
    algorithm = find_algorithm(study.strategy)
    kind = algorithm.personal if algorithm else "whole"
    pull = study.training.proximal if kind == "pulled" else 0.0
    return {
        "training": replace(study.training, passes=1, proximal=pull),
        "frozen": tuple(n for n in network.parts if kind == "local" and n not in study.local),
        "local": study.local,
        "local_start": study.local_start,
    }


def _devices_per_node(study: Study) -> int:
    if study.per_round or study.select:
        return 1
    return max(1, min(DEVICES_PER_NODE, study.devices // DEVICES_PER_NODE))


def load_study_network(study: Study) -> Network:
    """Return the study's network: by name, from its TOML file, or its application's."""
    own = find_application(study.app).network if study.network == "" else study.network
    if isinstance(own, Network):
        return own
    return named_network(own) if own in NETWORKS else load_network(Path(own))


def _check_fit(network: Network, family: TaskFamily) -> None:
    if network.input_shape != family.input_shape or network.outputs != family.outputs:
        raise StudyError(
            f"network {network.name}: expected input {family.input_shape} and {family.outputs} "
            f"outputs for this study, got {network.input_shape} and {network.outputs}"
        )


def strategy_of(setup: Setup, first_round: int) -> "Strategy":
    """Build the study's strategy, its rounds counted from `first_round`."""
    nodes = -(-setup.study.devices // setup.devices_per_node)
    per_round = setup.study.per_round if setup.devices_per_node == 1 else 0
    return build_strategy(setup.study, per_round, nodes, first_round)


def train_config(setup: Setup) -> dict[str, Any]:
    """Return what strategies of Flower's must tell devices besides, for ours say it themselves."""
    if setup.study.strategy not in FLOWERS:
        return {}
    assignment = Assignment(1, setup.network.init(0), setup.study.training, seed=setup.study.seed)
    config: dict[str, Any] = dict(assignment_to_config(assignment))
    del config["server-round"]
    return config
