"""Does a margin that follows the labels' distribution help a device that rarely sees somebody?

Cao, Wei, Gaidon, Arechiga & Ma 2019, "Learning imbalanced datasets with label-distribution-aware
margin loss" (NeurIPS, arXiv 1906.07413): class j's logit must win by C / n_j^(1/4), their eq. 13,
n_j being its samples. With one logit that is a shift before the cross-entropy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from tinyfleet.network import Network
from tinyfleet.simulations import published
from tinyfleet.simulations.assemble import Setup
from tinyfleet.simulations.evaluation import Scores, estimate
from tinyfleet.simulations.metrics import balanced_accuracy
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.presence import held_out
from tinyfleet.simulations.reproduce.work import Ran, Work
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.task import Floats

NAME = "margin"
ABSENT, PRESENT = 16, 2
"""Labelled samples of a device: somebody was there in one of nine."""

DEVICES = 128
"""Devices of a room."""

RATES, STEPS, MARGINS = (0.01, 0.03, 0.1), (4, 16, 64), (0.25, 0.5, 1.0)
"""What validation chooses from: rate and steps of every loss, and C of the margin."""

NOTES = f"""
Each of six rooms held out in turn, as in the table of presence: TinyReptile's result is fine-tuned
by gradient descent on {ABSENT} samples without and {PRESENT} with somebody, with plain
cross-entropy, with samples weighted so that both classes weigh the same, and with the margin. Rate,
steps and C are chosen on each fold's validation room from {", ".join(map(str, RATES))}, from
{", ".join(map(str, STEPS))} and from {", ".join(map(str, MARGINS))}. Balanced accuracy in percent,
the mean over six rooms of {DEVICES} test devices each; intervals are over the six rooms. The last
rows are the margin's gain in each room's mean, so their intervals are paired. The margin stays out
of the product unless it gains clearly over both.
"""


@dataclass(frozen=True)
class _Loss:
    """A loss and how it is followed: rate and steps, C of its margin, or even weights."""

    rate: float
    steps: int
    margin: float = 0.0
    even: bool = False


def _options() -> Mapping[str, Sequence[_Loss]]:
    pairs = [(rate, steps) for rate in RATES for steps in STEPS]
    return {
        "cross-entropy": [_Loss(*pair) for pair in pairs],
        "weighted cross-entropy": [_Loss(*pair, even=True) for pair in pairs],
        "margin": [_Loss(*pair, margin=c) for pair in pairs for c in MARGINS],
    }


def tuned(network: Network, weights: Floats, x: Floats, y: Floats, loss: _Loss) -> torch.Tensor:
    """Return each device's weights after gradient descent on its samples, `(n, parameters)`.

    Args:
        network: dense layers with ReLU between them, one output.
        weights: where all start, `(parameters,)`.
        x: samples `(n, s, inputs)`.
        y: 0 or 1, `(n, s, 1)`.
        loss: what is descended.
    """
    w = torch.from_numpy(weights).repeat(len(x), 1).requires_grad_()
    samples, present = torch.from_numpy(x), torch.from_numpy(y)
    counts = present.sum(dim=1, keepdim=True), (1 - present).sum(dim=1, keepdim=True)
    shift = loss.margin * ((1 - present) * counts[1] ** -0.25 - present * counts[0] ** -0.25)
    share = present / counts[0] + (1 - present) / counts[1]
    each = share / 2 if loss.even else torch.full_like(share, 1 / share.shape[1])
    for _ in range(loss.steps):
        logits = predicted(network, w, samples) + shift
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, present, weight=each, reduction="sum"
        )
        (gradient,) = torch.autograd.grad(losses, w)
        w = (w - loss.rate * gradient).detach().requires_grad_()
    return w.detach()


def predicted(network: Network, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return logits `(n, q, 1)` of a network each, `(n, parameters)`, for `x` `(n, q, inputs)`."""
    parts = list(network.parts.values())
    for number, part in enumerate(parts):
        cut = part.stop - part.biases
        kernel = w[:, part.start : cut].reshape(len(w), *part.weights)  # (n, inputs, outputs)
        x = torch.baddbmm(w[:, None, cut : part.stop], x, kernel)
        x = torch.relu(x) if number + 1 < len(parts) else x
    return x


def _scores(setup: Setup, family: TaskFamily, weights: Floats, loss: _Loss | None) -> Scores:
    """Return the balanced accuracy of each of the first devices of `family`; None: as they are."""
    batch = family.batch(np.arange(DEVICES), 0)
    x, y = batch.support_x, batch.support_y
    rows = np.arange(x.shape[1])
    present = np.argsort(-y[:, :, 0], axis=1, kind="stable")  # present rows first, in their order
    half = len(rows) // 2
    kept = np.concatenate([present[:, :PRESENT], present[:, half : half + ABSENT]], axis=1)
    x, y = (np.take_along_axis(a, kept[:, :, None], axis=1) for a in (x, y))
    if loss is None:
        w = torch.from_numpy(weights).repeat(len(x), 1)
    else:
        w = tuned(setup.network, weights, x, y, loss)
    with torch.no_grad():
        logits = predicted(setup.network, w, torch.from_numpy(batch.query_x)).numpy()
    return balanced_accuracy(logits, batch.query_y)


def compared(ran: Ran) -> dict[str, float]:
    """Return each loss's mean over test devices, its settings chosen on validation devices."""
    setup, weights = ran.setup, ran.weights
    found = {"not adapted": float(_scores(setup, setup.test.family, weights, None).mean())}
    for name, options in _options().items():
        best = max(
            options,
            key=lambda loss: float(_scores(setup, setup.validation.family, weights, loss).mean()),
        )
        found[name] = float(_scores(setup, setup.test.family, weights, best).mean())
    return found


def cells(work: Work) -> Sequence[Cell]:
    """Return each loss's score, and what the margin gains over the two others."""
    rooms = []
    for room, ran in held_out(work).items():
        inputs = {"room": room, "study": ran.folder.name, "options": repr(_options())}
        rooms.append(work.once(NAME, inputs, partial(compared, ran)))
    rows = {name: [told[name] for told in rooms] for name in rooms[0]}
    for name in ("cross-entropy", "weighted cross-entropy"):
        gains = zip(rows["margin"], rows[name], strict=True)
        rows[f"margin less {name}"] = [ours - theirs for ours, theirs in gains]
    column = f"{ABSENT} + {PRESENT} samples"
    return [
        cell_of((NAME, row, column), estimate(np.array(scores)), unit="%")
        for row, scores in rows.items()
    ]


TABLE = Table(
    NAME,
    "A margin for what is rarely seen",
    "arXiv 1906.07413, on our rooms",
    cells,
    NOTES,
    needs=(published.PRESENCE,),
)
