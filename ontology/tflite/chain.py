"""Find the leading layers of a model that can be computed patch by patch."""

from collections import Counter
from collections.abc import Sequence

from tinyfleet.ontology.tflite.file import File, Operator, Pair, Subgraph, Tensor
from tinyfleet.ontology.tflite.liveness import aligned, alive, model_lives
from tinyfleet.ontology.tflite.macs import published_macs
from tinyfleet.ontology.tflite.patches import MOST_LAYERS, Patches, Slide, best_patches

_POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")
_POINTWISE = ("DEQUANTIZE", "HARD_SWISH", "LOGISTIC", "QUANTIZE", "RELU", "RELU6", "TANH")


def model_patches(file: File) -> Patches | None:
    """Return the best plan for the model, or None where patches gain nothing."""
    graph = file.subgraphs[0]
    held = alive(model_lives(file))
    start = _leading_reshapes(graph)
    slides = _chain(file, graph, held, start)
    if len(slides) < 2:
        return None
    rest = [max(held), *(_peak(held, start, start + n + 1) for n in range(len(slides)))]
    macs = sum(published_macs(graph, operator) for operator in graph.operators)
    return best_patches(slides, rest, macs)


def _leading_reshapes(graph: Subgraph) -> int:
    count = 0
    while count < len(graph.operators) and graph.operators[count].kind == "RESHAPE":
        count += 1
    return count


def _peak(held: Sequence[int], start: int, stop: int) -> int:
    """Return the most bytes alive before step `start` and from step `stop` on."""
    return max([*held[:start], *held[stop:]], default=0)


def _chain(file: File, graph: Subgraph, held: Sequence[int], start: int) -> list[Slide]:
    """Return the operators from step `start` on that slide, each over what the one before made.

    The chain ends where anything beside an operator's input and output has to be kept.
    """
    readers = Counter(n for operator in graph.operators for n in operator.inputs)
    slides: list[Slide] = []
    before: int | None = None
    for step, operator in enumerate(graph.operators[start : start + MOST_LAYERS], start):
        slide = _slide(file, graph, operator)
        if slide is None or (before is not None and operator.inputs[0] != before):
            break
        if readers[operator.inputs[0]] != 1 or operator.inputs[0] in graph.outputs:
            break
        source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
        if held[step] != aligned(source.bytes) + aligned(target.bytes):
            break
        slides.append(slide)
        before = operator.outputs[0]
    return slides


def _slide(file: File, graph: Subgraph, operator: Operator) -> Slide | None:
    if not operator.inputs or operator.inputs[0] < 0 or len(operator.outputs) != 1:
        return None
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    if not _is_image(source) or not _is_image(target):
        return None
    sizes_in, sizes_out = _sizes(source), _sizes(target)
    window = _window(file, graph, operator, sizes_in, sizes_out)
    if window is None:
        return None
    kernel, stride, before = window
    positions = sizes_out[0] * sizes_out[1]
    return Slide(
        kernel,
        stride,
        before,
        sizes_in,
        sizes_out,
        -(-source.bytes // (sizes_in[0] * sizes_in[1])),
        -(-target.bytes // positions),
        published_macs(graph, operator) // positions,
    )


def _window(
    file: File, graph: Subgraph, operator: Operator, sizes_in: Pair, sizes_out: Pair
) -> tuple[Pair, Pair, Pair] | None:
    """Return kernel, stride and padding before, or None for what does not slide."""
    if operator.kind in _POINTWISE and len(operator.inputs) == 1:
        return ((1, 1), (1, 1), (0, 0)) if sizes_in == sizes_out else None
    if operator.kind in ("PAD", "PADV2") and len(operator.inputs) > 1:
        rows = file.paddings.get((0, operator.inputs[1]), ())
        plain = len(rows) == 4 and rows[0] == rows[3] == (0, 0)
        return ((1, 1), (1, 1), (rows[1][0], rows[2][0])) if plain else None
    window = operator.window
    if window is None or min(window.stride) < 1:
        return None
    kernel = window.kernel
    if operator.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and len(operator.inputs) > 1:
        weights = graph.tensors[operator.inputs[1]]
        if len(weights.shape) != 4:
            return None
        kernel = (weights.shape[1], weights.shape[2])
    elif operator.kind not in _POOLS:
        return None
    if min(kernel) < 1 or min(window.dilation) < 1:
        return None
    wide = [(k - 1) * d + 1 for k, d in zip(kernel, window.dilation, strict=True)]
    before = [
        max((out - 1) * step + k - size, 0) // 2 if window.same else 0
        for out, step, k, size in zip(sizes_out, window.stride, wide, sizes_in, strict=True)
    ]
    return (wide[0], wide[1]), window.stride, (before[0], before[1])


def _is_image(tensor: Tensor) -> bool:
    shape = tensor.shape
    return len(shape) == 4 and shape[0] in (-1, 1) and min(shape[1:]) >= 1 and not tensor.constant


def _sizes(tensor: Tensor) -> Pair:
    return (tensor.shape[1], tensor.shape[2])
