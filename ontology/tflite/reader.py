"""Read a .tflite file that anybody may have sent: nothing in it is trusted before it is checked.

The flatbuffers package follows whatever offset it finds. So every list is paid for from a purse
that the file's own size fills: lists that claim to be long, and lists that lie over one another,
empty it, and the file is refused in time that grows with its size alone.
"""

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import tflite
from tflite.utils import BUILTIN_OPCODE2NAME

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.tflite.file import (
    ABSENT,
    CUSTOM,
    File,
    Metadata,
    Operator,
    Shape,
    Signature,
    Subgraph,
    Tensor,
)
from tinyfleet.ontology.tflite.options import read_options

IDENTIFIER: Final = b"TFL3"
MOST_BYTES: Final = 512 * 2**20
MOST_TABLES: Final = 50_000
MOST_ELEMENTS: Final = 2**40
_MOST_TEXT: Final = 200
_TYPES: Final = {
    number: name.lower() for name, number in vars(tflite.TensorType).items() if name.isupper()
} | {19: "int2", 20: "uint4"}
_DAMAGE: Final = (struct.error, IndexError, ValueError, TypeError, OverflowError)
Item = TypeVar("Item")


def load(path: str | Path) -> bytes:
    """Return the bytes of the file at `path`.

    Raises:
        DescriptionError: it cannot be read, or is larger than `MOST_BYTES`.
    """
    try:
        if not Path(path).is_file():
            raise DescriptionError(f"{path}: expected a .tflite file, got no such file")
        with Path(path).open("rb") as stream:
            small = os.fstat(stream.fileno()).st_size <= MOST_BYTES
            data = stream.read(MOST_BYTES + 1) if small else b""
    except OSError as error:
        raise DescriptionError(
            f"{path}: expected a .tflite file, got {error.strerror or error}"
        ) from None
    if not small or len(data) > MOST_BYTES:
        raise DescriptionError(
            f"{path}: expected at most {MOST_BYTES} bytes, got more; "
            "a fleet's devices have kilobytes"
        )
    return data


