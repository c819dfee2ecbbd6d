"""Which queries of the library choose who trains; kept apart, so that a command's help is quick."""

from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

_PREFIX, _SUFFIX = "select-", ".rq"


def named_selections() -> Sequence[str]:
    """Return the names of the library's selections, ascending."""
    names = (entry.name for entry in _folder().iterdir())
    return sorted(
        name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        for name in names
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX)
    )


def selection_text(name: str) -> str:
    """Return the SPARQL of one of `named_selections`."""
    return (_folder() / f"{_PREFIX}{name}{_SUFFIX}").read_text(encoding="utf-8")


def _folder() -> Traversable:
    return files("tinyfleet.ontology") / "queries"
