"""What a round takes of one device: Tables 3, 7 and 8 of TECS 2024, at their sizes and at ours."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyfleet.encoding import Form, encoded_bytes
from tinyfleet.messages import Assignment, Training
from tinyfleet.networks import named_network
from tinyfleet.simulations.applications import find_application
from tinyfleet.simulations.carried import Carried, over_mqtt, over_serial, over_serial_today
from tinyfleet.simulations.costs import (
    ASSUMPTIONS,
    CORTEX_M4,
    Machine,
    Samples,
    byte_cost,
    evenly,
    published_cost,
    round_cost,
)
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.reproduce.cells import NOT_PUBLISHED, Cell, cell_of
from tinyfleet.simulations.study import Study

BATCH, KB = 8, 1000.0
COUNTED = "communication cost, places and headers counted"
COLUMNS = (
    ("receive", "s"),
    ("train", "s"),
    ("send", "s"),
    ("total", "s"),
    ("communication cost", ""),
    ("memory", "KB"),
    ("energy", "J"),
)
NO_LAYERS = "their layers are not published, so neither are the operations of a sample"
NO_SAMPLES = "the samples of their round are not published; ours are those of our study"
NO_BATCH = "our firmware learns one sample at a time: the batch is counted, not run"
NOTES = """
One device, one round. *Their size*: as many parameters as theirs. Their layers are not published,
so what training takes cannot be worked out; what travels can, and the memory of their formula, 4
bytes a parameter and the activations of a batch. *Our networks*: with the samples of our study
(Table 4's TinyReptile, Table 5's TinyMetaFed), float32 both ways. All is counted or computed and
nothing is sampled, so there is no interval. The memory beside the published one is by their
formula, too; *kernel memory* is what ours needs. Energy is above idle. Reptile takes batches of 8
and asks N devices a round: figures are of one of them. *Wire version 1* is what boards exchange
today: all weights down, and a u32 place with every entry of a share.
"""


@dataclass(frozen=True)
class Method:
    """A row of a published table.

    Attributes:
        name: of the algorithm.
        strategy: what we call it.
        batch: samples of a step.
        share: P of TinyMetaFed; None where all layers travel.
        published: receive, train, send, total in s, communication cost, memory in KB, energy in J.
    """

    name: str
    strategy: str
    batch: int
    share: float | None
    published: tuple[float, ...]


@dataclass(frozen=True)
class Rounds:
    """One of the three tables.

    Attributes:
        table: its name.
        app: its application.
        machine: what they measured on.
        parameters: of their network.
        activations: bytes of its activations, A, derived from their memory.
        shared: part of the network that travels in TinyMetaFed, |g| / |phi|, derived.
        small: our network that a microcontroller trains; "" where ours is one.
        methods: its rows.
    """

    table: str
    app: str
    machine: Machine
    parameters: int
    activations: float
    shared: float
    small: str
    methods: tuple[Method, ...]


def cells_of(rounds: Rounds) -> Sequence[Cell]:
    """Return every figure of the table at their size, and for our networks."""
    found: list[Cell] = []
    for method in rounds.methods:
        study = complete({"app": rounds.app, "strategy": method.strategy}, rounds.table)
        network = study.network if method.share is not None else _plain(rounds).network
        found += _their_size(rounds, method)
        found += _ours(rounds, method, network, rounds.machine)
        if rounds.small and method.batch == 1:  # a board learns one sample at a time
            found += _ours(rounds, method, rounds.small, CORTEX_M4)
    return found


def notes_of() -> str:
    """Return what a reader of the three tables must know."""
    return NOTES + "\n".join(f"- {line}" for line in ASSUMPTIONS)


def _their_size(rounds: Rounds, method: Method) -> Iterator[Cell]:
    row, machine = f"{method.name}, {rounds.parameters:,} parameters (their size)", rounds.machine
    part = 1.0 if method.share is None else rounds.shared
    entries, share = round(part * rounds.parameters), method.share or 1.0
    form = Form(entries, (entries,), whole=share == 1.0)
    places = None if share == 1.0 else evenly(entries, share)
    down, up = 4 * entries, encoded_bytes(form, places)
    carried = _carried(machine, down, up)
    receive, send = carried.down / machine.down, carried.up / machine.up
    memory = (4 * rounds.parameters + method.batch * rounds.activations) / KB
    ours = (receive, None, send, None, part * (1 + share) / 2, memory, None)
    whys = ("", NO_LAYERS, "", NO_LAYERS, "", "", NO_LAYERS)
    for column, value, then, why in zip(COLUMNS, ours, method.published, whys, strict=True):
        yield _cell(rounds, row, column, value, then, why)
    counted = (down + up) / (8 * rounds.parameters)
    yield _cell(rounds, row, (COUNTED, ""), counted, method.published[4])


def _ours(rounds: Rounds, method: Method, name: str, machine: Machine) -> Iterator[Cell]:
    network = named_network(name)
    study = complete({"app": rounds.app, "strategy": method.strategy}, rounds.table)
    rows = find_application(rounds.app).rows_per_shot(study)
    samples = Samples(rows * _plain(rounds).support)
    asked = Assignment(1, network.init(0), Training(rate=0.01, batch=method.batch))
    if method.share is not None:
        asked = replace(asked, local=_local(network.parts, study.local), share=method.share)
        samples = Samples(rows * study.support, rows * study.query)
    spent = round_cost(network, asked, samples, machine)
    row = f"{method.name}, {name} ({network.parameters:,} parameters), {machine.name}"
    same = network.parameters == rounds.parameters and machine is rounds.machine
    then = method.published if machine is rounds.machine else (None,) * len(COLUMNS)
    ours = (
        spent.receive,
        spent.train,
        spent.send,
        spent.total,
        published_cost(network, asked),
        spent.memory_published / KB,
        spent.joules,
    )
    other = "" if same else f"another network: theirs has {rounds.parameters:,} parameters"
    for column, value, published in zip(COLUMNS, ours, then, strict=True):
        why = NOT_PUBLISHED if published is None else other
        if not why and column[0] in ("train", "total", "energy"):
            why = NO_SAMPLES if method.batch == 1 or machine.gateway else NO_BATCH
        yield _cell(rounds, row, column, value, published, why)
    for column, value in (
        ((COUNTED, ""), byte_cost(network, asked)),
        (("kernel memory", "KB"), spent.memory / KB),
        (("bytes received", "B"), float(spent.carried.down)),
        (("bytes sent", "B"), float(spent.carried.up)),
        (("multiply-accumulates", "million"), spent.macs / 1e6),
        (("instructions", "million"), spent.instructions / 1e6),
    ):
        yield _cell(rounds, row, column, value, None, NOT_PUBLISHED)
    if not machine.gateway:
        today = over_serial_today(network, asked)
        for name, size in (("received", today.down), ("sent", today.up)):
            column = f"bytes {name}, wire version 1", "B"
            yield _cell(rounds, row, column, float(size), None, NOT_PUBLISHED)


def _plain(rounds: Rounds) -> Study:
    return complete({"app": rounds.app, "strategy": "tinyreptile"}, rounds.table)


def _local(parts: Iterable[str], named: tuple[str, ...]) -> tuple[str, ...]:
    """Return the local layers: as many of the last as the study names."""
    names = list(parts)
    return tuple(names[-max(1, len(named)) :])


def _carried(machine: Machine, down: int, up: int) -> Carried:
    if not machine.gateway:
        return over_serial(down, up)
    return over_mqtt(Assignment(1, np.zeros(0, np.float32), Training(rate=0.01)), down, up)


def _cell(
    rounds: Rounds,
    row: str,
    column: tuple[str, str],
    ours: float | None,
    published: float | None,
    why: str = "",
) -> Cell:
    return cell_of((rounds.table, row, column[0]), ours, published, unit=column[1], why=why)
