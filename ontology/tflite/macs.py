"""Count the multiply-accumulates of a model, as was published and in full.

The published count (Ren et al., TECS 2024, whose models the tests recompute): a convolution costs
the positions of its output times the numbers of its weights, a fully connected layer the numbers
of its weights, everything else nothing. The full count adds what this leaves out: transposed and
3-D convolutions, products of matrices, recurrent layers, and every row of a batch.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tinyfleet.ontology.tflite.file import Operator, Subgraph, Tensor

_Count = Callable[[list[Tensor], list[Tensor]], int]


def published_macs(graph: Subgraph, operator: Operator) -> int:
    """Return the multiply-accumulates of `operator` by the published count."""
    return _counted(_PUBLISHED, graph, operator)


def all_macs(graph: Subgraph, operator: Operator) -> int:
    """Return all multiply-accumulates of `operator`; of one pass where it is a loop's body."""
    return _counted(_ALL, graph, operator)


def _counted(counts: Mapping[str, _Count], graph: Subgraph, operator: Operator) -> int:
    count = counts.get(operator.kind)
    reads, writes = graph.read(operator), [graph.tensors[n] for n in operator.outputs]
    return count(reads, writes) if count and reads and writes else 0


def _batch(tensor: Tensor, inner: int) -> int:
    """Return the elements of all but the last `inner` dimensions, what varies counted as 1."""
    return math.prod(max(size, 1) for size in tensor.shape[: max(len(tensor.shape) - inner, 0)])


def _weights(reads: list[Tensor]) -> int:
    return reads[1].elements if len(reads) > 1 else 0


def _convolution(reads: list[Tensor], writes: list[Tensor]) -> int:
    height, width = writes[0].shape[1:3] if len(writes[0].shape) == 4 else (1, 1)
    return max(height, 1) * max(width, 1) * _weights(reads)


def _convolution_of_batch(reads: list[Tensor], writes: list[Tensor]) -> int:
    return _batch(writes[0], 3) * _convolution(reads, writes)


def _convolution_3d(reads: list[Tensor], writes: list[Tensor]) -> int:
    return _batch(writes[0], 1) * _weights(reads)


def _transposed(reads: list[Tensor], _: list[Tensor]) -> int:
    """Every position of the input meets all weights; reads are shape, weights, input, bias."""
    return _batch(reads[2], 1) * _weights(reads) if len(reads) > 2 else 0


def _dense(reads: list[Tensor], _: list[Tensor]) -> int:
    return _weights(reads)


def _dense_of_batch(reads: list[Tensor], _: list[Tensor]) -> int:
    """The input's numbers, each met by one number of every output's weights."""
    return reads[0].elements * max(reads[1].shape[0], 1) if len(reads) > 1 and reads[1].shape else 0


def _product(reads: list[Tensor], writes: list[Tensor]) -> int:
    """A product (.., n, k) (.., k, m): k for each number that comes out, whichever is adjoint."""
    if len(reads) < 2 or min(len(reads[0].shape), len(reads[1].shape), len(writes[0].shape)) < 2:
        return 0
    rows, columns = (max(size, 1) for size in writes[0].shape[-2:])
    left = [max(size, 1) for size in reads[0].shape[-2:]]
    inner = left[1] if left[0] == rows else left[0]
    return _batch(writes[0], 2) * rows * columns * inner


def _recurrent(reads: list[Tensor], _: list[Tensor]) -> int:
    """Every matrix once for each step in time and each row of the batch."""
    steps = _batch(reads[0], 1)
    return steps * sum(t.elements for t in reads[1:] if t.constant and len(t.shape) == 2)


_PUBLISHED: Final[Mapping[str, _Count]] = MappingProxyType(
    {"CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _convolution, "FULLY_CONNECTED": _dense}
)
_RECURRENT = (
    *("BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN", "LSTM", "RNN", "SVDF"),
    *("UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"),
)
_ALL: Final[Mapping[str, _Count]] = MappingProxyType(
    {
        "CONV_2D": _convolution_of_batch,
        "DEPTHWISE_CONV_2D": _convolution_of_batch,
        "FULLY_CONNECTED": _dense_of_batch,
        "CONV_3D": _convolution_3d,
        "CONV_3D_TRANSPOSE": _transposed,
        "TRANSPOSE_CONV": _transposed,
        "BATCH_MATMUL": _product,
        **dict.fromkeys(_RECURRENT, _recurrent),
    }
)
