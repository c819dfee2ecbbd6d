"""Messages between gateways and server: the bytes are fixed, and what is malformed is named."""

from dataclasses import replace
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfleet import Assignment, Training, Update, WireError, named_network
from tinyfleet.envelope import ASSIGNMENT, assignment_to_config
from tinyfleet.fields import Payload
from tinyfleet.payloads import (
    Ack,
    Birth,
    Death,
    LogLine,
    Manifest,
    Order,
    Refused,
    Report,
    State,
    network_id,
)
from tinyfleet.topics import Topic

NETWORK = "0123456789abcdef"
ASKED = Assignment(
    3,
    np.array([1.0, -2.0], np.float32),
    Training(rate=0.5, passes=2),
    frozen=("dense-1",),
    share=0.25,
    seed=9,
)
ORDER = Order.from_assignment("run/3/7/a", 7, NETWORK, ASKED)
UPDATE = Update(7, 3, np.array([0.5], np.float32), np.array([1], np.int32), 32, 0.25, 2)
REPORT = Report.from_update("run/3/7/a", NETWORK, UPDATE, "kernel")
ONE_OF_EACH: tuple[Payload, ...] = (
    Birth(7, "s1", "serial", {"title": "board", "properties": {"loss": {"type": "number"}}}),
    Death("s1", "stopped"),
    State(7, "learning", 3, 1.5),
    Manifest.from_network(named_network("sine")),
    ORDER,
    REPORT,
    Refused("run/3/7/a", 7, 3, "too large: needs 300000 bytes, has 262144"),
    Ack("run/3/7/a", "late", "old-round"),
    LogLine(1.5, "warning", "device 7 is silent"),
)
GOLDEN = {
    "birth": (
        "a561760166646576696365076773657373696f6e627331646b696e646673657269616c657468696e67a26574"
        "69746c6565626f6172646a70726f70657274696573a1646c6f7373a16474797065666e756d626572"
    ),
    "death": ("a36176016773657373696f6e62733166726561736f6e6773746f70706564"),
    "state": (
        "a56176016664657669636507657374617465686c6561726e696e6765726f756e6403626174fb3ff800000000"
        "0000"
    ),
    "model": (
        "a4617601676e6574776f726b70323666326237383732633061303434376b6465736372697074696f6e790128"
        "6e616d65203d202273696e65220a696e707574203d205b315d0a6c6f7373203d20226d65616e2d7371756172"
        "65220a0a5b5b6c617965725d5d0a6b696e64203d202264656e7365220a6e616d65203d202264656e73652d31"
        "220a6f757470757473203d2033320a0a5b5b6c617965725d5d0a6b696e64203d202272656c75220a6e616d65"
        "203d202272656c752d31220a0a5b5b6c617965725d5d0a6b696e64203d202264656e7365220a6e616d65203d"
        "202264656e73652d32220a6f757470757473203d2033320a0a5b5b6c617965725d5d0a6b696e64203d202272"
        "656c75220a6e616d65203d202272656c752d32220a0a5b5b6c617965725d5d0a6b696e64203d202264656e73"
        "65220a6e616d65203d202264656e73652d33220a6f757470757473203d20310a6a706172616d657465727319"
        "0481"
    ),
    "assignment": (
        "a76176016269646972756e2f332f372f61666465766963650765726f756e6403676e6574776f726b70303132"
        "333435363738396162636465666777656967687473480000803f000000c066636f6e666967aa6c7365727665"
        "722d726f756e64036472617465fb3fe0000000000000667061737365730265626174636801696f7074696d69"
        "7a6572637367646b70726f78696d616c2d6d75fb00000000000000006b6c6f63616c2d737461727465667265"
        "7368657368617265fb3fd00000000000006473656564096666726f7a656e816764656e73652d31"
    ),
    "update": (
        "ab6176016269646972756e2f332f372f61666465766963650765726f756e6403676e6574776f726b70303132"
        "333435363738396162636465666676616c756573440000003f67696e64696365734401000000686578616d70"
        "6c65731820646c6f7373fb3fd000000000000068726563656976656402626279666b65726e656c"
    ),
    "refusal": (
        "a56176016269646972756e2f332f372f61666465766963650765726f756e640366726561736f6e7829746f6f"
        "206c617267653a206e65656473203330303030302062797465732c2068617320323632313434"
    ),
    "ack": (
        "a46176016269646972756e2f332f372f6166737461747573646c61746566726561736f6e696f6c642d726f75"
        "6e64"
    ),
    "log": (
        "a4617601626174fb3ff8000000000000656c6576656c677761726e696e676474657874726465766963652037"
        "2069732073696c656e74"
    ),
}


def kind(payload: Payload) -> str:
    return payload.KIND


