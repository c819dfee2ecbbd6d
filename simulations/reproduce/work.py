"""One run of the reproduction: studies and other results, each made once and kept.

Whatever is finished is a file in the run's folder, under a name that follows from its settings and
the versions of tinyfleet and numpy. So a run that died goes on where it stood, tables share their
studies, and a table whose settings changed is made anew. Which data a folder's results are of is
noted beside them, and other data are refused. The code is not noted: after a change of code that
changes figures, take a new folder.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from tinyfleet.atomic import write_atomically
from tinyfleet.errors import DatasetError, StudyError
from tinyfleet.messages import Floats
from tinyfleet.simulations import journal, published, run
from tinyfleet.simulations.assemble import Machine, Setup, assemble
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.reproduce.cells import Cell, Figure, Table
from tinyfleet.simulations.study import Study, study_to_dict
from tinyfleet.weights import load_weights

T = TypeVar("T")

SCORES = ("accuracy", "balanced_accuracy", "mse_by_shots")
"""Where a result keeps its scores by shots, one of these."""

DIGITS = "scikit-learn"
"""How the source of digits begins, which are no substitute for Omniglot in published tables."""

DATA = "data.json"
"""Where a folder says which data its results are of."""

_QUICK: Mapping[str, int] = {
    "rounds": 40,
    "devices": 400,
    "tasks": 32,
    "validation_tasks": 32,
    "evaluations": 4,
}
"""The most of everything that `--quick` takes: enough to see that every table can be made."""

Hear = Callable[[str, int, int], None]
"""Hears what is being made, how much of it is done, and how much there is."""


def _unheard(what: str, done: int, total: int) -> None:
    del what, done, total


@dataclass(frozen=True)
class Ran:
    """A study that has run.

    Attributes:
        study: what was asked.
        folder: where it ran.
        result: its result, as `result.json` holds it.
        machine: how it ran here.
    """

    study: Study
    folder: Path
    result: Mapping[str, Any]
    machine: Machine

    @cached_property
    def rounds(self) -> list[dict[str, Any]]:
        """The lines of its journal, a round each."""
        text = (self.folder / journal.ROUNDS).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    @cached_property
    def weights(self) -> Floats:
        """What it ended with, `(parameters,)` float32."""
        return load_weights(self.folder / journal.WEIGHTS, self.setup.network)

    @cached_property
    def setup(self) -> Setup:
        """The parts that it was made of."""
        return assemble(self.study, self.machine)

    def score(self, shots: int, *, one_pass: bool = False) -> Estimate:
        """Return the score of the test part after `shots` shots.

        Raises:
            StudyError: the study does not report these shots.
        """
        suffix = "_one_pass" if one_pass else ""
        name = next(name for name in SCORES if name in self.result)
        scores = self.result[name + suffix]
        if str(shots) not in scores:
            raise StudyError(
                f"{self.folder}: expected {shots} among the shots reported, got {', '.join(scores)}"
            )
        found = scores[str(shots)]
        mean, ci95 = (math.nan if found[key] is None else found[key] for key in ("mean", "ci95"))
        return Estimate(mean, ci95, found["tasks"])

    def curve(self, what: str = "parameters_communicated") -> list[tuple[float, float]]:
        """Return millions of what was communicated, and the score on validation tasks, by round.

        Args:
            what: "parameters_communicated" or "bytes_communicated", both ways.

        Evaluations whose score was not finite are left out.
        """
        points = []
        for line in self.rounds:
            if "evaluation" in line:
                (kept,) = line["evaluation"].values()  # a number, or one by shots
                score = next(iter(kept.values())) if isinstance(kept, Mapping) else kept
                if score is not None:
                    points.append((line[what] / 1e6, float(score)))
        return points


@dataclass(frozen=True)
class Made:
    """A table that has been made.

    Attributes:
        table: which.
        cells: its cells.
        figures: its drawings.
        ran: the studies that it asked for, by name.
    """

    table: Table
    cells: Sequence[Cell]
    figures: Sequence[Figure] = ()
    ran: Mapping[str, Ran] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """One run of the reproduction.

    Attributes:
        folder: where everything is kept.
        quick: whether everything is made small, to see that it can be made.
        seed: seed of all studies.
        workers: threads; None for one per core.
        hear: told of progress.
        ran: studies that have been asked for so far, by name.
    """

    folder: Path
    quick: bool = False
    seed: int = 1
    workers: int | None = None
    hear: Hear = field(default=_unheard, repr=False)
    ran: dict[str, Ran] = field(default_factory=dict, repr=False)

    def pick(self, full: T, quick: T) -> T:
        """Return what this run takes: all of it, or the quick part."""
        return quick if self.quick else full

    def keep_data(self, now: Mapping[str, str]) -> None:
        """Note which data the results of this folder are of.

        Args:
            now: fingerprints of the data that are here, by application, as `find_data` has them.

        Raises:
            StudyError: the results are of other data.
            FleetError: the folder cannot be written.
        """
        path = self.folder / DATA
        noted = journal.read_json(path) if path.exists() else {}
        for name in noted.keys() & now.keys():
            if noted[name] != now[name]:
                raise StudyError(
                    f"{path}: {name}: expected the data that the results here are of, "
                    f"{noted[name]}, got {now[name]}; name another folder with --out"
                )
        if noted.keys() < {**noted, **now}.keys():
            write_atomically(path, journal.to_json({**now, **noted}))

    def make(self, table: Table) -> Made:
        """Return the cells and drawings of a table, and the studies that it asked for."""
        asking = replace(self, ran={})
        cells = table.cells(asking)
        return Made(table, cells, table.figures(asking) if table.figures else (), asking.ran)

    def study(self, name: str, values: Mapping[str, Any], *, probe: bool = False) -> Ran:
        """Run the study that `values` describe, or go on with it, or return what is there.

        Args:
            name: part of the name of its folder.
            values: as in a study file; `app` at least, all others have defaults.
            probe: whether it only finds out how another is to be, and no table shows it.

        Raises:
            FleetError: the values make no study, or its data are missing.
            StudyError: what is there was made of scikit-learn's digits, not of Omniglot.
        """
        study = self.planned(values, name)
        key = _key(study_to_dict(study))
        folder, machine = self.folder / "studies" / f"{name}-{key}", Machine(self.workers)

        def listen(heard: run.Progress) -> None:
            self.hear(f"{name}: {heard.stage}", heard.done, heard.total)

        if not (folder / journal.RESULT).exists():
            if (folder / journal.RUN).exists():
                run.resume(folder, machine, listen)
            else:
                run.start(study, folder, f"tinyfleet reproduce: {name}", machine, listen)
        source = journal.read_json(folder / journal.RUN)["data"]["train"]
        if source.startswith(DIGITS):
            raise StudyError(f"{folder}: expected a run on Omniglot, got {source}; delete it")
        ran = Ran(study, folder, journal.read_json(folder / journal.RESULT), machine)
        if not probe:
            self.ran[name] = ran
        return ran

    def planned(self, values: Mapping[str, Any], name: str) -> Study:
        """Return the study that `values` describe, small where this run is quick."""
        study = complete({"seed": self.seed, **values}, f"reproduce: {name}")
        if not self.quick:
            return study
        told = study_to_dict(study)
        small = {key: min(most, told[key]) for key, most in _QUICK.items()}
        small |= {"passes": list(study.passes[:1]), "rates": []}
        small["per_round"] = min(study.per_round or 8, 8, small["devices"])
        return complete({"seed": self.seed, **values, **small}, f"reproduce: {name}")

    def once(self, name: str, inputs: Mapping[str, Any], compute: Callable[[], T]) -> T:
        """Return what `compute` makes, a JSON value, made once for these inputs.

        It has one thread of OpenMP and BLAS: the same bytes on any number of cores, and small fits
        whose threads do not wait for each other when other work is about.

        Args:
            name: part of the name of its file.
            inputs: all that decides the value, as JSON values.
            compute: makes it.

        Raises:
            StudyError: what is kept is damaged.
        """
        key = _key({**inputs, "seed": self.seed, "quick": self.quick})
        path = self.folder / "values" / f"{name}-{key}.json"
        if not path.exists():
            self.hear(name, 0, 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            with threadpool_limits(limits=1):
                made = compute()
            write_atomically(path, journal.to_json(made).encode())
            self.hear(name, 1, 1)
        try:
            found: T = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StudyError(f"{path}: expected JSON: {error}; delete it") from None
        return found


def find_data(
    environ: Mapping[str, str], *, download: bool = False
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the fingerprints of the data that are here, and why others are not, by application.

    Args:
        environ: `TINYFLEET_DATA` in it names the folder of the data.
        download: whether Omniglot may be fetched.
    """
    from tinyfleet.simulations.datasets.characters import find_characters
    from tinyfleet.simulations.datasets.keywords import find_keywords
    from tinyfleet.simulations.datasets.presence import find_presence

    found, missing = {}, {}
    for name, find in (
        (published.CHARACTERS, partial(find_characters, download=download)),
        (published.KEYWORDS, find_keywords),
        (published.PRESENCE, find_presence),
    ):
        try:
            data = find(None, environ)
        except DatasetError as error:
            missing[name] = str(error)
            continue
        if data.source.startswith(DIGITS):
            missing[name] = f"{name}: expected Omniglot, got {data.source}"
        else:
            found[name] = data.fingerprint
    return found, missing


def _key(inputs: Mapping[str, Any]) -> str:
    """Return twelve hexadecimal digits of all that decides a result."""
    told = {**inputs, "tinyfleet": version("tinyfleet"), "numpy": np.__version__}
    return hashlib.sha256(journal.to_json(told).encode()).hexdigest()[:12]
