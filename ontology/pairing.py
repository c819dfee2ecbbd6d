"""Find the device and the model that are meant, and make a pair of them when they fit."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rdflib import Graph, URIRef

from tinyfleet.description import load_network, network_to_toml
from tinyfleet.errors import DescriptionError
from tinyfleet.network import Network
from tinyfleet.networks import NETWORKS
from tinyfleet.ontology.boards import boards
from tinyfleet.ontology.contexts import TD_1_0, TD_1_1
from tinyfleet.ontology.describe import describe
from tinyfleet.ontology.generate import Device, Learning, Model, Pairing, input_shape
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.inputs import class_names, map_inputs, sensor_names
from tinyfleet.ontology.match_files import THINGS, fill, things_in
from tinyfleet.ontology.matching import match, titles
from tinyfleet.ontology.meta import Meta, read_meta
from tinyfleet.ontology.model import ModelDescription
from tinyfleet.ontology.offered import offered
from tinyfleet.ontology.profile import Profile, needs_of, profile_of
from tinyfleet.ontology.rdf_things import board_in, devices_in, part_of, thing_from
from tinyfleet.ontology.runtimes import LITERT
from tinyfleet.ontology.things import board_iri, board_thing
from tinyfleet.ontology.things_rdf import read_json, thing_graph
from tinyfleet.weights import load_weights

SEED: Final = 0
"""Of a network's weights where nobody gives any."""

_JSON: Final = (".json", ".jsonld")
_ALL: Final = "CONSTRUCT { ?s ?p ?o } WHERE { GRAPH ?device { ?s ?p ?o } }"
_LABEL: Final = re.compile(r"(?:^|[,;])\s*(\d+)\s*[:=]\s*([^,;]+)")
_PARTS: Final[Mapping[str | None, Learning | None]] = {
    None: None,
    "whole": "whole",
    "part": "head",  # what a part is, only the model's author knows; the last layer is one
    "head": "head",
}


@dataclass(frozen=True)
class Asked:
    """What a command was asked.

    Attributes:
        model: a .tflite file, a network's .toml file, a named network, or a name in `models`.
        device: a title or id in `things` or `graph`; without both, a file of one device or the name
            of a known board.
        models: a folder of models; None for none.
        things: a file or a folder of Thing Descriptions, as JSON or Turtle; None for none.
        graph: the fleet's graph; None for none.
        weights: a network's weights; None for fresh ones of `SEED`.
        labels: names of the classes; None for those that the model's meta file tells.
        kind: who writes the project; None for what the device takes.
    """

    model: str
    device: str
    models: Path | None = None
    things: Path | None = None
    graph: str | None = None
    weights: Path | None = None
    labels: tuple[str, ...] | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Described:
    """A device as it is described.

    Attributes:
        thing: its Thing Description, or as much of one as its RDF gives.
        graph: its RDF.
    """

    thing: Mapping[str, Any]
    graph: Graph


@dataclass(frozen=True)
class Found:
    """A pair, and who writes its project."""

    pairing: Pairing
    kind: str


def find_pair(asked: Asked, *, force: bool = False) -> Found:
    """Return the pair that is meant, after asking whether it fits.

    Raises:
        DescriptionError: a description cannot be read, nothing has such a name, or model and device
            do not fit and nobody forces them.
        NetworkError: a network or its weights cannot be read.
    """
    meant = _described(asked)
    thing, things = meant.thing, meant.graph
    place = _place(asked)
    described, network = describe(place), _network(place)
    meta = _meta(place)
    models = described.to_graph(meta)
    own, model = str(thing.get("id", "")), str(described.iri(meta))
    profile = profile_of(things, own)
    if profile is None:
        raise DescriptionError(
            f"{asked.device}: expected a device with a microcontroller, got none"
        )
    kind = _kind(asked, profile, force=force)
    with FleetGraph.open() as graph:
        fill(graph, things, models)
        found = match(graph, model=model, device=own)
        pair = next(iter(found.pairs), None)
        told = "" if pair else "; ".join(refusal.text for refusal in found.refusals)
    carried = _model(asked, described, network, meta)
    device = _device(meant, own, profile)
    if pair is None and not force:
        raise DescriptionError(
            f"{carried.name} does not fit {device.title}: {told}; --force writes a project anyway"
        )
    sensors = class_names(needs_of(models, model).sensors)
    inputs = map_inputs(thing, input_shape(carried.description), sensors)
    learning = _PARTS[pair.trains] if pair and network is not None else None
    cost = (pair.latency, pair.energy) if pair else (None, None)
    pairing = Pairing(device, carried, inputs, learning, *cost, told, sensors)
    return Found(pairing, kind)


