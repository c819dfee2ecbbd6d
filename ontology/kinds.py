"""Many devices of one kind: a Thing Model with placeholders, read and checked once for all.

A Thing Model is a Thing Description in which `{{NAME}}` stands for what differs (Thing
Description 1.1, section 10). Its triples are made once and written for each device with that
device's own values, so that a hundred thousand devices take a minute and not an hour.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.entry import Entry, read_entry

_PLACEHOLDER = re.compile(r"\{\{([A-Z][A-Z0-9_]*)\}\}")
_VALUE = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_BLANK = re.compile(r"_:b(?=\d)")


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

    def entry(self, values: Mapping[str, str], label: str) -> Entry:
        """Return the description of one device.

        Args:
            values: of the placeholders: letters, digits and `._-`, 1 to 64.
            label: begins the labels of its blank nodes.

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

        def fill(text: str) -> str:
            for name, value in values.items():
                text = text.replace(self._marker(name), value)
            return text.replace(f"{self.mark}blank", label)

        example = self.example
        return replace(
            example,
            device=fill(example.device),
            source=fill(example.source),
            statements=(fill("\n".join(example.statements)),),
            gateway=None if example.gateway is None else fill(example.gateway),
        )

    def _marker(self, name: str) -> str:
        return marker(self.mark, name)


def marker(mark: str, name: str) -> str:
    """Return what stands for a placeholder while the model is read."""
    return f"{mark}{name.lower()}z"


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
    lines = [_BLANK.sub(f"_:{mark}blank", line) for line in example.statements]
    return Kind(names, replace(example, statements=(" .\n".join(lines),)), mark)
