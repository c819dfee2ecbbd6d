"""Write a project that runs a model on a device, for a pair that fits.

After SeLoC-ML (Ren, Anicic & Runkler 2022, section 5): what the descriptions know, nobody types.
Who writes the files is found by name under the entry point group "tinyfleet.projects": a function
of one mapping of plain values that returns files.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import entry_points
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.inputs import Mapped

Learning = Literal["whole", "head"]
Writer = Callable[[Mapping[str, Any]], Mapping[str, bytes]]

GROUP: Final = "tinyfleet.projects"
YOURS: Final = re.compile(rb"// [Yy]ours to write")
"""What a writer marks a line with that its user has to write."""


@dataclass(frozen=True)
class Device:
    """The device that a project is for.

    Attributes:
        id: its IRI.
        title: what it is called.
        board: name of its board.
        ram, flash: bytes that it has for a model; None where nobody said.
        memory: bytes of RAM that training may take; None where nobody said.
        sensors: what its sensors are called.
    """

    id: str
    title: str
    board: str
    ram: int | None = None
    flash: int | None = None
    memory: int | None = None
    sensors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """The model that a project carries: a .tflite file, or a network of ours.

    Attributes:
        name: what it is called.
        description: what `tinyfleet describe --json` says of it.
        labels: names of its classes; none where its outputs are numbers.
        content: the .tflite file; None for a network.
        network: the network as TOML; None for a .tflite file.
        weights: the network's vector as little-endian float32.
    """

    name: str
    description: Mapping[str, Any] = field(repr=False)
    labels: tuple[str, ...] = ()
    content: bytes | None = field(default=None, repr=False)
    network: str | None = field(default=None, repr=False)
    weights: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Pairing:
    """A model and a device that it fits.

    Attributes:
        inputs: what of the device goes into the model.
        learning: what the device has the memory to learn: all layers, or the last alone.
        latency: seconds of an inference; None where nobody knows.
        energy: joules of an inference; None where nobody knows.
        forced: why they do not fit, where a project was asked for all the same; "" where they do.
        sensors: what the classes of sensors are called that the model says give its input.
    """

    device: Device
    model: Model
    inputs: Mapped
    learning: Learning | None = None
    latency: float | None = None
    energy: float | None = None
    forced: str = ""
    sensors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Project:
    """A project that was written.

    Attributes:
        folder: where it lies.
        kind: who wrote it.
        files: its files, relative to the folder.
        yours: lines in them that are marked as the user's to write.
    """

    folder: Path
    kind: str
    files: tuple[str, ...]
    yours: int


def kinds() -> tuple[str, ...]:
    """Return the names of the writers that are installed."""
    return tuple(sorted(entry_points(group=GROUP).names))


def generate(pairing: Pairing, kind: str, out: Path, *, force: bool = False) -> Project:
    """Write the project of a pair into the folder `out`; it appears whole or not at all.

    Args:
        pairing: the pair.
        kind: name of the writer, one of `kinds()`.
        out: the folder; its parent must exist.
        force: write into a folder that holds something: files of the same names are replaced, each
            whole, all others stay.

    Raises:
        DescriptionError: no such writer, the model cannot run there, or the folder cannot be used.
    """
    found = entry_points(group=GROUP, name=kind)
    if not found:
        raise DescriptionError(f"--kind: expected one of {', '.join(kinds())}, got {kind!r:.40}")
    out = out.absolute()
    check_place(out, force=force)
    writer: Writer = next(iter(found)).load()
    files = writer(plain(pairing, kind))
    _write(files, out)
    yours = sum(len(YOURS.findall(data)) for data in files.values())
    return Project(out, kind, tuple(sorted(files)), yours)


def plain(pairing: Pairing, kind: str) -> dict[str, Any]:
    """Return a pair as a writer takes it: texts, numbers, bytes, None, lists and dicts of them.

    Keys: `title`, `slug` (of letters, digits and -), `device` (the fields of `Device`), `model`
    (`name`, `kind` "network" or "tflite", `labels`, `description`), `content`, `network`,
    `weights`, `channels` (the fields of `Channel`), `window`, `needs` (classes of sensors that the
    model names for its input), `told` (the input in words),
    `memory`, `learning`, `latency`, `energy`, `forced`, `facts` (what the project says of itself).
    """
    device, model = pairing.device, pairing.model
    shape = input_shape(model.description)
    return {
        "title": f"{model.name} on {device.title}",
        "slug": _slug(model.name, device.board or device.title),
        "device": asdict(device),
        "model": {
            "name": model.name,
            "kind": "tflite" if model.network is None else "network",
            "labels": list(model.labels),
            "description": model.description,
        },
        "content": model.content,
        "network": model.network,
        "weights": model.weights,
        "channels": [asdict(channel) for channel in pairing.inputs.channels],
        "window": pairing.inputs.window,
        "needs": list(pairing.sensors),
        "told": f"the model's input ({' x '.join(map(str, shape))})",
        "memory": device.memory,
        "learning": pairing.learning,
        "latency": pairing.latency,
        "energy": pairing.energy,
        "forced": pairing.forced,
        "facts": {
            "device": device.id,
            "model": model.description.get("id"),
            "checksum": model.description.get("checksum"),
            "kind": kind,
            "learning": pairing.learning,
            "inputs": [channel.name for channel in pairing.inputs.channels],
            "readings": pairing.inputs.window,
        },
    }


def input_shape(description: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of one sample, without the side that counts samples."""
    inputs = description["inputs"]
    sides = [max(1, int(side)) for side in inputs[0]["shape"]] if inputs else []
    return tuple(sides[1:] if len(sides) > 1 and sides[0] == 1 else sides) or (1,)


