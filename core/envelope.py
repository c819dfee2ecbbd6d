"""How assignments and answers travel in the flat records of a federated framework.

A message carries the weights as one array, the assignment as a config of plain values, and
the answer as an array, six metrics and a second config that says which entries came back. Nothing
here knows the framework; the names follow Flower's ("server-round", "num-examples", "proximal-mu"),
so that its own strategies find what they look for.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, get_args

import numpy as np

from tinyfleet.encoding import Encoding
from tinyfleet.errors import NetworkError, TrainingError
from tinyfleet.mean import Mean, Tally, Weighting
from tinyfleet.messages import (
    Answer,
    Assignment,
    Floats,
    LocalStart,
    Optimizer,
    SharedFrom,
    Training,
)

ConfigValue = int | float | str | bool | list[str]
DEFAULT_RATE = 0.01
"""The device's rate when a config names none, as with a Flower strategy without `train_config`."""

SILENT, REFUSED, UNSUPPORTED = 1001, 1002, 1003
"""Codes of error replies: no device answered; all answers were refused; not a training message."""

ASSIGNMENT = frozenset(
    [
        "server-round",
        "rate",
        "passes",
        "batch",
        "optimizer",
        "proximal-mu",
        "frozen",
        "local",
        "local-start",
        "shared-from",
        "answer",
        "share",
        "seed",
        "encoding",
        "encoding-down",
    ]
)
"""Every key that `assignment_to_config` may write."""

METRICS = (
    "num-examples",
    "devices",
    "loss",
    "parameters-received",
    "parameters-sent",
    "refused",
)


def assignment_to_config(assignment: Assignment) -> dict[str, ConfigValue]:
    """Return everything of `assignment` but its weights, as plain values by kebab-case name."""
    training = assignment.training
    config: dict[str, ConfigValue] = {
        "server-round": assignment.round,
        "rate": training.rate,
        "passes": training.passes,
        "batch": training.batch,
        "optimizer": training.optimizer,
        "proximal-mu": training.proximal,
        "local-start": assignment.local_start,
        "share": assignment.share,
        "seed": assignment.seed,
    }
    # An empty list would lose its type on the way.
    if assignment.frozen:
        config["frozen"] = list(assignment.frozen)
    if assignment.local:
        config["local"] = list(assignment.local)
    if assignment.shared_from != "query":
        config["shared-from"] = assignment.shared_from
    if assignment.answer != "weights":
        config["answer"] = assignment.answer
    if assignment.encoding != "float32":
        config["encoding"] = assignment.encoding
    if assignment.encoding_down != "float32":
        config["encoding-down"] = assignment.encoding_down
    return config


def assignment_from_config(config: Mapping[str, Any], weights: Floats) -> Assignment:
    """Return the assignment that `config` describes, starting from `weights`.

    A missing key takes the default of `Training` or `Assignment`, a missing rate `DEFAULT_RATE`;
    keys that mean nothing here are left to whoever sent them.

    Raises:
        TrainingError: the round is missing, a value has the wrong type or is out of its range.
    """
    if "server-round" not in config:
        raise TrainingError("config.server-round: expected the number of the round, got nothing")
    training = Training(
        rate=_read(config, "rate", float, DEFAULT_RATE),
        passes=_read(config, "passes", int, 1),
        batch=_read(config, "batch", int, 1),
        optimizer=_one_of(config, "optimizer", get_args(Optimizer), "sgd"),
        proximal=_read(config, "proximal-mu", float, 0.0),
    )
    return Assignment(
        round=_read(config, "server-round", int, 0),
        weights=weights,
        training=training,
        frozen=_names(config, "frozen"),
        local=_names(config, "local"),
        local_start=_one_of(config, "local-start", get_args(LocalStart), "fresh"),
        shared_from=_one_of(config, "shared-from", get_args(SharedFrom), "query"),
        answer=_one_of(config, "answer", get_args(Answer), "weights"),
        share=_read(config, "share", float, 1.0),
        seed=_read(config, "seed", int, 0),
        encoding=_one_of(config, "encoding", get_args(Encoding), "float32"),
        encoding_down=_one_of(config, "encoding-down", get_args(Encoding), "float32"),
    )


def weighting_from_config(config: Mapping[str, Any]) -> Weighting:
    """Return how a node of several devices shall weight them: equally, unless told otherwise."""
    weighting: Weighting = _one_of(config, "weighting", get_args(Weighting), "devices")
    return weighting


def timeout_from_config(config: Mapping[str, Any]) -> float | None:
    """Return the seconds that each device has for its answer; None when a config names none.

    Raises:
        TrainingError: it is no number, or not above 0.
    """
    if "timeout" not in config:
        return None
    timeout: float = _read(config, "timeout", float, 0.0)
    if not timeout > 0.0:
        raise TrainingError(f"config.timeout: expected seconds above 0, got {timeout}")
    return timeout


