"""A board as a W3C Thing Description 1.1: what a device of it is and can do."""

import re
from typing import Any

from tinyfleet.ontology.boards import Board, Sensor
from tinyfleet.ontology.runtimes import RUNTIMES
from tinyfleet.ontology.vocabulary import PREFIXES

TD_CONTEXT = "https://www.w3.org/2022/wot/td/v1.1"
_USED = ("s3n", "s3n_extend", "schema", "sosa", "sosa_extend", "ssn", "ssn-system", "tf", "unit")


def board_iri(board: Board) -> str:
    """Return the IRI of a board of the library, where it stands for a device."""
    return f"urn:tinyfleet:board:{re.sub(r'[^a-z0-9]+', '-', board.name.lower()).strip('-')}"


def board_thing(
    board: Board, device: str, *, title: str | None = None, gateway: str | None = None
) -> dict[str, Any]:
    """Return the Thing Description of a device.

    Args:
        board: what it is.
        device: its IRI.
        title: what it is called; the board's name for None.
        gateway: IRI of the gateway that it is behind; None for none.
    """
    runtimes = [RUNTIMES[name] for name in board.runtimes]
    told: dict[str, Any] = {
        "@context": [TD_CONTEXT, {prefix: PREFIXES[prefix] for prefix in _USED}],
        "@type": ["s3n:SmartSensor"],
        "id": device,
        "title": title or board.name,
        "description": board.name,
        "securityDefinitions": {"local": {"scheme": "nosec"}},
        "security": "local",
        "ssn:hasSubSystem": [_controller(board), *map(_sensor, board.sensors)],
        "tf:runtime": list(board.runtimes),
        "tf:link": list(board.links),
    }
    if all(runtime.operators for runtime in runtimes):  # what knows all of them states none
        told["tf:supportsOperator"] = sorted({one for r in runtimes for one in r.operators})
        told["tf:supportsType"] = sorted({one for r in runtimes for one in r.types})
    if gateway is not None:
        told["tf:gateway"] = {"@id": gateway}
    return {key: value for key, value in told.items() if value != []}


def _controller(board: Board) -> dict[str, Any]:
    figures = {
        "tf:clock": board.value("clock"),
        "tf:macsPerSecond": board.value("macs_per_second"),
        "tf:activePower": board.value("active_power"),
        "tf:trainingArena": board.value("training_arena"),
        "tf:instructionSet": board.value("instruction_set"),
        "tf:hasFpu": board.value("fpu"),
    }
    controller = {
        "@type": "s3n:MicroController",
        "schema:name": board.name,
        **{term: _number(term, value) for term, value in figures.items() if value is not None},
    }
    free = {"s3n_extend:RAM": ("free_ram", "ram"), "s3n_extend:Flash": ("free_flash", "flash")}
    memory = [
        {"@type": term, "schema:value": size, "schema:unitCode": {"@id": "unit:BYTE"}}
        for term, names in free.items()
        if (size := board.value(*names)) is not None
    ]
    if memory:
        controller["ssn-system:hasSystemCapability"] = {"ssn-system:hasSystemProperty": memory}
    return controller


def _number(term: str, value: Any) -> Any:
    """Return a figure as its term has it: JSON-LD would read the double 64e6 as an integer."""
    if term in ("tf:clock", "tf:macsPerSecond", "tf:activePower"):
        return {"@value": f"{value:.10g}", "@type": "http://www.w3.org/2001/XMLSchema#double"}
    return value


def _sensor(sensor: Sensor) -> dict[str, Any]:
    return {"@type": ["sosa:Sensor", f"sosa_extend:{sensor.kind}"], "schema:name": sensor.part}
