"""A link brings every byte across, whatever the line does, and says so when it cannot."""

import os
import pty
import socket
import subprocess
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from boards import firmware, host
from lossy import CUT_FOR, Lossy

from tinyfleet.client.link import Link
from tinyfleet.client.ports import Port, PortLost, ProcessPort, SerialPort
from tinyfleet.errors import ConfigError, WireError
from tinyfleet.networks import named_network
from tinyfleet.plan import plan
from tinyfleet.wire import (
    Blob,
    DeviceRefused,
    Frame,
    Kind,
    Options,
    Reason,
    Request,
    encode,
    pack_program,
)

NETWORK = named_network("presence")
PROGRAM = pack_program(plan(NETWORK))
VECTOR = NETWORK.init(1).tobytes()


@pytest.fixture
def device() -> Iterator[ProcessPort]:
    port = host()
    yield port
    port.close()


@contextmanager
def at_a_terminal() -> Iterator[SerialPort]:
    """Give a serial port to firmware behind a pseudo-terminal."""
    near, far = pty.openpty()
    tty.setraw(far)
    process = subprocess.Popen([firmware("host", "cc")], stdin=near, stdout=near)
    port = SerialPort(os.ttyname(far))
    yield port
    port.close()
    process.kill()
    process.wait()
    os.close(near)
    os.close(far)


@contextmanager
def at_a_socket(listener: socket.socket) -> Iterator[list[socket.socket]]:
    """Give every caller of `listener` a device of its own; yield the calls."""
    calls: list[socket.socket] = []
    processes: list[subprocess.Popen[bytes]] = []

    def answer() -> None:
        while True:
            try:
                call, _ = listener.accept()
            except OSError:
                return
            calls.append(call)
            command = [firmware("host", "cc")]
            processes.append(subprocess.Popen(command, stdin=call.fileno(), stdout=call.fileno()))

    thread = threading.Thread(target=answer)
    thread.start()
    yield calls
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for process in processes:
        process.kill()
        process.wait()
    for call in calls:
        call.close()


def carries_weights(link: Link) -> bool:
    """Return whether the weights come back as they were sent."""
    link.hello()
    link.send_blob(Kind.PROGRAM, PROGRAM)
    link.send_blob(Kind.WEIGHTS, VECTOR)
    return link.read_blob(Blob.WEIGHTS, 0, len(VECTOR)) == VECTOR


def test_a_device_says_what_it_is(device: ProcessPort) -> None:
    hello = Link(device).hello()

    assert (hello.board, hello.ram) == ("host", 256 * 1024)
    assert hello.program == hello.weights == hello.steps == 0


def test_weights_come_back_as_they_were_sent(device: ProcessPort) -> None:
    link = Link(device)

    assert carries_weights(link)

    assert link.retries == link.resumed == link.dropped == link.late == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_line_that_damages_a_fifth_of_all_frames_loses_nothing(
    device: ProcessPort, seed: int
) -> None:
    lossy = Lossy(device, seed)
    link = Link(lossy, timeout=0.01)

    assert carries_weights(link)

    assert lossy.damaged > 5
    assert link.retries > 0


def test_damaged_frames_are_counted_on_both_sides(device: ProcessPort) -> None:
    link = Link(Lossy(device, seed=1), timeout=0.01)

    for _ in range(3):
        assert carries_weights(link)

    assert link.dropped > 0
    assert link.counters().dropped > 0


def test_a_cut_transfer_resumes(device: ProcessPort) -> None:
    whole = Lossy(device, seed=0, share=0)
    assert carries_weights(Link(whole))
    lossy = Lossy(device, seed=0, share=0, cuts={6})
    link = Link(lossy, timeout=0.01)

    assert carries_weights(link)

    assert lossy.written == whole.written + CUT_FOR
    assert link.resumed == 0


def test_a_transfer_begins_again_on_a_device_that_restarted(device: ProcessPort) -> None:
    lossy = Lossy(device, seed=0, share=0, cuts={3}, on_cut=device.close)
    link = Link(lossy, timeout=0.01)

    first = link.hello()
    link.send_blob(Kind.PROGRAM, PROGRAM)

    assert link.resumed == 1
    assert link.hello().session != first.session
    assert link.hello().program != 0


