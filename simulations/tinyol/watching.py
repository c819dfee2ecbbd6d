"""How soon a drift is noticed by the loss, and how often one is that is none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfleet.client.head import Doubles
from tinyfleet.messages import Floats
from tinyfleet.simulations.tinyol.drift_watch import DriftWatch
from tinyfleet.simulations.tinyol.heads import follow
from tinyfleet.simulations.tinyol.problems import Samples
from tinyfleet.simulations.tinyol.trial import Trial

WATCH = DriftWatch(0.1, 12.0)
"""The one watch of all streams. Found on validation among tolerances of 0.1 to 1 and thresholds of
2 to 32, with one false alarm in 1000 samples or less: alarms after a drift exceed those without one
by most, on average over applications, models that stay and heads that learn."""

STREAM = "each sample once, the first half before the drift"
"""What a stream is, in plain words: that of a model that stays and of a head that learns alike."""


Rows = slice | NDArray[np.int64]


@dataclass(frozen=True)
class Noticed:
    """What a watch made of streams, in whose midst there may be a drift.

    Attributes:
        false_alarms: alarms per 1000 samples of the first half, of each device, `(n,)`.
        found: 1 where an alarm came in the second half, else 0, `(n,)`; where nothing drifted, such
            an alarm is false.
        delay: samples from the middle to that alarm; the rest of the stream where there is none,
            `(n,)`.
    """

    false_alarms: Doubles
    found: Doubles
    delay: Doubles


@dataclass(frozen=True)
class Watched:
    """The losses of one stream of each device, `(n, s)`, each before its sample was learned.

    Attributes:
        stays: of the models as they were deployed.
        learns: of warm heads that learn every sample after it is scored.
    """

    stays: Floats
    learns: Floats


def losses(trial: Trial, *, drifts: bool) -> Watched:
    """Return what is lost on what devices meet and what is held out, in one random order.

    The first half of a stream is calm. The second is drifted if it `drifts`, and else the same
    samples as they were: no sample comes twice, and streams differ in their drift alone.
    """
    p = trial.problems
    calm, after = _together(p.met_calm, p.held_calm), _together(p.met, p.held)
    order = np.random.default_rng((trial.seed, 4)).permutation(calm.y.shape[1])
    half = len(order) // 2
    stream = _joined(calm, order[:half], after if drifts else calm, order[half : 2 * half])
    z = trial.deployed.features(stream.x)
    return Watched(
        _cross_entropy(trial.deployed.says(stream.x), stream.y),
        follow(trial.warm(), z, stream.y).losses,
    )


def _together(one: Samples, other: Samples) -> Samples:
    everything = slice(None)
    return _joined(one, everything, other, everything)


def _joined(one: Samples, some: Rows, other: Samples, others: Rows) -> Samples:
    """Return some rows of every device, then others of another."""
    return Samples(
        np.concatenate([one.x[:, some], other.x[:, others]], axis=1),
        np.concatenate([one.y[:, some], other.y[:, others]], axis=1),
    )


def _cross_entropy(logits: Floats, y: Floats) -> Floats:
    apart = logits.astype(np.float64) - logits.max(axis=2, keepdims=True)
    losses = np.log(np.exp(apart).sum(axis=2)) - (apart * y).sum(axis=2)
    return np.asarray(losses, np.float32)


def noticed(losses: Floats, watch: DriftWatch) -> Noticed:
    """Return what `watch` makes of each device's losses `(n, s)`."""
    half = losses.shape[1] // 2
    false, found, delay = [], [], []
    for device in losses.tolist():
        alarms, now = [], watch
        for i, loss in enumerate(device):
            now = now.seen(loss)
            if now.drifted:
                alarms.append(i)
        late = [i - half + 1 for i in alarms if i >= half]
        false.append(1000.0 * (len(alarms) - len(late)) / half)
        found.append(bool(late))
        delay.append(late[0] if late else half)
    return Noticed(
        np.array(false, np.float64), np.array(found, np.float64), np.array(delay, np.float64)
    )
