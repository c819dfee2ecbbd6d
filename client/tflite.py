"""Run a .tflite model on the gateway: one seam over ai-edge-litert and tflite-runtime.

ai-edge-litert goes with numpy 2; tflite-runtime 2.14 needs numpy below 2 and Python 3.11 at most.
Whichever is installed is taken, ai-edge-litert first. Delegates stay off, so that both compute
the same bits on an integer model, and so that a hidden layer's output can be read.
"""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import NetworkError
from tinyfleet.task import check_finite

Floats = NDArray[np.float32]
Shape = tuple[int, ...]

RUNTIMES = ("ai_edge_litert", "tflite_runtime")
"""Packages that bring an interpreter, the preferred one first."""

_TYPES = ("float32", "int8", "uint8", "int16")
_WEIGHED = ("FULLY_CONNECTED", "CONV_2D")  # operators that a classifier can end with
_PROBE_SECONDS = 60
_PROBE = """
import sys
from tflite_runtime.interpreter import Interpreter
interpreter = Interpreter(model_content=sys.stdin.buffer.read())
interpreter.allocate_tensors()
"""


@dataclass(frozen=True)
class Tensor:
    """What goes into a model, or comes out of one of its operators.

    Attributes:
        name: its name in the file.
        shape: shape of one sample's values, without the leading 1 for the batch.
        dtype: "float32", "int8" and so on.
        scale: value of one step of an integer; 0 where it is not quantised.
        zero_point: the integer that stands for 0.
    """

    name: str
    shape: Shape
    dtype: str
    scale: float
    zero_point: int

    def quantised(self, values: Floats) -> NDArray[Any]:
        """Return the integers nearest to `values`, ties away from 0, clipped to the type."""
        if not self.scale:
            return values.astype(self.dtype)
        steps = values / np.float32(self.scale)
        whole = np.trunc(steps + np.copysign(np.float32(0.5), steps)) + self.zero_point
        limits = np.iinfo(self.dtype)
        integers: NDArray[Any] = np.clip(whole, limits.min, limits.max).astype(self.dtype)
        return integers

    def dequantised(self, integers: NDArray[Any]) -> Floats:
        """Return the float32 values that `integers` stand for; floats come back as they are."""
        if not self.scale:
            return integers.astype(np.float32)
        steps = integers.astype(np.int32) - self.zero_point
        return steps.astype(np.float32) * np.float32(self.scale)


