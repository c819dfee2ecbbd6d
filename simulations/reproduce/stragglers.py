"""Stragglers: waiting for every device of a round, or several rounds in flight (FedBuff)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfleet.simulations.assemble import Machine, Setup, assemble
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.evaluation import Estimate, Judge, estimate
from tinyfleet.simulations.reproduce.cells import (
    NOT_PUBLISHED,
    Cell,
    Figure,
    Line,
    Table,
    cell_of,
)
from tinyfleet.simulations.reproduce.work import Work
from tinyfleet.simulations.stragglers import Clock, Crowd, Moment, buffered, equal, synchronous
from tinyfleet.simulations.study import Study, study_to_dict

NAME = "stragglers"
NOTES = """
Sines, TinyReptile; 16 devices work at a time. Seconds are simulated, not measured: a device's own
time is log-normal with a median of one second and a spread of 1 (one device in ten takes more than
3.6 s), each of its turns varies by a further spread of 0.25. A turn communicates the network both
ways, whoever waits for it, so all methods communicate as much. Losses are means over three seeds of
fleet and clock, after eight points and 32 passes; intervals are over 500 test curves, so they say
nothing of other seeds. Curves, and the time to an MSE of 1, are of 200 validation curves, looked at
20 times; those drawn are of the first seed. A run has 1,600 turns, a device 128 points at a turn
and a rate of 0.006; an update that has missed s steps counts 1 / sqrt(1 + s). The server's step was
chosen on validation curves: 2 where it waits, 2.8 where it steps every 16, 1.4 every 4, and 0.7
without discount or at each.
"""

AT_WORK = 16
_GOAL = 1.0  # MSE on validation tasks
_PASSES = 32
_SHOTS = 8
_LOOKS = 20  # at the validation tasks, along a run


@dataclass(frozen=True)
class Method:
    """A way to run rounds, and the server's step size that validation chose for it."""

    name: str
    step: float
    run: Callable[[Crowd], Iterator[Moment]] = field(repr=False)


METHODS = (
    Method("wait for all of 16", 2.0, synchronous),
    Method("ask 20, wait for the first 16", 2.0, lambda crowd: synchronous(crowd, spare=4)),
    Method("in flight, step every 16", 2.8, lambda crowd: buffered(crowd, 16)),
    Method("in flight, step every 4", 1.4, lambda crowd: buffered(crowd, 4)),
    Method("in flight, step every 4, no discount", 0.7, lambda crowd: buffered(crowd, 4, equal)),
    Method("in flight, step at each", 0.7, lambda crowd: buffered(crowd, 1)),
)


def cells(work: Work) -> Sequence[Cell]:
    """Return each method's loss, its simulated seconds, and how soon it is useful."""
    found = []
    for method in METHODS:
        got = _measured(work, method)
        for column, value, interval, unit in (
            (f"after {got['millions']:.2f} million parameters", got["mse"], got["ci95"], "MSE"),
            ("simulated time", got["seconds"], None, "s"),
            (f"simulated time to an MSE of {_GOAL:g}", got["useful"], None, "s"),
        ):
            ours = value if interval is None else Estimate(value, interval, 0)
            why = f"{NOT_PUBLISHED}; a seed ends above {_GOAL:g}" if value is None else ""
            found.append(cell_of((NAME, method.name, column), ours, unit=unit, why=why))
    return found


def figures(work: Work) -> Sequence[Figure]:
    """Draw the loss of the first seed against the simulated clock."""
    lines = []
    for method in METHODS:
        curve = _measured(work, method)["curve"]
        label = method.name.replace(", ", ": ")  # what is after a comma takes no colour of its own
        lines.append(Line(label, [x for x, _ in curve], [y for _, y in curve]))
    return [Figure(NAME, "Sine: loss against time", "simulated seconds", "MSE, 8 points", lines)]


def _measured(work: Work, method: Method) -> dict[str, Any]:
    turns = work.pick(1600, 160)
    seeds = work.pick((1, 2, 3), (1,))
    inputs = {
        "method": method.name,
        "step": method.step,
        "turns": turns,
        "seeds": list(seeds),
        "study": study_to_dict(_study(work, work.seed)),
        "constants": [AT_WORK, _GOAL, _PASSES, _SHOTS, _LOOKS],
    }
    return work.once(NAME, inputs, lambda: _measure(work, method, turns, seeds))


def _measure(work: Work, method: Method, turns: int, seeds: Sequence[int]) -> dict[str, Any]:
    ends, curves, seconds = [], [], []
    setup = _setup(work, seeds[0])
    for seed in seeds:
        setup = _setup(work, work.seed + seed - 1)
        crowd = Crowd(
            setup.network,
            setup.fleet,
            setup.study.training,
            method.step,
            turns,
            AT_WORK,
            Clock(seed=setup.study.seed),
            setup.study.seed,
        )
        moments = list(method.run(crowd))
        seen = moments[:: max(1, len(moments) // _LOOKS)]
        curves.append([(m.seconds, _mse(setup.validation, m)) for m in seen])
        ends.append(setup.test.scores(moments[-1].weights, _SHOTS, _PASSES))
        seconds.append(moments[-1].seconds)
    useful = [next((at for at, mse in curve if mse <= _GOAL), None) for curve in curves]
    reached = [at for at in useful if at is not None]
    end = estimate(np.mean(ends, axis=0))
    return {
        "mse": end.mean,
        "ci95": end.ci95,
        "millions": 2 * turns * setup.network.parameters / 1e6,
        "seconds": float(np.mean(seconds)),
        "useful": float(np.mean(reached)) if len(reached) == len(useful) else None,
        "curve": curves[0],
    }


def _mse(judge: Judge, moment: Moment) -> float:
    return judge.estimate(moment.weights, _SHOTS, _PASSES).mean


def _study(work: Work, seed: int) -> Study:
    values = {
        "app": "sine",
        "strategy": "tinyreptile",
        "seed": seed,
        "support": 128,
        "shots": (_SHOTS,),
        "tasks": work.pick(500, 32),
        "validation_tasks": work.pick(200, 32),
    }
    return complete(values, f"reproduce: {NAME}")


def _setup(work: Work, seed: int) -> Setup:
    return assemble(_study(work, seed), Machine(work.workers))


TABLE = Table(
    NAME,
    "Stragglers: the loss of sines against a simulated clock",
    "ours; after Nguyen et al. 2022 (FedBuff)",
    cells,
    NOTES,
    figures,
)
