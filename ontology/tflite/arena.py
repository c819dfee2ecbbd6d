"""How much memory TensorFlow Lite Micro takes for a model: asked of it, or else planned here.

The tool is C++ that trusts what it reads, so it runs in a child with limits on time and memory,
and only on files that `reader` has checked. It refuses what it cannot run: hybrid models, unknown
operators. Then the arena is planned: the head by `liveness`, which the tool's own planner agrees
with to 1 % on the published models, the tail by what the tool was seen to take on 64-bit Linux.
"""

import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from tinyfleet.ontology.tflite.file import File, Operator, Subgraph
from tinyfleet.ontology.tflite.liveness import aligned, head_bytes

TOOL: Final = "tflite-micro"
PLANNER: Final = "tinyfleet"
_SECONDS: Final = 30
_MOST_ARENA: Final = 2**30
_PROBE: Final = """
import resource, sys
arena = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
resource.setrlimit(resource.RLIMIT_AS, (arena + 2**32, arena + 2**32))
from tflite_micro import runtime
runtime.Interpreter.from_bytes(sys.stdin.buffer.read(), arena_size=arena).print_allocations()
"""
_FIGURE: Final = re.compile(r"Arena allocation (head|tail) (\d+) bytes")
_PLACE: Final = re.compile(r"^\S+\.(?:cc|cpp|h)\S*\s+")  # where in its sources the tool gave up

# Bytes of the tail on 64-bit Linux: of the interpreter, each tensor, operator, input or output,
# each convolution and one of its channels, each fully connected layer, and each other operator.
_INTERPRETER, _TENSOR, _OPERATOR, _END = 640, 24, 64, 96
_CONVOLUTION, _CHANNEL, _DENSE, _OTHER = 112, 8, 72, 16


@dataclass(frozen=True)
class Arena:
    """Bytes of the tensor arena.

    Attributes:
        head: activations, whose places are shared over time.
        tail: what stays: structures of tensors and operators, scales, variables.
        tool: what said so.
        version: of the tool.
        planned: worked out here, because the tool refused or is missing.
        reason: why it refused; "" where it did not.
    """

    head: int
    tail: int
    tool: str
    version: str
    planned: bool
    reason: str = ""

    @property
    def total(self) -> int:
        """Bytes of head and tail together."""
        return self.head + self.tail


def measure(file: File, data: bytes) -> Arena:
    """Ask the tool for the arena of the model in `data`; plan it where the tool refuses."""
    try:
        tool_version = version(TOOL)
    except PackageNotFoundError:
        return plan(file, "tflite-micro is not installed: pip install 'tinyfleet[arena]'")
    head = head_bytes(file)
    if head > _MOST_ARENA:  # the tool counts in 32 bits, and wraps
        return plan(file, f"more than {_MOST_ARENA} bytes of activations")
    room = min(aligned(4 * head + 16 * len(data) + 2**20), _MOST_ARENA)
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, our own text
            [sys.executable, "-I", "-c", _PROBE, str(room)],
            input=data,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return plan(file, f"tflite-micro took more than {_SECONDS} s")
    said = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
    figures = {name: int(size) for name, size in _FIGURE.findall(said)}
    if done.returncode or len(figures) != 2:
        return plan(file, _reason(done.returncode, said))
    return Arena(figures["head"], figures["tail"], TOOL, tool_version, planned=False)


def plan(file: File, reason: str = "") -> Arena:
    """Work the arena out without the tool; `reason` says why."""
    graph = file.subgraphs[0]
    head = head_bytes(file)
    return Arena(head, _tail(file, graph), PLANNER, version(PLANNER), True, reason)


def _reason(code: int, said: str) -> str:
    if code < 0:
        return f"tflite-micro ended by {signal.Signals(-code).name}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    first = next((line for line in lines if not line.startswith("Traceback")), "no figures")
    return "tflite-micro: " + "".join(c for c in _PLACE.sub("", first) if c.isprintable())[:200]


def _tail(file: File, graph: Subgraph) -> int:
    ends = _END * (len(graph.inputs) + len(graph.outputs))
    tensors = sum(len(g.tensors) for g in file.subgraphs)
    operators = sum(_operator_bytes(g, o) for g in file.subgraphs for o in g.operators)
    return aligned(_INTERPRETER + _TENSOR * tensors + ends + operators)


def _operator_bytes(graph: Subgraph, operator: Operator) -> int:
    if operator.kind == "FULLY_CONNECTED":
        return _OPERATOR + _DENSE
    if operator.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"):
        return _OPERATOR + _OTHER
    outputs = [graph.tensors[n] for n in operator.outputs]
    whole = outputs and outputs[0].shape and outputs[0].scale
    channels = max(outputs[0].shape[-1], 1) if whole else 0
    return _OPERATOR + _CONVOLUTION + _CHANNEL * channels
