"""What is known of a model: enough to choose a device for it, and to check that it is the one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from rdflib import Graph, URIRef

from tinyfleet.ontology.meta import Meta
from tinyfleet.ontology.model_rdf import model_graph
from tinyfleet.ontology.tflite.arena import Arena
from tinyfleet.ontology.tflite.file import Metadata, Pair, Shape, Signature
from tinyfleet.ontology.tflite.patches import Patches


@dataclass(frozen=True)
class Port:
    """An input or an output of a model.

    Attributes:
        shape: its shape, with -1 where only running the model tells.
        signature: the shape with -1 for every size that may vary; () where none may.
        scale: value of one step: one number, or one for each channel; () where not quantised.
        zero_point: the integers that stand for 0, as many.
    """

    name: str
    shape: Shape
    signature: Shape
    dtype: str
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `tinyfleet describe --json` says of it; scale 0 where not quantised."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "shape_signature": list(self.signature or self.shape),
            "dtype": self.dtype,
            "scale": _one_or_list(self.scale, 0.0),
            "zero_point": _one_or_list(self.zero_point, 0),
        }


@dataclass(frozen=True)
class ModelLayer:
    """One operator of a model.

    Attributes:
        operator: "CONV_2D" and so on; a custom operator's own name.
        version: of the operator.
        custom: whether it is none of the runtime's own.
        activation: fused into it, such as "RELU6"; "" for none.
        shape_in, shape_out: of its first input that is computed, and its first output.
        dtype: of its first output.
        kernel, stride: rows and columns; (0, 0) for what does not slide.
        macs: multiply-accumulates, by the published count.
        subgraph: 0 for the model itself, another for what an operator runs.
    """

    operator: str
    version: int
    custom: bool
    activation: str
    shape_in: Shape
    shape_out: Shape
    dtype: str
    kernel: Pair
    stride: Pair
    macs: int
    subgraph: int

    def to_json(self) -> dict[str, Any]:
        """Return what `tinyfleet describe --json` says of it."""
        return {
            "operator": self.operator,
            "activation": self.activation,
            "shape_in": list(self.shape_in),
            "shape_out": list(self.shape_out),
            "dtype": self.dtype,
            "kernel": list(self.kernel) if any(self.kernel) else None,
            "stride": list(self.stride) if any(self.stride) else None,
            "macs": self.macs,
            "subgraph": self.subgraph,
        }


@dataclass(frozen=True)
class TrainingRam:
    """Bytes of a board's arena while it trains: all layers, the later half of them, the last."""

    whole: int
    partial: int
    head: int


@dataclass(frozen=True)
class ModelDescription:
    """A model, described.

    Attributes:
        name: the file's without its ending, or the network's.
        checksum: SHA-256 of the file, or of a network's TOML.
        runtime: what runs it: "TFLite Micro" or "tinyfleet kernel".
        flash_bytes: bytes of the file; of a network, its weights and program.
        arena: bytes of memory while it runs.
        macs: multiply-accumulates of one inference by the published count.
        macs_all: those that this count leaves out counted, too; loops count one pass.
        parameters: trained numbers.
        types: of what is computed, sorted: "float32", "int8".
        layers: operators in order; those of further subgraphs come last.
        patches: the best plan patch by patch; None where it gains nothing.
        training: for networks that devices train.
        note: what the file says of itself.
    """

    name: str
    checksum: str
    runtime: str
    flash_bytes: int
    arena: Arena
    macs: int
    macs_all: int
    parameters: int
    types: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[ModelLayer, ...] = field(repr=False)
    signatures: tuple[Signature, ...] = ()
    metadata: tuple[Metadata, ...] = ()
    patches: Patches | None = None
    training: TrainingRam | None = None
    note: str = ""

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators in order."""
        return tuple(layer.operator for layer in self.layers)

    @property
    def custom_operators(self) -> tuple[str, ...]:
        """Names of the custom operators, each once, in order."""
        return tuple(dict.fromkeys(layer.operator for layer in self.layers if layer.custom))

    @property
    def versions(self) -> Mapping[str, int]:
        """The highest version that is asked of each operator, by its name."""
        versions: dict[str, int] = {}
        for layer in self.layers:
            versions[layer.operator] = max(layer.version, versions.get(layer.operator, 0))
        return versions

    def iri(self, meta: Meta | None = None) -> URIRef:
        """Return the model's IRI, which changes with its name and with every byte of it."""
        name = quote(meta.name if meta and meta.name else self.name, safe="")
        return URIRef(f"urn:tinyfleet:model:{name}:{self.checksum[:16]}")

    def to_json(self, meta: Meta | None = None) -> dict[str, Any]:
        """Return what `tinyfleet describe --json` prints."""
        patches, training = self.patches, self.training
        return {
            "id": str(self.iri(meta)),
            "name": (meta.name if meta else "") or self.name,
            "checksum": self.checksum,
            "runtime": (meta.runtime if meta else "") or self.runtime,
            "macs": self.macs,
            "macs_all": self.macs_all,
            "parameters": self.parameters,
            "flash_bytes": self.flash_bytes,
            "arena_bytes": _arena(self.arena),
            "types": list(self.types),
            "inputs": [port.to_json() for port in self.inputs],
            "outputs": [port.to_json() for port in self.outputs],
            "operators": list(self.operators),
            "custom_operators": list(self.custom_operators),
            "operator_versions": dict(self.versions),
            "layers": [layer.to_json() for layer in self.layers],
            "signatures": [_signature(signature) for signature in self.signatures],
            "metadata": [_metadata(metadata) for metadata in self.metadata],
            "description": self.note,
            "patches": _patches(patches) if patches else None,
            "training_ram_bytes": _training(training) if training else None,
        }

    def to_graph(self, meta: Meta | None = None) -> Graph:
        """Return the description as RDF: the neural-network schema, and facts for matching."""
        return model_graph(self, meta or Meta())


def clean(text: str) -> str:
    """Return `text` on one line, without what a terminal would obey."""
    return re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()


def _one_or_list(values: tuple[Any, ...], none: Any) -> Any:
    if len(values) > 1:
        return list(values)
    return values[0] if values else none


def _arena(arena: Arena) -> dict[str, Any]:
    return {
        "head": arena.head,
        "tail": arena.tail,
        "total": arena.total,
        "tool": arena.tool,
        "version": arena.version,
        "planned": arena.planned,
        "reason": arena.reason,
    }


def _signature(signature: Signature) -> dict[str, Any]:
    return {
        "key": signature.key,
        "subgraph": signature.subgraph,
        "inputs": dict(signature.inputs),
        "outputs": dict(signature.outputs),
    }


def _metadata(metadata: Metadata) -> dict[str, Any]:
    return {"name": metadata.name, "bytes": metadata.bytes, "text": metadata.text}


def _patches(patches: Patches) -> dict[str, Any]:
    return {
        "layers": patches.layers,
        "grid": list(patches.grid),
        "ram_bytes": patches.ram_bytes,
        "streamed_ram_bytes": patches.streamed_ram_bytes,
        "whole_ram_bytes": patches.whole_ram_bytes,
        "macs": patches.macs,
        "extra_macs": patches.extra_macs,
    }


def _training(training: TrainingRam) -> dict[str, Any]:
    return {"whole": training.whole, "partial": training.partial, "head": training.head}
