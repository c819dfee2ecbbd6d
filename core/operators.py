"""What runs models on devices, and which of TensorFlow Lite's operators each of them computes."""

from collections.abc import Iterable

KERNEL = "tinyfleet kernel"
MICRO = "TFLite Micro"

OPERATORS = {
    "dense": "FULLY_CONNECTED",
    "conv2d": "CONV_2D",
    "depthwise-conv2d": "DEPTHWISE_CONV_2D",
    "average-pool": "AVERAGE_POOL_2D",
    "max-pool": "MAX_POOL_2D",
    "global-average-pool": "AVERAGE_POOL_2D",
    "relu": "RELU",
    "relu6": "RELU6",
    "tanh": "TANH",
    "sigmoid": "LOGISTIC",
}
"""The operator that does the same, by kind of layer; flatten computes nothing and needs none."""

_MICRO_OPERATORS = (
    "ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL "
    "BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CIRCULAR_BUFFER "
    "CONCATENATION CONV_2D COS CUMSUM DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV ELU "
    "EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED "
    "GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D "
    "LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX "
    "MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU "
    "QUANTIZE READ_VARIABLE REDUCE_MAX RELU RELU6 RESHAPE RESIZE_BILINEAR "
    "RESIZE_NEAREST_NEIGHBOR ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND "
    "SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM "
    "SVDF TANH TFLite_Detection_PostProcess TRANSPOSE TRANSPOSE_CONV "
    "UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE"
)
MICRO_OPERATORS = tuple(_MICRO_OPERATORS.split())
"""Those of TensorFlow Lite Micro: what its `MicroMutableOpResolver` has a method for."""


def operators_of(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the operators that kinds of layers stand for, ascending, each once.

    >>> operators_of(["dense", "flatten", "average-pool", "global-average-pool"])
    ('AVERAGE_POOL_2D', 'FULLY_CONNECTED')
    """
    return tuple(sorted({OPERATORS[kind] for kind in kinds if kind in OPERATORS}))
