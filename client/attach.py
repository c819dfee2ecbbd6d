"""How a gateway gets hold of a device: a kernel in this process, or a board behind a port.

What only some kinds need is imported when one of them is attached.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from tinyfleet.client.sources import Sensor, Tasks
from tinyfleet.client.tables import DeviceTable
from tinyfleet.client.thing import Facts
from tinyfleet.errors import ConfigError, FleetError, TrainingError
from tinyfleet.kernel_learner import KernelLearner
from tinyfleet.messages import Assignment, Update
from tinyfleet.network import Network
from tinyfleet.plan import KINDS, plan
from tinyfleet.wire import arena_need

if TYPE_CHECKING:
    from tinyfleet.client.link import Link
    from tinyfleet.client.ports import Port


@dataclass(frozen=True)
class Attached:
    """A device that answers.

    Attributes:
        facts: what it is.
        by: what computes there, as reports say it.
        learn: follows an assignment with the round's own samples. A `WireError` other than
            the device's own refusal, or a `FirmwareError`, means that it has gone.
        close: gives the device back.
        link: counts retries and malformed frames; None where there is no link.
    """

    facts: Facts
    by: str
    learn: Callable[[Assignment], Update]
    close: Callable[[], None]
    link: "Link | None" = None


FIRST_TRIES, TRIES = 3, 8
"""Times that a board is asked before it counts as gone: 3.5 s for its hello, then 13 s."""

Attach = Callable[[], Attached]
"""Gets hold of a device anew; raises a `FleetError` where it does not answer."""


def attach(table: DeviceTable, number: int, network: Network, source: Tasks | Sensor) -> Attach:
    """Return what attaches device `number` of `table`.

    Raises:
        ConfigError: a device without a sensor of its own is told to use one.
    """
    if table.is_board:
        return partial(_board, table, number, network, source)
    if isinstance(source, Sensor):
        raise ConfigError(
            f"source: kind: expected samples from this gateway because a device of kind "
            f"{table.kind} has no sensor, got sensor"
        )
    software = f"tinyfleet {version('tinyfleet')}"
    facts = table.facts or Facts(board=f"{platform.machine()} process", software=software)
    facts = replace(facts, software=software, layers=KINDS)
    return partial(_local, number, network, KernelLearner(network), source, facts)


def _local(
    number: int, network: Network, learner: KernelLearner, tasks: Tasks, facts: Facts
) -> Attached:
    def learn(assignment: Assignment) -> Update:
        room = facts.arena  # 0 where nobody counts it
        if room and (need := arena_need(plan(network, frozenset(assignment.frozen)))) > room:
            raise TrainingError(
                f"{network.name}: expected {need} bytes to train in, the {facts.board} that this "
                f"device stands for has {room}"
            )
        return learner.learn(assignment, tasks(number, assignment.round), number)

    return Attached(
        facts,
        by=f"{facts.software} on {platform.machine()}",
        learn=learn,
        close=lambda: None,
    )


def _board(table: DeviceTable, number: int, network: Network, source: Tasks | Sensor) -> Attached:
    from tinyfleet.client.board import Board
    from tinyfleet.client.link import Link

    port = _port(table)
    try:
        hello = Link(port, tries=FIRST_TRIES).hello()
    except FleetError:
        port.close()
        raise
    link = Link(port, tries=TRIES)
    board = Board(link, network)
    version_text = ".".join(map(str, hello.firmware))

    def learn(assignment: Assignment) -> Update:
        if isinstance(source, Sensor):
            return board.sense(assignment, source.samples, number)
        return board.learn(assignment, source(number, assignment.round), number)

    return Attached(
        Facts(
            board=hello.board,
            software=f"firmware {version_text}",
            ram=hello.ram,
            flash=hello.flash,
            arena=hello.arena,
            sensors=hello.sensors,
            layers=tuple(kind for i, kind in enumerate(KINDS) if hello.kinds >> i & 1),
            link="emulated serial" if table.port is None else f"serial, {table.baud:,} bit/s",
        ),
        by=f"firmware {version_text} on {hello.board}",
        learn=learn,
        close=port.close,
        link=link,
    )


def _port(table: DeviceTable) -> "Port":
    """Open what leads to the board; each kind brings its own libraries."""
    if table.port is not None:
        from tinyfleet.client.ports import SerialPort

        return SerialPort(table.port, table.baud)
    from tinyfleet.client.firmware.build import build

    if table.engine == "qemu":
        from tinyfleet.client.qemu import QemuBoard

        return QemuBoard(build("qemu", "gcc"))
    from tinyfleet.client.emulated import UnicornBoard

    return UnicornBoard(build("unicorn", "zig"))