class TfliteModel:
    """A loaded model of one input and one output; for one thread at a time.

    Attributes:
        path: the file.
        runtime: the package that computes, one of `RUNTIMES`.
        input: what goes in.
        output: what comes out.
    """

    def __init__(self, path: Path, runtime: str, interpreter: Any) -> None:
        self.path, self.runtime = path, runtime
        self._interpreter = interpreter
        ins, outs = interpreter.get_input_details(), interpreter.get_output_details()
        for what, found in (("input", ins), ("output", outs)):
            if len(found) != 1:
                raise NetworkError(
                    f"{path}: expected a model of one {what}, got {len(found)}; export it with one"
                )
        self._in, self._out = int(ins[0]["index"]), int(outs[0]["index"])
        self.input, self.output = _tensor(ins[0]), _tensor(outs[0])
        for what, detail in (("input", ins[0]), ("output", outs[0])):
            if len(detail["shape"]) < 2 or detail["shape"][0] != 1:
                raise NetworkError(
                    f"{path}: {what}: expected a batch of 1 first, "
                    f"got shape {detail['shape'].tolist()}; export the model for a batch of 1"
                )
        for tensor in (self.input, self.output):
            if tensor.dtype not in _TYPES:
                raise NetworkError(
                    f"{path}: {tensor.name}: expected one of {', '.join(_TYPES)}, "
                    f"got {tensor.dtype}; export the model without it"
                )
        self._hidden, self._last_read = _hidden(interpreter)

    def run(self, x: Floats) -> Floats:
        """Return the outputs `(n, *output.shape)` for float32 samples `(n, *input.shape)`.

        Raises:
            NetworkError: `x` has another shape, or the runtime fails on it.
            DatasetError: `x` is not finite.
        """
        return self._run(self._integers(x), self._out, self.output)

    def run_integers(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return outputs as the model gives them, for samples as it takes them: no scale, no zero.

        Raises:
            NetworkError: `x` has another shape or type than the input.
        """
        self._check_shape(x)
        if x.dtype != self.input.dtype:
            raise NetworkError(f"x: {self.path} expects {self.input.dtype}, got {x.dtype}")
        return self._invoke(x, self._out, self.output)

    def features(self, x: Floats, tensor: str | None = None) -> Floats:
        """Return features `(n, f)` for a head to learn on, from samples `(n, *input.shape)`.

        Args:
            x: float32 samples.
            tensor: name of the operator's output to read; without one, what the last dense layer
                or convolution of the model reads, as that layer is what a head stands in for.

        Raises:
            NetworkError: there is no such tensor, or `x` has another shape.
            DatasetError: `x` is not finite.
        """
        index = self._feature_index(tensor)
        found = self._run(self._integers(x), index, self._hidden[index])
        return found.reshape(len(found), int(np.prod(found.shape[1:])))

    def feature_count(self, tensor: str | None = None) -> int:
        """Return how many features a sample has; see `features`."""
        return int(np.prod(self._hidden[self._feature_index(tensor)].shape))

    def _feature_index(self, tensor: str | None) -> int:
        if tensor is None:
            if self._last_read is None:
                raise NetworkError(
                    f"{self.path}: tensor: expected a model that ends with a dense layer or a "
                    f"convolution; name one of {self._names()}"
                )
            return self._last_read
        for index, hidden in self._hidden.items():
            if hidden.name == tensor:
                return index
        raise NetworkError(
            f"{self.path}: tensor: expected one of {self._names()}, got {tensor[:80]!r}"
        )

    def _names(self) -> str:
        names = [hidden.name for hidden in self._hidden.values()]
        return ("..., " if len(names) > 4 else "") + ", ".join(names[-4:])

    def _integers(self, x: Floats) -> NDArray[Any]:
        self._check_shape(x)
        check_finite("x", x)
        return self.input.quantised(x.astype(np.float32, copy=False))

    def _check_shape(self, x: NDArray[Any]) -> None:
        if x.shape[1:] != self.input.shape or not x.ndim:
            raise NetworkError(
                f"x: {self.path} expects samples of {self.input.shape}, "
                f"got an array of {x.shape}; its first dimension counts samples"
            )

    def _run(self, integers: NDArray[Any], index: int, tensor: Tensor) -> Floats:
        return tensor.dequantised(self._invoke(integers, index, tensor))

    def _invoke(self, samples: NDArray[Any], index: int, tensor: Tensor) -> NDArray[Any]:
        found = np.empty((len(samples), *tensor.shape), tensor.dtype)
        with _translated(self.path):
            for i in range(len(samples)):
                self._interpreter.set_tensor(self._in, samples[i : i + 1])
                self._interpreter.invoke()
                found[i] = self._interpreter.get_tensor(index).reshape(tensor.shape)
        return found


def load_model(path: str | Path, threads: int = 1) -> TfliteModel:
    """Load the .tflite file at `path`, to run on `threads` threads.

    tflite-runtime ends the process on a damaged file, so there a child process loads it first.

    Raises:
        NetworkError: no runtime is installed, or the file is missing, damaged, cut short, of
            operators that the runtime does not know, or of several inputs or outputs.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NetworkError(
            f"{path}: expected a .tflite file, got {error.strerror or error}"
        ) from None
    if content[4:8] != b"TFL3":
        raise NetworkError(f"{path}: expected a .tflite file, got {len(content)} other bytes")
    runtime, module = _runtime()
    if runtime == "tflite_runtime":
        _probe(path, content)

    with _translated(path):
        interpreter = module.Interpreter(
            model_content=content,
            num_threads=threads,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    return TfliteModel(path, runtime, interpreter)


def _runtime() -> tuple[str, ModuleType]:
    reasons = []
    for name in RUNTIMES:
        try:
            if find_spec(name) is not None:
                return name, importlib.import_module(f"{name}.interpreter")
        except (ImportError, AttributeError) as error:  # such as a numpy that it cannot work with
            reasons.append(f" ({name} does not load: {_line(error)})")
    raise NetworkError(
        "model: expected ai-edge-litert or tflite-runtime to run it, got neither"
        + "".join(reasons)
        + "; pip install ai-edge-litert, or with Python 3.11 and numpy<2 "
        "pip install 'tflite-runtime==2.14.*'"
    )


def _probe(path: Path, content: bytes) -> None:
    """Raise `NetworkError` when loading `content` ends a child process."""
    try:
        done = subprocess.run(  # noqa: S603, this very Python on a constant text
            [sys.executable, "-c", _PROBE],
            input=content,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkError(f"{path}: expected a model that loads, got {_line(error)}") from None
    if done.returncode < 0:
        raise NetworkError(_damaged(path, f"a file that ends the runtime ({done.returncode})"))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Make what the runtime raises a `NetworkError`."""
    try:
        yield
    except (ValueError, RuntimeError, TypeError, IndexError, KeyError) as error:
        text = _line(error)
        if "custom op" in text:
            raise NetworkError(
                f"{path}: expected built-in operators alone, got {text}; "
                "export the model without custom ones"
            ) from None
        raise NetworkError(_damaged(path, text)) from None


def _damaged(path: Path, text: str) -> str:
    return f"{path}: expected a sound .tflite file, got {text}; copy or export it again"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _tensor(detail: dict[str, Any]) -> Tensor:
    scale, zero_point = detail["quantization"]
    shape = tuple(int(size) for size in detail["shape"][1:])
    return Tensor(detail["name"], shape, np.dtype(detail["dtype"]).name, scale, int(zero_point))


def _hidden(interpreter: Any) -> tuple[dict[int, Tensor], int | None]:
    """Return what features may be read from, by index, and what the last weighed layer reads.

    Neither runtime publishes its operators; both keep them behind the same private name.
    """
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    made = {int(index) for operator in operators for index in operator["outputs"]}
    made |= {int(detail["index"]) for detail in interpreter.get_input_details()}
    hidden = {
        index: _tensor(details[index])
        for index in sorted(made & details.keys())
        if len(details[index]["shape"]) > 1
    }
    read = [int(o["inputs"][0]) for o in operators if o["op_name"] in _WEIGHED]
    return hidden, read[-1] if read and read[-1] in hidden else None