@pytest.mark.parametrize("payload", ONE_OF_EACH, ids=kind)
def test_what_is_written_is_read(payload: Payload) -> None:
    assert type(payload).from_bytes(payload.to_bytes()) == payload


@pytest.mark.parametrize("payload", ONE_OF_EACH, ids=kind)
def test_the_bytes_on_the_wire_stay(payload: Payload) -> None:
    assert payload.to_bytes().hex() == GOLDEN[payload.KIND]


def test_an_order_brings_the_assignment_whole() -> None:
    found = Order.from_bytes(ORDER.to_bytes()).assignment()

    np.testing.assert_array_equal(found.weights, ASKED.weights)
    assert found.training == ASKED.training
    assert (found.round, found.frozen, found.share, found.seed) == (3, ("dense-1",), 0.25, 9)


def test_a_report_brings_the_update_whole() -> None:
    found = Report.from_bytes(REPORT.to_bytes()).update()

    assert (found.device, found.round, found.examples, found.received) == (7, 3, 32, 2)
    assert found.loss == 0.25
    assert found.values.tolist() == [0.5]
    assert found.indices is not None
    assert found.indices.tolist() == [1]


def test_a_device_that_diverged_can_say_so() -> None:
    diverged = UPDATE._replace(values=np.array([np.nan], np.float32), loss=np.inf)
    found = Report.from_bytes(Report.from_update("a", NETWORK, diverged, "kernel").to_bytes())

    assert np.isnan(found.update().values).all()


def changed(payload: Payload, **changes: Any) -> bytes:
    """Return the message with some fields replaced; None takes a field away."""
    fields = cbor2.loads(payload.to_bytes()) | changes
    return cbor2.dumps({name: value for name, value in fields.items() if value != "gone"})


@pytest.mark.parametrize(
    ("payload", "field", "value"),
    [
        (REPORT, "v", 2),
        (REPORT, "v", True),
        (REPORT, "id", ""),
        (REPORT, "id", "two words"),
        (REPORT, "id", "x" * 201),
        (REPORT, "device", -1),
        (REPORT, "device", 2**31),
        (REPORT, "device", True),
        (REPORT, "device", 7.0),
        (REPORT, "round", "3"),
        (REPORT, "network", "0123456789ABCDEF"),
        (REPORT, "values", b"abc"),
        (REPORT, "values", [1.0]),
        (REPORT, "indices", 4),
        (REPORT, "examples", 0),
        (REPORT, "loss", None),
        (REPORT, "received", -1),
        (REPORT, "by", "gone"),
        (ORDER, "weights", b"123"),
        (ORDER, "config", [1]),
        (ORDER, "config", "gone"),
        (ONE_OF_EACH[0], "kind", "cloud"),
        (ONE_OF_EACH[0], "thing", []),
        (ONE_OF_EACH[0], "session", "a b"),
        (ONE_OF_EACH[1], "reason", b"bytes"),
        (ONE_OF_EACH[2], "state", "dead"),
        (ONE_OF_EACH[2], "at", float("nan")),
        (ONE_OF_EACH[3], "parameters", -1),
        (ONE_OF_EACH[7], "status", "maybe"),
        (ONE_OF_EACH[8], "level", "loud"),
    ],
)
def test_a_malformed_field_is_named(payload: Payload, field: str, value: Any) -> None:
    with pytest.raises(WireError, match=rf"^{payload.KIND}\.{field}: expected .*, got "):
        type(payload).from_bytes(changed(payload, **{field: value}))


def test_unknown_keys_are_ignored() -> None:
    assert Report.from_bytes(changed(REPORT, colour="green", more={"deep": [1]})) == REPORT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        REPORT.to_bytes()[:-1],
        REPORT.to_bytes() + b"\x00",
        cbor2.dumps([1]),
        cbor2.dumps({1: 2}),
        b"\xbf" + REPORT.to_bytes()[1:] + b"\xff",  # of indefinite length
        b"\xd9\xd9\xf7" + REPORT.to_bytes(),  # a tag before the map
        changed(REPORT, more=cbor2.CBORTag(35, "(a+)+$")),  # a tag that makes an object
        changed(REPORT, more=cbor2.CBORTag(4711, 1)),
        changed(REPORT, more=2**70),
        b"\xac\x61v\x01" + REPORT.to_bytes()[1:],  # a key twice
        b"\x81" * 100_000,
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",  # a string of 8 EiB
    ],
)
def test_anything_but_one_plain_map_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match=r"^update: expected"):
        Report.from_bytes(data)


def test_a_message_that_is_too_large_is_not_decoded() -> None:
    with pytest.raises(WireError, match=r"^ack: expected at most 16384 bytes, got 20000"):
        Ack.from_bytes(b"\x81" * 20_000)


