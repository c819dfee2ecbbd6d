"""The tables and figures that are made again, by the name that `--only` takes."""

from collections.abc import Mapping
from importlib import import_module

from tinyfleet.errors import StudyError
from tinyfleet.simulations.reproduce.cells import Table

NAMES = (
    "table-2",
    "table-3",
    "table-4",
    "table-5",
    "table-7",
    "table-8",
    "figure-5",
    "figure-7",
    "figure-9",
    "figure-14",
    "figure-15",
    "thresholds",
    "omniglot",
    "keywords",
    "presence",
    "baselines",
    "head",
    "margin",
    "encodings",
    "stragglers",
    "step-sizes",
    "distillation",
    "server-optimizer",
)
"""In the order in which they are made and shown: the papers' first, ours after them."""


def tables(names: tuple[str, ...] = NAMES) -> Mapping[str, Table]:
    """Return the tables of these names, in the order of `NAMES`.

    Raises:
        StudyError: there is no such table.
    """
    for name in names:
        if name not in NAMES:
            raise StudyError(f"--only: expected one of {', '.join(NAMES)}, got {name!r}")
    wanted = [name for name in NAMES if name in names]
    return {name: _table(name) for name in wanted}


def _table(name: str) -> Table:
    module = import_module(f"tinyfleet.simulations.reproduce.{name.replace('-', '_')}")
    table: Table = module.TABLE
    return table
