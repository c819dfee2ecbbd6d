"""Boards learn what the kernel on this machine learns, bit for bit, whatever the line does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from boards import check_same, firmware, host, task_for
from drawn import every_layer, frozen_sets, networks
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lossy import Lossy

from tinyfleet.client.board import STARTS, Board
from tinyfleet.client.emulated import UnicornBoard
from tinyfleet.client.link import Link
from tinyfleet.client.ports import Port
from tinyfleet.client.qemu import QemuBoard
from tinyfleet.errors import NetworkError, TrainingError, WireError
from tinyfleet.kernel_learner import KernelLearner
from tinyfleet.layers import Dense
from tinyfleet.messages import Assignment, Training
from tinyfleet.network import LOSSES, Loss, Network, sequence
from tinyfleet.networks import named_network
from tinyfleet.wire import ANSWER, SAFE_PAYLOAD, Kind, Options, Request, decode, encode

Engine = Callable[[], Port]
ENGINES: dict[str, Engine] = {
    "unicorn": lambda: UnicornBoard(firmware("unicorn", "zig")),
    "qemu": lambda: QemuBoard(firmware("qemu", "gcc")),
    "host": host,
}
NAMES = ("sine", "presence", "characters-mcu")
TIMEOUT = 0.005  # seconds


@contextmanager
def port_to(engine: str) -> Iterator[Port]:
    port = ENGINES[engine]()
    try:
        yield port
    finally:
        port.close()


@pytest.fixture
def emulated() -> UnicornBoard:
    return UnicornBoard(firmware("unicorn", "zig"))


@cache
def any_board() -> UnicornBoard:
    """Return the board that one network after another is tried on."""
    return UnicornBoard(firmware("unicorn", "zig"))


def assignment_for(network: Network, **changes: object) -> Assignment:
    plain = Assignment(3, network.init(7), Training(0.01), seed=5)
    return replace(plain, **changes)  # type: ignore[arg-type]  # each test knows the field


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", ["unicorn", "qemu"])
def test_512_steps_equal_the_kernel(engine: str, name: str) -> None:
    network = named_network(name)
    assignment, task = assignment_for(network), task_for(network, 512)

    with port_to(engine) as port:
        update = Board(Link(port), network).learn(assignment, task, 4)

    check_same(update, KernelLearner(network).learn(assignment, task, 4))
    assert (update.values != assignment.weights).any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", ["unicorn", "qemu"])
def test_512_steps_over_a_damaged_line_cut_ten_times_equal_the_kernel(
    engine: str, name: str
) -> None:
    network = named_network(name)
    assignment, task = assignment_for(network), task_for(network, 512)

    with port_to(engine) as port:
        lossy = Lossy(port, seed=1, cuts=range(4, 44, 4))
        link = Link(lossy, TIMEOUT)
        update = Board(link, network).learn(assignment, task, 4)

    check_same(update, KernelLearner(network).learn(assignment, task, 4))
    assert lossy.written > 44
    assert lossy.damaged > 5
    assert link.retries > 20


@pytest.mark.parametrize("name", ["sine", "presence"])
def test_a_board_that_restarts_ten_times_on_a_damaged_line_equals_the_kernel(
    emulated: UnicornBoard, name: str
) -> None:
    network = named_network(name)
    assignment, task = assignment_for(network), task_for(network, 512)
    lossy = Lossy(emulated, seed=2, cuts=range(12, 132, 12), on_cut=emulated.reset)
    board = Board(Link(lossy, TIMEOUT), network)

    update = board.learn(assignment, task, 4)

    check_same(update, KernelLearner(network).learn(assignment, task, 4))
    assert lossy.written > 132
    assert board.restarts > 2


KINDS_OF_WORK: dict[str, Callable[[Network], Assignment]] = {
    "passes": lambda n: assignment_for(n, training=Training(0.02, passes=5)),
    "frozen": lambda n: assignment_for(n, frozen=tuple(n.parts)[:1]),
    "all frozen": lambda n: assignment_for(n, frozen=tuple(n.parts), share=0.5),
    "share": lambda n: assignment_for(n, share=0.2),
    "least share": lambda n: assignment_for(n, share=1e-9),
    "local, fresh": lambda n: assignment_for(n, local=tuple(n.parts)[-1:]),
    "local, zeros": lambda n: assignment_for(n, local=tuple(n.parts)[:1], local_start="zeros"),
    "local, received, frozen, share, passes": lambda n: assignment_for(
        n,
        training=Training(0.02, passes=3),
        local=tuple(n.parts)[-1:],
        frozen=tuple(n.parts)[:1],
        local_start="received",
        share=0.4,
    ),
}


@pytest.mark.parametrize("work", KINDS_OF_WORK)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_assignment_equals_the_kernel(emulated: UnicornBoard, loss: Loss, work: str) -> None:
    for network in (*every_layer(loss), named_network("sine")):
        assignment, task = KINDS_OF_WORK[work](network), task_for(network, 9, 6)

        update = Board(Link(emulated), network).learn(assignment, task, 11)

        check_same(update, KernelLearner(network).learn(assignment, task, 11))


@settings(deadline=None, max_examples=25, derandomize=True)
@given(data=st.data(), network=networks(5), passes=st.integers(1, 2), seed=st.integers(0, 2**20))
def test_any_network_equals_the_kernel(
    data: st.DataObject, network: Network, passes: int, seed: int
) -> None:
    training = Training(data.draw(st.floats(2**-10, 2**-4)), passes)
    frozen = tuple(data.draw(frozen_sets(network)))
    share = data.draw(st.sampled_from([1.0, 0.3]))
    assignment = assignment_for(network, training=training, frozen=frozen, share=share)
    task = task_for(network, 3, seed=seed)
    expected = KernelLearner(network).learn(assignment, task)
    assume(np.isfinite(expected.values).all() and np.isfinite(expected.loss))

    update = Board(Link(any_board()), network).learn(assignment, task)

    check_same(update, expected)


def test_equal_changes_are_chosen_from_the_lower_place(emulated: UnicornBoard) -> None:
    network = Network("even", (4,), sequence(Dense(6)), "mean-square")
    task = task_for(network, 1)
    even = replace(task, support_x=np.ones_like(task.support_x), support_y=task.support_y * 0)
    assignment = assignment_for(network, weights=np.ones(30, np.float32), share=0.5)

    update = Board(Link(emulated), network).learn(assignment, even)

    assert update.indices is not None
    assert update.indices.tolist() == list(range(15))
    check_same(update, KernelLearner(network).learn(assignment, even))


def test_a_share_is_chosen_on_the_board_where_there_is_room(emulated: UnicornBoard) -> None:
    network = named_network("presence")
    line = Lossy(emulated, seed=0, share=0)
    whole, part = assignment_for(network), assignment_for(network, share=0.05)
    board, task = Board(Link(line), network), task_for(network, 4)

    board.learn(whole, task)
    read_whole = line.written
    board.learn(part, task)

    assert line.written - read_whole < read_whole - 10


def test_without_room_for_a_kept_copy_the_gateway_chooses_the_same(
    emulated: UnicornBoard,
) -> None:
    wide = Network("wide", (120,), sequence(Dense(200), Dense(60)), "mean-square")
    assignment, task = assignment_for(wide, share=0.1), task_for(wide, 2)

    update = Board(Link(emulated), wide).learn(assignment, task)

    assert 8 * wide.parameters > Link(emulated).hello().arena
    check_same(update, KernelLearner(wide).learn(assignment, task))


class Modest:
    """A port to a device that says it takes no more than 32 bytes of payload, and sees to it."""

    def __init__(self, port: Port) -> None:
        self._port, self.longest = port, 0

    def write(self, data: bytes) -> None:
        self.longest = max(self.longest, len(decode(data.strip(b"\0")).payload))
        self._port.write(data)

    def read(self, timeout: float) -> bytes:
        data = self._port.read(timeout)
        if not data or decode(data[:-1]).type != Request.HELLO | ANSWER:
            return data
        hello = decode(data[:-1])
        payload = hello.payload[:2] + SAFE_PAYLOAD.to_bytes(2, "little") + hello.payload[4:]
        return encode(replace(hello, payload=payload))

    def close(self) -> None:
        self._port.close()


def test_a_board_that_takes_little_is_given_little(emulated: UnicornBoard) -> None:
    layers = sequence(*[layer for _ in range(5) for layer in (Dense(3), Dense(2))])
    network = Network("deep", (2,), layers, "mean-square")
    gaps = tuple(f"dense-{i}" for i in (2, 4, 6, 8))  # more ranges than a SELECT of 32 bytes names
    assignment, task = assignment_for(network, frozen=gaps, share=0.3), task_for(network, 5)
    modest = Modest(emulated)

    update = Board(Link(modest), network).learn(assignment, task)

    check_same(update, KernelLearner(network).learn(assignment, task))
    assert modest.longest == SAFE_PAYLOAD


def test_a_board_that_has_diverged_hides_nothing(emulated: UnicornBoard) -> None:
    network = named_network("sine")
    assignment = assignment_for(network, training=Training(1e10), share=0.1)
    task = task_for(network, 40)

    update = Board(Link(emulated), network).learn(assignment, task)

    expected = KernelLearner(network).learn(assignment, task)
    assert not np.isfinite(update.values).all()
    assert np.array_equal(update.values, expected.values, equal_nan=True)
    assert update.indices is expected.indices is None


def test_one_round_follows_another_without_the_program_again(emulated: UnicornBoard) -> None:
    network = named_network("sine")
    line = Lossy(emulated, seed=0, share=0)
    board, task = Board(Link(line), network), task_for(network, 4)
    first, second = assignment_for(network), assignment_for(network, round=4)

    board.learn(first, task)
    written = line.written
    update = board.learn(second, task)

    check_same(update, KernelLearner(network).learn(second, task))
    assert line.written - written == written - 3  # BEGIN, CHUNK, COMMIT


def test_too_large_a_network_is_refused_before_a_byte_of_it_is_sent(
    emulated: UnicornBoard,
) -> None:
    network = named_network("keywords")
    line = Lossy(emulated, seed=0, share=0)

    with pytest.raises(NetworkError, match=r"keywords: .* need \d+ bytes, have \d+ bytes"):
        Board(Link(line), network).learn(assignment_for(network), task_for(network, 1))

    assert line.written == 1  # HELLO


@pytest.mark.parametrize(
    ("training", "field"),
    [
        (Training(0.1, batch=4), "batch"),
        (Training(0.1, optimizer="adam"), "optimizer"),
        (Training(0.1, proximal=0.5), "proximal"),
    ],
)
def test_training_that_firmware_lacks_is_refused_by_name(training: Training, field: str) -> None:
    network = named_network("sine")

    assignment = assignment_for(network, training=training)
    board = Board(Link(host()), network)

    with pytest.raises(TrainingError, match=rf"training\.{field}"):
        board.learn(assignment, task_for(network, 4))


def test_local_layers_without_a_query_are_refused() -> None:
    network = named_network("sine")
    assignment = assignment_for(network, local=("dense-1",))

    board = Board(Link(host()), network)

    with pytest.raises(TrainingError, match="query"):
        board.learn(assignment, task_for(network, 4))


def test_a_board_that_never_stays_up_is_given_up(emulated: UnicornBoard) -> None:
    network = named_network("sine")
    lossy = Lossy(emulated, seed=0, share=0, cuts=range(4, 10_000, 4), on_cut=emulated.reset)

    with pytest.raises(WireError, match=f"round 3: .* got {STARTS} restarts"):
        Board(Link(lossy, 0.001), network).learn(assignment_for(network), task_for(network, 512))


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_is_the_loss_before_any_step(emulated: UnicornBoard, name: str) -> None:
    network = named_network(name)
    weights, task = network.init(1), task_for(network, 10)

    result = Board(Link(emulated), network).evaluate(weights, task.support_x, task.support_y)

    frozen = assignment_for(network, weights=weights, frozen=tuple(network.parts))
    expected = KernelLearner(network).learn(frozen, task)
    assert (result.loss, result.samples) == (expected.loss, 10)
    assert (result.hits > 0) == (name != "sine")


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_board_learns_from_its_own_sensor(share: float) -> None:
    network = named_network("sine")
    ramp = ((np.arange(10) % 8).astype(np.float32) * np.float32(0.125))[:, None]  # its readings
    parity = (np.arange(10) % 2).astype(np.float32)[:, None]
    task = replace(task_for(network, 1), support_x=ramp, support_y=parity)
    assignment = assignment_for(network, share=share, frozen=("dense-1",))

    with port_to("host") as port:
        update = Board(Link(port), network).sense(assignment, 10, 2)

    check_same(update, KernelLearner(network).learn(assignment, task, 2))


@pytest.mark.parametrize(
    "changes", [{"local": ("dense-1",)}, {"training": Training(0.1, passes=2)}], ids=str
)
def test_what_readings_cannot_do_is_refused(changes: dict[str, object]) -> None:
    network = named_network("sine")
    board = Board(Link(host()), network)

    with pytest.raises(TrainingError, match="with a sensor"):
        board.sense(assignment_for(network, **changes), 10)


def test_a_board_without_a_sensor_says_so(emulated: UnicornBoard) -> None:
    network = named_network("sine")

    with pytest.raises(WireError, match="sensor"):
        Board(Link(emulated), network).sense(assignment_for(network), 10)


def test_what_computed_is_told(emulated: UnicornBoard) -> None:
    board = Board(Link(emulated), named_network("sine"))

    assert board.by == "firmware 0.1.0 on nrf52840-emulated"


def test_counters_tell_steps_and_memory(emulated: UnicornBoard) -> None:
    network = named_network("sine")
    link = Link(emulated)
    Board(link, network).learn(assignment_for(network), task_for(network, 32))

    counters = link.counters()

    assert counters.steps == 32
    assert 0 < counters.stack < 4096
    assert counters.arena_used > 4 * network.parameters


@pytest.mark.parametrize("kind", [Kind.LEARN, Kind.EVALUATE])
def test_a_stream_of_another_length_is_refused(emulated: UnicornBoard, kind: Kind) -> None:
    network, link = named_network("sine"), Link(emulated)
    task = task_for(network, 3)
    Board(link, network).evaluate(network.init(1), task.support_x, task.support_y)

    with pytest.raises(WireError, match="length"):
        link.send_blob(kind, bytes(20), Options(rate=0.1, samples=3))
