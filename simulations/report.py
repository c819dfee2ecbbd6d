"""Turns the folder of a finished run into one page that explains it, and into a terminal table."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from tinyfleet.atomic import write_atomically
from tinyfleet.simulations import published
from tinyfleet.simulations.choices import Choices
from tinyfleet.simulations.comparison import (
    METHODS,
    NOTHING,
    Comparison,
    Reference,
    Row,
    compare,
    difference,
    more_communication,
    plural,
    show_millions,
)
from tinyfleet.simulations.defaults import without_unread
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.fields import Fields
from tinyfleet.simulations.further import further_rows
from tinyfleet.simulations.limits import limits
from tinyfleet.simulations.plots import plots_of
from tinyfleet.simulations.run_folder import Mixed, Result, Run, read_run, result_from

BOARD = "nRF52840, 256 KiB of RAM, 1 MiB of flash"
BOARD_RAM, BOARD_FLASH = 256 * 1024, 1024 * 1024
VERSIONS = ("tinyfleet", "python", "numpy", "flwr", "kernel_variant", "platform")


@dataclass(frozen=True)
class Cell:
    """A number: exact for a machine, `text` for a person, `note` for who wants to know more."""

    value: float | None
    text: str
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a table: what it is about and its cells."""

    label: str
    cells: tuple[Cell, ...]


def write_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a finished run and return its path.

    The page needs nothing from outside: it can be mailed, printed and read without a network.

    Raises:
        StudyError: a file of the run is missing, cut short, or lacks a field.
        FleetError: the folder cannot be written.
    """
    folder = Path(folder)
    page = folder / "report.html"
    write_atomically(page, render(read_run(folder)))
    return page


def render(run: Run) -> str:
    """Return the page of a run."""
    result, settings = run.result, run.settings
    comparison = compare(result, settings)
    template = files("tinyfleet.simulations").joinpath("report.html.jinja").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        result=result,
        headline=headline(result, comparison),
        tiles=tuple(_tiles(run, comparison)),
        comparison=comparison,
        groups=tuple(_groups(comparison)),
        further=further_rows(result),
        plots=plots_of(run, comparison),
        limits=tuple(limits(run, comparison)),
        network=settings.fields("network").text("name"),
        checksum=settings.fields("network").text("checksum"),
        board=BOARD,
        spans=spans,
        mixed=run.mixed,
        mixed_lines=tuple(_mixed(run.mixed)) if run.mixed else (),
        choices=run.mixed.choices if run.mixed else None,
        costs=tuple(_costs(run)),
        data=[
            (part, settings.fields("data").text(part)) for part in ("train", "validation", "test")
        ],
        study=tuple(_flat(without_unread(settings.fields("study").values))),
        command=run.command,
        versions=[(name, settings.text(name)) for name in VERSIONS],
        result_json=run.result_json,
    )


def result_table(
    result: Mapping[str, object], settings: Mapping[str, object] | None = None
) -> Table:
    """Return what a run reached as a table for the terminal, published numbers beside ours.

    Args:
        result: contents of `result.json`.
        settings: contents of `run.json`; None when the run keeps to the paper's ways and data.

    Raises:
        StudyError: a field is missing or of another type.
    """
    found = result_from(Fields("result.json", result))
    comparison = compare(found, Fields("run.json", settings) if settings else None)
    what = f"{comparison.score}, %" if comparison.more_is_better else comparison.score
    table = Table(
        title=escape(f"{found.app}, {found.strategy}: {what}"),
        caption=escape("; ".join((_blocks(comparison), *_captions(found, comparison)))),
        box=SIMPLE_HEAD,
    )
    table.add_column("unseen")
    for name in ("passes", "ours"):
        table.add_column(name, justify="right", no_wrap=True)
    for reference in comparison.references:
        table.add_column(_head(comparison, reference), justify="right")
        if not reference.differs:
            table.add_column("gap", justify="right")
    colours = {"better": "green", "worse": "red"}
    for _, rows in comparison.groups:
        for row in rows:
            texts = [row.label, _passes(row), _interval(comparison, row.ours)]
            for reference in comparison.references:
                value, gap = reference.values.get(row.shots), difference(row, reference)
                texts.append("" if value is None else comparison.show_published(value))
                if not reference.differs and gap is None:
                    texts.append("")
                elif gap is not None:
                    colour = colours.get(comparison.verdict(row, gap), "default")
                    texts.append(f"[{colour}]{comparison.show_difference(gap)}[/]")
            table.add_row(*texts)
        table.add_section()
    return table


def _head(comparison: Comparison, reference: Reference) -> str:
    """Return the head of a column: whose scores they are, and which where another is as short."""
    alike = [r for r in comparison.references if r.short == reference.short]
    which = [reference.differs or reference.source.place] if len(alike) > 1 else []
    return escape(",\n".join([*reference.short.split(", "), *which]))


def _blocks(comparison: Comparison) -> str:
    """Return what the blocks of rows are, from the top."""
    return ", then ".join(name[0].lower() + name[1:] for name, _ in comparison.groups)


def mixed_table(mixed: Mixed) -> Table:
    """Return how a mixed fleet went on as a table for the terminal; firmware's rows stand out."""
    table = Table(
        title=escape(f"mixed fleet, broker: {mixed.broker}"), caption=escape(mixed.verdict)
    )
    table.add_column("device", justify="right")
    table.add_column("computed by")
    table.add_column("rounds", justify="right")
    table.add_column("loss, first → last", justify="right")
    for device in mixed.devices:
        learned = sorted(device.losses)
        losses = (_loss(device.losses[number]).text for number in (learned[0], learned[-1]))
        table.add_row(
            str(device.number),
            escape(device.computed_by),
            str(len(learned)),
            " → ".join(losses),
            style="bold cyan" if device.firmware else None,
        )
    return table


