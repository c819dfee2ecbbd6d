"""Options of the operators that slide, call or end in an activation."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import tflite

from tinyfleet.ontology.tflite.file import Window

Options = dict[str, Any]

_ACTIVATIONS: Final = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")


def activation(number: int) -> str:
    """Return the name of a fused activation."""
    return _ACTIVATIONS[number] if 0 <= number < len(_ACTIVATIONS) else f"ACTIVATION_{number}"


def _fused(options: Any) -> Options:
    return {"activation": activation(options.FusedActivationFunction())}


def _same(options: Any) -> bool:
    return bool(options.Padding() == tflite.Padding.SAME)


def _convolution(options: Any) -> Options:
    dilation = (options.DilationHFactor() or 1, options.DilationWFactor() or 1)
    stride = (options.StrideH(), options.StrideW())
    return {**_fused(options), "window": Window((0, 0), stride, dilation, _same(options))}


def _pool(options: Any) -> Options:
    kernel = (options.FilterHeight(), options.FilterWidth())
    stride = (options.StrideH(), options.StrideW())
    return {**_fused(options), "window": Window(kernel, stride, (1, 1), _same(options))}


def _transposed(options: Any) -> Options:
    stride = (options.StrideH(), options.StrideW())
    return {**_fused(options), "window": Window((0, 0), stride, (1, 1), _same(options))}


def _loop(options: Any) -> Options:
    return {"calls": (options.CondSubgraphIndex(), options.BodySubgraphIndex())}


def _branch(options: Any) -> Options:
    return {"calls": (options.ThenSubgraphIndex(), options.ElseSubgraphIndex())}


def _once(options: Any) -> Options:
    return {"calls": (options.InitSubgraphIndex(),)}


def _call(options: Any) -> Options:
    return {"calls": (options.Subgraph(),)}


_FUSED = (
    *("Add", "BidirectionalSequenceLSTM", "BidirectionalSequenceRNN", "Concatenation", "Conv3D"),
    *("Div", "FullyConnected", "L2Norm", "LSTM", "Mul", "RNN", "SVDF", "SequenceRNN", "Sub"),
    "UnidirectionalSequenceLSTM",
)
_READERS: Final[Mapping[str, Callable[[Any], Options]]] = MappingProxyType(
    {
        **dict.fromkeys((f"{name}Options" for name in _FUSED), _fused),
        "CallOnceOptions": _once,
        "CallOptions": _call,
        "Conv2DOptions": _convolution,
        "DepthwiseConv2DOptions": _convolution,
        "IfOptions": _branch,
        "Pool2DOptions": _pool,
        "TransposeConvOptions": _transposed,
        "WhileOptions": _loop,
    }
)
_KINDS: Final[Mapping[int, str]] = MappingProxyType(
    {getattr(tflite.BuiltinOptions, name): name for name in _READERS}
)


def read_options(operator: Any) -> Options:
    """Return the keywords of `Operator` that the options of a flatbuffers operator say."""
    name = _KINDS.get(operator.BuiltinOptionsType())
    table = operator.BuiltinOptions() if name else None
    if name is None or table is None:
        return {}
    options = getattr(tflite, name)()
    options.Init(table.Bytes, table.Pos)
    return _READERS[name](options)
