"""A network as TOML: read it, write it, and say in one line what is wrong with it.

    name = "tiny"
    input = [28, 28, 1]
    loss = "softmax-cross-entropy"

    [[layer]]
    kind = "conv2d"
    filters = 8
    kernel = 3          # or [3, 3]
    stride = 2

    [[layer]]
    kind = "global-average-pool"

    [[layer]]
    kind = "dense"
    name = "head"       # without one: the kind and a count, such as dense-1
    outputs = 5

A layer's keys are the fields of its class in `tinyfleet.layers`, with the same defaults.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from tinyfleet.errors import NetworkError
from tinyfleet.layers import LAYERS, Layer, Padding, Pair, kind_of
from tinyfleet.network import LOSSES, Network


def load_network(path: str | Path) -> Network:
    """Read the network described in the TOML file at `path`.

    Raises:
        NetworkError: the file is missing, no TOML, or describes no network.
    """
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise NetworkError(
            f"{path}: expected a TOML file of a network, got {error.strerror or error}"
        ) from None
    except UnicodeDecodeError as error:
        raise NetworkError(
            f"{path}: expected TOML in UTF-8, got byte {error.object[error.start]:#04x} "
            f"at {error.start}"
        ) from None
    return network_from_toml(text, str(path))


def network_from_toml(text: str, source: str) -> Network:
    """Read a network from TOML; `source` is what errors call the text.

    Raises:
        NetworkError: the text is no TOML or describes no network.

    >>> layer = '[[layer]]\\nkind = "dense"\\noutputs = 1'
    >>> text = 'name = "n"\\ninput = [2]\\nloss = "mean-square"\\n' + layer
    >>> network_from_toml(text, "n.toml").parameters
    3
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise NetworkError(f"{source}: expected TOML, got {error}") from None
    top = _read(
        table,
        {"name": _text, "input": _wholes, "loss": _loss, "layer": _tables},
        required={"name", "input", "loss", "layer"},
        place=source,
    )
    layers: list[tuple[str, Layer]] = []
    counts: dict[str, int] = {}
    for number, entry in enumerate(top["layer"], 1):
        kind = _kind(entry, f"{source}: layer {number}")
        counts[kind] = counts.get(kind, 0) + 1
        layers.append(_layer(entry, kind, f"{kind}-{counts[kind]}", f"{source}: layer {number}"))
    try:
        return Network(top["name"], tuple(top["input"]), tuple(layers), top["loss"])
    except NetworkError as error:
        raise NetworkError(f"{source}: {error}") from None


def network_to_toml(network: Network) -> str:
    """Write `network` as TOML, every field spelled out; reading it gives an equal network."""
    lines = [
        f"name = {_quoted(network.name)}",
        f"input = {list(network.input_shape)}",
        f"loss = {_quoted(network.loss)}",
    ]
    for name, layer in network.layers:
        lines += ["", "[[layer]]", f"kind = {_quoted(kind_of(layer))}", f"name = {_quoted(name)}"]
        for field in fields(layer):
            value = getattr(layer, field.name)
            if value is not None:  # TOML has no null: the default says it
                lines.append(f"{field.name} = {_spelled(value)}")
    return "\n".join(lines) + "\n"


def _kind(entry: Mapping[str, Any], place: str) -> str:
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in LAYERS:
        raise NetworkError(f"{place}: kind: expected one of {', '.join(LAYERS)}, got {kind!r}")
    return kind


def _layer(entry: Mapping[str, Any], kind: str, default: str, place: str) -> tuple[str, Layer]:
    layer_type = LAYERS[kind]
    hints = get_type_hints(layer_type)
    readers: dict[str, Callable[[Any], Any]] = {"kind": _text, "name": _text}
    readers |= {field.name: _READERS[hints[field.name]] for field in fields(layer_type)}
    named = f"{place} ({entry.get('name', default)!r}, {kind})"
    values = _read(entry, readers, {f.name for f in fields(layer_type) if _required(f)}, named)
    del values["kind"]
    return values.pop("name", default), layer_type(**values)


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING


def _read(
    table: Mapping[str, Any],
    readers: Mapping[str, Callable[[Any], Any]],
    required: set[str],
    place: str,
) -> dict[str, Any]:
    """Return the table's values through their readers; refuse what is unknown, missing or wrong."""
    for key in table:
        if key not in readers:
            raise NetworkError(
                f"{place}: expected only the keys {', '.join(readers)}, got {key!r}; "
                "remove it or mend its spelling"
            )
    for key in readers:
        if key in required and key not in table:
            raise NetworkError(f"{place}: {key}: expected a value, got none; add {key} = ...")
    values = {}
    for key, value in table.items():
        try:
            values[key] = readers[key](value)
        except ValueError as error:
            raise NetworkError(f"{place}: {key}: expected {error}, got {value!r}") from None
    return values


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text in quotes")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:  # a bool is an int as well
        raise ValueError("a whole number")
    return value


def _wholes(value: Any) -> list[int]:
    if not isinstance(value, list) or any(type(number) is not int for number in value):
        raise ValueError("a list of whole numbers such as [28, 28, 1]")
    return value


def _pair(value: Any) -> Pair:
    numbers = [value, value] if type(value) is int else value
    if not isinstance(numbers, list) or [type(number) for number in numbers] != [int, int]:
        raise ValueError("a whole number such as 3, or two such as [3, 3]")
    return (numbers[0], numbers[1])


def _choice(value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError("one of " + ", ".join(f'"{choice}"' for choice in choices))
    return str(value)


def _padding(value: Any) -> str:
    return _choice(value, get_args(Padding))


def _loss(value: Any) -> str:
    return _choice(value, LOSSES)


def _tables(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError("[[layer]] tables")
    return value


# How the value of a field of this type is read: one entry for each type that layers use.
_READERS: dict[Any, Callable[[Any], Any]] = {
    int: _whole,
    Pair: _pair,
    Pair | None: _pair,
    Padding: _padding,
}


def _quoted(text: str) -> str:
    """Return a TOML basic string; JSON escapes the same characters, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _spelled(value: str | int | tuple[int, ...]) -> str:
    return str(list(value)) if isinstance(value, tuple) else json.dumps(value)
