"""A mixed fleet: simulated devices and emulated boards go on together with what a run has learned.

They stand behind gateways and a broker, and learn as a fleet of real boards would. What they say of
themselves goes into a graph, and a query over it chooses who trains. The same rounds in simulation
must end in the same bytes.
"""

import hashlib
import importlib.util
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyfleet.broker import Broker
from tinyfleet.client.daemon import Daemon
from tinyfleet.client.firmware.build import build
from tinyfleet.client.gateway import Gateway
from tinyfleet.client.tables import DeviceTable
from tinyfleet.client.thing import Facts
from tinyfleet.errors import BrokerError, FirmwareError, FleetError
from tinyfleet.fleet import Fleet
from tinyfleet.messages import Assignment, Floats, Update
from tinyfleet.mqtt_fleet import MqttFleet
from tinyfleet.ontology.describe_network import describe_network
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.payloads import DeviceKind
from tinyfleet.server import algorithms, app
from tinyfleet.server.births import Births
from tinyfleet.server.broker import running_broker
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.select import Selector, read_selection
from tinyfleet.simulations import journal
from tinyfleet.simulations.assemble import Machine, Setup, assemble
from tinyfleet.simulations.choices import Choices
from tinyfleet.simulations.choosing import NAME, Again, Choosing
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.population import SMALL
from tinyfleet.simulations.run import Listener, Progress
from tinyfleet.simulations.study import Study, study_from
from tinyfleet.weights import load_weights, save_weights

ROUND_SECONDS = 120.0
"""Seconds that the devices have for a round; emulated boards take a few."""

START_SECONDS = 60.0
"""Seconds until all devices must have announced themselves."""

STOP_SECONDS = 20.0
"""Seconds that a daemon has to say goodbye."""

_LEAVES = "gw-3"
"""The gateway that goes away before the rounds."""

Hear = Callable[[Update, str], None]


@dataclass(frozen=True)
class Mix:
    """Who is there, who trains, and for how long.

    Attributes:
        simulated: devices that live in the gateways' processes; numbers 0, 1 and so on.
        boards: emulated boards; the numbers behind those.
        small: simulated devices that stand for boards of 16 KiB; the numbers behind those.
        absent: simulated devices whose gateway leaves before the rounds; the last numbers.
        per_round: devices a round; 0 for all that the query finds.
        rounds: how many.
        select: the query that chooses; see `tinyfleet.server.select.read_selection`.
        embedded: whether the broker is the embedded one; None takes the better one that is there.
    """

    simulated: int = 8
    boards: int = 2
    small: int = 0
    absent: int = 0
    per_round: int = 0
    rounds: int = 5
    select: str = "fair"
    embedded: bool | None = None

    @property
    def staying(self) -> int:
        """How many devices are there during the rounds."""
        return self.simulated + self.boards + self.small

    @property
    def devices(self) -> int:
        """How many devices there are in all."""
        return self.staying + self.absent


DEMO = Mix(small=2, absent=2, per_round=6)
"""The fleet of the demo, of which some do not fit and some are not there."""


@dataclass(frozen=True)
class Answer:
    """What is kept of an update: who, when, computed by what, and how well it went."""

    round: int
    device: int
    computed_by: str
    examples: int
    loss: float


@dataclass(frozen=True)
class Outcome:
    """What came of the rounds.

    Attributes:
        broker: which broker it was.
        answers: the updates, round by round and in the order of the devices.
        weights: what the mixed fleet learned, `(parameters,)`.
        simulation: what the same rounds in simulation learned.
        choices: who was chosen, round by round.
    """

    broker: str
    answers: Sequence[Answer]
    weights: Floats
    simulation: Floats
    choices: Choices | None = None


def absent_packages() -> list[str]:
    """Return which packages are missing without which no board can be emulated."""
    return [name for name in ("unicorn", "ziglang") if importlib.util.find_spec(name) is None]