def devices_from_config(config: Mapping[str, Any]) -> frozenset[int] | None:
    """Return the devices that alone shall learn; None when a config names none, so that all shall.

    Raises:
        TrainingError: they are no whole numbers.
    """
    if "devices" not in config:
        return None
    devices = config["devices"]
    whole = isinstance(devices, list) and all(type(number) is int for number in devices)
    if not whole:
        raise TrainingError(f"config.devices: expected whole numbers, got {devices!r:.80}")
    return frozenset(devices)


@dataclass(frozen=True)
class Reply:
    """What a node answers, in parts that any framework can carry.

    Attributes:
        weights: mean of the node's devices, `(parameters,)` float32, with the received weights
            where no entry came back.
        metrics: the numbers named in `METRICS`.
        returned: "server-round"; "device", the node's first; and unless every device returned
            every entry, "indices" of the entries that came back, int32, and "entry-weights", the
            weight of the updates behind each, float64, both as little-endian bytes.
    """

    weights: Floats = field(repr=False)
    metrics: dict[str, int | float]
    returned: dict[str, int | bytes] = field(repr=False)


@dataclass(frozen=True)
class Refusal:
    """Why a node has nothing to answer, as an error reply tells it.

    Attributes:
        code: `SILENT`, `REFUSED` or `UNSUPPORTED`.
        reason: one line for a person.
    """

    code: int
    reason: str


# An error reply has room for a code and a text alone, so the text carries the numbers.
_REFUSED = (
    "updates refused: {}, parameters received: {}, sent: {}; "
    "each of another round, of another length or not finite"
)
_NUMBERS = re.compile(re.escape(_REFUSED).replace(re.escape("{}"), "([0-9]{1,15})"), re.ASCII)

NOT_TRAINING = Refusal(UNSUPPORTED, "a fleet only trains; judge the weights on the server")
NO_ANSWER = Refusal(SILENT, "no device of this node answered")


def answer_from_mean(mean: Mean, round_number: int, device: int) -> Reply | Refusal:
    """Return what a node answers for the `mean` of its devices, of which `device` is the first."""
    tally = mean.tally
    if tally.devices == 0 and tally.refused == 0:
        return NO_ANSWER
    if tally.devices == 0:
        return Refusal(REFUSED, _REFUSED.format(tally.refused, tally.received, tally.sent))
    returned: dict[str, int | bytes] = {"server-round": round_number, "device": device}
    if mean.entries is not None:
        indices = np.flatnonzero(mean.entries)
        returned["indices"] = indices.astype("<i4").tobytes()
        returned["entry-weights"] = mean.entries[indices].astype("<f8").tobytes()
    return Reply(mean.values.astype(np.float32), tally_to_metrics(tally), returned)


def tally_to_metrics(tally: Tally) -> dict[str, int | float]:
    """Return the numbers of `tally` under the names of `METRICS`."""
    values = (
        tally.examples,
        tally.devices,
        tally.loss,
        tally.received,
        tally.sent,
        tally.refused,
    )
    return dict(zip(METRICS, values, strict=True))


def mean_from_reply(
    reply: Reply, round_number: int, parameters: int, weighting: Weighting = "devices"
) -> Mean:
    """Return the mean that a node's reply tells of.

    Raises:
        TrainingError: a part is missing, of another round, of another length or not finite.
    """
    metrics, returned, weights = reply.metrics, reply.returned, reply.weights
    missing = [name for name in METRICS if name not in metrics]
    if missing:
        raise TrainingError(f"reply.metrics: expected {', '.join(missing)}, got {sorted(metrics)}")
    if returned.get("server-round") != round_number:
        raise TrainingError(
            f"reply.server-round: expected {round_number}, got {returned.get('server-round')!r}"
        )
    if weights.shape != (parameters,) or not np.isfinite(weights).all():
        raise TrainingError(
            f"reply.weights: expected {parameters} finite numbers, got shape {weights.shape}"
        )
    tally = Tally(
        devices=_count(metrics, "devices", 1),
        refused=_count(metrics, "refused", 0),
        examples=_count(metrics, "num-examples", 1),
        loss=float(metrics["loss"]),
        received=_count(metrics, "parameters-received", 0),
        sent=_count(metrics, "parameters-sent", 0),
    )
    if not np.isfinite(tally.loss):
        raise TrainingError(f"reply.loss: expected a finite number, got {tally.loss}")
    total = float(tally.examples if weighting == "examples" else tally.devices)
    entries = _entries(returned, parameters, total)
    return Mean(weights.astype(np.float64), total, entries, tally)


