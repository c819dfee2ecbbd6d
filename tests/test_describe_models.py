"""Any valid .tflite file is described: quantised, recurrent, branching, sparse, custom, dynamic."""

from pathlib import Path

import numpy as np
import pytest
from tflite_drafts import Draft, Graph, Step, constant, drafted

from tinyfleet.ontology.describe import describe_bytes, read_model
from tinyfleet.ontology.model import ModelDescription
from tinyfleet.ontology.shapes import check


def described(*graphs: Graph, signature: str = "") -> ModelDescription:
    model = describe_bytes(drafted(*graphs, signature=signature), "m.tflite", measured=False)
    check(model.to_graph())
    return model


def test_an_int8_model_states_scale_and_zero_point() -> None:
    step = Step("FULLY_CONNECTED", [0, 1, 2], [3], "FullyConnectedOptions")
    graph = Graph(
        [
            Draft("x", (1, 4), "INT8", scale=(0.5,), zero_point=(-3,)),
            Draft("w", (2, 4), "INT8", b"\1" * 8, (0.1, 0.2), (0, 0)),
            Draft("b", (2,), "INT32", b"\0" * 8, (0.05, 0.1), (0, 0)),
            Draft("y", (1, 2), "INT8", scale=(0.25,), zero_point=(7,)),
        ],
        [step],
        [0],
        [3],
    )

    model = described(graph)

    entry = model.to_json()["inputs"][0]
    assert (entry["dtype"], entry["scale"], entry["zero_point"]) == ("int8", 0.5, -3)
    assert (model.macs, model.parameters, model.types) == (8, 10, ("int8",))


