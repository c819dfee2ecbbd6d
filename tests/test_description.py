"""A network survives being written as TOML, and a bad description gets one clear line."""

import dataclasses
from pathlib import Path

import pytest
from drawn import networks
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfleet.description import load_network, network_from_toml, network_to_toml
from tinyfleet.errors import NetworkError
from tinyfleet.layers import AveragePool, Conv2d, Dense, Flatten, MaxPool, Relu
from tinyfleet.network import Network, sequence
from tinyfleet.networks import NETWORKS, named_network

GOOD = """
name = "tiny"
input = [8, 8, 1]
loss = "softmax-cross-entropy"

[[layer]]
kind = "conv2d"
filters = 4
kernel = 3
stride = [2, 1]
padding = "valid"

[[layer]]
kind = "max-pool"
size = 2

[[layer]]
kind = "flatten"

[[layer]]
kind = "dense"
name = "head"
outputs = 5
"""

PRINTABLE = st.text(min_size=1, max_size=12).filter(str.isprintable)


def read_or_refused(text: str) -> Network | str:
    try:
        return network_from_toml(text, "damaged")
    except NetworkError as error:
        return str(error)


def test_a_description_becomes_the_network_it_describes() -> None:
    expected = Network(
        "tiny",
        (8, 8, 1),
        (
            ("conv2d-1", Conv2d(4, (3, 3), (2, 1), "valid")),
            ("max-pool-1", MaxPool((2, 2), None)),
            ("flatten-1", Flatten()),
            ("head", Dense(5)),
        ),
        "softmax-cross-entropy",
    )

    assert network_from_toml(GOOD, "tiny.toml") == expected


def test_layers_without_names_are_named_as_sequence_does() -> None:
    text = 'name="n"\ninput=[3]\nloss="mean-square"\n' + 3 * '[[layer]]\nkind="dense"\noutputs=2\n'

    assert network_from_toml(text, "n").layers == sequence(Dense(2), Dense(2), Dense(2))


@settings(deadline=None, max_examples=60)
@given(st.data(), networks(), PRINTABLE)
def test_writing_and_reading_gives_the_same_network(
    data: st.DataObject, network: Network, name: str
) -> None:
    count = len(network.layers)
    names = data.draw(st.lists(PRINTABLE, min_size=count, max_size=count, unique=True))
    layers = tuple((n, layer) for n, (_, layer) in zip(names, network.layers, strict=True))
    named = dataclasses.replace(network, name=name, layers=layers)

    again = network_from_toml(network_to_toml(named), "again")

    assert again == named
    assert again.checksum == named.checksum


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_named_networks_survive_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "network.toml"
    path.write_text(network_to_toml(named_network(name)), encoding="utf-8")

    assert load_network(path) == named_network(name)


def test_a_stride_that_is_not_given_stays_out_of_the_text() -> None:
    layers = sequence(AveragePool((2, 2)), Flatten(), Relu())
    text = network_to_toml(Network("n", (4, 4, 1), layers, "mean-square"))

    assert "stride" not in text
    assert "size = [2, 2]" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("conv2d", "conv3d", r"layer 1: kind: expected one of dense, conv2d, .*, got 'conv3d'"),
        ('kind = "flatten"', "", r"layer 3: kind: expected one of .*, got None"),
        ("filters", "filter", r"layer 1 \('conv2d-1', conv2d\): expected only .* got 'filter'"),
        ("filters = 4\n", "", r"layer 1 \('conv2d-1', conv2d\): filters: expected a value, got"),
        ("filters = 4", 'filters = "4"', r"filters: expected a whole number, got '4'"),
        ("filters = 4", "filters = true", r"filters: expected a whole number, got True"),
        ("filters = 4", "filters = 4.0", r"filters: expected a whole number, got 4\.0"),
        (
            "kernel = 3",
            "kernel = [3]",
            r"kernel: expected a whole number such as 3, or two .*\[3\]",
        ),
        ("kernel = 3", "kernel = [3, 3.5]", r"kernel: expected .* got \[3, 3\.5\]"),
        ("size = 2", "size = [2, true]", r"layer 2 .* size: expected .* got \[2, True\]"),
        ('"valid"', '"full"', r'padding: expected one of "same", "valid", got \'full\''),
        ('"valid"', "[1]", r"padding: expected one of .*, got \[1\]"),
        ('name = "head"', "name = 3", r"layer 4 \(3, dense\): name: expected a text in quotes"),
        ('name = "tiny"', "name = 1", r"tiny.toml: name: expected a text in quotes, got 1"),
        ('name = "tiny"\n', "", r"tiny.toml: name: expected a value, got none; add name = "),
        ("[8, 8, 1]", '"8x8"', r"input: expected a list of whole numbers .*, got '8x8'"),
        ("[8, 8, 1]", "[8, 8]", r"input: expected \[features\] or"),
        (
            "softmax-cross",
            "cross",
            r'loss: expected one of "mean-square", .* got \'cross-entropy\'',
        ),
        ("outputs = 5", "outputs = 0", r"tiny: layer head: dense: expected at least 1 output, got"),
        ("size = 2", "size = 7", r"tiny: layer max-pool-1: a kernel of 7 does not fit into 3"),
        ('name = "head"', 'name = "flatten-1"', r"expected different names"),
        ("[8, 8, 1]", "[8, 8, 1", r"expected TOML, got .*line 4"),
        ('loss = "', 'loss = "x"\nloss = "', r"expected TOML, got .*line 5"),
        ("name = ", "colour = 1\nname = ", r"tiny.toml: expected only the keys .* got 'colour'"),
        ("[[layer]]", "[[layers]]", r"tiny.toml: expected only the keys .* got 'layers'"),
    ],
)
def test_a_bad_description_gets_one_line_that_says_where_and_what(
    old: str, new: str, message: str
) -> None:
    assert old in GOOD

    with pytest.raises(NetworkError, match=message) as caught:
        network_from_toml(GOOD.replace(old, new, -1 if "layer" in old else 1), "tiny.toml")

    assert str(caught.value).startswith("tiny.toml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layer", ["layer = 3", "layer = [1, 2]", "layer = {}"])
def test_layers_that_are_no_tables_are_refused(layer: str) -> None:
    text = f'name = "n"\ninput = [1]\nloss = "mean-square"\n{layer}\n'

    with pytest.raises(NetworkError, match=r"n.toml: layer: expected \[\[layer\]\] tables"):
        network_from_toml(text, "n.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"absent\.toml: expected a TOML file .*No such file"):
        load_network(tmp_path / "absent.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b'name = "\xff"')

    with pytest.raises(NetworkError, match=r"binary\.toml: expected TOML in UTF-8, got byte 0xff"):
        load_network(path)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, len(GOOD)),
    st.integers(0, 12),
    st.text(alphabet=' \n"[]{}=#.,-0123456789abcdefilmnorstuxyz', max_size=6),
)
def test_a_damaged_description_is_a_network_or_one_line(at: int, cut: int, put: str) -> None:
    text = GOOD[:at] + put + GOOD[at + cut :]

    outcome = read_or_refused(text)

    if isinstance(outcome, str):
        assert "\n" not in outcome
        assert outcome.startswith("damaged: ")
    else:
        assert network_from_toml(network_to_toml(outcome), "again") == outcome
