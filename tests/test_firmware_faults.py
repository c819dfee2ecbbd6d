"""Whatever comes in on the line, a device neither stops nor touches memory that is not its own.

The device is the firmware's host build, which ends at the first access, overflow or conversion that
the compiler's sanitizers object to.
"""

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from boards import need
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyfleet.client.firmware.build import build
from tinyfleet.client.link import Link
from tinyfleet.client.ports import ProcessPort
from tinyfleet.errors import WireError
from tinyfleet.networks import named_network
from tinyfleet.plan import plan
from tinyfleet.wire import (
    ANSWER,
    KEEP,
    Blob,
    Frame,
    FrameReader,
    Kind,
    Options,
    Request,
    encode,
    pack_begin,
    pack_program,
    pack_read,
    pack_select,
    pack_sense,
)

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
NETWORK = named_network("sine")
PROGRAM = pack_program(plan(NETWORK))
WEIGHTS = NETWORK.init(0).tobytes()

U8, U32 = st.integers(0, 2**8 - 1), st.integers(0, 2**32 - 1)
EDGES = st.one_of(st.integers(0, 40), st.sampled_from([2**31 - 1, 2**31, 2**32 - 1]), U32)
TRANSFERS = st.integers(200, 203)  # no link of this test counts so far
NUMBERS = st.sampled_from([-(2**31), -2, -1, 0, 1, 2, 3, 31, 2**16, 2**27, 2**30, 2**31 - 1])


@cache
def sanitized() -> Path:
    need("cc")
    return build("host", "cc", flags=SANITIZERS)


@pytest.fixture(scope="module")
def device() -> Iterator[ProcessPort]:
    port = ProcessPort([str(sanitized())])
    yield port
    port.close()


@pytest.fixture(scope="module")
def session(device: ProcessPort) -> int:
    return Link(device).hello().session


def is_up(device: ProcessPort, session: int) -> bool:
    """Return whether the device answers, and is the one that was started first."""
    device.write(b"\0")  # ends what was cut off
    return Link(device, timeout=5).hello().session == session


def fuzz(examples: int) -> settings:
    shared = [HealthCheck.function_scoped_fixture]
    return settings(
        deadline=None, max_examples=examples, derandomize=True, suppress_health_check=shared
    )


@fuzz(150)
@given(noise=st.binary(max_size=3000))
def test_noise_is_survived(device: ProcessPort, session: int, noise: bytes) -> None:
    device.write(noise)

    assert is_up(device, session)


@st.composite
def requests(draw: st.DrawFn) -> Frame:
    """Draw a request of a good frame, whose payload makes sense or not."""
    floats = st.floats(width=32)
    ranges = st.lists(st.tuples(EDGES, EDGES), max_size=4)
    begins = st.builds(
        lambda *fields: struct.pack("<BBHIIfII", *fields),
        st.integers(0, 6),
        U8,
        st.just(0),
        EDGES,
        U32,
        floats,
        EDGES,
        EDGES,
    )
    payloads = {
        Request.HELLO: st.just(b""),
        Request.BEGIN: begins,
        Request.CHUNK: st.binary(max_size=1100),
        Request.COMMIT: st.just(b""),
        Request.SENSE: st.builds(pack_sense, floats, st.integers(0, 5)),
        Request.SELECT: st.builds(pack_select, EDGES, ranges),
        Request.READ: st.builds(
            lambda blob, length: struct.pack("<BBH", blob, 0, length), U8, st.integers(0, 2**16 - 1)
        ),
        Request.COUNTERS: st.just(b""),
    }
    known = draw(st.sampled_from(Request))
    asked = draw(st.one_of(st.just(int(known)), U8))
    if asked == Request.SENSE:  # any eight bytes are a request, and may ask for days of readings
        return Frame(asked, draw(TRANSFERS), 0, draw(payloads[Request.SENSE]))
    payload = draw(st.one_of(payloads[known], st.binary(max_size=60)))
    return Frame(asked, draw(TRANSFERS), draw(EDGES), payload)


@fuzz(250)
@given(asked=st.lists(requests(), min_size=1, max_size=12), ready=st.booleans())
def test_requests_without_sense_are_survived(
    device: ProcessPort, session: int, asked: list[Frame], ready: bool
) -> None:
    if ready:
        link = Link(device, timeout=5)
        link.send_blob(Kind.PROGRAM, PROGRAM)
        link.send_blob(Kind.WEIGHTS, WEIGHTS, Options(KEEP))

    for frame in asked:
        device.write(encode(frame))

    assert is_up(device, session)