def read_bytes(data: bytes, source: str) -> File:
    """Read a model from the bytes of a .tflite file; `source` is what errors call them.

    Raises:
        DescriptionError: they are no .tflite file, cut short or damaged.
    """
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        got = "an empty file" if not data else f"{data[4:8]!r} in a file of {len(data)} bytes"
        raise DescriptionError(
            f"{source}: expected a .tflite file, which has {IDENTIFIER!r} at byte 4, got {got}"
        )
    try:
        return _Reader(data).file()
    except _DAMAGE as error:
        raise DescriptionError(
            f"{source}: expected a whole .tflite file, got a cut or damaged one "
            f"({_one_line(error)}); fetch or convert it again"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


class _Reader:
    """One reading of one file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._bytes = 8 * len(data) + 65_536  # what the lists together may take
        self._tables = MOST_TABLES

    def file(self) -> File:
        model = tflite.Model.GetRootAs(self._data, 0)
        self._buffers = self._many(model.BuffersLength(), lambda n: self._buffer(model.Buffers(n)))
        self._codes = self._many(
            model.OperatorCodesLength(), lambda n: self._code(model.OperatorCodes(n))
        )
        subgraphs = self._many(model.SubgraphsLength(), lambda n: self._graph(model.Subgraphs(n)))
        if not subgraphs:
            raise ValueError("no subgraph")
        self._check_calls(subgraphs)
        return File(
            len(self._data),
            hashlib.sha256(self._data).hexdigest(),
            model.Version(),
            self._text(model.Description()),
            subgraphs,
            self._many(
                model.SignatureDefsLength(),
                lambda n: self._signature(model.SignatureDefs(n), subgraphs),
            ),
            self._many(model.MetadataLength(), lambda n: self._metadata(model.Metadata(n))),
            self._paddings(subgraphs),
        )

    def _spend(self, size: int) -> None:
        self._bytes -= size
        if self._bytes < 0:
            raise ValueError("lists longer than the file")

    def _many(self, length: int, item: Callable[[int], Item]) -> tuple[Item, ...]:
        self._spend(4 * length)
        self._tables -= length
        if self._tables < 0:
            raise ValueError(f"more than {MOST_TABLES} tables")
        return tuple(item(n) for n in range(length))

    def _numbers(self, length: int, numbers: Callable[[], Any]) -> tuple[Any, ...]:
        if not length:
            return ()
        self._spend(8 * length)
        return tuple(numbers().tolist())

    def _text(self, text: bytes | None) -> str:
        self._spend(len(text or b""))
        return (text or b"").decode(errors="replace")

    def _buffer(self, buffer: Any) -> memoryview:
        """Return a buffer's bytes, which lie among the tables or, in a large file, behind them."""
        if (start := buffer.Offset()) > 1:  # 0 and 1 stand for none
            held = memoryview(self._data)[start : start + buffer.Size()]
            if len(held) != buffer.Size():
                raise ValueError(f"a buffer up to byte {start + buffer.Size()}")
            return held
        return memoryview(buffer.DataAsNumpy() if buffer.DataLength() else b"")

    def _code(self, code: Any) -> tuple[str, int, bool]:
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        kind = BUILTIN_OPCODE2NAME.get(number, f"BUILTIN_{number}")
        if kind != CUSTOM:
            return kind, code.Version(), False
        return self._text(code.CustomCode()) or CUSTOM, code.Version(), True

    def _graph(self, graph: Any) -> Subgraph:
        tensors = self._many(graph.TensorsLength(), lambda n: self._tensor(graph.Tensors(n)))
        count = len(tensors)
        return Subgraph(
            self._text(graph.Name()),
            tensors,
            self._places(graph.InputsLength(), graph.InputsAsNumpy, count, 0),
            self._places(graph.OutputsLength(), graph.OutputsAsNumpy, count, 0),
            self._many(
                graph.OperatorsLength(), lambda n: self._operator(graph.Operators(n), count)
            ),
        )

    def _places(
        self, length: int, numbers: Callable[[], Any], count: int, least: int
    ) -> tuple[int, ...]:
        places = self._numbers(length, numbers)
        for place in places:
            if not least <= place < count:
                raise ValueError(f"tensor {place} of {count}")
        return places

    def _operator(self, operator: Any, count: int) -> Operator:
        kind, version, custom = self._codes[operator.OpcodeIndex()]
        return Operator(
            kind,
            version,
            custom,
            self._places(operator.InputsLength(), operator.InputsAsNumpy, count, ABSENT),
            self._places(operator.OutputsLength(), operator.OutputsAsNumpy, count, 0),
            self._places(operator.IntermediatesLength(), operator.IntermediatesAsNumpy, count, 0),
            **read_options(operator),
        )

    def _tensor(self, tensor: Any) -> Tensor:
        number = tensor.Type()
        quantised = tensor.Quantization()
        scale: tuple[float, ...] = ()
        zero: tuple[int, ...] = ()
        if quantised is not None:
            scale = self._numbers(quantised.ScaleLength(), quantised.ScaleAsNumpy)
            zero = self._numbers(quantised.ZeroPointLength(), quantised.ZeroPointAsNumpy)
        if not np.isfinite(scale).all():
            raise ValueError("a scale that is not finite")
        return Tensor(
            self._text(tensor.Name()),
            self._shape(tensor.ShapeLength(), tensor.ShapeAsNumpy),
            self._shape(tensor.ShapeSignatureLength(), tensor.ShapeSignatureAsNumpy),
            _TYPES.get(number, f"type-{number}"),
            scale,
            zero or (0,) * len(scale),
            tensor.Buffer(),
            len(self._buffers[tensor.Buffer()]) if self._buffers or tensor.Buffer() else 0,
            bool(tensor.IsVariable()),
            tensor.Sparsity() is not None,
        )

    def _shape(self, length: int, numbers: Callable[[], Any]) -> Shape:
        shape = self._numbers(length, numbers)
        elements = 1
        for size in shape:
            elements *= max(size, 1)
            if size < -1 or elements > MOST_ELEMENTS:
                raise ValueError(f"a shape of {list(shape[:8])}")
        return shape

    def _check_calls(self, subgraphs: tuple[Subgraph, ...]) -> None:
        """Refuse calls that lead nowhere, or back."""
        done: set[int] = set()

        def enter(number: int, above: tuple[int, ...]) -> None:
            if not 0 <= number < len(subgraphs) or number in above or len(above) > 64:
                raise ValueError(f"a call of subgraph {number} of {len(subgraphs)}")
            if number not in done:
                for operator in subgraphs[number].operators:
                    for called in operator.calls:
                        enter(called, (*above, number))
                done.add(number)

        for number in range(len(subgraphs)):
            enter(number, ())

    def _signature(self, signature: Any, subgraphs: tuple[Subgraph, ...]) -> Signature:
        number = signature.SubgraphIndex()
        tensors = subgraphs[number].tensors

        def named(length: int, item: Callable[[int], Any]) -> dict[str, str]:
            maps = self._many(length, item)
            return {self._text(m.Name()): tensors[m.TensorIndex()].name for m in maps}

        return Signature(
            self._text(signature.SignatureKey()),
            number,
            named(signature.InputsLength(), signature.Inputs),
            named(signature.OutputsLength(), signature.Outputs),
        )

    def _metadata(self, metadata: Any) -> Metadata:
        held = self._buffers[metadata.Buffer()]
        text = bytes(held[:_MOST_TEXT]).rstrip(b"\0").decode(errors="replace")
        short = len(held) <= _MOST_TEXT and text.isprintable() and "\ufffd" not in text
        return Metadata(self._text(metadata.Name()), len(held), text if short else "")

    def _paddings(
        self, subgraphs: tuple[Subgraph, ...]
    ) -> dict[tuple[int, int], tuple[tuple[int, int], ...]]:
        found = {}
        for number, graph in enumerate(subgraphs):
            for operator in graph.operators:
                if operator.kind not in ("PAD", "PADV2") or len(operator.inputs) < 2:
                    continue
                place = operator.inputs[1]
                tensor = graph.tensors[place] if place != ABSENT else None
                if tensor is None or tensor.dtype != "int32" or tensor.constant > 128:
                    continue
                held = self._buffers[tensor.buffer]
                flat = struct.unpack_from(f"<{len(held) // 8 * 2}i", held)
                found[number, place] = tuple(zip(flat[::2], flat[1::2], strict=True))
        return found
