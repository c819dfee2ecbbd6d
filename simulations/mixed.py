"""A mixed fleet: simulated devices and emulated boards go on together with what a run has learned.

They stand behind one gateway and a broker, and learn as a fleet of real boards would. The same
rounds in simulation must end in the same bytes.
"""

import hashlib
import importlib.util
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyfleet.broker import Broker
from tinyfleet.client.daemon import Daemon
from tinyfleet.client.firmware.build import build
from tinyfleet.client.gateway import Gateway
from tinyfleet.client.tables import DeviceTable
from tinyfleet.errors import BrokerError, FirmwareError, FleetError
from tinyfleet.fleet import Fleet
from tinyfleet.messages import Assignment, Floats, Update
from tinyfleet.mqtt_fleet import MqttFleet
from tinyfleet.server import algorithms, app
from tinyfleet.server.broker import running_broker
from tinyfleet.server.grid import FleetGrid
from tinyfleet.simulations import journal
from tinyfleet.simulations.assemble import Machine, Setup, assemble
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.run import Listener, Progress
from tinyfleet.simulations.study import Study, study_from
from tinyfleet.weights import load_weights, save_weights

NAME = "mixed"
"""The fleet in topics, the run in ids, and the folder for what must not outlive the rounds."""

ROUND_SECONDS = 120.0
"""Seconds that the devices have for a round; emulated boards take a few."""

START_SECONDS = 60.0
"""Seconds until all devices must have announced themselves."""

STOP_SECONDS = 20.0
"""Seconds that the daemon has to say goodbye."""

Hear = Callable[[Update, str], None]


@dataclass(frozen=True)
class Mix:
    """Who trains, and for how long.

    Attributes:
        simulated: devices that live in the gateway's process; numbers 0, 1 and so on.
        boards: emulated boards; the numbers behind those.
        rounds: how many.
        embedded: whether the broker is the embedded one; None takes the better one that is there.
    """

    simulated: int = 8
    boards: int = 2
    rounds: int = 5
    embedded: bool | None = None


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
    """

    broker: str
    answers: Sequence[Answer]
    weights: Floats
    simulation: Floats


def absent_packages() -> list[str]:
    """Return which packages are missing without which no board can be emulated."""
    return [name for name in ("unicorn", "ziglang") if importlib.util.find_spec(name) is None]


def go_on(folder: Path, mix: Mix, machine: Machine, listen: Listener) -> None:
    """Go on with the finished run in `folder`; write `mixed.json` and `mixed.npy` there.

    All devices of the mix learn in every round, as the study trains, with its first server step.

    Raises:
        StudyError: there is no finished run.
        FirmwareError: the boards' firmware cannot be built, or the rounds end in other bytes than
            in simulation.
        BrokerError: no broker starts, or a device stays away or silent.
    """
    path = folder / journal.RUN
    study = study_from(journal.read_json(path).get("study"), f"{path}: study")
    setup = assemble(study, machine)
    start = load_weights(folder / journal.WEIGHTS, setup.network)
    total = mix.rounds * (mix.simulated + mix.boards)
    listen(Progress(NAME, 0, total, math.nan, None))
    if mix.boards:
        build("unicorn", "zig")
    answers: list[Answer] = []

    def hear(update: Update, by: str) -> None:
        answers.append(Answer(update.round, update.device, by, update.examples, update.loss))
        listen(Progress(NAME, len(answers), total, update.loss, None))

    with _fleet(setup, mix, folder / NAME) as (fleet, broker):
        heard = _Heard(fleet, range(mix.simulated + mix.boards), hear)
        learned = _train(heard, setup, mix, start)
    simulation = _train(_simulated(setup, mix, machine), setup, mix, start)
    write_outcome(folder, Outcome(broker, answers, learned, simulation))


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
    }
    save_weights(folder / journal.MIXED_WEIGHTS, outcome.weights)
    journal.write_json(folder / journal.MIXED, told)
    if ours != expected:
        raise FirmwareError(
            f"{folder / journal.MIXED}: weights_sha256: expected {expected}, as the same rounds in "
            f"simulation end, got {ours}; firmware or kernel compute something else on this "
            "machine: run make test"
        )


def _train(fleet: Fleet, setup: Setup, mix: Mix, start: Floats) -> Floats:
    study = setup.study
    strategy = algorithms.tinyreptile(
        training=study.training,
        per_round=0,
        step=study.step,
        seed=study.seed,
        first_round=study.rounds + 1,
    )
    return app.run(FleetGrid(fleet), strategy, start, mix.rounds)


def _simulated(setup: Setup, mix: Mix, machine: Machine) -> SimulatedFleet:
    return SimulatedFleet(
        setup.network, setup.fleet.tasks, mix.simulated + mix.boards, workers=machine.workers
    )


@dataclass(frozen=True)
class _Heard:
    """A fleet whose updates are heard as they pass, and where all devices must answer."""

    fleet: MqttFleet
    asked: Sequence[int]
    hear: Hear

    @property
    def devices(self) -> Sequence[int]:
        return self.fleet.devices

    def run(
        self, assignments: Mapping[int, Assignment], timeout: float | None = None
    ) -> Iterator[Update]:
        del timeout  # Flower's hour would be long
        silent = set(self.asked)
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
def _fleet(setup: Setup, mix: Mix, folder: Path) -> Iterator[tuple[MqttFleet, str]]:
    """Run broker, gateway and devices; yield the fleet, and which broker it is.

    All of them are stopped afterwards. `folder` is for their files; it stays where something fails.
    """
    with running_broker(folder, embedded=mix.embedded) as running:
        broker = Broker(running.host, running.port)
        gateway = Gateway(
            path=folder,
            fleet=NAME,
            gateway="gw-1",
            network=setup.network,
            folder=folder,
            broker=broker,
            listen=None,
            devices=tuple(_tables(setup.study, mix)),
        )
        with (
            _serving(Daemon(gateway)),
            MqttFleet(broker, NAME, setup.network, run=NAME) as fleet,
        ):
            fleet.wait_for(mix.simulated + mix.boards, START_SECONDS)
            yield fleet, running.kind
    shutil.rmtree(folder, ignore_errors=True)


def _tables(study: Study, mix: Mix) -> Iterator[DeviceTable]:
    source = _source(study)
    first, end = mix.simulated, mix.simulated + mix.boards
    if first:
        yield DeviceTable("simulated", source, numbers=range(first))
    if first < end:
        yield DeviceTable("emulated", source, numbers=range(first, end))


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