def test_a_stride_and_a_pool_are_counted_by_their_outputs() -> None:
    fields = {"strideH": 2, "strideW": 3, "fusedActivationFunction": 3, "padding": 1}
    pool = {"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2, "padding": 1}
    graph = Graph(
        [
            Draft("x", (1, 9, 10, 2)),
            constant("w", (5, 3, 3, 2)),
            Draft("y", (1, 4, 3, 5)),
            Draft("z", (1, 2, 1, 5)),
        ],
        [
            Step("CONV_2D", [0, 1, -1], [2], "Conv2DOptions", fields),
            Step("MAX_POOL_2D", [2], [3], "Pool2DOptions", pool),
        ],
        [0],
        [3],
    )

    model = described(graph)

    assert model.macs == 4 * 3 * (5 * 3 * 3 * 2)
    first, second = model.layers
    assert (first.activation, first.kernel, first.stride) == ("RELU6", (3, 3), (2, 3))
    assert (second.kernel, second.stride, second.macs) == ((2, 2), (2, 2), 0)


def test_a_custom_operator_is_called_by_its_name() -> None:
    graph = Graph(
        [Draft("boxes", (1, 10, 4)), Draft("out", (1, 10))],
        [Step("custom:TFLite_Detection_PostProcess", [0], [1])],
        [0],
        [1],
    )

    model = read_bytes_with_tool(drafted(graph))

    assert model.custom_operators == ("TFLite_Detection_PostProcess",)
    assert model.operators == ("TFLite_Detection_PostProcess",)
    assert model.arena.planned
    assert model.arena.reason
    assert model.arena.head == 160 + 48  # 1x10x4 and 1x10 of float32, in steps of 16 bytes


def read_bytes_with_tool(data: bytes) -> ModelDescription:
    return describe_bytes(data, "m.tflite")


def test_a_sequence_lstm_keeps_its_state_and_counts_every_step() -> None:
    cell, features, steps = 3, 2, 5
    tensors = [Draft("x", (1, steps, features))]
    tensors += [constant(f"w{n}", (cell, features)) for n in range(4)]
    tensors += [constant(f"r{n}", (cell, cell)) for n in range(4)]
    tensors += [constant(f"b{n}", (cell,)) for n in range(4)]
    tensors += [Draft("h", (1, cell), variable=True), Draft("c", (1, cell), variable=True)]
    tensors += [Draft("y", (1, steps, cell))]
    inputs = [0, *range(1, 9), -1, -1, -1, *range(9, 13), -1, -1, 13, 14]
    options = "UnidirectionalSequenceLSTMOptions"
    step = Step(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [15], options, {"fusedActivationFunction": 4}
    )

    model = described(Graph(tensors, [step], [0], [15]))

    assert model.macs == 0
    assert model.macs_all == steps * 4 * cell * (features + cell)
    assert model.parameters == 4 * cell * (features + cell + 1)
    assert model.layers[0].activation == "TANH"
    assert model.arena.head == 16 + 16 + 48 + 64  # h, c, x (40 bytes), y (60 bytes)


def loop() -> tuple[Graph, Graph, Graph]:
    step = Step("WHILE", [0], [1], "WhileOptions", {"condSubgraphIndex": 1, "bodySubgraphIndex": 2})
    main = Graph([Draft("x", (1, 4)), Draft("y", (1, 4))], [step], [0], [1])
    test = Graph(
        [Draft("x", (1, 4)), Draft("go", (1,), "BOOL")], [Step("LESS", [0, 0], [1])], [0], [1]
    )
    tensors = [Draft("x", (1, 4)), constant("w", (4, 4)), Draft("wide", (1, 4)), Draft("y", (1, 4))]
    dense = Step("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnectedOptions")
    body = Graph(tensors, [dense, Step("TANH", [2], [3])], [0], [3])
    return main, test, body


def test_a_loop_is_described_with_what_it_runs() -> None:
    model = described(*loop())

    assert model.operators == ("WHILE", "LESS", "FULLY_CONNECTED", "TANH")
    assert [layer.subgraph for layer in model.layers] == [0, 1, 2, 2]
    assert model.macs == 16
    assert model.arena.head == 32 + 32  # x and y of the model, and the body's two at a time


def test_what_may_vary_is_told_and_counted_as_one() -> None:
    tensors = [Draft("x", (1, 8), sizes=(-1, 8)), constant("w", (3, 8)), Draft("y", (-1, 3))]
    step = Step("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnectedOptions")

    model = described(Graph(tensors, [step], [0], [2]))

    entry, out = model.to_json()["inputs"][0], model.to_json()["outputs"][0]
    assert (entry["shape"], entry["shape_signature"]) == ([1, 8], [-1, 8])
    assert out["shape"] == [-1, 3]
    assert model.macs == 24


@pytest.mark.parametrize(
    ("dtype", "bits"), [("INT4", 4), ("FLOAT16", 16), ("BFLOAT16", 16), ("INT16", 16)]
)
def test_narrow_and_half_types_take_their_bits(dtype: str, bits: int) -> None:
    weights = Draft("w", (2, 64), dtype, bytes(2 * 64 * bits // 8), (0.1,), (0,))
    tensors = [Draft("x", (1, 64), dtype), weights, Draft("y", (1, 2), dtype)]
    step = Step("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnectedOptions")

    model = described(Graph(tensors, [step], [0], [2]))

    assert model.types == (dtype.lower(),)
    assert model.parameters == 128
    assert model.arena.head == 64 * bits // 8 + 16


def test_sparse_weights_count_as_the_numbers_that_they_stand_for() -> None:
    tensors = [
        Draft("x", (1, 8)),
        Draft("w", (4, 8), data=bytes(20), sparse=True),
        Draft("y", (1, 4)),
    ]
    step = Step("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnectedOptions")

    model = described(Graph(tensors, [step], [0], [2]))

    assert (model.parameters, model.macs) == (32, 32)


def test_weights_that_two_layers_share_are_counted_once() -> None:
    from tflite_files import FLATBUFFERS, SCHEMA

    tensors = [Draft("x", (1, 4)), constant("w", (4, 4)), Draft("h", (1, 4)), constant("v", (4, 4))]
    dense = "FullyConnectedOptions"
    steps = [
        Step("FULLY_CONNECTED", [0, 1, -1], [2], dense),
        Step("FULLY_CONNECTED", [2, 3, -1], [4], dense),
    ]
    data = drafted(Graph([*tensors, Draft("y", (1, 4))], steps, [0], [4]))
    model = SCHEMA.ModelT.InitFromObj(SCHEMA.Model.GetRootAs(bytearray(data)))
    model.subgraphs[0].tensors[3].buffer = model.subgraphs[0].tensors[1].buffer
    builder = FLATBUFFERS.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")

    one = describe_bytes(bytes(builder.Output()), "m.tflite", measured=False)

    assert (one.parameters, one.macs) == (16, 32)


def test_the_full_count_has_what_the_published_one_leaves_out() -> None:
    tensors = [
        Draft("shape", (4,), "INT32", np.array([1, 8, 8, 3], np.int32).tobytes()),
        constant("w", (3, 2, 2, 5)),
        Draft("x", (1, 4, 4, 5)),
        Draft("up", (1, 8, 8, 3)),
        Draft("a", (2, 3, 4)),
        Draft("b", (2, 4, 6)),
        Draft("c", (2, 3, 6)),
    ]
    fields = {"strideH": 2, "strideW": 2}
    steps = [
        Step("TRANSPOSE_CONV", [0, 1, 2], [3], "TransposeConvOptions", fields),
        Step("BATCH_MATMUL", [4, 5], [6], "BatchMatMulOptions"),
    ]

    model = described(Graph(tensors, steps, [2, 4, 5], [3, 6]))

    assert model.macs == 0
    assert model.macs_all == 4 * 4 * (3 * 2 * 2 * 5) + 2 * 3 * 4 * 6


def test_signature_and_metadata_are_told() -> None:
    step = Step("TANH", [0], [1])
    graph = Graph([Draft("x", (1, 4)), Draft("y", (1, 4))], [step], [0], [1])
    data = drafted(graph, signature="serve", metadata={"min_runtime_version": b"1.5.0\0\0\0"})

    told = describe_bytes(data, "m.tflite", measured=False).to_json()

    expected = {"key": "serve", "subgraph": 0, "inputs": {"arg_x": "x"}, "outputs": {"arg_y": "y"}}
    assert told["signatures"] == [expected]
    assert told["metadata"] == [{"name": "min_runtime_version", "bytes": 8, "text": "1.5.0"}]
    assert told["operator_versions"] == {"TANH": 2}
    assert told["description"] == "drafted"


def test_the_same_bytes_have_one_iri_wherever_they_lie(tmp_path: Path) -> None:
    graph = Graph([Draft("x", (1, 4)), Draft("y", (1, 4))], [Step("TANH", [0], [1])], [0], [1])
    name = "wake word <ü>%.tflite"
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(drafted(graph))

    one, two = (read_model(tmp_path / folder / name, measured=False) for folder in ("one", "two"))

    assert one.iri() == two.iri()
    assert str(one.iri()).startswith("urn:tinyfleet:model:wake%20word%20%3C%C3%BC%3E%25:")
    assert set(one.to_graph()) == set(two.to_graph())


@pytest.mark.parametrize("beside", [False, True])
def test_nothing_is_planned_in_patches_while_another_input_waits(beside: bool) -> None:
    pool = {"filterHeight": 3, "filterWidth": 3, "strideH": 2, "strideW": 2}
    graph = Graph(
        [
            Draft("x", (1, 16, 16, 1)),
            Draft("expanded", (1, 16, 16, 8)),
            Draft("pooled", (1, 8, 8, 8)),
            Draft("y", (1, 8, 8, 8)),
            constant("w", (8, 3, 3, 1)),
            Draft("other", (1, 8, 8, 8)),
        ],
        [
            Step("CONV_2D", [0, 4, -1], [1], "Conv2DOptions", {"strideH": 1, "strideW": 1}),
            Step("AVERAGE_POOL_2D", [1], [2], "Pool2DOptions", pool),
            Step("ADD", [2, 5 if beside else 2], [3], "AddOptions"),
        ],
        [0, 5] if beside else [0],
        [3],
    )

    plan = described(graph).patches

    assert (plan is None) is beside