def _kind(asked: Asked, profile: Profile, *, force: bool) -> str:
    """Return who writes the project: what was asked for, where the device takes it."""
    taken = ("python",) if LITERT in profile.runtimes else ("arduino", "platformio")
    if asked.kind is None:
        return taken[0]
    known = asked.kind in ("python", "arduino", "platformio")
    if known and asked.kind not in taken and profile.runtimes and not force:
        raise DescriptionError(
            f"--kind: expected {' or '.join(taken)} for {asked.device}, which runs "
            f"{', '.join(profile.runtimes)}, got {asked.kind!r}; --force writes it anyway"
        )
    return asked.kind


def _described(asked: Asked) -> Described:
    """Return the device that is meant."""
    wanted = asked.device
    if asked.things is not None and asked.graph is not None:
        raise DescriptionError("--graph: expected it or --things, got both; leave one out")
    if asked.things is not None:
        return _in_files(asked.things, wanted)
    if asked.graph is not None:
        return _in_fleet(asked.graph, wanted)
    if Path(wanted).suffix in THINGS and Path(wanted).is_file():
        return _in_files(Path(wanted), None)
    if wanted in boards():
        board = boards()[wanted]
        return _stated(board_thing(board, board_iri(board)))
    raise _unknown("--device", wanted, boards())


def _in_files(place: Path, wanted: str | None) -> Described:
    """Return a device of a file or of a folder's files; the only one where none is named."""
    graph = things_in(place)
    known = devices_in(graph)
    if wanted is None and len(known) != 1:
        raise DescriptionError(
            f"{place}: expected one device, got {len(known)}; name it, and the file as --things"
        )
    own = next(iter(known)) if wanted is None else _meant(known, wanted)
    for path in [place] if place.is_file() else sorted(place.iterdir()):
        if path.suffix in _JSON and path.is_file():
            thing = read_json(path.read_bytes())
            if thing.get("id", thing.get("@id")) == own:
                return _stated(thing)
    part = part_of(graph, own)
    return Described(thing_from(part, own), part)


def _in_fleet(place: str, wanted: str) -> Described:
    """Return a device of the fleet's graph."""
    with FleetGraph.open(place, read_only=True) as fleet:
        own = _meant(titles(fleet), wanted)
        source = fleet.thing(own)
        thing = None if source is None else read_json(source)
        if thing is not None and _is_thing(thing):
            return _stated(thing)
        graph = fleet.query(_ALL, {"device": [URIRef(own)]}).graph or Graph()
    return Described(thing_from(graph, own), graph)


def _is_thing(source: Mapping[str, Any]) -> bool:
    """Tell a Thing Description from the JSON-LD that the graph makes of RDF which it took in."""
    context = source.get("@context")
    return any(
        one in (TD_1_0, TD_1_1) for one in (context if isinstance(context, list) else [context])
    )


def _stated(thing: Mapping[str, Any]) -> Described:
    return Described(thing, thing_graph(thing))


def _meant(known: Mapping[str, str], wanted: str) -> str:
    """Return the IRI of the device that has this IRI or title."""
    meant = [iri for iri, title in known.items() if wanted in (iri, title)]
    if len(meant) != 1:
        raise _unknown("--device", wanted, known.values())
    return meant[0]