def refused_by(refusal: Refusal) -> Tally:
    """Return what came and was refused where a node answered with `refusal`.

    A text that is not exactly that of `answer_from_mean` counts as one update of unknown size.
    """
    if refusal.code != REFUSED:
        return Tally()
    found = _NUMBERS.fullmatch(refusal.reason)
    if found is None:
        return Tally(refused=1)
    refused, received, sent = (int(number) for number in found.groups())
    return Tally(refused=max(1, refused), received=received, sent=sent)


def weights_to_npy(weights: Floats) -> bytes:
    """Return `weights`, `(parameters,)` float32, as the bytes of a .npy file."""
    return _npy_header(len(weights)) + weights.astype("<f4", copy=False).tobytes()


def weights_from_npy(data: bytes) -> Floats:
    """Return the vector in the bytes of a .npy file, without a copy where it is float32 already.

    Nothing of the bytes is evaluated: the header must be numpy's own of format 1.0, and as many
    numbers must follow as it says.

    Raises:
        NetworkError: it is no .npy file, or not of one vector of floating-point numbers.
    """
    count = max(0, len(data) - _HEADER_BYTES) // 4
    header = _npy_header(count)
    if data.startswith(header) and len(data) == len(header) + 4 * count:
        return np.frombuffer(data, np.dtype("<f4"), offset=len(header))
    found = _NPY.match(data)
    if found is None or int.from_bytes(found["length"], "little") != found.end() - _PREFIX_BYTES:
        raise NetworkError(
            f"weights: expected a .npy file of one vector of floats, got {data[:96]!r}; "
            "write it with numpy.save"
        )
    dtype, content = np.dtype(found["descr"].decode()), data[found.end() :]
    if len(content) != dtype.itemsize * int(found["count"]):
        raise NetworkError(
            f"weights: expected {int(found['count'])} numbers of {dtype.itemsize} bytes behind the "
            f"header of the .npy file, got {len(content)} bytes; it is cut short or has grown"
        )
    with np.errstate(over="ignore"):
        return np.frombuffer(content, dtype).astype(np.float32)


@lru_cache(maxsize=16)
def _npy_header(parameters: int) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f4", "fortran_order": False, "shape": (parameters,)}
    )
    return buffer.getvalue()


_HEADER_BYTES = len(_npy_header(0))
_PREFIX_BYTES = 10  # magic, version, length of what follows
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '(?P<descr>[<>]f[248])', "
    rb"'fortran_order': (?:False|True), 'shape': \((?P<count>[0-9]{1,9}),\), \} *\n",
    re.DOTALL,
)


def _read(
    config: Mapping[str, Any], name: str, kind: type[int] | type[float], default: float
) -> Any:
    value = config.get(name, default)
    good = isinstance(value, int | float) if kind is float else isinstance(value, int)
    if isinstance(value, bool) or not good:
        raise TrainingError(f"config.{name}: expected {kind.__name__}, got {value!r}")
    return kind(value)


def _one_of(config: Mapping[str, Any], name: str, choices: tuple[str, ...], default: str) -> Any:
    value = config.get(name, default)
    if value not in choices:
        raise TrainingError(f"config.{name}: expected one of {', '.join(choices)}, got {value!r}")
    return value


def _names(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = config.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TrainingError(f"config.{name}: expected a list of layer names, got {value!r}")
    return tuple(value)


def _count(metrics: Mapping[str, int | float], name: str, least: int) -> int:
    value = metrics[name]
    if not isinstance(value, int) or value < least:
        raise TrainingError(f"reply.{name}: expected a whole number >= {least}, got {value!r}")
    return value


def _entries(
    returned: Mapping[str, int | bytes], parameters: int, total: float
) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    if "indices" not in returned:
        return None
    indices = np.frombuffer(_bytes(returned, "indices", 4), np.dtype("<i4"))
    weights = np.frombuffer(_bytes(returned, "entry-weights", 8), np.dtype("<f8"))
    good = len(indices) == len(weights) and bool((weights > 0).all() and (weights <= total).all())
    if good and len(indices):
        inside = indices[0] >= 0 and indices[-1] < parameters
        good = bool(inside and (indices[1:] > indices[:-1]).all())
    if not good:
        raise TrainingError(
            f"reply.indices: expected ascending places below {parameters}, each with a weight in "
            f"(0, {total}]"
        )
    entries = np.zeros(parameters)
    entries[indices] = weights
    return entries


def _bytes(returned: Mapping[str, int | bytes], name: str, size: int) -> bytes:
    data = returned.get(name, b"")
    if not isinstance(data, bytes) or len(data) % size:
        raise TrainingError(f"reply.{name}: expected bytes in groups of {size}, got {data!r:.40}")
    return data
