"""What is read of a .tflite file: frozen data, every reference checked to lead somewhere."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

Shape = tuple[int, ...]
Pair = tuple[int, int]

CUSTOM: Final = "CUSTOM"
ABSENT: Final = -1
"""The number of a tensor where an operator's optional input is left out."""

BITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "bfloat16": 16,
        "bool": 8,
        "complex64": 64,
        "complex128": 128,
        "float16": 16,
        "float32": 32,
        "float64": 64,
        "int2": 2,
        "int4": 4,
        "int8": 8,
        "int16": 16,
        "int32": 32,
        "int64": 64,
        "uint4": 4,
        "uint8": 8,
        "uint16": 16,
        "uint32": 32,
        "uint64": 64,
    }
)
"""Bits of one element; a type that is not here, such as a handle, is counted as 32."""

_NUMERIC: Final = frozenset(
    {"bfloat16", "float16", "float32", "float64"}
    | {"int2", "int4", "int8", "int16", "uint4", "uint8", "uint16"}
)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph.

    Attributes:
        shape: its shape in the file; -1 where only running the model tells.
        signature: the shape as its author drew it, with -1 for what may vary; () for the same.
        dtype: "float32", "int8" and so on, lower case.
        scale: value of a step: one for the tensor, one for each channel, or none.
        zero_point: the integers that stand for 0, as many.
        buffer: number of the buffer that holds its constants; what another tensor shares.
        constant: bytes of its constants in the file, 0 where it is computed.
        variable: keeps its value from one run to the next.
        sparse: its constants leave zeros out.
    """

    name: str
    shape: Shape
    signature: Shape
    dtype: str
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    buffer: int
    constant: int
    variable: bool
    sparse: bool

    @property
    def elements(self) -> int:
        """How many numbers it holds, what varies counted as 1."""
        return math.prod(max(size, 1) if size < 0 else size for size in self.shape)

    @property
    def bytes(self) -> int:
        """Bytes that its numbers take in memory."""
        return -(-self.elements * BITS.get(self.dtype, 32) // 8)

    @property
    def computes(self) -> bool:
        """Whether its type is one of values, not of indices, sizes, flags or biases."""
        return self.dtype in _NUMERIC

    @property
    def weighs(self) -> bool:
        """Whether it holds trained values: a constant of floats, or of integers with a scale."""
        return self.constant > 0 and (
            self.dtype.startswith(("float", "bfloat")) or bool(self.scale)
        )


@dataclass(frozen=True)
class Window:
    """How a kernel slides: rows first; `kernel` is (0, 0) where the weights' shape says it."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    same: bool


@dataclass(frozen=True)
class Operator:
    """One step of a subgraph.

    Attributes:
        kind: "CONV_2D" and so on; a custom operator's own name.
        version: of the operator, as the file asks for it.
        custom: whether a runtime knows it only when told.
        inputs, outputs, scratch: numbers of tensors; `ABSENT` for an input left out.
        activation: "RELU6" and so on, fused into it; "NONE" for none.
        window: for what slides.
        calls: numbers of the subgraphs that it runs.
    """

    kind: str
    version: int
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    scratch: tuple[int, ...]
    activation: str = "NONE"
    window: Window | None = None
    calls: tuple[int, ...] = ()


@dataclass(frozen=True)
class Subgraph:
    """Tensors, and the operators that compute them in order."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]

    def read(self, operator: Operator) -> list[Tensor]:
        """Return the tensors that `operator` reads, without those left out."""
        return [self.tensors[n] for n in operator.inputs if n != ABSENT]


@dataclass(frozen=True)
class Signature:
    """A named way in: names of arguments, and the names of their tensors."""

    key: str
    subgraph: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Metadata:
    """Something that rides along: its name and bytes, and its text where it is a short one."""

    name: str
    bytes: int
    text: str


@dataclass(frozen=True)
class File:
    """A whole .tflite file; the first subgraph is the model.

    Attributes:
        size: bytes of the file.
        checksum: SHA-256 of the file, hexadecimal.
        paddings: rows of PAD's second input by subgraph and tensor, where the file holds them.
    """

    size: int
    checksum: str
    version: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    metadata: tuple[Metadata, ...]
    paddings: Mapping[tuple[int, int], tuple[Pair, ...]]
