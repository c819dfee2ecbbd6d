"""Whatever bytes stand in a .tflite file, they are described or refused in one line, and soon."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdflib import Graph as Rdf
from rdflib import Literal
from test_describe_models import loop
from tflite_drafts import Draft, Graph, Step, constant, drafted

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.describe import describe_bytes, read_model
from tinyfleet.ontology.model_rdf import turtle
from tinyfleet.ontology.tflite.reader import MOST_BYTES
from tinyfleet.ontology.vocabulary import TF


def whole() -> bytes:
    fields = {"strideH": 1, "strideW": 1}
    tensors = [
        Draft("x", (1, 6, 6, 2), "INT8", scale=(0.1,), zero_point=(0,)),
        constant("w", (4, 3, 3, 2)),
        Draft("y", (1, 6, 6, 4)),
        Draft("pads", (4, 2), "INT32", bytes(32)),
        Draft("z", (1, 6, 6, 4)),
    ]
    steps = [
        Step("CONV_2D", [0, 1, -1], [2], "Conv2DOptions", fields),
        Step("PAD", [2, 3], [4]),
    ]
    graph = Graph(tensors, steps, [0], [4])
    return drafted(graph, signature="serve", metadata={"min_runtime_version": b"1.5.0"})


WHOLE = whole()
LOOP = drafted(*loop())


def described_or_refused(data: bytes) -> None:
    refusal = "m.tflite: expected "
    try:
        model = describe_bytes(data, "m.tflite", measured=False)
        model.to_json()
        turtle(model.to_graph())
    except DescriptionError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert refusal.startswith("m.tflite: expected ")


def test_a_cut_file_is_described_or_refused_at_every_length() -> None:
    for data in (WHOLE, LOOP):
        for length in range(len(data)):
            described_or_refused(data[:length])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_a_published_model_that_is_cut_is_refused(seloc: Path, share: float) -> None:
    for path in sorted((seloc / "models").glob("*.tflite")):
        data = path.read_bytes()
        with pytest.raises(DescriptionError):
            describe_bytes(data[: int(len(data) * share)], "m.tflite", measured=False)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([WHOLE, LOOP]),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_flipped_bytes_are_described_or_refused(data: bytes, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for place, value in flips:
        damaged[place % len(damaged)] = value
    described_or_refused(bytes(damaged))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([WHOLE, LOOP]),
    st.integers(0, 4000),
    st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 4]),
)
def test_huge_offsets_and_lengths_are_described_or_refused(
    data: bytes, place: int, value: int
) -> None:
    damaged = bytearray(data)
    struct.pack_into("<I", damaged, place % (len(damaged) - 3), value)
    described_or_refused(bytes(damaged))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_noise_behind_the_identifier_is_described_or_refused(noise: bytes) -> None:
    described_or_refused(noise[:4].ljust(4, b"\0") + b"TFL3" + noise[4:])


def hostile(count: int, rank: int) -> bytes:
    """A file whose list of tensors names one tensor `count` times, a tensor of `rank` sizes."""
    data = bytearray(drafted(Graph([Draft("x", (1,))], [], [], [])))
    tensors = _field(data, _follow(data, _follow(data, _field(data, _follow(data, 0), 8)) + 4), 4)
    start = len(data)
    struct.pack_into("<I", data, tensors, start - tensors)
    table = start + 4 + 4 * count + 8
    data += struct.pack("<I", count)
    for number in range(count):
        data += struct.pack("<I", table - (start + 4 + 4 * number))
    data += struct.pack("<HHHH", 6, 8, 4, 0)  # a table of one field, 4 bytes in
    data += struct.pack("<iII", 8, 4, rank) + struct.pack("<i", 1) * rank
    return bytes(data)


def _field(data: bytearray, table: int, slot: int) -> int:
    vtable = table - struct.unpack_from("<i", data, table)[0]
    return table + int(struct.unpack_from("<H", data, vtable + slot)[0])


def _follow(data: bytearray, place: int) -> int:
    return place + int(struct.unpack_from("<I", data, place)[0])


@pytest.mark.parametrize(
    ("count", "rank", "match"),
    [(20_000, 500, "lists longer than the file"), (60_000, 1, "more than 50000 tables")],
)
def test_lists_that_lie_over_one_another_are_refused(count: int, rank: int, match: str) -> None:
    with pytest.raises(DescriptionError, match=match):
        describe_bytes(hostile(count, rank), "m.tflite", measured=False)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "got an empty file"),
        (b"TFL3", "in a file of 4 bytes"),
        (b"\x89PNG\r\n\x1a\n" * 9, "in a file of 72 bytes"),
        (b"\0\0\0\0TFL3", "cut or damaged"),
        (b"\xff\xff\xff\xffTFL3" + bytes(64), "cut or damaged"),
    ],
)
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, data: bytes, match: str) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(data)

    with pytest.raises(DescriptionError, match=match) as refused:
        read_model(path)

    assert str(refused.value).startswith(f"{path}: expected ")


def test_a_file_too_large_for_any_device_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.tflite"
    with path.open("wb") as stream:
        stream.truncate(MOST_BYTES + 1)

    with pytest.raises(DescriptionError, match=f"at most {MOST_BYTES} bytes"):
        read_model(path)


def test_a_call_that_leads_back_is_refused() -> None:
    main, test, body = loop()
    back = Step("WHILE", [0], [1], "WhileOptions", {"condSubgraphIndex": 1, "bodySubgraphIndex": 0})

    with pytest.raises(DescriptionError, match="a call of subgraph"):
        describe_bytes(
            drafted(Graph(main.tensors, [back], [0], [1]), test, body), "m.tflite", measured=False
        )


@pytest.mark.parametrize("place", [5, -2, 2**31 - 1])
def test_a_tensor_that_does_not_exist_is_refused(place: int) -> None:
    graph = Graph([Draft("x", (1, 4)), Draft("y", (1, 4))], [Step("TANH", [place], [1])], [0], [1])

    with pytest.raises(DescriptionError, match=f"tensor {place} of 2"):
        describe_bytes(drafted(graph), "m.tflite", measured=False)


def test_a_model_too_large_for_the_tool_to_count_is_planned() -> None:
    huge = (1, 4096, 4096, 64)
    graph = Graph([Draft("x", huge), Draft("y", huge)], [Step("RELU", [0], [1])], [0], [1])

    arena = describe_bytes(drafted(graph), "m.tflite").arena

    assert arena.planned
    assert arena.head == 2 * 4 * 4096 * 4096 * 64
    assert "bytes of activations" in arena.reason


def test_names_of_any_characters_are_written_and_read_again() -> None:
    name = "".join(map(chr, (0, 1, 9, 10, 13, 27, 34, 92, 127, 0x2028, 0xFFFD, 0xFFFE, 0x1F600)))
    graph = Graph([Draft(name, (1, 4)), Draft("y", (1, 4))], [Step("TANH", [0], [1])], [0], [1])
    written = turtle(describe_bytes(drafted(graph), "m.tflite", measured=False).to_graph())

    assert Literal(name) in set(Rdf().parse(data=written, format="turtle").objects(None, TF.name))


def test_a_name_that_is_no_text_is_described_under_another(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/h\xff.tflite"))
    path.write_bytes(WHOLE)

    model = read_model(path, measured=False)

    assert str(model.iri()).startswith("urn:tinyfleet:model:h%3F:")
    assert turtle(model.to_graph())
