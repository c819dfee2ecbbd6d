"""Drafts of .tflite files of every sort, written with the schema that ai-edge-litert brings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tflite_files import FLATBUFFERS, SCHEMA

Steps = Sequence["Step"]


@dataclass(frozen=True)
class Draft:
    """A tensor to write; `data` are the bytes of a constant, `sizes` its shape signature."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "FLOAT32"
    data: bytes = b""
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    variable: bool = False
    sparse: bool = False


@dataclass(frozen=True)
class Step:
    """An operator to write; a kind that starts with "custom:" is a custom one."""

    kind: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: str = ""
    fields: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """A subgraph to write."""

    tensors: Sequence[Draft]
    steps: Steps
    inputs: Sequence[int]
    outputs: Sequence[int]


def constant(name: str, shape: tuple[int, ...], **more: Any) -> Draft:
    """Draft float32 weights, all 1."""
    return Draft(name, shape, data=np.ones(shape, np.float32).tobytes(), **more)


def drafted(*graphs: Graph, signature: str = "", metadata: dict[str, bytes] | None = None) -> bytes:
    """Return the bytes of a .tflite file of `graphs`."""
    model = SCHEMA.ModelT()
    model.version, model.buffers, model.description = 3, [SCHEMA.BufferT()], "drafted"
    kinds = sorted({step.kind for graph in graphs for step in graph.steps})
    model.operatorCodes = [_code(kind) for kind in kinds]
    model.subgraphs = [_graph(model, graph, kinds) for graph in graphs]
    if signature:
        model.signatureDefs = [_signature(signature, graphs[0])]
    model.metadata = []
    for name, data in (metadata or {}).items():
        entry = SCHEMA.MetadataT()
        entry.name, entry.buffer = name, _buffer(model, data)
        model.metadata.append(entry)
    builder = FLATBUFFERS.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _code(kind: str) -> Any:
    code = SCHEMA.OperatorCodeT()
    code.version = 2
    name = kind
    if kind.startswith("custom:"):
        code.customCode, name = kind.removeprefix("custom:"), "CUSTOM"
    code.builtinCode = getattr(SCHEMA.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    return code


def _graph(model: Any, graph: Graph, kinds: Sequence[str]) -> Any:
    written = SCHEMA.SubGraphT()
    written.tensors = [_tensor(model, tensor) for tensor in graph.tensors]
    written.inputs, written.outputs = list(graph.inputs), list(graph.outputs)
    written.operators = []
    for step in graph.steps:
        operator = SCHEMA.OperatorT()
        operator.opcodeIndex = kinds.index(step.kind)
        operator.inputs, operator.outputs = list(step.inputs), list(step.outputs)
        if step.options:
            operator.builtinOptionsType = getattr(SCHEMA.BuiltinOptions, step.options)
            operator.builtinOptions = getattr(SCHEMA, f"{step.options}T")()
            for name, value in step.fields.items():
                setattr(operator.builtinOptions, name, value)
        written.operators.append(operator)
    return written


def _buffer(model: Any, data: bytes) -> int:
    buffer = SCHEMA.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _tensor(model: Any, draft: Draft) -> Any:
    tensor = SCHEMA.TensorT()
    tensor.name, tensor.shape = draft.name, list(draft.shape)
    tensor.type = getattr(SCHEMA.TensorType, draft.dtype)
    tensor.buffer = _buffer(model, draft.data) if draft.data else 0
    tensor.isVariable = draft.variable
    tensor.shapeSignature = list(draft.sizes) or None
    if draft.scale:
        tensor.quantization = SCHEMA.QuantizationParametersT()
        tensor.quantization.scale = list(draft.scale)
        tensor.quantization.zeroPoint = list(draft.zero_point)
    if draft.sparse:
        tensor.sparsity = SCHEMA.SparsityParametersT()
        tensor.sparsity.traversalOrder = list(range(len(draft.shape)))
    return tensor


def _signature(key: str, graph: Graph) -> Any:
    written = SCHEMA.SignatureDefT()
    written.signatureKey = key
    written.inputs, written.outputs = (
        [_map(graph.tensors[number].name, number) for number in numbers]
        for numbers in (graph.inputs, graph.outputs)
    )
    return written


def _map(name: str, number: int) -> Any:
    entry = SCHEMA.TensorMapT()
    entry.name, entry.tensorIndex = f"arg_{name}", number
    return entry