def _unknown(option: str, wanted: str, known: Iterable[object]) -> DescriptionError:
    some = offered(wanted, map(str, known))
    return DescriptionError(f"{option}: expected one of {some:.400}, got {wanted!r:.80}")


def _place(asked: Asked) -> str:
    """Return the model's file, or its name where it is a named network."""
    if asked.models is None or Path(asked.model).is_file():
        return asked.model
    files = [asked.models] if asked.models.is_file() else sorted(asked.models.glob("*.t*"))
    known = {path.stem: path for path in files if path.suffix == ".tflite"}
    networks = {path.stem: path for path in files if path.suffix == ".toml"}
    known = {stem: path for stem, path in networks.items() if stem not in known} | known
    if asked.model not in known:
        raise _unknown("--model", asked.model, known)
    return str(known[asked.model])


def _network(place: str) -> Network | None:
    """Return the network that `describe` took `place` for; None where it is a .tflite file."""
    if Path(place).suffix == ".toml":
        return load_network(place)
    return NETWORKS[place]() if place in NETWORKS and not Path(place).exists() else None


def _meta(place: str) -> Meta:
    beside = Path(place).with_suffix(".toml")
    return read_meta(beside) if Path(place).suffix == ".tflite" and beside.is_file() else Meta()


def _model(asked: Asked, described: ModelDescription, network: Network | None, meta: Meta) -> Model:
    told = described.to_json() | {"id": str(described.iri(meta))}
    name = meta.name or described.name
    labels = asked.labels if asked.labels is not None else _labels(described, network, meta)
    if network is None:
        if asked.weights is not None:
            raise DescriptionError("--weights: expected none with a .tflite file; it has its own")
        try:
            content = Path(_place(asked)).read_bytes()
        except OSError as error:
            raise DescriptionError(f"{asked.model}: got {error.strerror}") from None
        return _checked(Model(name, told, labels, content=content), described, network)
    vector = load_weights(asked.weights, network) if asked.weights else network.init(SEED)
    made = Model(
        name,
        told,
        labels,
        network=network_to_toml(network),
        weights=vector.astype("<f4").tobytes(),
    )
    return _checked(made, described, network)


def _checked(model: Model, described: ModelDescription, network: Network | None) -> Model:
    """Return a model whose labels are as many as its classes."""
    classes = _classes(described, network)
    if model.labels and len(model.labels) != classes:
        raise DescriptionError(f"--labels: expected {classes}, got {len(model.labels)}")
    if len(set(model.labels)) != len(model.labels) or not all(map(str.strip, model.labels)):
        raise DescriptionError(
            "--labels: expected names that differ, got one twice or an empty one"
        )
    return model


def _classes(described: ModelDescription, network: Network | None) -> int:
    if network is not None and network.loss == "sigmoid-cross-entropy" and network.outputs == 1:
        return 2
    sides = described.outputs[0].shape if described.outputs else ()
    return max(1, sides[-1]) if sides else 1


def _labels(described: ModelDescription, network: Network | None, meta: Meta) -> tuple[str, ...]:
    """Return what the meta file's `output` calls the classes, else their numbers; () for none."""
    classes = _classes(described, network)
    named = {int(at): name.strip() for at, name in _LABEL.findall(meta.output)}
    if set(named) == set(range(classes)) and classes > 1:
        return tuple(named[at] for at in range(classes))
    if network is not None:
        numbers = network.loss == "mean-square"
    else:
        numbers = not described.operators or described.operators[-1] != "SOFTMAX"
    return () if numbers else tuple(map(str, range(classes)))


def _device(meant: Described, own: str, profile: Profile) -> Device:
    title = meant.thing.get("title")
    arena = profile.training_arena
    return Device(
        own,
        title if isinstance(title, str) else own,
        profile.board or board_in(meant.graph, own),
        profile.free_ram,
        profile.free_flash,
        profile.free_ram if arena is None else arena,
        sensor_names(meant.thing),
    )
