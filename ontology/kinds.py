"""Many devices of one kind: a Thing Model with placeholders, read and checked once for all.

A Thing Model is a Thing Description in which `{{NAME}}` stands for what differs (Thing
Description 1.1, section 10). Its triples are made once and written for each device with that
device's own values, so that a hundred thousand devices take a minute and not an hour.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyoxigraph as ox

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.entry import Entry, read_entry

_PLACEHOLDER = re.compile(r"\{\{([A-Z][A-Z0-9_]*)\}\}")
_VALUE = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_BLANK = re.compile(r"_:c14n(?=\d)")


@dataclass(frozen=True)
class Kind:
    """A Thing Model that was read.

    Attributes:
        names: of its placeholders.
        example: the description of a device whose values are `marker` of each name.
        mark: what every marker begins with; nothing else in the model holds it.
    """

    names: frozenset[str]
    example: Entry
    mark: str

    def entry(self, values: Mapping[str, str]) -> Entry:
        """Return the description of one device.

        Its blank nodes are labelled after it, so that the same device is the same statements.

        Args:
            values: of the placeholders: letters, digits and `._-`, 1 to 64.

        Raises:
            DescriptionError: a value is absent or is none that can stand everywhere.
        """
        if values.keys() != self.names:
            raise DescriptionError(
                f"values: expected {', '.join(sorted(self.names))}, got {', '.join(sorted(values))}"
            )
        for name, value in values.items():
            if not _VALUE.fullmatch(value):
                raise DescriptionError(
                    f"{name}: expected letters, digits and ._-, 1 to 64, got {value!r:.80}"
                )

        known = {marker(self.mark, name): value for name, value in values.items()}
        device = self._filled(self.example.device, known)
        known[f"{self.mark}blank"] = f"d{hashlib.sha256(device.encode()).hexdigest()[:24]}b"
        gateway = self.example.gateway
        return replace(
            self.example,
            device=device,
            source=self._filled(self.example.source, known),
            statements=tuple(self._filled(text, known) for text in self.example.statements),
            gateway=None if gateway is None else self._filled(gateway, known),
        )

    def _filled(self, text: str, known: Mapping[str, str]) -> str:
        """Return a text with all that stands for something else replaced, in one pass."""
        return self._marks.sub(lambda found: known[found[0]], text)

    @cached_property
    def _marks(self) -> re.Pattern[str]:
        ends = "|".join(marker("", name) for name in sorted(self.names))
        return re.compile(f"{self.mark}(?:{ends}|blank)")


def marker(mark: str, name: str) -> str:
    """Return what stands for a placeholder while the model is read; none begins another."""
    return f"{mark}{name.lower()}-z"


def read_kind(model: Mapping[str, Any]) -> Kind:
    """Read a Thing Model and hold an example of it against the schema and the shapes.

    Raises:
        DescriptionError: it breaks a shape, its id has no placeholder, or what a device offers
            depends on one.
    """
    text = json.dumps(model, ensure_ascii=False)
    mark = "q7x"
    while mark in text.lower():
        mark += "x7"
    names = frozenset(_PLACEHOLDER.findall(text))
    source = _PLACEHOLDER.sub(lambda found: marker(mark, found[1]), text)
    example = read_entry(json.loads(source), source, check=True)
    if mark not in example.device:
        raise DescriptionError(
            f"id: expected a placeholder such as {{{{ID}}}}, got {model['id']!r}"
        )
    if mark in repr(example.profile):
        raise DescriptionError("a placeholder: expected none in what the device offers, got one")
    lines = [_BLANK.sub(f"_:{mark}blank", line) for line in _canonical(example.statements)]
    return Kind(names, replace(example, statements=(" .\n".join(lines),)), mark)


def _canonical(statements: Iterable[str]) -> list[str]:
    """Return statements in an order and with labels that every reading of the model gives."""
    text = "".join(f"{line} .\n" for line in statements)
    graph = ox.Dataset(ox.parse(text, format=ox.RdfFormat.N_QUADS))
    graph.canonicalize(ox.CanonicalizationAlgorithm.RDFC_1_0_SHA_256)
    return sorted(f"{quad.subject} {quad.predicate} {quad.object}" for quad in graph)
