"""How soon a drift is noticed by the loss, and how often one is that is none."""

from dataclasses import dataclass

import numpy as np

from tinyfleet.client.head import Doubles
from tinyfleet.messages import Floats
from tinyfleet.simulations.tinyol.drift_watch import DriftWatch
from tinyfleet.simulations.tinyol.heads import follow
from tinyfleet.simulations.tinyol.problems import Samples
from tinyfleet.simulations.tinyol.trial import Trial

FROZEN, LEARNING = DriftWatch(0.1, 24.0), DriftWatch(0.25, 12.0)
"""Watches of a head that stays and of one that learns. Found on validation among tolerances of 0.1
to 1 and thresholds of 4 to 32: the soonest with about one false alarm in 1000 samples or less."""

LONG = 400
"""Samples of a stream before and after the drift, where nothing is learned."""


@dataclass(frozen=True)
class Noticed:
    """What watches made of streams that drift in their midst.

    Attributes:
        false_alarms: alarms per 1000 samples before the drift, of each device, `(n,)`.
        found: 1 where the drift was noticed by the end of the stream, else 0, `(n,)`.
        delay: samples from the drift to the alarm that notices it; the rest of the stream where
            there is none, `(n,)`.
    """

    false_alarms: Doubles
    found: Doubles
    delay: Doubles


def learning_losses(trial: Trial) -> Floats:
    """Return the losses of warm heads that learn each calm sample once, then each drifted one.

    `(n, s)`; the drift comes in the middle.
    """
    draw = np.random.default_rng((trial.seed, 4))
    z, y = [], []
    for samples in _phases(trial):
        order = draw.permutation(samples.y.shape[1])
        z.append(trial.deployed.features(samples.x)[:, order])
        y.append(samples.y[:, order])
    return follow(trial.warm(), np.concatenate(z, axis=1), np.concatenate(y, axis=1)).losses


def frozen_losses(trial: Trial) -> Floats:
    """Return the losses of the deployed models on `LONG` calm samples, then drifted ones."""
    draw = np.random.default_rng((trial.seed, 5))
    losses = []
    for samples in _phases(trial):
        order = draw.integers(samples.y.shape[1], size=LONG)
        losses.append(_cross_entropy(trial.deployed.says(samples.x), samples.y)[:, order])
    return np.concatenate(losses, axis=1)


def _phases(trial: Trial) -> tuple[Samples, Samples]:
    """Return what is met and what is held out together, calm and drifted."""
    p = trial.problems
    return _together(p.met_calm, p.held_calm), _together(p.met, p.held)


def _together(one: Samples, other: Samples) -> Samples:
    return Samples(
        np.concatenate([one.x, other.x], axis=1), np.concatenate([one.y, other.y], axis=1)
    )


def _cross_entropy(logits: Floats, y: Floats) -> Floats:
    apart = logits.astype(np.float64) - logits.max(axis=2, keepdims=True)
    losses = np.log(np.exp(apart).sum(axis=2)) - (apart * y).sum(axis=2)
    return np.asarray(losses, np.float32)


def noticed(losses: Floats, watch: DriftWatch) -> Noticed:
    """Return what `watch` makes of each device's losses `(n, s)`, which drift in their midst."""
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