def test_what_was_learned_from_does_not_begin_again(device: ProcessPort) -> None:
    stream = np.zeros((512, 9), np.float32).tobytes()
    lossy = Lossy(device, seed=0, share=0, on_cut=device.close)
    link = Link(lossy, timeout=0.01)
    assert carries_weights(link)
    lossy.cuts = {lossy.written + 4}

    with pytest.raises(DeviceRefused) as refused:
        link.send_blob(Kind.LEARN, stream, Options(rate=0.01, samples=512))

    assert refused.value.reason is Reason.TRANSFER


class Late:
    """A port whose answers come only after the question has been asked again."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._asked = 0
        self._held = b""

    def write(self, data: bytes) -> None:
        self._asked += 1
        self._port.write(data)

    def read(self, timeout: float) -> bytes:
        if self._asked % 2:
            self._held += self._port.read(timeout)
            return b""
        held, self._held = self._held, b""
        return held or self._port.read(timeout)

    def close(self) -> None:
        self._port.close()


def test_a_late_answer_is_not_taken_for_another(device: ProcessPort) -> None:
    link = Link(Late(device), timeout=0.2)

    assert carries_weights(link)

    assert link.retries > 5
    assert link.late > 5


def test_a_frame_cut_off_does_not_harm_the_next(device: ProcessPort) -> None:
    link = Link(device, timeout=0.01)
    device.write(encode(Frame(Request.HELLO, 9))[:7])

    assert link.hello().board == "host"

    assert link.retries == 1
    assert link.counters().dropped == 1


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        (Kind.WEIGHTS, Options(), Reason.NOT_READY),
        (Kind.LEARN, Options(rate=0.1, samples=1), Reason.NOT_READY),
        (Kind.PROGRAM, Options(), Reason.LENGTH),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_refusal_is_named(
    device: ProcessPort, kind: Kind, options: Options, reason: Reason
) -> None:
    with pytest.raises(DeviceRefused) as refused:
        Link(device).send_blob(kind, b"123", options)

    assert refused.value.reason is reason
    assert kind.name.lower() in str(refused.value)


def test_weights_that_are_not_finite_are_refused(device: ProcessPort) -> None:
    link = Link(device)
    assert carries_weights(link)

    with pytest.raises(DeviceRefused, match="NaN or infinity"):
        link.send_blob(Kind.WEIGHTS, np.full(NETWORK.parameters, np.nan, np.float32).tobytes())
    with pytest.raises(DeviceRefused, match="no program, weights"):
        link.read_blob(Blob.WEIGHTS, 0, 4)


def test_a_silent_device_is_an_error_that_names_what_was_asked() -> None:
    near, far = pty.openpty()
    tty.setraw(far)
    port = SerialPort(os.ttyname(far))

    with pytest.raises(WireError, match="hello: expected an answer within 3 tries"):
        Link(port, timeout=0.01, tries=3).hello()

    port.close()
    os.close(near)
    os.close(far)


def test_a_line_that_is_not_there_is_named() -> None:
    with pytest.raises(WireError, match=r"hello: .*/dev/nowhere"):
        Link(SerialPort("/dev/nowhere"), timeout=0.01, tries=2).hello()


def test_an_address_of_no_line_is_refused() -> None:
    with pytest.raises(ConfigError, match="port: expected a device path"):
        SerialPort("nonsense://x")


def test_a_program_that_ended_is_a_lost_port() -> None:
    port = ProcessPort(["true"])

    with pytest.raises(PortLost, match="true"):
        port.read(5)


def test_weights_cross_a_pseudo_terminal() -> None:
    with at_a_terminal() as port:
        assert carries_weights(Link(port))


# pyserial leaves a socket that its peer has closed to the garbage collector
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")
def test_weights_cross_a_socket_and_the_device_is_called_again() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with at_a_socket(listener) as calls:
        port = SerialPort(f"socket://127.0.0.1:{listener.getsockname()[1]}")
        link = Link(port, timeout=0.2)
        assert carries_weights(link)
        calls[0].shutdown(socket.SHUT_RDWR)

        assert carries_weights(link)

        port.close()
    assert len(calls) == 2