def _slug(model: str, board: str) -> str:
    """Return a name that any file system and any build tool takes."""
    words = [re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] for text in (model, board)]
    return "-on-".join(word.strip("-") or "some" for word in words)


def check_place(out: Path, *, force: bool) -> None:
    """Raise `DescriptionError` unless a project can be written to `out`."""
    try:
        taken = out.is_dir() and any(out.iterdir())
    except OSError as error:
        raise _unusable(out, error) from None
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DescriptionError(f"{out}: expected a folder, got something else; name another --out")
    if taken and not force:
        raise DescriptionError(
            f"{out}: expected a new or an empty folder, got one that holds something; "
            "name another --out, or replace files of the same names with --force"
        )
    if not out.parent.is_dir():
        raise DescriptionError(f"{out}: expected {out.parent} to be a folder, got none; make it")


def _write(files: Mapping[str, bytes], out: Path) -> None:
    for name in files:
        _check_name(name)
    scratch = out.parent / f".{secrets.token_hex(8)}.part"
    try:
        try:
            for name, data in files.items():
                place = scratch / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
            if out.is_dir() and (any(out.iterdir()) or out.samefile(Path.cwd())):
                _replace(files, scratch, out)
            else:
                os.replace(scratch, out)  # takes the place of an empty folder, of no other
        finally:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(scratch)
    except OSError as error:
        raise _unusable(out, error) from None


def _replace(files: Mapping[str, bytes], scratch: Path, out: Path) -> None:
    """Move each file to its place in `out`; through no link, so that nothing outside is touched."""
    for name in files:
        for parent in reversed(PurePosixPath(name).parents[:-1]):
            if (out / parent).is_symlink():
                raise DescriptionError(
                    f"{out / parent}: expected a folder, got a link; name another --out"
                )
    for name in files:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(scratch / name, out / name)


def _check_name(name: str) -> None:
    """Raise `DescriptionError` for a file that would lie outside the project."""
    path = PurePosixPath(name)
    plain_name = re.fullmatch(r"[A-Za-z0-9_.@/-]+", name)
    if path.is_absolute() or ".." in path.parts or not path.parts or not plain_name:
        raise DescriptionError(f"project: expected a file inside it, got {name!r:.80}")


def _unusable(out: Path, error: OSError) -> DescriptionError:
    return DescriptionError(
        f"{out}: expected a folder that can be written, got {error.strerror or error}; "
        "check its permissions and the free space"
    )
