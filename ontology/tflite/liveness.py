"""Plan where activations lie: every tensor lives from its first writer to its last reader.

Greedy by size, as TensorFlow Lite Micro's planner does: the largest first, each at the lowest place
that is free while it lives. A subgraph that an operator runs has its own plan, stacked on it.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from tinyfleet.ontology.tflite.file import File, Subgraph, Tensor

ALIGNMENT: Final = 16
_MOST_PLACED: Final = 1024


@dataclass(frozen=True)
class Life:
    """Bytes that are needed from step `born` to step `dies`, both included."""

    size: int
    born: int
    dies: int


def aligned(size: int, step: int = ALIGNMENT) -> int:
    """Return the next multiple of `step`."""
    return -(-size // step) * step


def head_bytes(file: File) -> int:
    """Return the bytes of all activations of the model, as they are reused over time."""
    return span(model_lives(file))


def model_lives(file: File) -> list[Life]:
    """Return the lives of the model's activations, and of what the subgraphs that it runs take."""
    return _lives(file, 0, {})


def span(lives: Sequence[Life]) -> int:
    """Return the bytes within which `lives` can lie, no two on one place at one time.

    Of more than 1,024 lives, their `peak`, which is quick to find.
    """
    if len(lives) > _MOST_PLACED:
        return peak(lives)
    placed: list[tuple[int, Life]] = []
    for life in sorted(lives, key=lambda one: (-one.size, one.born)):
        place = 0
        for start, other in placed:  # sorted by place
            meet = other.born <= life.dies and life.born <= other.dies
            if meet and start < place + life.size and place < start + other.size:
                place = start + other.size
        insort(placed, (place, life), key=lambda one: one[0])
    return max((start + life.size for start, life in placed), default=0)


def peak(lives: Sequence[Life]) -> int:
    """Return the most bytes that live at once: no plan needs fewer."""
    return max(alive(lives), default=0)


def alive(lives: Sequence[Life]) -> list[int]:
    """Return the bytes that live at each step, from step 0 to the last death."""
    changes = [0] * (max((life.dies for life in lives), default=-1) + 2)
    for life in lives:
        changes[life.born] += life.size
        changes[life.dies + 1] -= life.size
    return list(accumulate(changes[:-1]))


def _lives(file: File, number: int, known: dict[int, int]) -> list[Life]:
    """Return the lives in a subgraph; `known` are the bytes of those that others run."""
    graph = file.subgraphs[number]
    lives = _graph_lives(graph)
    for step, operator in enumerate(graph.operators):
        for other in operator.calls:
            if other not in known:
                known[other] = span(_lives(file, other, known))
        if operator.calls:
            lives.append(Life(max(known[other] for other in operator.calls), step, step))
    return lives


def _graph_lives(graph: Subgraph) -> list[Life]:
    """Return the lives of a subgraph's activations; inputs live from step 0, outputs to the end.

    A tensor that keeps its value lives all the time.
    """
    last = max(len(graph.operators) - 1, 0)
    born = dict.fromkeys(graph.inputs, 0)
    dies = dict.fromkeys(graph.inputs, 0)
    for step, operator in enumerate(graph.operators):
        for number in (*operator.outputs, *operator.scratch):
            born.setdefault(number, step)
            dies[number] = step
        for number in operator.inputs:
            if number in born:
                dies[number] = step
    dies |= dict.fromkeys((n for n in graph.outputs if n in born), last)
    lives = []
    for number, tensor in enumerate(graph.tensors):
        if tensor.variable and not tensor.constant:
            lives.append(Life(aligned(tensor.bytes), 0, last))
        elif number in born and _computed(tensor):
            lives.append(Life(aligned(tensor.bytes), born[number], dies[number]))
    return lives


def _computed(tensor: Tensor) -> bool:
    return not tensor.constant and tensor.bytes > 0
