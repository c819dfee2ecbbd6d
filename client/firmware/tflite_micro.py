"""What TensorFlow Lite Micro calls the operators that it has kernels for.

The names are those of the methods of its `MicroMutableOpResolver`.
"""

from tinyfleet.operators import MICRO_OPERATORS

_ODD = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
    "TFLite_Detection_PostProcess": "DetectionPostprocess",
}
METHODS = {
    name: "".join(word.capitalize() for word in name.split("_")).replace("2d", "2D")
    for name in MICRO_OPERATORS
} | _ODD
"""The resolver's method for each operator, without its "Add"."""
