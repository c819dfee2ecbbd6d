"""A fleet small enough to answer every question about it by hand, and one of 2,000 devices."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rdflib import RDF, SSN, Graph, Literal, URIRef

from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.provenance import (
    RoundRecord,
    RunRecord,
    UpdateRecord,
    begin_run,
    deploy,
    record_round,
)
from tinyfleet.ontology.registration import Status
from tinyfleet.ontology.vocabulary import NNET, PREFIXES, SCHEMA, SOSA_EXTEND, TF

ACCELEROMETER = SOSA_EXTEND.Accelerometer
CAMERA = SOSA_EXTEND.Camera
BOARDS: Mapping[str, Mapping[str, Any]] = {
    "Nano": {
        "ram": 200_000,
        "flash": 800_000,
        "sensors": ["sosa_extend:Accelerometer"],
        "tf:supportsOperator": ["CONV_2D", "FULLY_CONNECTED"],
        "tf:trainingArena": 60_000,
    },
    "Pico": {"ram": 100_000, "flash": 1_000_000, "sensors": []},
    "Tiny": {
        "ram": 1_000,
        "flash": 2_000,
        "sensors": ["sosa_extend:Camera"],
        "tf:supportsOperator": ["FULLY_CONNECTED"],
    },
}
_PREFIXES = (
    "s3n",
    "s3n_extend",
    "schema",
    "sosa",
    "sosa_extend",
    "ssn",
    "ssn-system",
    "tf",
    "unit",
)


def device(number: int) -> str:
    return f"urn:tinyfleet:lab:{number}"


def gateway(name: str) -> str:
    return f"urn:tinyfleet:lab:gateway:{name}"


def model(name: str) -> str:
    return f"urn:tinyfleet:model:{name}:0123456789abcdef"


def digest(number: int) -> str:
    """Return the SHA-256 that stands for the weights before round `number`."""
    return str(number) * 64


def moment(day: int) -> datetime:
    return datetime(2030, 1, day, 12, tzinfo=UTC)


def described(
    number: int | str, board: str | None, behind: str = "", room: str = ""
) -> dict[str, Any]:
    """Return the Thing Description of a device; without a board it has no microcontroller."""
    thing: dict[str, Any] = {
        "@context": [
            "https://www.w3.org/2022/wot/td/v1.1",
            {prefix: PREFIXES[prefix] for prefix in _PREFIXES},
        ],
        "@type": ["s3n:SmartSensor"] if board else ["tf:Gateway"],
        "id": f"urn:tinyfleet:lab:{number}",
        "title": f"device {number}",
        "securityDefinitions": {"none": {"scheme": "nosec"}},
        "security": "none",
    }
    if board:
        thing["ssn:hasSubSystem"] = _parts(board, BOARDS[board])
        thing |= {term: value for term, value in BOARDS[board].items() if term.startswith("tf:s")}
    if behind:
        thing["tf:gateway"] = {"@id": gateway(behind)}
    if room:
        thing["tf:room"] = room
    return thing


def _parts(board: str, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    memory = [
        {"@type": term, "schema:value": facts[name], "schema:unitCode": {"@id": "unit:BYTE"}}
        for term, name in (("s3n_extend:RAM", "ram"), ("s3n_extend:Flash", "flash"))
    ]
    controller = {
        "@type": "s3n:MicroController",
        "schema:name": board,
        "ssn-system:hasSystemCapability": {"ssn-system:hasSystemProperty": memory},
    }
    if arena := facts.get("tf:trainingArena"):
        controller["tf:trainingArena"] = arena
    return [controller, *({"@type": ["sosa:Sensor", kind]} for kind in facts["sensors"])]


def network(name: str, facts: Mapping[URIRef, Any]) -> Graph:
    """Return the description of a model; a list states a fact several times."""
    graph, own = Graph(), URIRef(model(name))
    graph.add((own, RDF.type, NNET.NeuralNetwork))
    graph.add((own, SCHEMA.name, Literal(name)))
    graph.add((own, SSN.hasInput, URIRef(f"{own}:input")))
    graph.add((own, SSN.hasOutput, URIRef(f"{own}:output")))
    for term, value in facts.items():
        for one in value if isinstance(value, list) else [value]:
            graph.add((own, term, one if isinstance(one, URIRef) else Literal(one)))
    return graph


MODELS: Sequence[Graph] = (
    network(
        "walk",
        {
            TF.needsRam: 50_000,
            TF.needsFlash: 100_000,
            TF.needsSensor: ACCELEROMETER,
            TF.needsOperator: ["CONV_2D", "FULLY_CONNECTED"],
            TF.macs: 1000,
            TF.parameters: 500,
            TF.trainingRam: 80_000,
            TF.headTrainingRam: 20_000,
        },
    ),
    network(
        "hum",
        {
            TF.needsRam: 90_000,
            TF.needsFlash: 50_000,
            TF.needsOperator: "FULLY_CONNECTED",
            TF.macs: 300,
            TF.parameters: 200,
            TF.trainingRam: 30_000,
        },
    ),
    network(
        "giant",
        {
            TF.needsRam: 300_000,
            TF.needsFlash: 850_000,
            TF.needsOperator: "LSTM",
            TF.macs: 5_000_000,
        },
    ),
)


def fill(graph: FleetGraph) -> None:
    """Write four devices, a thing that is none, three models, and a run of two rounds."""
    for described_model in MODELS:
        graph.add_model(described_model)
    things = [
        described(1, "Nano", "hall", "kitchen"),
        described(2, "Nano", "hall", "attic"),
        described(3, "Pico", "yard"),
        described(4, "Tiny"),
        described("lamp", None),
    ]
    for thing in things:
        expires = moment(20) if thing["id"] == device(2) else None
        graph.register(thing, expires=expires)
    graph.set_status(
        [
            Status(device(1), True, moment(2)),
            Status(device(2), True, moment(1)),
            Status(device(3), False, datetime(2029, 12, 30, tzinfo=UTC)),
        ]
    )
    learn(graph)


def fill_large(graph: FleetGraph) -> None:
    """Write 1,000 devices of a kind, 700 and 300 of two others, all told of, and 100 trained."""
    for described_model in MODELS:
        graph.add_model(described_model)
    first = 1
    for board, behind, count in (("Nano", "hall", 1000), ("Pico", "yard", 700), ("Tiny", "", 300)):
        numbers = range(first, first + count)
        kind = described("{{NUMBER}}", board, behind)
        deque(graph.register_kind(kind, [{"NUMBER": str(n)} for n in numbers]), maxlen=0)
        first += count
    graph.set_status(Status(device(n), n % 2 == 0, moment(1)) for n in range(1, 2001))
    graph.record(begin_run(RunRecord("first", "tinyreptile", 7, model("hum"))))
    updates = [UpdateRecord(device(n), 10, 0.5, 0.75) for n in range(2, 202, 2)]
    asked = [update.device for update in updates]
    graph.record(record_round(RoundRecord("first", 1, True, asked, updates, digest(1), digest(2))))


def learn(graph: FleetGraph) -> None:
    """Write a run of two rounds, what they cost, and two deployments."""
    graph.record(begin_run(RunRecord("first", "tinyreptile", 7, model("hum"))))
    rounds: Iterable[tuple[list[int], list[UpdateRecord]]] = (
        (
            [1, 2, 3],
            [
                UpdateRecord(device(1), 10, 0.5, 0.9),
                UpdateRecord(device(2), 20, 0.25, 0.5),
            ],
        ),
        ([1], [UpdateRecord(device(1), 10, 0.125, 1.0)]),
    )
    for number, (selected, updates) in enumerate(rounds, 1):
        graph.record(
            record_round(
                RoundRecord(
                    run="first",
                    number=number,
                    first=number == 1,
                    selected=[device(one) for one in selected],
                    updates=updates,
                    used=digest(number),
                    generated=digest(number + 1),
                    ended=moment(number + 2),
                )
            )
        )
    graph.record(COSTS)
    graph.record(deploy(device(1), model("hum"), digest(3), "Running", moment(6)))
    graph.record(deploy(device(2), model("hum"), digest(3), "Planned", moment(7)))


COSTS = """
INSERT { GRAPH ?round { ?update tf:bytesSent 100 ; tf:bytesReceived 40 } }
WHERE { GRAPH ?round { ?update prov:wasGeneratedBy ?round ; prov:wasAttributedTo ?device } }
"""
