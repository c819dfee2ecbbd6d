"""Describe a model: a .tflite file, or one of our networks, whichever a name stands for."""

from pathlib import Path

from tinyfleet.description import load_network
from tinyfleet.errors import DescriptionError
from tinyfleet.networks import NETWORKS
from tinyfleet.ontology.describe_network import describe_network as describe_network
from tinyfleet.ontology.model import ModelDescription, ModelLayer, Port
from tinyfleet.ontology.tflite.arena import measure, plan
from tinyfleet.ontology.tflite.chain import model_patches
from tinyfleet.ontology.tflite.file import File, Operator, Subgraph, Tensor
from tinyfleet.ontology.tflite.macs import all_macs, published_macs
from tinyfleet.ontology.tflite.reader import load, read_bytes
from tinyfleet.operators import MICRO


def describe(file: str) -> ModelDescription:
    """Describe the .tflite file, the network's TOML file, or the named network that `file` is.

    Raises:
        DescriptionError: it is none of them, or a .tflite file that is cut or damaged.
        NetworkError: the TOML describes no network.
    """
    if Path(file).suffix == ".toml":
        return describe_network(load_network(file))
    if file in NETWORKS and not Path(file).exists():
        return describe_network(NETWORKS[file]())
    if not Path(file).is_file():
        got = "a folder" if Path(file).is_dir() else "no such file"
        raise DescriptionError(
            f"{file}: expected a .tflite file, a network's .toml file, or one of "
            f"{', '.join(NETWORKS)}, got {got}"
        )
    return read_model(file)


def read_model(path: str | Path, *, measured: bool = True) -> ModelDescription:
    """Describe the .tflite file at `path`.

    Args:
        measured: ask TensorFlow Lite Micro for the arena, in a child process; else plan it.

    Raises:
        DescriptionError: it cannot be read, is no .tflite file, is cut short or damaged.
    """
    return describe_bytes(load(path), str(path), measured=measured)


def describe_bytes(data: bytes, source: str, *, measured: bool = True) -> ModelDescription:
    """Describe the .tflite file whose bytes are `data`; `source` is its path, for name and errors.

    Raises:
        DescriptionError: they are no .tflite file, cut short or damaged.
    """
    file = read_bytes(data, source)
    graph = file.subgraphs[0]
    used = [t for g in file.subgraphs for o in g.operators for t in _touched(g, o)]
    steps = [(n, g, o) for n, g in enumerate(file.subgraphs) for o in g.operators]
    return ModelDescription(
        name=_name(source),
        checksum=file.checksum,
        runtime=MICRO,
        flash_bytes=file.size,
        arena=measure(file, data) if measured else plan(file),
        macs=sum(published_macs(g, o) for _, g, o in steps),
        macs_all=sum(all_macs(g, o) for _, g, o in steps),
        parameters=_parameters(file),
        types=tuple(sorted({tensor.dtype for tensor in used if tensor.computes})),
        inputs=tuple(_port(graph.tensors[n]) for n in graph.inputs),
        outputs=tuple(_port(graph.tensors[n]) for n in graph.outputs),
        layers=tuple(_layer(n, g, o) for n, g, o in steps),
        signatures=file.signatures,
        metadata=file.metadata,
        patches=model_patches(file),
        note=file.description,
    )


def _name(source: str) -> str:
    """Return the file's name without its ending; "?" for bytes in it that are no text."""
    return Path(source).stem.encode(errors="replace").decode() or "model"


def _touched(graph: Subgraph, operator: Operator) -> list[Tensor]:
    return [*graph.read(operator), *(graph.tensors[n] for n in operator.outputs)]


def _parameters(file: File) -> int:
    """Count the trained numbers, those that tensors share once."""
    shared = {t.buffer: t.elements for g in file.subgraphs for t in g.tensors if t.weighs}
    return sum(shared.values())


def _port(tensor: Tensor) -> Port:
    return Port(
        tensor.name,
        tensor.shape,
        tensor.signature if -1 in tensor.signature else (),
        tensor.dtype,
        tensor.scale,
        tensor.zero_point,
    )


def _layer(number: int, graph: Subgraph, operator: Operator) -> ModelLayer:
    reads = graph.read(operator)
    computed = next((tensor for tensor in reads if not tensor.constant), None)
    source = computed or (reads[0] if reads else None)
    target = graph.tensors[operator.outputs[0]] if operator.outputs else None
    window = operator.window
    kernel = window.kernel if window else (0, 0)
    weights = reads[1].shape if len(reads) > 1 else ()
    if window and not any(kernel) and len(weights) == 4:
        kernel = (weights[1], weights[2])
    return ModelLayer(
        operator=operator.kind,
        version=operator.version,
        custom=operator.custom,
        activation="" if operator.activation == "NONE" else operator.activation,
        shape_in=source.shape if source else (),
        shape_out=target.shape if target else (),
        dtype=target.dtype if target else "",
        kernel=kernel,
        stride=window.stride if window else (0, 0),
        macs=published_macs(graph, operator),
        subgraph=number,
    )