def left_out_table(choices: Choices) -> Table:
    """Return why devices were left out of rounds as a table for the terminal."""
    table = Table(title=escape(f"who trains: query {choices.name}, and why others did not"))
    table.add_column("device", justify="right")
    table.add_column("left out because")
    table.add_column("rounds", justify="right")
    for (device, reason), rounds in choices.reasons().items():
        table.add_row(str(device), escape(reason), spans(rounds))
    return table


def spans(numbers: Sequence[int]) -> str:
    """Write ascending whole numbers for a person.

    >>> spans([3, 5, 6, 7, 9])
    '3, 5-7, 9'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _mixed(mixed: Mixed) -> Iterator[Line]:
    """Yield the lines of a mixed fleet: what computed, examples, and a loss for each round."""
    for device in mixed.devices:
        yield Line(str(device.number), (
            Cell(None, device.computed_by, "firmware" if device.firmware else ""),
            Cell(device.examples, f"{device.examples:,}"),
            *(_loss(device.losses.get(number, math.nan)) for number in mixed.rounds),
        ))  # fmt: skip


def _loss(value: float) -> Cell:
    return _measured(value, f"{value:.3f}")


def _captions(result: Result, comparison: Comparison) -> Iterator[str]:
    """Yield where the published columns are from, and what sets ours apart."""
    for reference in comparison.references:
        more = more_communication(result, reference)
        yield f"{reference.label} (ours {more})" if more else reference.label


def headline(result: Result, comparison: Comparison) -> str:
    """Say in one sentence what the run reached and how that compares with what was published."""
    row = comparison.main
    unit = " %" if comparison.more_is_better else ""
    ours = (
        NOTHING
        if not math.isfinite(row.ours.mean)
        else f"{comparison.show(row.ours.mean)}{unit} (± {comparison.show_interval(row.ours.ci95)})"
    )
    article = "an" if comparison.score == "accuracy" else "a"
    each = "" if result.regression else " of each class"
    score = f"{article} {comparison.score} of {ours} after fine-tuning on {row.label}{each}"
    sentence = (
        f"{plural(result.devices, 'simulated device')} learned a network of "
        f"{result.parameters:,} parameters in {plural(result.rounds, 'round')}; on "
        f"{row.ours.tasks:,} tasks that no device had seen it reaches {score}"
    )
    for reference in comparison.references:
        gap = difference(row, reference)
        if gap is not None and (verdict := comparison.verdict(row, gap)):
            value = f"{comparison.show_published(reference.values[row.shots])}{unit}"
            name = reference.source.label(reference.method)
            as_good = "as good as" if verdict == "even" else f"{verdict} than"
            more = more_communication(result, reference)
            return f"{sentence}, {as_good} the published {value} of {name}" + (
                f", {'and' if verdict == 'worse' else 'but'} {more}." if more else "."
            )
    return f"{sentence}."


def _tiles(run: Run, comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    """Yield the numbers that matter most: number, what it is, what was published."""
    result, network = run.result, run.settings.fields("network")
    rows = comparison.groups[0][1]
    shown = [row for row in rows if row.shots == 1 and not result.regression]
    if comparison.main not in shown:
        shown.append(comparison.main)
    for row in shown:
        beside = [
            f"{r.short}: {comparison.show_published(r.values[row.shots])}"
            for r in comparison.references
            if row.shots in r.values and not r.differs
        ]
        unit = "%" if comparison.more_is_better and math.isfinite(row.ours.mean) else ""
        what = f"{comparison.score}, {row.label}"
        yield f"{comparison.show(row.ours.mean)}\N{NO-BREAK SPACE}{unit}".strip(), what, (
            " · ".join([f"± {comparison.show_interval(row.ours.ci95)}", *beside])
        )  # fmt: skip
    yield (
        f"{show_millions(result.parameters_communicated / 1e6)}\N{NO-BREAK SPACE}M",
        "parameters communicated",
        f"both directions · {size(result.bytes_communicated)} on the wire",
    )
    memory = network.count("training_ram_bytes")
    yield size(memory), "RAM to train on a device", f"{memory / BOARD_RAM:.0%} of an nRF52840"


def _groups(comparison: Comparison) -> Iterator[tuple[str, tuple[Line, ...]]]:
    """Yield the result table: a name and its lines, cells in the order of the header."""
    for name, rows in comparison.groups:
        yield name, tuple(Line(row.label, tuple(_cells(comparison, row))) for row in rows)


def _cells(comparison: Comparison, row: Row) -> Iterator[Cell]:
    yield Cell(row.passes, _passes(row) or NOTHING)
    yield _measured(row.ours.mean, comparison.show(row.ours.mean))
    yield _measured(row.ours.ci95, f"± {comparison.show_interval(row.ours.ci95)}")
    for reference in comparison.references:
        value = reference.values.get(row.shots)
        yield Cell(value, NOTHING if value is None else comparison.show_published(value))
        if not reference.differs:
            yield _difference(comparison, row, reference)


def _measured(value: float, text: str) -> Cell:
    return Cell(value, text) if math.isfinite(value) else Cell(None, NOTHING)


def _difference(comparison: Comparison, row: Row, reference: Reference) -> Cell:
    gap = difference(row, reference)
    if gap is None:
        return Cell(None, NOTHING)
    return Cell(gap, comparison.show_difference(gap), comparison.verdict(row, gap))


def _costs(run: Run) -> Iterator[Line]:
    """Yield what the network costs: ours, published, and what that means."""
    result, network = run.result, run.settings.fields("network")
    method = METHODS.get(result.strategy)
    memory = published.MEMORY_KB.get(result.app, {}).get(method) if method else None
    params, none = published.PARAMETERS.get(result.app), Cell(None, NOTHING)
    ram, flash = network.count("training_ram_bytes"), network.count("flash_bytes")
    formula = network.count("training_ram_published_bytes")
    forward, training = network.count("macs_forward"), network.count("macs_training")
    sent, wire = result.parameters_communicated, result.bytes_communicated
    rounds = max(result.rounds, 1)
    yield Line("Parameters", (
        Cell(result.parameters, f"{result.parameters:,}"),
        Cell(params, f"{params:,}") if params else none, Cell(None, "float32"),
    ))  # fmt: skip
    yield Line("Multiply-accumulates of an inference", (
        Cell(forward, f"{forward:,}"), none, Cell(None, "one example"),
    ))  # fmt: skip
    yield Line("Multiply-accumulates of a training step", (
        Cell(training, f"{training:,}"), none, Cell(None, "forward, backward and update"),
    ))  # fmt: skip
    yield Line("RAM to train, exact need of the kernel", (
        Cell(ram, size(ram)), none, Cell(ram / BOARD_RAM, f"{ram / BOARD_RAM:.1%} of the board"),
    ))  # fmt: skip
    yield Line("RAM to train, published formula 4P + bA", (
        Cell(formula, size(formula)),
        Cell(memory * 1000, size(memory * 1000)) if memory else none,
        Cell(None, "P parameters, b samples a step, A bytes of activations"),
    ))  # fmt: skip
    yield Line("Flash for the network", (
        Cell(flash, size(flash)), none,
        Cell(flash / BOARD_FLASH, f"{flash / BOARD_FLASH:.1%} of the board"),
    ))  # fmt: skip
    yield Line("Parameters communicated", (
        Cell(sent, f"{sent:,}"), none, Cell(sent / rounds, f"{sent / rounds:,.0f} a round"),
    ))  # fmt: skip
    yield Line("Bytes on the wire", (
        Cell(wire, size(wire)), none, Cell(wire / rounds, f"{size(wire / rounds)} a round"),
    ))  # fmt: skip


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings as the study file names them, tables within it by dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(str(v) for v in value) or "none"
        elif isinstance(value, bool):
            yield f"{prefix}{name}", "yes" if value else "no"
        else:
            yield f"{prefix}{name}", "none" if value in (None, "") else str(value)


def size(count: float) -> str:
    """Write a number of bytes for a person: 4.99 kB, 919 MB."""
    unit = 0
    while count >= 999.5 and unit < 4:
        count, unit = count / 1000, unit + 1
    text = f"{count:.0f}" if unit == 0 or count >= 99.95 else f"{count:#.3g}"
    return f"{text}\N{NO-BREAK SPACE}{('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


def _interval(comparison: Comparison, ours: Estimate) -> str:
    if not math.isfinite(ours.mean):
        return NOTHING
    return f"{comparison.show(ours.mean)} ± {comparison.show_interval(ours.ci95)}"


def _passes(row: Row) -> str:
    return "" if row.passes is None else str(row.passes)
