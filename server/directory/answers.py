"""The formats of the web in which a query can be answered."""

from collections.abc import Mapping
from types import MappingProxyType

TRUTHS = (
    "application/sparql-results+json",
    "application/json",
    "application/sparql-results+xml",
    "application/xml",
)
"""Formats for the truth of an ASK."""

TABLES = (*TRUTHS, "text/csv", "text/tab-separated-values")
"""Formats for the rows of a SELECT."""

GRAPHS = (
    "text/turtle",
    "application/ld+json",
    "application/n-triples",
    "application/rdf+xml",
    "application/n-quads",
    "application/trig",
    "text/n3",
)
"""Formats for the triples of a CONSTRUCT or a DESCRIBE."""

FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"SELECT": TABLES, "ASK": TRUTHS, "CONSTRUCT": GRAPHS, "DESCRIBE": GRAPHS}
)
"""Formats by the form of the query."""
