"""A plan never lets one tensor overwrite another that is still read, and costs what it says."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from drawn import every_layer, frozen_sets, networks
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfleet.binding import Program
from tinyfleet.cost import cost
from tinyfleet.errors import KernelError, NetworkError
from tinyfleet.layers import (
    AveragePool,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Relu,
)
from tinyfleet.messages import Training
from tinyfleet.network import Network, sequence
from tinyfleet.networks import NETWORKS, named_network
from tinyfleet.plan import ACTIVATIONS, KINDS, Plan, Row, plan

Owner = tuple[str, int]


@dataclass
class Scratch:
    """A scratch in which every float remembers which tensor was written to it last."""

    size: int
    owners: list[Owner | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.owners = [None] * self.size

    def write(self, place: int, count: int, owner: Owner) -> None:
        assert 0 <= place <= self.size - count, f"{owner} lies outside the scratch"
        self.owners[place : place + count] = [owner] * count

    def check(self, place: int, count: int, owner: Owner) -> None:
        found = self.owners[place : place + count]
        assert found == [owner] * count, f"{owner} was overwritten by {set(found)}"


def inputs_of(row: Row) -> int:
    return row.in_h * row.in_w * row.in_c


def outputs_of(row: Row) -> int:
    return row.out_h * row.out_w * row.out_c


def go_through(lowered: Plan) -> Scratch:
    """Write and read the scratch as a training step does, row by row; fail at a lost tensor."""
    scratch, rows = Scratch(lowered.scratch), lowered.rows
    n = len(rows)
    for i, row in enumerate(rows):
        if i:
            scratch.check(row.input, inputs_of(row), ("y", i - 1))
        scratch.write(row.output, outputs_of(row), ("y", i))
    scratch.check(rows[-1].output, outputs_of(rows[-1]), ("y", n - 1))
    scratch.write(rows[-1].output_delta, outputs_of(rows[-1]), ("d", n - 1))
    for i in range(n - 1, lowered.first_trainable - 1, -1):
        row = rows[i]
        kind = KINDS[row.kind]
        scratch.check(row.output_delta, outputs_of(row), ("d", i))
        if i and (row.trainable or kind == "max-pool"):
            scratch.check(row.input, inputs_of(row), ("y", i - 1))
        if kind in ACTIVATIONS:
            scratch.check(row.output, outputs_of(row), ("y", i))
        if i > lowered.first_trainable:
            scratch.write(row.input_delta, inputs_of(row), ("d", i - 1))
            if kind not in ACTIVATIONS:  # only an activation works where its delta lies
                scratch.check(row.output_delta, outputs_of(row), ("d", i))
                if row.trainable or kind == "max-pool":
                    scratch.check(row.input, inputs_of(row), ("y", i - 1))
    return scratch


@settings(deadline=None, max_examples=150)
@given(st.data(), networks(8))
def test_no_tensor_is_overwritten_while_it_is_read(data: st.DataObject, network: Network) -> None:
    lowered = plan(network, data.draw(frozen_sets(network)))

    scratch = go_through(lowered)

    assert scratch.size == lowered.scratch


@settings(deadline=None, max_examples=50)
@given(st.data(), networks(8))
def test_rows_follow_one_another(data: st.DataObject, network: Network) -> None:
    rows = plan(network, data.draw(frozen_sets(network))).rows

    assert inputs_of(rows[0]) == network.inputs
    assert outputs_of(rows[-1]) == network.outputs
    assert rows[0].input == -1
    for below, row in pairwise(rows):
        assert (row.input, inputs_of(row)) == (below.output, outputs_of(below))


@settings(deadline=None, max_examples=50)
@given(st.data(), networks(8))
def test_freezing_never_costs_more_scratch(data: st.DataObject, network: Network) -> None:
    frozen = data.draw(frozen_sets(network))

    assert plan(network, frozen).activations <= plan(network).activations


@pytest.mark.parametrize("name", ["characters", "characters-mcu", "keywords", "presence"])
def test_a_frozen_prefix_costs_less_scratch(name: str) -> None:
    network = named_network(name)
    names = list(network.parts)

    some, most = plan(network, frozenset(names[:2])), plan(network, frozenset(names[:-1]))

    assert most.activations < some.activations < plan(network).activations
    assert most.scratch < plan(network).scratch


def test_only_the_layers_above_the_prefix_go_backward() -> None:
    network = Network(
        "n", (6, 6, 1), sequence(Conv2d(2), Relu(), MaxPool(), Flatten(), Dense(3)), "mean-square"
    )

    lowered = plan(network, frozenset({"conv2d-1"}))

    assert lowered.first_trainable == 3
    assert [row.trainable for row in lowered.rows] == [0, 0, 0, 1]
    assert [row.input_delta for row in lowered.rows] == [-1, -1, -1, -1]


def test_with_everything_frozen_nothing_goes_backward() -> None:
    network = named_network("sine")

    lowered = plan(network, frozenset(network.parts))

    assert lowered.first_trainable == len(lowered.rows)
    go_through(lowered)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_kernel_needs_weights_scratch_and_one_sample(name: str) -> None:
    lowered = plan(named_network(name))
    program, p = Program(lowered), lowered.parameters
    alone = p + lowered.scratch + lowered.inputs + lowered.outputs

    assert program.memory_bytes(Training(0.1), 8) == 4 * alone
    assert program.memory_bytes(Training(0.1, batch=4), 8) == 4 * (alone + p)
    assert program.memory_bytes(Training(0.1, proximal=0.1), 8) == 4 * (alone + 2 * p)
    assert program.memory_bytes(Training(0.1, optimizer="adam"), 8) == 4 * (alone + 3 * p)


def test_the_scratch_of_sine_is_the_one_counted_by_hand() -> None:
    # 32 + 32 activations and 1 output stay; the last delta, 1, meets the 32 of one hidden layer,
    # whose 32 meet those of the other: 65 + 32 + 32 floats, the last delta sharing with the output.
    lowered = plan(named_network("sine"))

    assert lowered.activations == 64
    assert lowered.scratch <= 65 + 32 + 32


def test_layers_of_every_kind_have_rows() -> None:
    networks_of_all = every_layer("mean-square")

    kinds = {KINDS[row.kind] for network in networks_of_all for row in plan(network).rows}

    assert kinds == set(KINDS)


ROWS = plan(
    Network(
        "n",
        (6, 6, 2),
        sequence(Conv2d(3), Relu(), DepthwiseConv2d(), MaxPool(), Flatten(), Dense(3)),
        "mean-square",
    )
)


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (0, {"kind": 9}),
        (0, {"kind": -1}),
        (0, {"in_c": 0}),
        (0, {"in_h": 7}),
        (0, {"kernel_w": 0}),
        (0, {"stride_h": 0}),
        (0, {"pad_top": 3}),
        (0, {"pad_left": -1}),
        (0, {"stride_h": 2}),
        (0, {"parameters": -1}),
        (0, {"parameters": 10**6}),
        (0, {"output": 10**6}),
        (0, {"input": 0}),
        (1, {"out_h": 1, "out_w": 36}),
        (1, {"input": -1}),
        (2, {"in_c": 1, "in_w": 18}),
        (2, {"input_delta": -1}),
        (3, {"stride_w": 3}),
        (3, {"kernel_h": 3}),
        (4, {"in_h": 3, "in_c": 9}),
        (4, {"output_delta": -1}),
    ],
)
def test_the_kernel_refuses_a_table_that_would_leave_its_memory(
    number: int, changes: dict[str, int]
) -> None:
    Program(ROWS)
    rows = list(ROWS.rows)
    rows[number] = replace(rows[number], **changes)

    with pytest.raises(KernelError, match="the kernel refused"):
        Program(replace(ROWS, rows=tuple(rows)))


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": -1},
        {"loss": 3},
        {"rows": ()},
        {"first_trainable": -1},
        {"first_trainable": 6},
        {"parameters": -1},
        {"parameters": ROWS.parameters - 1},
        {"parameters": 2**27},
        {"inputs": 0},
        {"inputs": 71},
        {"outputs": 0},
        {"outputs": 4},
        {"scratch": -1},
        {"scratch": -(2**31)},
        {"scratch": ROWS.scratch - 1},
        {"scratch": 2**27},
    ],
    ids=str,
)
def test_the_kernel_refuses_a_network_whose_sizes_are_not_its_layers(
    changes: dict[str, object],
) -> None:
    with pytest.raises(KernelError, match="the kernel refused"):
        Program(replace(ROWS, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("first", "kind"), [(1, "relu"), (3, "max-pool")])
def test_the_backward_pass_ends_at_a_layer_that_need_not_go_on(first: int, kind: str) -> None:
    assert KINDS[ROWS.rows[first].kind] == kind
    Program(replace(ROWS, first_trainable=first))
    rows = list(ROWS.rows)
    rows[first] = replace(rows[first], input_delta=-1)

    with pytest.raises(KernelError, match="the kernel refused"):
        Program(replace(ROWS, first_trainable=first, rows=tuple(rows)))


@pytest.mark.parametrize("first", [0, 2, 4])
def test_the_backward_pass_may_end_at_any_layer_with_parameters(first: int) -> None:
    rows = list(ROWS.rows)
    rows[first] = replace(rows[first], input_delta=-1)

    assert Program(replace(ROWS, first_trainable=first, rows=tuple(rows)))


def one_layer(kind: str, inside: tuple[int, int, int], out: tuple[int, int, int]) -> Plan:
    """Return a plan whose sizes are what an int32 would make of those of its layer."""
    dense = (inside[2] + 1) * out[2] if kind == "dense" else 0
    inputs, outputs, parameters = (
        (count + 2**31) % 2**32 - 2**31
        for count in (inside[0] * inside[1] * inside[2], out[0] * out[1] * out[2], dense)
    )
    row = Row(KINDS.index(kind), 1, *inside, *out, 1, 1, 1, 1, 0, 0, 0, -1, 0, 0, 0)
    return Plan((row,), 0, 0, parameters, inputs, outputs, max(inputs, outputs, 1), 0)


def with_row(lowered: Plan, **changes: int) -> Plan:
    return replace(lowered, rows=(replace(lowered.rows[0], **changes),))


CONV = replace(one_layer("conv2d", (1, 1, 4), (1, 1, 4)), parameters=20)
FITTING = {
    "dense": one_layer("dense", (1, 1, 60), (1, 1, 60)),
    "relu": one_layer("relu", (8, 9, 2), (8, 9, 2)),
    "conv2d": CONV,
    "conv2d, a long stride": with_row(CONV, stride_h=2**25 - 1),
    "conv2d, a tall kernel": replace(
        with_row(CONV, kernel_h=2**20, pad_top=2**19), parameters=2**24 + 4
    ),
}
OVERFLOWING = {
    "dense, parameters": one_layer("dense", (1, 1, 2**16), (1, 1, 2**16)),
    "dense, a side": one_layer("dense", (1, 1, 2**27), (1, 1, 1)),
    "relu": one_layer("relu", (2**16, 2**16 + 1, 1), (2**16, 2**16 + 1, 1)),
    "relu, to 0": one_layer("relu", (2**16, 2**16, 1), (2**16, 2**16, 1)),
    "relu, below zero": one_layer("relu", (2**16, 2**15, 1), (2**16, 2**15, 1)),
    "relu, past int64": one_layer("relu", (2**31 - 1,) * 3, (2**31 - 1,) * 3),
    "relu, 2^27": one_layer("relu", (2**9, 2**9, 2**9), (2**9, 2**9, 2**9)),
    "max-pool": one_layer("max-pool", (2**16, 2**16 + 1, 1), (1, 1, 1)),
    "conv2d, kernel": with_row(CONV, kernel_h=2**16, kernel_w=2**16),
    "conv2d, a side of the kernel": with_row(CONV, kernel_w=2**31 - 1),
    "conv2d, a kernel past int64": with_row(CONV, kernel_h=2**31 - 1, kernel_w=2**31 - 1),
    "conv2d, stride": with_row(CONV, stride_w=2**25),
    "conv2d, the longest stride": with_row(CONV, stride_h=2**31 - 1),
    "conv2d, no stride": with_row(CONV, stride_h=0),
    "conv2d, no kernel": with_row(CONV, kernel_h=0),
    "conv2d, outputs": with_row(CONV, out_c=2**30),
}


@pytest.mark.parametrize("lowered", FITTING.values(), ids=list(FITTING))
def test_the_kernel_takes_a_layer_that_int32_can_count(lowered: Plan) -> None:
    assert Program(lowered).memory_bytes(Training(0.1), 1) > 0


@pytest.mark.parametrize("lowered", OVERFLOWING.values(), ids=list(OVERFLOWING))
def test_the_kernel_refuses_a_layer_that_int32_cannot_count(lowered: Plan) -> None:
    with pytest.raises(KernelError, match="the kernel refused"):
        Program(lowered)


def test_a_frozen_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(NetworkError, match="frozen: sine has no trainable layer 'conv2d-1'"):
        plan(named_network("sine"), frozenset({"conv2d-1"}))


def test_a_network_of_flattens_alone_is_refused() -> None:
    network = Network("n", (2, 2, 1), sequence(Flatten()), "mean-square")

    with pytest.raises(NetworkError, match="a layer that computes"):
        plan(network)


@pytest.mark.parametrize(
    "layer", [Conv2d(2**20), MaxPool((1, 1), (2**40, 1)), Conv2d(1, (2**14, 2**14))], ids=str
)
def test_a_network_too_large_to_count_is_refused(layer: Layer) -> None:
    network = Network("n", (20, 20, 1), sequence(layer, Flatten()), "mean-square")

    with pytest.raises(NetworkError, match=r"n: expected sizes below 134217728, got"):
        plan(network)


@pytest.mark.parametrize(
    "layers",
    [
        (AveragePool((60_000, 60_000)), Flatten()),
        (GlobalAveragePool(), Dense(2)),
        (Conv2d(1, (1, 1), (60_000, 60_000)), Flatten()),
    ],
    ids=str,
)
def test_an_input_too_large_to_count_is_refused(layers: tuple[Layer, ...]) -> None:
    network = Network("x", (60_000, 60_000, 1), sequence(*layers), "mean-square")

    with pytest.raises(NetworkError, match=r"x: expected sizes below 134217728, got 3600000000"):
        plan(network)
    with pytest.raises(NetworkError, match=r"make the input and the layers smaller"):
        cost(network, Training(rate=0.1))


@pytest.mark.parametrize(
    "layer",
    [Conv2d(1, (1, 1), (2**24, 1)), MaxPool((1, 1), (1, 2**24)), Conv2d(1, (2**12, 2**12))],
    ids=str,
)
def test_a_window_too_large_to_count_is_refused(layer: Layer) -> None:
    network = Network("n", (4, 4, 8), sequence(layer, Flatten(), Dense(1)), "mean-square")

    with pytest.raises(NetworkError, match=r"n: expected sizes below 134217728, got 1342177"):
        plan(network)
