"""What a device offers and what a model needs, read from their descriptions as flat facts.

Descriptions come in the shape of SSN, S3N and the TinyML neural-network schema (Ren, Anicic &
Runkler 2022, SeLoC-ML), as published and as ours. Devices of one kind share one profile, so that a
fleet of any size is matched by its few profiles.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TypeVar

from rdflib import RDF, SOSA, SSN, Graph, Literal, URIRef
from rdflib.term import IdentifiedNode, Node

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.vocabulary import (
    BYTES_IN,
    NNET,
    S3N,
    S3N_EXTEND,
    SCHEMA,
    SSN_EXTEND,
    SSN_SYSTEM,
    TF,
)

Triple = tuple[Node, Node, Node]
Amount = TypeVar("Amount", int, float)

_CAPABILITY = (SSN_SYSTEM.hasSystemCapability, S3N.hasSystemCapability)
_NO_SENSOR_CLASSES = frozenset(map(str, (SOSA.Sensor, SCHEMA.Sensor, SSN.System)))


@dataclass(frozen=True)
class Profile:
    """What all devices of one kind offer; what is not known is None or empty, and refuses nothing.

    Attributes:
        board: name of the board.
        free_ram: bytes of RAM that a model may take.
        free_flash: bytes of flash that a model may take.
        sensors: IRIs of the classes of its sensors, ascending, as all tuples here.
        operators: names of the operators that its runtimes compute.
        runtimes: names of its runtimes.
        types: number types that its runtimes compute with.
        training_arena: bytes of RAM that training may take.
        clock: Hz.
        macs_per_second: multiply-accumulates a second.
        active_power: watts while computing.
        instruction_set: such as "Armv7E-M".
        fpu: whether it computes float32 in hardware.
        links: how it is reached.
    """

    board: str = ""
    free_ram: int | None = None
    free_flash: int | None = None
    sensors: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    training_arena: int | None = None
    clock: float | None = None
    macs_per_second: float | None = None
    active_power: float | None = None
    instruction_set: str | None = None
    fpu: bool | None = None
    links: tuple[str, ...] = ()

    @cached_property
    def iri(self) -> str:
        """`urn:tinyfleet:profile:` and 16 hex digits of a hash of all that it says."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return f"urn:tinyfleet:profile:{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def triples(self) -> list[Triple]:
        """Return its facts for the index."""
        own = URIRef(self.iri)
        return [(own, RDF.type, TF.Profile), *_facts(own, self, _OFFERS)]


@dataclass(frozen=True)
class Needs:
    """What a model asks of a device; what is not known is None or empty, and asks nothing.

    Attributes:
        model: its IRI.
        ram: bytes of RAM while it infers.
        flash: bytes of flash.
        sensors: IRIs of the classes of sensors that give its input, ascending, as all tuples here.
        operators: names of its operators.
        runtime: name of the runtime that it is made for.
        types: number types that it computes with.
        macs: multiply-accumulates of one inference.
        parameters: how many it has.
        training_ram: bytes of RAM while all of it trains.
        head_training_ram: bytes while its last layer alone trains.
        partial_training_ram: bytes while the part trains that its description names.
        maximum_latency: seconds that an inference may take.
        maximum_energy: joules that an inference may take.
    """

    model: str
    ram: int | None = None
    flash: int | None = None
    sensors: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    runtime: str | None = None
    types: tuple[str, ...] = ()
    macs: int | None = None
    parameters: int | None = None
    training_ram: int | None = None
    head_training_ram: int | None = None
    partial_training_ram: int | None = None
    maximum_latency: float | None = None
    maximum_energy: float | None = None

    def triples(self) -> list[Triple]:
        """Return its facts for the index."""
        own = URIRef(self.model)
        return [(own, RDF.type, NNET.NeuralNetwork), *_facts(own, self, _ASKS)]


_OFFERS = {
    "board": TF.board,
    "free_ram": TF.freeRam,
    "free_flash": TF.freeFlash,
    "sensors": TF.hasSensor,
    "operators": TF.supportsOperator,
    "runtimes": TF.runtime,
    "types": TF.supportsType,
    "training_arena": TF.trainingArena,
    "clock": TF.clock,
    "macs_per_second": TF.macsPerSecond,
    "active_power": TF.activePower,
    "instruction_set": TF.instructionSet,
    "fpu": TF.hasFpu,
    "links": TF.link,
}
_ASKS = {
    "ram": TF.needsRam,
    "flash": TF.needsFlash,
    "sensors": TF.needsSensor,
    "operators": TF.needsOperator,
    "runtime": TF.needsRuntime,
    "types": TF.needsType,
    "macs": TF.macs,
    "parameters": TF.parameters,
    "training_ram": TF.trainingRam,
    "head_training_ram": TF.headTrainingRam,
    "partial_training_ram": TF.partialTrainingRam,
    "maximum_latency": TF.maximumLatency,
    "maximum_energy": TF.maximumEnergy,
}


def profile_of(graph: Graph, device: str) -> Profile | None:
    """Read what `device` offers; None where `graph` describes no microcontroller of it.

    Of several microcontrollers it takes the most memory of one.

    Raises:
        DescriptionError: memory in an unknown unit, or a number that is none.
    """
    own = URIRef(device)
    parts = list(_parts(graph, own))
    controllers = [part for part in parts if (part, RDF.type, S3N.MicroController) in graph]
    if not controllers:
        return None
    says = _Facts(graph, [own, *controllers], device)
    return Profile(
        board=next(iter(_texts(graph, controllers, SCHEMA.name)), ""),
        free_ram=_most(_capacity(graph, controllers, S3N_EXTEND.RAM, device)),
        free_flash=_most(_capacity(graph, controllers, S3N_EXTEND.Flash, device)),
        sensors=_sensor_classes(graph, [part for part in parts if part not in controllers]),
        operators=says.texts(TF.supportsOperator),
        runtimes=says.texts(TF.runtime),
        types=says.texts(TF.supportsType),
        training_arena=says.whole(TF.trainingArena),
        clock=says.number(TF.clock),
        macs_per_second=says.number(TF.macsPerSecond),
        active_power=says.number(TF.activePower),
        instruction_set=says.text(TF.instructionSet),
        fpu=says.truth(TF.hasFpu),
        links=says.texts(TF.link),
    )


def needs_of(graph: Graph, model: str) -> Needs:
    """Read what `model` asks; a fact of the index beside the schema's own shape comes first.

    Raises:
        DescriptionError: memory in an unknown unit, or a number that is none.
    """
    own = URIRef(model)
    says = _Facts(graph, [own], model)
    sensors = {
        sensor
        for given in graph.objects(own, SSN.hasInput)
        for sensor in graph.subjects(SSN_EXTEND.provideInput, given)
    }
    ram, flash, macs = (says.whole(term) for term in (TF.needsRam, TF.needsFlash, TF.macs))
    return Needs(
        model=str(model),
        ram=_condition(graph, own, S3N_EXTEND.RAM) if ram is None else ram,
        flash=_condition(graph, own, S3N_EXTEND.Flash) if flash is None else flash,
        sensors=says.texts(TF.needsSensor) or _sensor_classes(graph, sensors),
        operators=says.texts(TF.needsOperator),
        runtime=says.text(TF.needsRuntime) or says.text(SCHEMA.runtimePlatform),
        types=says.texts(TF.needsType),
        macs=says.whole(NNET.hasMultiplyAccumulateOps) if macs is None else macs,
        parameters=says.whole(TF.parameters),
        training_ram=says.whole(TF.trainingRam),
        head_training_ram=says.whole(TF.headTrainingRam),
        partial_training_ram=says.whole(TF.partialTrainingRam),
        maximum_latency=says.number(TF.maximumLatency),
        maximum_energy=says.number(TF.maximumEnergy),
    )


@dataclass(frozen=True)
class _Facts:
    """What `graph` says of `nodes`; `name` is for errors."""

    graph: Graph
    nodes: list[Node]
    name: str

    def texts(self, term: URIRef) -> tuple[str, ...]:
        return _texts(self.graph, self.nodes, term)

    def text(self, term: URIRef) -> str | None:
        return next(iter(self.texts(term)), None)

    def number(self, term: URIRef) -> float | None:
        values = (value for node in self.nodes for value in self.graph.objects(node, term))
        return _most(_number(value, f"{self.name}: {term}") for value in values)

    def whole(self, term: URIRef) -> int | None:
        value = self.number(term)
        return None if value is None else round(value)

    def truth(self, term: URIRef) -> bool | None:
        text = self.text(term)
        return None if text is None else text in ("true", "1")


def _parts(graph: Graph, device: Node) -> Iterator[Node]:
    """Yield the subsystems of a device, and theirs, each once."""
    seen, waiting = {device}, [device]
    while waiting:
        for part in graph.objects(waiting.pop(), SSN.hasSubSystem):
            if part not in seen:
                seen.add(part)
                waiting.append(part)
                yield part


def _sensor_classes(graph: Graph, sensors: Iterable[Node]) -> tuple[str, ...]:
    """Return the classes that say which sensors these are, ascending."""
    kinds = (kind for sensor in sensors for kind in graph.objects(sensor, RDF.type))
    found = {str(kind).replace("/:", "/") for kind in kinds}  # published: sosa_extend::Magnetometer
    return tuple(sorted(found - _NO_SENSOR_CLASSES))


def _capacity(
    graph: Graph, controllers: Iterable[Node], memory: URIRef, device: str
) -> Iterator[int]:
    """Yield the bytes of each memory of a kind."""
    for controller in controllers:
        for term in _CAPABILITY:
            for capability in graph.objects(controller, term):
                for part in graph.objects(capability, SSN_SYSTEM.hasSystemProperty):
                    if (part, RDF.type, memory) in graph:
                        yield _size(graph, part, SCHEMA.value, device)


def _condition(graph: Graph, model: Node, memory: URIRef) -> int | None:
    """Return the bytes of a kind of memory under which a model runs."""
    return _most(
        _size(graph, condition, SCHEMA.minValue, str(model))
        for feature in graph.objects(model, S3N.hasProcedureFeature)
        for condition in graph.objects(feature, SSN_SYSTEM.inCondition)
        if (condition, RDF.type, memory) in graph
    )


def _size(graph: Graph, part: Node, term: URIRef, name: str) -> int:
    """Return an amount of memory in bytes."""
    value, unit = graph.value(part, term), graph.value(part, SCHEMA.unitCode)
    size = BYTES_IN.get(URIRef(str(unit)), 0) if unit is not None else 1
    if not size:
        known = ", ".join(sorted(map(str, BYTES_IN)))
        raise DescriptionError(f"{name}: {SCHEMA.unitCode}: expected one of {known}, got {unit}")
    return round(_number(value, f"{name}: {term}") * size)


def _number(value: Node | None, place: str) -> float:
    try:
        found = float(str(value))
    except ValueError:
        found = math.nan
    if not math.isfinite(found) or found < 0:
        raise DescriptionError(f"{place}: expected a number of 0 or more, got {value}")
    return found


def _most(values: Iterable[Amount]) -> Amount | None:
    return max(values, default=None)


def _texts(graph: Graph, nodes: Iterable[Node], term: URIRef) -> tuple[str, ...]:
    return tuple(sorted({str(value) for node in nodes for value in graph.objects(node, term)}))


def _facts(
    own: IdentifiedNode, record: Profile | Needs, terms: dict[str, URIRef]
) -> Iterator[Triple]:
    """Yield a triple for each value that `record` states."""
    for field in fields(record):
        term, value = terms.get(field.name), getattr(record, field.name)
        if term is None or value is None or value == "":
            continue
        for one in value if isinstance(value, tuple) else (value,):
            yield own, term, URIRef(one) if field.name == "sensors" else Literal(one)