@given(st.binary(max_size=200))
def test_no_bytes_bring_another_error(data: bytes) -> None:
    for payload in ONE_OF_EACH:
        with pytest.raises(WireError):
            type(payload).from_bytes(data)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(data=st.data())
def test_no_value_of_a_field_brings_another_error(data: st.DataObject) -> None:
    payload = data.draw(st.sampled_from(ONE_OF_EACH))
    field = data.draw(st.sampled_from(list(payload.FIELDS)))
    message = changed(payload, **{field: data.draw(VALUES)})
    try:
        found = type(payload).from_bytes(message)
    except WireError:
        return
    assert type(payload).from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()


def test_nothing_malformed_leaves() -> None:
    with pytest.raises(WireError, match=r"^ack\.id: expected"):
        Ack("", "accepted").to_bytes()


def test_weights_that_are_not_finite_are_no_assignment() -> None:
    weights = np.array([1.0, np.inf], np.float32).tobytes()

    with pytest.raises(WireError, match="weights: expected finite"):
        Order.from_bytes(changed(ORDER, weights=weights)).assignment()


def test_a_config_that_cannot_be_followed_is_named() -> None:
    with pytest.raises(WireError, match=r"^assignment\.training\.rate: expected"):
        Order.from_bytes(changed(ORDER, config={**ORDER.config, "rate": -1.0})).assignment()
    with pytest.raises(WireError, match=r"^assignment\.round: expected 3"):
        Order.from_bytes(changed(ORDER, config={**ORDER.config, "server-round": 4})).assignment()


def test_an_order_that_asks_more_than_is_known_here_is_refused() -> None:
    more = changed(ORDER, config={**ORDER.config, "answer-with": "a song"})

    with pytest.raises(WireError, match=r"^assignment\.config: .* got answer-with; update"):
        Order.from_bytes(more).assignment()


def test_whatever_an_assignment_asks_is_known_to_a_gateway() -> None:
    weights = np.zeros(2, np.float32)
    asked = Assignment(
        3,
        weights,
        Training(rate=0.1),
        frozen=("a",),
        local=("b",),
        shared_from="support",
        encoding="int8",
        encoding_down="float16",
    )
    gradient = Assignment(3, weights, Training(rate=0.1), answer="gradient")

    for each in (asked, gradient):
        found = Order.from_assignment("id", 1, "0" * 16, each).assignment()
        assert replace(found, weights=weights) == replace(each, weights=weights)
    written = {*assignment_to_config(asked), *assignment_to_config(gradient)}
    assert written == ASSIGNMENT


def test_a_text_for_people_becomes_one_line() -> None:
    found = Refused.from_bytes(Refused("a", 1, 1, "two\nlines \x1b[31m" + 600 * "x").to_bytes())

    assert found.reason.startswith("two lines \ufffd[31mxx")
    assert len(found.reason) == 500


def test_a_board_may_have_any_name() -> None:
    named = Report.from_update("a", NETWORK, UPDATE, "firmware 0.1.0 on Brett\n" + 255 * "ü")

    found = Report.from_bytes(named.to_bytes()).by

    assert found.startswith("firmware 0.1.0 on Brett üü")
    assert len(found) == 200


def test_a_manifest_brings_the_network() -> None:
    network = named_network("presence")
    manifest = Manifest.from_bytes(Manifest.from_network(network).to_bytes())

    assert manifest.to_network() == network
    other = Manifest(NETWORK, manifest.description, manifest.parameters)
    with pytest.raises(WireError, match=r"^model: expected network 0123456789abcdef"):
        other.to_network()


def test_a_network_is_known_by_what_it_computes() -> None:
    sine = named_network("sine")

    assert network_id(sine) == network_id(replace(sine, name="other"))
    assert network_id(sine) != network_id(replace(sine, loss="sigmoid-cross-entropy"))


@pytest.mark.parametrize(
    "text",
    [
        "tinyfleet/1/lab/gw-1/7",
        "tinyfleet/1/lab/gw-1/7/birth/more",
        "tinyfleet/2/lab/gw-1/7/birth",
        "tinyfleet/1/lab/gw 1/7/birth",
        "tinyfleet/1/lab//7/birth",
        "tinyfleet/1/lab/gw-1/7/poem",
        "tinyfleet/1/lab/" + 65 * "g" + "/7/birth",
        "tinyfleet/1/lab/gw-1\n/7/birth",
        "",
    ],
)
def test_a_malformed_topic_is_refused(text: str) -> None:
    with pytest.raises(WireError, match=r"^topic"):
        Topic.parse(text)


@pytest.mark.parametrize("device", ["_", "07", "-1", "7.0", "99999999999", "2147483648"])
def test_a_device_is_a_number(device: str) -> None:
    with pytest.raises(WireError, match=r"^topic\.device: expected a number"):
        _ = Topic("lab", "gw-1", device, "birth").number
