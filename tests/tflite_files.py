"""Small .tflite files, written with the schema that ai-edge-litert brings."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
FLATBUFFERS: Any = importlib.import_module("flatbuffers")

_TYPES = {"float32": "FLOAT32", "int8": "INT8", "int32": "INT32"}


@dataclass(frozen=True)
class Value:
    """A tensor of a file: a constant where it has data; scale and zero point where quantised."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    data: NDArray[Any] | None = None
    scale: float = 0.0
    zero_point: int = 0


def write_model(
    path: Path,
    values: Sequence[Value],
    operators: Sequence[tuple[str, list[int], list[int]]],
    ends: tuple[list[int], list[int]],
) -> Path:
    """Write a model: operators are (kind, inputs, outputs), `ends` the model's own."""
    model, graph = SCHEMA.ModelT(), SCHEMA.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [SCHEMA.BufferT()]
    kinds = sorted({kind for kind, _, _ in operators})
    model.operatorCodes = [_code(kind) for kind in kinds]
    graph.tensors = [_tensor(model, value) for value in values]
    graph.inputs, graph.outputs = ends
    graph.operators = []
    for kind, inputs, outputs in operators:
        operator = SCHEMA.OperatorT()
        operator.opcodeIndex = kinds.index(kind)
        operator.inputs, operator.outputs = inputs, outputs
        if kind == "FULLY_CONNECTED":
            operator.builtinOptionsType = SCHEMA.BuiltinOptions.FullyConnectedOptions
            operator.builtinOptions = SCHEMA.FullyConnectedOptionsT()
        graph.operators.append(operator)
    builder = FLATBUFFERS.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def dense_model(path: Path, layers: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> Path:
    """Write dense float32 layers, each of weights `(in, out)` and biases `(out,)`."""
    values = [Value("x", (1, len(layers[0][0])))]
    operators = []
    for number, (w, b) in enumerate(layers):
        read = 0 if number == 0 else len(values) - 1
        values += [
            Value(f"w{number}", w.T.shape, data=w.T.astype(np.float32)),
            Value(f"b{number}", b.shape, data=b.astype(np.float32)),
            Value(f"y{number}", (1, len(b))),
        ]
        last = len(values) - 1
        operators.append(("FULLY_CONNECTED", [read, last - 2, last - 1], [last]))
    return write_model(path, values, operators, ([0], [len(values) - 1]))


def _code(kind: str) -> Any:
    code = SCHEMA.OperatorCodeT()
    code.version = 1
    if kind.startswith("custom:"):
        code.customCode = kind.removeprefix("custom:")
        code.builtinCode = SCHEMA.BuiltinOperator.CUSTOM
        code.deprecatedBuiltinCode = SCHEMA.BuiltinOperator.CUSTOM
    else:
        code.builtinCode = code.deprecatedBuiltinCode = getattr(SCHEMA.BuiltinOperator, kind)
    return code


def _tensor(model: Any, value: Value) -> Any:
    tensor = SCHEMA.TensorT()
    tensor.name, tensor.shape = value.name, list(value.shape)
    tensor.type = getattr(SCHEMA.TensorType, _TYPES[value.dtype])
    tensor.buffer = 0
    if value.data is not None:
        buffer = SCHEMA.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value.data).tobytes(), np.uint8)
        tensor.buffer = len(model.buffers)
        model.buffers.append(buffer)
    if value.scale:
        tensor.quantization = SCHEMA.QuantizationParametersT()
        tensor.quantization.scale = [value.scale]
        tensor.quantization.zeroPoint = [value.zero_point]
    return tensor
