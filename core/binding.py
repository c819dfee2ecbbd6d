"""The kernel as Python sees it: which variants this processor runs, and two calls.

A call takes many devices at once and releases the interpreter's lock while it computes.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet._kernel import ffi, lib
from tinyfleet.errors import KernelError
from tinyfleet.messages import ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON, Training
from tinyfleet.plan import Plan

Floats = NDArray[np.float32]

_OPTIMIZERS = ("sgd", "adam")
_ALIGNMENT = 64  # bytes: the widest vector


@dataclass(frozen=True)
class Variant:
    """One build of the kernel.

    Attributes:
        name: "scalar", "scalar512", "lanes4", "lanes8" or "lanes16".
        lanes: devices that it trains side by side.
    """

    name: str
    lanes: int
    number: int = field(repr=False)


@cache
def variants() -> tuple[Variant, ...]:
    """Return the variants that this processor runs, narrow before wide."""
    found = []
    for number in range(lib.fleet_variant_count()):
        name = lib.fleet_variant_name(number)
        if name != ffi.NULL:
            found.append(
                Variant(ffi.string(name).decode(), lib.fleet_variant_lanes(number), number)
            )
    return tuple(found)


def variant(name: str) -> Variant:
    """Return the variant called `name`.

    Raises:
        KernelError: this processor does not run it.
    """
    for known in variants():
        if known.name == name:
            return known
    raise KernelError(f"variant: expected one of {[v.name for v in variants()]}, got {name!r}")


class Program:
    """A plan in the kernel's own structs; safe to share between threads."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._layers = ffi.new("struct fleet_layer[]", [astuple(row) for row in plan.rows])
        self._network = ffi.new(
            "struct fleet_network *",
            (
                self._layers,
                len(plan.rows),
                plan.first_trainable,
                plan.loss,
                plan.parameters,
                plan.inputs,
                plan.outputs,
                plan.scratch,
            ),
        )
        _check(lib.fleet_check_network(self._network))

    def memory_bytes(self, training: Training, samples: int) -> int:
        """Return the kernel's own exact need for one device: weights, scratch, one sample."""
        return 4 * int(lib.fleet_learn_memory(self._network, _training(training, samples)))

    def learn(
        self, which: Variant, training: Training, start: Floats, x: Floats, y: Floats
    ) -> tuple[Floats, Floats]:
        """Train `n` devices.

        Args:
            which: the variant to run.
            training: how; all devices alike.
            start: `(parameters,)` for all, or `(n, parameters)`.
            x: `(n, s, inputs)` samples.
            y: `(n, s, outputs)` targets.

        Returns:
            The weights `(n, parameters)` and the mean losses `(n,)`.

        Raises:
            KernelError: the kernel refused its arguments.
        """
        n, s = x.shape[:2]
        settings = _training(training, s)
        weights = np.empty((n, self.plan.parameters), np.float32)
        losses = np.empty(n, np.float32)
        stream, _keep = self._stream(start, x, y)
        memory = _aligned(lib.fleet_call_memory(which.number, self._network, settings))
        _check(
            lib.fleet_learn(
                which.number,
                self._network,
                settings,
                stream,
                _pointer(weights),
                _pointer(losses),
                _pointer(memory),
            )
        )
        return weights, losses

    def predict(self, which: Variant, weights: Floats, x: Floats) -> Floats:
        """Return the outputs `(n, q, outputs)` for samples `(n, q, inputs)`.

        `weights` are `(parameters,)` for all devices, or `(n, parameters)`.
        """
        n, q = x.shape[:2]
        outputs = np.empty((n, q, self.plan.outputs), np.float32)
        stream, _keep = self._stream(weights, x, None)
        online = _training(Training(rate=1.0), 1)
        memory = _aligned(lib.fleet_call_memory(which.number, self._network, online))
        _check(
            lib.fleet_predict(
                which.number, self._network, stream, _pointer(outputs), _pointer(memory)
            )
        )
        return outputs

    def _stream(self, start: Floats, x: Floats, y: Floats | None) -> tuple[Any, Sequence[Any]]:
        n, s = x.shape[:2]
        start, x = np.ascontiguousarray(start), np.ascontiguousarray(x)
        y = np.ascontiguousarray(y if y is not None else np.empty((n, s, 0), np.float32))
        expected: list[tuple[str, Floats, list[tuple[int, ...]]]] = [
            ("start", start, [(self.plan.parameters,), (n, self.plan.parameters)]),
            ("x", x, [(n, s, self.plan.inputs)]),
            ("y", y, [(n, s, self.plan.outputs), (n, s, 0)]),
        ]
        for name, array, shapes in expected:
            if array.dtype != np.float32 or array.shape not in shapes:
                raise KernelError(
                    f"{name}: expected float32 of shape {shapes[0]}, "
                    f"got {array.dtype} of shape {array.shape}"
                )
        apart = 0 if start.ndim == 1 else self.plan.parameters
        stream = ffi.new(
            "struct fleet_stream *",
            (
                n,
                s,
                apart,
                s * self.plan.inputs,
                s * self.plan.outputs,
                _pointer(start),
                _pointer(x),
                _pointer(y),
            ),
        )
        return stream, (start, x, y)


def _training(training: Training, samples: int) -> Any:
    return ffi.new(
        "struct fleet_training *",
        (
            training.rate,
            training.passes,
            training.batch or samples,
            _OPTIMIZERS.index(training.optimizer),
            training.proximal,
            ADAM_BETA1,
            ADAM_BETA2,
            ADAM_EPSILON,
        ),
    )


def _pointer(array: Floats) -> Any:
    return ffi.cast("float *", array.ctypes.data)


def _aligned(floats: int) -> Floats:
    block = np.empty(floats + _ALIGNMENT // 4, np.float32)
    skip = -block.ctypes.data % _ALIGNMENT // 4
    return block[skip : skip + floats]


_REASONS = {
    -1: "a layer of unknown kind",
    -2: "an unknown loss",
    -3: "layers, parameters or scratch that do not fit together, or no samples",
    -4: "training settings out of range",
    -5: "a variant that this processor does not run",
}


def _check(result: int) -> None:
    if result < 0:
        raise KernelError(f"the kernel refused {_REASONS.get(result, f'with error {result}')}")
