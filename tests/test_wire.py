"""The bytes between a board and its gateway are those of docs/wire.md; no others are taken."""

import itertools
import struct
import subprocess
import sys
import zlib

import pytest
from cobs import cobs
from drawn import networks
from hypothesis import given
from hypothesis import strategies as st

from tinyfleet.errors import WireError
from tinyfleet.network import Network
from tinyfleet.networks import sine
from tinyfleet.plan import plan
from tinyfleet.wire import (
    KEEP,
    Blob,
    Counters,
    DeviceRefused,
    Frame,
    FrameReader,
    Hello,
    Kind,
    Options,
    Reason,
    Request,
    Result,
    arena_need,
    decode,
    encode,
    pack_begin,
    pack_program,
    pack_read,
    pack_select,
    pack_sense,
    refusal,
    unpack_number,
)

FRAMES = st.builds(
    Frame,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=600),
)
HELLO = (
    bytes.fromhex("0100 0004 000102 00 2a000000 00000400 a0860100 00001000 01000000 02000000")
    + bytes.fromhex("ff010000 0c000000")
    + b"\x04nrf5\x02\x03mic\x05light"
)

GOLDEN = {
    "a frame": (
        encode(Frame(Request.CHUNK, 7, 256, b"\x00\x11")),
        "030307 0201 01 01 061146efda79 00",
    ),
    "begin": (
        pack_begin(Kind.LEARN, b"1234", Options(rate=0.5, samples=3, passes=2)),
        "03000000 08000000 0b6c517f 0000003f 03000000 02000000",
    ),
    "begin with a kept copy": (
        pack_begin(Kind.WEIGHTS, b"1234", Options(flags=KEEP)),
        "02010000 04000000 a3e0e39b 00000000 00000000 01000000",
    ),
    "sense": (pack_sense(0.5, 9), "0000003f 09000000"),
    "select": (
        pack_select(5, [(0, 10), (20, 300)]),
        "05000000 02000000 00000000 0a000000 14000000 2c010000",
    ),
    "read": (pack_read(Blob.SELECTION, 1000), "0200e803"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_requests_are_these_bytes(name: str) -> None:
    packed, golden = GOLDEN[name]

    assert packed == bytes.fromhex(golden)


def test_a_program_is_these_bytes() -> None:
    program = pack_program(plan(sine()))

    header, first = struct.unpack_from("<8i", program), struct.unpack_from("<19i", program, 32)
    assert len(program) == 32 + 76 * 5
    assert header == (5, 0, 0, 1153, 1, 1, plan(sine()).scratch, 0)
    assert first[:8] == (0, 1, 1, 1, 1, 1, 1, 32)


def test_answers_are_read_from_these_bytes() -> None:
    result = bytes.fromhex("03000000 20000000 10000000 0000803f")
    counters = struct.pack("<IQIIIIII", 1, 2**40, 3, 4, 5, 6, 7, 8)

    assert Result.from_bytes(result) == Result(3, 32, 16, 1.0)
    assert Counters.from_bytes(counters) == Counters(1, 2**40, 3, 4, 5, 6, 7, 8)
    assert unpack_number(b"\x00\x01\x00\x00", "begin") == 256
    assert Hello.from_bytes(HELLO) == Hello(
        payload_max=1024,
        firmware=(0, 1, 2),
        session=42,
        ram=256 * 1024,
        arena=100_000,
        flash=1024 * 1024,
        program=1,
        weights=2,
        kinds=0b1_1111_1111,
        steps=12,
        board="nrf5",
        sensors=("mic", "light"),
    )


def test_a_refusal_says_what_was_asked_and_the_bytes() -> None:
    error = refusal(bytes.fromhex("03000000 00200000 00100000"), "weights: begin")

    assert isinstance(error, DeviceRefused)
    assert (error.reason, error.need, error.have) == (Reason.TOO_LARGE, 8192, 4096)
    assert "weights: begin" in str(error)
    assert "need 8192 bytes, have 4096" in str(error)


@pytest.mark.parametrize("payload", [b"", b"\x01" * 11, b"\xc8" + bytes(11)])
def test_a_refusal_of_no_known_form_is_an_error_all_the_same(payload: bytes) -> None:
    error = refusal(payload, "sense")

    assert not isinstance(error, DeviceRefused)
    assert str(error).startswith("sense")


@pytest.mark.parametrize(
    "payload",
    [
        HELLO[:-1],
        HELLO[:41],
        HELLO[:20],
        HELLO + b"\0",
        b"",
        b"\x02\x00" + HELLO[2:],
        HELLO[:2] + b"\x1f\x00" + HELLO[4:],
        HELLO[:-1] + b"\xff",
    ],
    ids=["cut", "no sensors", "short", "long", "empty", "version 2", "tiny payload", "no UTF-8"],
)
def test_a_malformed_hello_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError, match="hello"):
        Hello.from_bytes(payload)


@given(frame=FRAMES)
def test_every_frame_comes_back(frame: Frame) -> None:
    encoded = encode(frame)

    assert encoded.index(0) == len(encoded) - 1
    assert decode(encoded[:-1]) == frame


@given(frames=st.lists(FRAMES, max_size=4), cuts=st.lists(st.integers(0, 3000), max_size=8))
def test_frames_are_found_however_their_bytes_come(frames: list[Frame], cuts: list[int]) -> None:
    stream, reader = b"\0".join(map(encode, frames)), FrameReader()

    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    found = [f for a, b in itertools.pairwise(edges) for f in reader.feed(stream[a:b])]

    assert found == frames
    assert reader.dropped == 0


@given(frame=FRAMES, data=st.data())
def test_a_frame_with_a_flipped_bit_is_dropped_and_counted(
    frame: Frame, data: st.DataObject
) -> None:
    damaged = bytearray(encode(frame))
    bit = data.draw(st.integers(0, 8 * len(damaged) - 9))
    damaged[bit // 8] ^= 1 << bit % 8
    reader = FrameReader()

    assert reader.feed(bytes(damaged)) == []

    assert reader.dropped >= 1
    assert reader.feed(encode(frame)) == [frame]


@given(frame=FRAMES, data=st.data())
def test_a_frame_cut_short_is_dropped_and_counted(frame: Frame, data: st.DataObject) -> None:
    whole = encode(frame)
    reader = FrameReader()

    assert reader.feed(whole[: data.draw(st.integers(1, len(whole) - 2))] + b"\0") == []

    assert reader.dropped == 1


@given(noise=st.binary(max_size=400))
def test_noise_is_no_frame(noise: bytes) -> None:
    reader = FrameReader()

    assert reader.feed(noise + b"\0") == []

    assert reader.dropped == len([part for part in noise.split(b"\0") if part])


def test_an_overlong_frame_is_dropped_once_and_not_stored() -> None:
    reader, frame = FrameReader(limit=64), Frame(Request.HELLO, 1)

    assert [reader.feed(b"\x05" * 50) for _ in range(9)] == [[]] * 9
    assert reader.feed(b"\0" + encode(frame)) == [frame]

    assert reader.dropped == 1


@pytest.mark.parametrize("plain", [zlib.crc32(b"").to_bytes(4, "little"), b"\x01" * 9])
def test_a_frame_without_room_for_its_header_is_refused(plain: bytes) -> None:
    with pytest.raises(WireError, match="at least 10 bytes"):
        decode(cobs.encode(plain))


def test_a_blob_that_no_transfer_can_announce_is_refused() -> None:
    with pytest.raises(WireError, match="fewer passes"):
        pack_begin(Kind.LEARN, bytes(4096), Options(rate=0.1, samples=1, passes=2**20))


@given(network=networks())
def test_the_arena_holds_every_part_on_eight_bytes(network: Network) -> None:
    lowered = plan(network)

    need, kept = arena_need(lowered), arena_need(lowered, keep=True)

    floats = lowered.parameters + lowered.scratch + lowered.inputs + lowered.outputs
    assert 0 <= need - (32 + 76 * len(lowered.rows) + 4 * floats) <= 4 * 4
    assert need % 8 == 0
    assert kept - need == -(-lowered.parameters // 2) * 8


def test_the_library_loads_without_cobs() -> None:
    code = "import sys, tinyfleet; print('cobs' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "False"
