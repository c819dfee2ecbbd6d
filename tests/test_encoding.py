"""Numbers travel as bytes and arrive as stated; nothing else is taken for such a message."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfleet.encoding import (
    ENCODINGS,
    Encoding,
    Form,
    arriving,
    decode,
    encode,
    encoded_bytes,
)
from tinyfleet.errors import WireError

FEW = np.array([2, 3, 9], np.int32)
VALUES = np.array([1.0, -0.5, 0.25], np.float32)
HALVES = Form(10, (4, 10), "float16", whole=False)
BYTES = Form(10, (4, 10), "int8", whole=False)

# header: "tu", version, form, entries, count; then places; then scales and numbers
GOLDEN = {
    "float32, all asked": (
        Form(2, (2,)),
        np.array([1.0, -2.0], np.float32),
        None,
        "00 00 80 3f 00 00 00 c0",
    ),
    "float16, bitmap": (
        HALVES,
        VALUES,
        FEW,
        "74 75 01 11 0a 00 00 00 03 00 00 00 0c 02 00 3c 00 b8 00 34",
    ),
    "int8, bitmap": (
        BYTES,
        VALUES,
        FEW,
        "74 75 01 12 0a 00 00 00 03 00 00 00 0c 02 04 02 01 3c 04 02 01 3b 7f c0 7f",
    ),
    "float32, gaps": (
        Form(4000, (4000,), whole=False),
        VALUES,
        np.array([0, 200, 3999], np.int32),
        "74 75 01 20 a0 0f 00 00 03 00 00 00 00 c7 01 d6 1d 00 00 80 3f 00 00 00 bf 00 00 80 3e",
    ),
    "float16, all": (
        Form(3, (3,), "float16"),
        VALUES,
        None,
        "74 75 01 01 03 00 00 00 03 00 00 00 00 3c 00 b8 00 34",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_messages_are_these_bytes(name: str) -> None:
    form, numbers, places, golden = GOLDEN[name]

    assert encode(form, numbers, places).hex(" ") == golden


@st.composite
def messages(draw: st.DrawFn) -> tuple[Form, Any, Any]:
    """Draw a form, numbers of a narrow or a wide range, and their places."""
    sizes = draw(st.lists(st.integers(1, 300), min_size=1, max_size=4))
    entries, whole = sum(sizes), draw(st.booleans())
    encoding = draw(st.sampled_from(ENCODINGS))
    form = Form(entries, tuple(np.cumsum(sizes, dtype=int).tolist()), encoding, whole)
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    places = None
    if not whole and draw(st.booleans()):
        count = draw(st.integers(0, entries))
        places = np.sort(generator.choice(entries, count, replace=False)).astype(np.int32)
    numbers = generator.normal(0, 1, entries if places is None else len(places))
    spread = draw(st.sampled_from([1e-44, 1e-3, 1.0, 1e5, 3e37]))
    return form, (numbers * spread).astype(np.float32), places


@given(messages())
def test_what_is_decoded_is_what_a_simulation_says_arrives(message: tuple[Form, Any, Any]) -> None:
    form, numbers, places = message
    data = encode(form, numbers, places)

    found, at, how = decode(form, data)

    assert found.tobytes() == arriving(form, numbers, places).tobytes()
    assert (at is None) == (places is None)
    assert places is None or (at == places).all()
    assert how == form.encoding
    assert len(data) == encoded_bytes(form, places)


@given(messages())
def test_every_number_arrives_within_the_stated_distance(message: tuple[Form, Any, Any]) -> None:
    form, numbers, places = message

    found = arriving(form, numbers, places).astype(np.float64)

    exact, largest = numbers.astype(np.float64), np.zeros(len(form.layers))
    layer = np.searchsorted(form.layers, np.arange(form.entries), side="right")
    layer = layer if places is None else layer[places]
    np.maximum.at(largest, layer, np.abs(exact))
    within = {
        "float32": np.zeros(len(exact)),
        "float16": np.abs(exact.clip(-65504, 65504)) * 2**-11 + 2**-25,
        "int8": largest[layer] / 254 * (1 + 1e-5) + 2e-43,
    }[form.encoding]
    clipped = exact.clip(-65504, 65504) if form.encoding == "float16" else exact
    assert (np.abs(found - clipped) <= within).all()


@given(messages())
def test_the_smaller_code_of_places_is_taken(message: tuple[Form, Any, Any]) -> None:
    form, numbers, places = message
    if places is None:
        return
    numbers_alone = encoded_bytes(form, np.empty(0, np.int32))
    size = {"float32": 4, "float16": 2, "int8": 1}[form.encoding] * len(places)

    held = len(encode(form, numbers, places)) - numbers_alone - size

    gaps = np.diff(places, prepend=-1) - 1
    varints = sum(1 + (gap >= 128) + (gap >= 128**2) for gap in gaps.tolist())
    assert held == min(-(-form.entries // 8), varints)


def test_a_tie_of_int8_goes_to_the_even_code() -> None:
    form = Form(4, (4,), "int8")

    found = arriving(form, np.array([127, 2.5, 3.5, -2.5], np.float32))

    assert found.tolist() == [127, 2, 4, -2]


def test_a_layer_that_did_not_move_arrives_as_zeros() -> None:
    found = arriving(Form(4, (2, 4), "int8"), np.array([0, 0, 1, -1], np.float32))

    assert found.tolist() == [0, 0, 1, -1]


def test_what_float16_cannot_hold_becomes_its_largest() -> None:
    found = arriving(Form(2, (2,), "float16"), np.array([1e9, -1e9], np.float32))

    assert found.tolist() == [65504, -65504]


def test_a_diverged_device_says_so_whatever_was_asked() -> None:
    broken = np.array([np.nan, np.inf, 1], np.float32)
    form = Form(3, (3,), "int8")

    found, _, how = decode(form, encode(form, broken, encoding="float32"))

    assert found.tobytes() == broken.tobytes()
    assert how == "float32"


GOOD = encode(BYTES, VALUES, FEW)
LONG = Form(4000, (4000,), "float16", whole=False)


def changed(at: int, *values: int, data: bytes = GOOD) -> bytes:
    """Return a message with other bytes from `at` on."""
    return data[:at] + bytes(values) + data[at + len(values) :]


@pytest.mark.parametrize(
    ("form", "data", "complaint"),
    [
        (BYTES, b"", "12 bytes or more"),
        (BYTES, GOOD[:-1], "25 bytes"),
        (BYTES, GOOD + b"\0", "25 bytes"),
        (BYTES, changed(0, 0x54), "b'tu' 1"),
        (BYTES, changed(2, 2), "b'tu' 1"),
        (BYTES, changed(3, 0x13), "a known form"),
        (BYTES, changed(3, 0x32), "a known form"),
        (BYTES, changed(4, 11), "10 entries"),
        (BYTES, changed(8, 2), "2 places"),
        (BYTES, changed(8, 11), "a count of them"),
        (BYTES, changed(3, 0x02), "a count of them"),
        (BYTES, changed(13, 0x06), "a bit an entry"),
        (BYTES, changed(12, 0x0C), "25 bytes"),
        (BYTES, changed(17, 0xC0, data=changed(14, 0, 0, 0xC0)), "finite scales"),
        (BYTES, changed(22, 0x80), "finite scales"),
        (HALVES, changed(14, 0, 0x7C, data=encode(HALVES, VALUES, FEW)), "finite float16"),
        (Form(3, (3,)), b"\0" * 8, "12 bytes"),
        (LONG, encode(LONG, VALUES, FEW)[:12] + b"\x80\x00\x01\x02" + b"\0" * 6, "shortest varint"),
        (LONG, encode(LONG, VALUES, FEW)[:12] + b"\xff" * 9, "varints of 5 bytes at most"),
        (LONG, encode(LONG, VALUES, FEW)[:12] + b"\x80", "a whole varint"),
        (LONG, encode(LONG, VALUES, FEW)[:12] + b"\x01\xa0\x1f\x01" + b"\0" * 6, "places below"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_bytes_are_refused(form: Form, data: bytes, complaint: str) -> None:
    if data == changed(12, 0x0C):
        data += b"\0"
    with pytest.raises(WireError, match=f"^encoded: expected .*{complaint}"):
        decode(form, data)


@given(messages(), st.data())
def test_damaged_bytes_are_refused_or_well_formed(
    message: tuple[Form, Any, Any], data: st.DataObject
) -> None:
    form = message[0]
    good = bytearray(encode(*message))
    if not good:
        return
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))

    try:
        numbers, places, _ = decode(form, bytes(good))
    except WireError:
        return
    assert len(numbers) == (form.entries if places is None else len(places))
    assert places is None or (np.diff(places) > 0).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_unknown_form_has_the_length_of_its_numbers(encoding: Encoding) -> None:
    form = replace(Form(1153, (64, 1120, 1153), whole=True), encoding=encoding)

    sizes = {"float32": 4612, "float16": 12 + 2306, "int8": 12 + 12 + 1153}
    assert encoded_bytes(form) == sizes[encoding]
