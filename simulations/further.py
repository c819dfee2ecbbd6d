"""The further figures of a result, those of an application's summary, as rows for people."""

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tinyfleet.simulations.fields import Fields
from tinyfleet.simulations.run_folder import Result, result_from

Row = tuple[str, Sequence[str]]
"""What a figure is called, and its text for each number of shots."""

_NAMES = {"auroc": "AUROC", "auprc": "AUPRC"}


def further_rows(result: Result) -> tuple[Row, ...]:
    """Return a row for each further figure, a column for each of `result.summary`'s shots."""
    columns = [dict(_figures(fields.values)) for fields in result.summary.values()]
    names = dict.fromkeys(name for column in columns for name in column)
    return tuple((name, [column.get(name, "") for column in columns]) for name in names)


def further_table(result: Mapping[str, object]) -> Table | None:
    """Return the further figures of a `result.json` for the terminal; None where there are none."""
    found = result_from(Fields("result.json", result))
    if not found.summary:
        return None
    table = Table(title=f"{found.app}, {found.strategy}: further figures", box=SIMPLE_HEAD)
    table.add_column("shots")
    for shots in found.summary:
        table.add_column(str(shots), justify="right")
    for name, texts in further_rows(found):
        table.add_row(name, *texts)
    return table


def _figures(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and text of each figure; those within others by both names, estimates as one."""
    for key, value in values.items():
        name = prefix + _NAMES.get(key, key.replace("_", " "))
        if isinstance(value, Mapping) and {"mean", "ci95"} <= value.keys():
            yield name, f"{_shown(value['mean'])} ± {_shown(value['ci95'])}"
        elif isinstance(value, Mapping):
            yield from _figures(value, f"{name}: ")
        else:
            yield name, _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if math.isfinite(value) else "\N{EN DASH}"
    return "\N{EN DASH}" if value is None else str(value)