@fuzz(400)
@given(data=st.data(), name=st.sampled_from(["sine", "characters-mcu"]))
def test_programs_without_sense_are_refused_or_run(
    device: ProcessPort, session: int, data: st.DataObject, name: str
) -> None:
    program = bytearray(pack_program(plan(named_network(name))))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(program) // 4 - 1))
        struct.pack_into("<i", program, 4 * place, data.draw(NUMBERS))
    link = Link(device, timeout=10)

    try:
        link.send_blob(Kind.PROGRAM, bytes(program))
        parameters, inputs, outputs = struct.unpack_from("<3i", program, 12)
        link.send_blob(Kind.WEIGHTS, bytes(4 * parameters))
        link.send_blob(Kind.LEARN, bytes(4 * (inputs + outputs)), Options(rate=0.1, samples=1))
    except WireError:
        pass  # named and refused

    assert is_up(device, session)


def test_a_frame_longer_than_the_buffer_is_dropped_and_counted(device: ProcessPort) -> None:
    link = Link(device)
    before = link.counters()

    device.write(b"\x01" * 100_000 + b"\0")

    after = link.counters()
    assert after.dropped == before.dropped + 1
    assert after.frames == before.frames + 1


def test_repeated_requests_change_nothing(device: ProcessPort) -> None:
    """Not even learning: the samples of a repeated transfer are learned once."""
    link = Link(device, timeout=5)
    link.send_blob(Kind.PROGRAM, PROGRAM)
    link.send_blob(Kind.WEIGHTS, WEIGHTS, Options(KEEP))
    steps = link.counters().steps
    samples = struct.pack("<4f", 1, 2, 3, 4)
    begin = pack_begin(Kind.LEARN, samples, Options(rate=0.01, samples=2))
    frames = [
        Frame(Request.BEGIN, 99, 0, begin),
        Frame(Request.CHUNK, 99, 0, samples[:7]),
        Frame(Request.CHUNK, 99, 7, samples[7:]),
        Frame(Request.COMMIT, 99),
        Frame(Request.SELECT, 100, 0, pack_select(3, [(0, 1153)])),
        Frame(Request.READ, 101, 0, pack_read(Blob.SELECTION, 24)),
    ]

    once = [answers(device, frame) for frame in frames]
    again = [answers(device, frame) for frame in frames[1:4]]
    resumed = answers(device, frames[0])

    assert link.counters().steps == steps + 2
    assert again[:2] == [once[2], once[2]], "chunks are answered with where the device stands"
    assert again[2] == once[3]
    assert resumed == once[2], "the same transfer, begun again, is where it was"
    assert answers(device, frames[4]) == once[4]
    assert answers(device, frames[5]) == once[5]


def answers(device: ProcessPort, frame: Frame) -> bytes:
    """Return the payload that answers `frame`."""
    reader, found = FrameReader(), list[Frame]()
    device.write(encode(frame))
    while not found:
        found = reader.feed(device.read(5))
    assert found[0].type == frame.type | ANSWER, found
    return found[0].payload


def test_sensing_again_under_the_same_number_learns_nothing(device: ProcessPort) -> None:
    link = Link(device, timeout=5)
    link.send_blob(Kind.PROGRAM, PROGRAM)
    link.send_blob(Kind.WEIGHTS, WEIGHTS)
    steps = link.counters().steps
    sense = Frame(Request.SENSE, 77, 0, pack_sense(0.01, 5))

    first, second = answers(device, sense), answers(device, sense)

    assert first == second
    assert link.counters().steps == steps + 5


def test_a_program_that_is_refused_leaves_the_one_in_force(device: ProcessPort) -> None:
    link = Link(device, timeout=5)
    link.send_blob(Kind.PROGRAM, PROGRAM)
    link.send_blob(Kind.WEIGHTS, WEIGHTS)
    before = link.hello()

    with pytest.raises(WireError, match="kernel refuses"):
        link.send_blob(Kind.PROGRAM, bytes(len(PROGRAM)))

    after = link.hello()
    assert (after.program, after.weights) == (before.program, before.weights)
