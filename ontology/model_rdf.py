"""A model's description as RDF: the neural-network schema with S3N, and flat facts for matching.

Every node has an IRI under the model's own, so that the same description is the same graph.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pyoxigraph
from rdflib import RDF, RDFS, SSN, XSD, Graph, Literal, URIRef

from tinyfleet.ontology.meta import Meta, is_iri
from tinyfleet.ontology.vocabulary import (
    NNET,
    PREFIXES,
    S3N,
    S3N_EXTEND,
    SCHEMA,
    SSN_EXTEND,
    SSN_SYSTEM,
    TF,
    UNIT,
)

if TYPE_CHECKING:
    from tinyfleet.ontology.model import ModelDescription, ModelLayer, Port

# Terms that the schema defines; for everything else tf:operator and tf:dtype say it alone.
_LAYER_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AVERAGE_POOL_2D": "AveragePool2D",
        "CONV_2D": "Conv2D",
        "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
        "DEQUANTIZE": "Dequantize",
        "FULLY_CONNECTED": "FullyConnected",
        "LOGISTIC": "Logistic",
        "MAX_POOL_2D": "MaxPool2D",
        "QUANTIZE": "Quantize",
        "RESHAPE": "Reshape",
        "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor",
        "SOFTMAX": "Softmax",
    }
)
_QUANTIZATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {"float16": "Float16", "float32": "Float32", "int8": "Int8", "int16": "Int16"}
)
_ACTIVATIONS: Final[Mapping[str, str]] = MappingProxyType({"RELU": "Relu", "TANH": "Tanh"})
_TYPE: Final = pyoxigraph.NamedNode(str(RDF.type))
_METRICS: Final[Mapping[str, str]] = MappingProxyType(
    {"top-1-accuracy": "Top_1_accuracy", "top-5-accuracy": "Top_5_accuracy"}
)


def model_graph(model: "ModelDescription", meta: Meta) -> Graph:
    """Return what `model` and `meta` say, as one graph about one `nnet:NeuralNetwork`."""
    graph = Graph(bind_namespaces="none")
    for prefix, namespace in PREFIXES.items():
        graph.bind(prefix, namespace)
    own = model.iri(meta)
    graph.add((own, RDF.type, NNET.NeuralNetwork))
    _say(graph, own, _identity(model, meta))
    _say(graph, own, _figures(model, meta))
    _say(graph, own, _needs(model, meta))
    _memory(graph, own, "ram", S3N_EXTEND.RAM, _ram(model, meta))
    _memory(graph, own, "flash", S3N_EXTEND.Flash, model.flash_bytes)
    for number, port in enumerate(model.inputs, 1):
        _port(graph, own, ("input", number), port, meta)
    for number, port in enumerate(model.outputs, 1):
        _port(graph, own, ("output", number), port, meta)
    for number, layer in enumerate(model.layers, 1):
        _layer(graph, own, number, layer, len(model.layers))
    for number, (name, value) in enumerate(sorted(meta.metrics.items()), 1):
        _metric(graph, own, number, name, value)
    return graph


def turtle(graph: Graph) -> bytes:
    """Return `graph` as Turtle, in one order; rdflib's own would cut numbers to seven digits."""
    triples = pyoxigraph.parse(
        graph.serialize(format="nt", encoding="utf-8"), format=pyoxigraph.RdfFormat.N_TRIPLES
    )
    ordered = sorted(triples, key=_order)
    terms = {str(term) for triple in graph for term in triple if isinstance(term, URIRef)}
    used = {
        prefix: space
        for prefix, space in PREFIXES.items()
        if any(term.startswith(space) for term in terms)
    }
    written = pyoxigraph.serialize(ordered, format=pyoxigraph.RdfFormat.TURTLE, prefixes=used)
    lines = (written or b"").splitlines(keepends=True)
    return b"".join([*sorted(lines[: len(used)]), *lines[len(used) :]])


def _order(triple: pyoxigraph.Triple) -> tuple[int, str, bool, str]:
    """Put the model first, layer 2 before layer 10, and types before all else."""
    subject = str(triple.subject)
    return len(subject), subject, triple.predicate != _TYPE, str(triple)


def _say(graph: Graph, node: URIRef, facts: Mapping[URIRef, Any]) -> None:
    """Add a triple for each value that there is; a tuple stands for several."""
    for term, values in facts.items():
        for value in values if isinstance(values, tuple) else (values,):
            if value is not None and value != "":
                graph.add((node, term, value if isinstance(value, URIRef) else Literal(value)))


def _part(own: URIRef, *words: object) -> URIRef:
    return URIRef(f"{own}#{'-'.join(map(str, words))}")


def _place(text: str) -> URIRef | str:
    """Return an address as an IRI, anything else as text."""
    address = text.startswith(("http://", "https://", "urn:")) and is_iri(text)
    return URIRef(text) if address else text


def _ram(model: "ModelDescription", meta: Meta) -> int:
    return model.arena.total if meta.ram is None else meta.ram


def _identity(model: "ModelDescription", meta: Meta) -> dict[URIRef, Any]:
    return {
        SCHEMA.name: meta.name or model.name,
        SCHEMA.identifier: f"{meta.name or model.name}:{model.checksum[:16]}",
        SCHEMA.description: meta.description or model.note,
        SCHEMA.creator: meta.author,
        SCHEMA.license: _place(meta.licence),
        SCHEMA.dateCreated: meta.created,
        SCHEMA.citation: _place(meta.citation),
        SCHEMA.runtimePlatform: meta.runtime or model.runtime,
        NNET.trainingDataset: _place(meta.dataset),
        NNET.hasCategory: NNET[meta.category] if meta.category else None,
        TF.checksum: model.checksum,
        TF.signature: tuple(signature.key for signature in model.signatures),
    }