def go_on(folder: Path, mix: Mix, machine: Machine, listen: Listener) -> None:
    """Go on with the finished run in `folder`; write `mixed.json` and `mixed.npy` there.

    Those whom the query chooses learn, as the study trains, with its first server step. The graph
    that was asked stays in the folder, and holds who trained what.

    Raises:
        QueryError: there is no such query, or it finds nobody.
        StudyError: there is no finished run.
        FirmwareError: the boards' firmware cannot be built, or the rounds end in other bytes than
            in simulation.
        BrokerError: no broker starts, or a device stays away or silent.
    """
    path = folder / journal.RUN
    study = study_from(journal.read_json(path).get("study"), f"{path}: study")
    selection = read_selection(mix.select)
    setup = assemble(study, machine)
    start = load_weights(folder / journal.WEIGHTS, setup.network)
    total = mix.rounds * (mix.per_round or mix.simulated + mix.boards)
    listen(Progress(NAME, 0, total, math.nan, None))
    if mix.boards:
        build("unicorn", "zig")
    answers: list[Answer] = []

    def hear(update: Update, by: str) -> None:
        answers.append(Answer(update.round, update.device, by, update.examples, update.loss))
        listen(Progress(NAME, len(answers), total, update.loss, None))

    place = folder / journal.MIXED_GRAPH
    shutil.rmtree(place, ignore_errors=True)
    with FleetGraph.open(place) as graph, _fleet(setup, mix, graph, folder / NAME) as (fleet, kind):
        model = graph.add_model(describe_network(setup.network).to_graph())
        name = setup.network.name
        selector = Selector(graph, selection, mix.per_round, study.seed, model, name, fleet=NAME)
        choosing = Choosing(selector, start, study)
        learned = _train(choosing.watch(_Heard(fleet, hear)), setup, mix, start, choosing)
        choices = choosing.choices
    simulation = _train(_simulated(setup, mix, machine), setup, mix, start, Again(choices))
    write_outcome(folder, Outcome(kind, answers, learned, simulation, choices))


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write `mixed.npy` and `mixed.json` into `folder`.

    Raises:
        FirmwareError: the rounds have ended in other bytes than in simulation; all is written.
    """
    ours, expected = _digest(outcome.weights), _digest(outcome.simulation)
    told = {
        "broker": outcome.broker,
        "updates": [asdict(answer) for answer in outcome.answers],
        "weights_sha256": ours,
        "simulation_sha256": expected,
        **({"selection": outcome.choices.to_dict()} if outcome.choices else {}),
    }
    save_weights(folder / journal.MIXED_WEIGHTS, outcome.weights)
    journal.write_json(folder / journal.MIXED, told)
    if ours != expected:
        raise FirmwareError(
            f"{folder / journal.MIXED}: weights_sha256: expected {expected}, as the same rounds in "
            f"simulation end, got {ours}; firmware or kernel compute something else on this "
            "machine: run make test"
        )


def _train(
    fleet: Fleet, setup: Setup, mix: Mix, start: Floats, chooses: Choosing | Again
) -> Floats:
    study = setup.study
    knobs = algorithms.Knobs(
        training=study.training, seed=study.seed, first_round=study.rounds + 1, step=study.step
    )
    strategy = algorithms.build(algorithms.ALGORITHMS["tinyreptile"], knobs)
    grid = FleetGrid(fleet)
    strategy.choose = chooses.choose(grid)
    return app.run(grid, strategy, start, mix.rounds, evaluate=chooses.end)


def _simulated(setup: Setup, mix: Mix, machine: Machine) -> SimulatedFleet:
    return SimulatedFleet(setup.network, setup.fleet.tasks, mix.devices, workers=machine.workers)


@dataclass(frozen=True)
class _Heard:
    """A fleet whose updates are heard as they pass, and where all that are asked must answer."""

    fleet: MqttFleet
    hear: Hear

    @property
    def devices(self) -> Sequence[int]:
        return self.fleet.devices

    def run(
        self, assignments: Mapping[int, Assignment], timeout: float | None = None
    ) -> Iterator[Update]:
        del timeout  # Flower's hour would be long
        silent = set(assignments)
        for update in self.fleet.run(assignments, ROUND_SECONDS):
            silent.discard(update.device)
            self.hear(update, self.fleet.computed_by[update.device])
            yield update
        if silent:
            refused = ", ".join(f"{count} {why}" for why, count in self.fleet.counts.items())
            raise BrokerError(
                f"mixed fleet: expected an update of every device, got none of "
                f"{', '.join(map(str, sorted(silent)))} in {ROUND_SECONDS:g} s; "
                f"refused: {refused or 'nothing'}"
            )


@contextmanager
def _fleet(
    setup: Setup, mix: Mix, graph: FleetGraph, folder: Path
) -> Iterator[tuple[MqttFleet, str]]:
    """Run broker, gateways and devices; yield the fleet, and which broker it is.

    All descriptions are in the graph then. All that runs is stopped afterwards. `folder` is for its
    files; it stays where something fails.
    """
    with ExitStack() as running:
        server = running.enter_context(running_broker(folder, embedded=mix.embedded))
        broker = Broker(server.host, server.port)
        births = running.enter_context(Births(graph, broker, NAME))
        leaving = running.enter_context(ExitStack())
        for name, tables in _gateways(setup.study, mix).items():
            gateway = Gateway(
                path=folder,
                fleet=NAME,
                gateway=name,
                network=setup.network,
                folder=folder / name,
                broker=broker,
                listen=None,
                devices=tuple(tables),
            )
            stack = leaving if name == _LEAVES else running
            stack.enter_context(_serving(Daemon(gateway)))
        fleet = running.enter_context(MqttFleet(broker, NAME, setup.network, run=NAME))
        fleet.wait_for(mix.devices, START_SECONDS)
        births.wait_for(mix.devices, START_SECONDS)
        leaving.close()
        births.wait_for(mix.staying, START_SECONDS, offline=mix.absent)
        yield fleet, server.kind
    shutil.rmtree(folder, ignore_errors=True)


def _gateways(study: Study, mix: Mix) -> Mapping[str, Sequence[DeviceTable]]:
    """Return the devices of each gateway that has any."""
    source = _source(study)
    half, boards = (mix.simulated + 1) // 2, mix.simulated + mix.boards

    def table(kind: DeviceKind, first: int, end: int, facts: Facts | None = None) -> DeviceTable:
        return DeviceTable(kind, source, numbers=range(first, end), facts=facts)

    tables = {
        "gw-1": [
            table("simulated", 0, half),
            table("emulated", mix.simulated, boards),
        ],
        "gw-2": [
            table("simulated", half, mix.simulated),
            table("simulated", boards, mix.staying, SMALL),
        ],
        _LEAVES: [table("simulated", mix.staying, mix.devices)],
    }
    filled = {name: [t for t in of if len(t.members)] for name, of in tables.items()}
    return {name: of for name, of in filled.items() if of}


def _source(study: Study) -> dict[str, Any]:
    """Return the source that gives a device the tasks which it has in the study."""
    names = ["seed", "support", "query", "min_support", "noise"]
    names += ["setting"] if study.app == "sine" else ["ways", "drift"]
    file = {} if study.data is None else {"file": study.data}
    return {"kind": study.app, **{name: getattr(study, name) for name in names}, **file}


@contextmanager
def _serving(daemon: Daemon) -> Iterator[None]:
    """Run `daemon` until the block ends; if it has failed, that is why the block has, too."""
    failed: list[FleetError] = []

    def serve() -> None:
        try:
            daemon.run()
        except FleetError as error:
            failed.append(error)

    thread = threading.Thread(target=serve, name="gateway", daemon=True)
    thread.start()
    try:
        yield
    finally:
        daemon.stop()
        thread.join(STOP_SECONDS)
        if failed:
            raise failed[0]


def _digest(weights: Floats) -> str:
    return hashlib.sha256(weights.tobytes()).hexdigest()
