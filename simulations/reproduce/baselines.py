"""Every algorithm and baseline on every application: one and eight shots."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

from tinyfleet.messages import Floats
from tinyfleet.simulations import baselines
from tinyfleet.simulations.assemble import Machine, Setup, assemble
from tinyfleet.simulations.baselines import ByShots
from tinyfleet.simulations.comparison import plural
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.pretraining import PRETRAINING, Pretraining, pretrained
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.studies import APPS, tinyreptile
from tinyfleet.simulations.reproduce.work import Ran, Work
from tinyfleet.simulations.study import study_to_dict

NAME, SHOTS = "baselines", (1, 8)


def _several(numbers: Sequence[float]) -> str:
    *most, last = (f"{number:g}" for number in numbers)
    return f"{', '.join(most)} and {last}"


NOTES = f"""
Intervals are over the first 300 test devices of Table 4, the same for all rows of an application;
passes and rate of fine-tuning are chosen on 64 validation devices. Every algorithm has 600 rounds
of 16 devices, fewer than Table 4's TinyReptile of characters; an algorithm's network and settings
are those of its application. *Cold start* fine-tunes random weights, *local only* learns alone from
random weights, *transfer* fine-tunes a network that was trained conventionally, *nearest
neighbours* asks its frozen features, and *last layer only* freezes all others of Table 4's result.
These choose from the rates {_several(baselines.RATES)} besides the study's and from 1, 2, 4 or 8
passes, local only also from {_several(baselines.LONG)}, and neighbours from
{_several(baselines.NEIGHBOURS)}. *Conventionally* is {PRETRAINING.epochs} times through what
{PRETRAINING.devices} training devices have, pooled, with {PRETRAINING.training.optimizer} at
{PRETRAINING.training.rate:g} in batches of {PRETRAINING.training.batch}.
"""

ALGORITHMS = (
    "tinyreptile",
    "reptile",
    "tinymetafed",
    "fomaml",
    "fedavg",
    "fedprox",
    "fedsgd",
    "fedrep",
    "ditto",
)

_TASKS = {"tasks": 300, "validation_tasks": 64}
_VISITS = {"rounds": 600, "per_round": 16, "evaluations": 4}


def _baselines(work: Work, setup: Setup, weights: Floats) -> Mapping[str, Callable[[], ByShots]]:
    """Return what makes each baseline; the network that two of them ask is trained once."""
    how = work.pick(PRETRAINING, Pretraining(epochs=1, devices=20))
    trained = cache(lambda: pretrained(setup, how))
    passes = work.pick(baselines.LONG, ())
    return {
        "cold start": lambda: baselines.cold_start(setup),
        "local only": lambda: baselines.local_only(setup, passes),
        "transfer": lambda: baselines.fine_tuned(setup, trained()),
        "nearest neighbours": lambda: baselines.nearest_neighbours(setup, trained()),
        "last layer only": lambda: baselines.last_layer_only(setup, weights),
    }


def cells(work: Work) -> Sequence[Cell]:
    """Return every algorithm's and every baseline's accuracy, an application each."""
    found = []
    for app in APPS:
        ran = tinyreptile(work, app)
        rows: dict[str, Mapping[int, Estimate]] = {}
        for strategy in ALGORITHMS:
            name = f"{app}-{strategy}-baseline"
            values = {"app": app, "strategy": strategy, "shots": list(SHOTS), **_TASKS, **_VISITS}
            rows[strategy] = _scores(work.study(name, values))
        rows |= _measured(work, app, ran)
        for row, scores in rows.items():
            for shots in SHOTS:
                place = NAME, f"{app}, {row}", plural(shots, "shot")
                found.append(cell_of(place, scores[shots], unit="%"))
    return found


def _scores(ran: Ran) -> Mapping[int, Estimate]:
    return {shots: ran.score(shots) for shots in SHOTS}


def _measured(work: Work, app: str, ran: Ran) -> Mapping[str, Mapping[int, Estimate]]:
    """Return the baselines' scores, each measured once."""
    values = {"app": app, "strategy": "tinyreptile", "shots": list(SHOTS), **_TASKS}
    study = work.planned(values, f"{app}-baselines")
    setup = assemble(study, Machine(work.workers))
    found = {}
    for row, make in _baselines(work, setup, ran.weights).items():
        inputs = {"study": study_to_dict(study), "weights": ran.result["weights_sha256"]}
        told = work.once(f"{app}-{row.replace(' ', '-')}", inputs, partial(_plain, make))
        found[row] = {shots: _estimate(told[str(shots)]) for shots in SHOTS}
    return found


def _estimate(told: Sequence[float]) -> Estimate:
    mean, ci95, tasks = told
    return Estimate(mean, ci95, int(tasks))


def _plain(make: Callable[[], ByShots]) -> dict[str, list[float]]:
    return {str(shots): [e.mean, e.ci95, e.tasks] for shots, e in make().items()}


TABLE = Table(NAME, "Algorithms and baselines", "ours", cells, NOTES, needs=APPS)