def _figures(model: "ModelDescription", meta: Meta) -> dict[URIRef, Any]:
    patches = model.patches
    return {
        NNET.hasMultiplyAccumulateOps: model.macs,
        TF.arenaHead: model.arena.head if meta.ram is None else None,
        TF.arenaTail: model.arena.tail if meta.ram is None else None,
        TF.arenaTool: meta.ram_tool or f"{model.arena.tool} {model.arena.version}",
        TF.arenaPlanned: model.arena.planned and meta.ram is None,
        TF.patchRam: patches.ram_bytes if patches else None,
        TF.patchMacs: max(patches.extra_macs, 0) if patches else None,
        TF.customOperator: model.custom_operators,
    }


def _needs(model: "ModelDescription", meta: Meta) -> dict[URIRef, Any]:
    training = model.training
    return {
        TF.needsRam: _ram(model, meta),
        TF.needsFlash: model.flash_bytes,
        TF.needsSensor: meta.sensors,
        TF.needsOperator: tuple(sorted(set(model.operators))),
        TF.needsRuntime: meta.runtime or model.runtime,
        TF.needsType: model.types,
        TF.macs: model.macs,
        TF.parameters: model.parameters,
        TF.trainingRam: training.whole if training else None,
        TF.partialTrainingRam: training.partial if training else None,
        TF.headTrainingRam: training.head if training else None,
        TF.maximumLatency: meta.latency,
        TF.maximumEnergy: meta.energy,
    }


def _memory(graph: Graph, own: URIRef, name: str, kind: URIRef, size: int) -> None:
    """Say, as S3N does, that the model runs where at least `size` bytes are."""
    feature, condition = _part(own, "needs", name), _part(own, "least", name)
    graph.add((own, S3N.hasProcedureFeature, feature))
    graph.add((feature, RDF.type, S3N.ProcedureFeature))
    graph.add((feature, SSN_SYSTEM.inCondition, condition))
    graph.add((condition, RDF.type, S3N.Memory))
    graph.add((condition, RDF.type, kind))
    graph.add((condition, RDFS.label, Literal(f"at least this much {name}")))
    graph.add((condition, SCHEMA.minValue, Literal(size)))
    graph.add((condition, SCHEMA.unitCode, UNIT.BYTE))


def _port(graph: Graph, own: URIRef, name: tuple[str, int], port: "Port", meta: Meta) -> None:
    node, entry = _part(own, *name), name[0] == "input"
    graph.add((own, SSN.hasInput if entry else SSN.hasOutput, node))
    graph.add((node, RDF.type, NNET.NetworkInput if entry else NNET.NetworkOutput))
    info = meta.input if entry else meta.output
    facts = {
        TF.name: port.name,
        NNET.hasIndex: name[1],
        TF.shape: _spelled(port.signature or port.shape),
        TF.dtype: port.dtype,
        TF.scale: tuple(_double(scale) for scale in port.scale[:1]),
        TF.zeroPoint: port.zero_point[:1],
        (NNET.hasInputInfo if entry else NNET.hasOutputInfo): info,
    }
    _say(graph, node, facts)
    if not entry:
        return
    for number, sensor in enumerate(meta.sensors, 1):
        source = _part(own, "sensor", number)
        graph.add((source, RDF.type, sensor))
        graph.add((source, SSN_EXTEND.provideInput, node))


def _layer(graph: Graph, own: URIRef, number: int, layer: "ModelLayer", count: int) -> None:
    node = _part(own, "layer", number)
    graph.add((node, RDF.type, NNET.Layer))
    if number == 1:
        graph.add((own, NNET.inputLayer, node))
    if number == count:
        graph.add((own, NNET.outputLayer, node))
    if 1 < number < count:
        graph.add((own, NNET.middleLayer, node))
    kind, dtype = _LAYER_TYPES.get(layer.operator), _QUANTIZATIONS.get(layer.dtype)
    activation = _ACTIVATIONS.get(layer.activation)
    facts = {
        NNET.hasIndex: number,
        NNET.hasType: NNET[kind] if kind else None,
        NNET.hasQuantization: NNET[dtype] if dtype else None,
        NNET.hasActivation: NNET[activation] if activation else None,
        NNET.shapeIn: _spelled(layer.shape_in),
        NNET.shapeOut: _spelled(layer.shape_out),
        TF.operator: layer.operator,
        TF.operatorVersion: layer.version,
        TF.dtype: layer.dtype,
        TF.kernelSize: _spelled(layer.kernel) if any(layer.kernel) else None,
        TF.stride: _spelled(layer.stride) if any(layer.stride) else None,
        TF.macs: layer.macs,
    }
    _say(graph, node, facts)


def _metric(graph: Graph, own: URIRef, number: int, name: str, value: float) -> None:
    node = _part(own, "metric", number)
    graph.add((own, NNET.hasMetric, node))
    graph.add((node, RDF.type, NNET.Metric))
    if known := _METRICS.get(name.lower().replace("_", "-").replace(" ", "-")):
        graph.add((node, RDF.type, NNET[known]))
    _say(graph, node, {SCHEMA.name: name, NNET.hasMetricValue: _double(value)})


def _double(value: float) -> Literal:
    return Literal(value, datatype=XSD.double)


def _spelled(sizes: tuple[int, ...]) -> str:
    return f"[{' '.join(map(str, sizes))}]"
