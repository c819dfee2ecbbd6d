"""The descriptions that the directory holds: created, replaced, patched, deleted, listed, purged.

Everything here blocks and belongs on a thread; what writes belongs on the one that writes.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from itertools import count
from typing import Any
from uuid import uuid4

from rdflib import XSD, Literal

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology import graph as registered
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.things_rdf import check_iri
from tinyfleet.server.directory.events import Kind
from tinyfleet.server.directory.merge_patch import difference, merged
from tinyfleet.server.directory.problem import RequestError
from tinyfleet.server.directory.registration import MEMBER, Registration, enriched, expiry

Announce = Callable[[Kind, str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Entry:
    """A description and its registration.

    Attributes:
        thing: the description, as it was given, without the registration.
        registration: of it.
    """

    thing: Mapping[str, Any]
    registration: Registration

    @property
    def tag(self) -> str:
        """The entity tag; weak, since a retrieved description also says when it was."""
        return f'W/"{sha256(_text(self.enriched()).encode()).hexdigest()[:32]}"'

    def enriched(self, retrieved: datetime | None = None) -> dict[str, Any]:
        """Return the description as it is given out."""
        return enriched(self.thing, self.registration, retrieved)


@dataclass(frozen=True)
class View:
    """Which entries of the collection, and in which order.

    Attributes:
        offset: how many are skipped.
        limit: how many there are at most.
        by: "id", "created", "modified" or "expires".
        order: "ascending" or "descending".
    """

    offset: int
    limit: int
    by: str = "id"
    order: str = "ascending"


class Registry:
    """The descriptions in a graph.

    Args:
        graph: where they are.
        announce: is told of every change, after it is in the graph; on the thread that writes.
        now: the clock.
    """

    def __init__(
        self,
        graph: FleetGraph,
        announce: Announce,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._graph, self._announce, self.now = graph, announce, now
        self._run, self._changes = uuid4().hex[:12], count(1)
        self._state = f"{self._run}-0"

    @property
    def state(self) -> str:
        """What changes whenever the collection does."""
        return self._state

    def get(self, thing: str) -> Entry:
        """Return one entry.

        Raises:
            RequestError: 404, there is none.
        """
        found = self.find(thing)
        if found is None:
            raise RequestError(
                HTTPStatus.NOT_FOUND, f"expected a registered description, got {thing}"
            )
        return found

    def find(self, thing: str) -> Entry | None:
        """Return one entry; None where there is none."""
        try:
            check_iri(thing, "id")
        except DescriptionError:
            return None
        found = self._graph.registration(thing)
        return None if found is None else _entry(found)

    def page(self, view: View) -> tuple[list[Entry], bool]:
        """Return the entries of one page, and whether there are more behind it."""
        text = f"{_query(f'list-{view.order}')} LIMIT {view.limit + 1} OFFSET {view.offset}"
        rows = self._graph.select(text, {"by": Literal(view.by)}, limit=view.limit + 1).rows
        found = [self.find(str(thing)) for (thing,) in rows[: view.limit]]
        return [entry for entry in found if entry is not None], len(rows) > view.limit

    def total(self) -> int:
        """Return how many entries there are."""
        rows = self._graph.select(_query("total")).rows
        return int(str(rows[0][0])) if rows else 0

    def create(self, given: Mapping[str, Any]) -> Entry:
        """Take a description without identifier and give it one.

        Raises:
            RequestError: it has an identifier.
            DescriptionError: it is not valid.
        """
        if "id" in given:
            raise RequestError(
                HTTPStatus.BAD_REQUEST,
                "a description with an id is sent by PUT to /things/{id}; by POST, without",
                [("id", "expected none in an anonymous description")],
            )
        return self._keep({"id": uuid4().urn, **given}, None)

    def put(self, thing: str, given: Mapping[str, Any], tags: str | None = None) -> bool:
        """Take a description for an identifier, new or in the place of another.

        Args:
            thing: the identifier.
            given: the description; one that was anonymous need not name it.
            tags: the client's If-Match, if it sent one.

        Returns:
            Whether it is new.

        Raises:
            RequestError: another identifier, or the state is not the one that the client knows.
            DescriptionError: it is not valid.
        """
        old = self.find(thing)
        check_state(old, tags)
        if given.get("id", thing if old else None) != thing:
            raise RequestError(
                HTTPStatus.BAD_REQUEST,
                f"id: expected {thing}, as the path says, got {given.get('id', 'none')}",
                [("id", f"expected {thing}")],
            )
        self._keep(given if "id" in given else {"id": thing, **given}, old)
        return old is None

    def patch(self, thing: str, patch: Mapping[str, Any], tags: str | None = None) -> None:
        """Change a description by a merge patch; an empty one renews its time to live.

        Raises:
            RequestError: there is none, its identifier would change, or as `put`.
            DescriptionError: what comes out is not valid; the old one stays.
        """
        old = self.get(thing)
        check_state(old, tags)
        said = old.registration.to_json()
        if "expires" in said and "ttl" in said:
            del said["expires"]  # it follows from the time to live, also if that is taken away
        new = merged({**old.thing, MEMBER: said}, patch)
        if new.get("id") != thing:
            raise RequestError(
                HTTPStatus.BAD_REQUEST,
                f"id: expected {thing}, which stays, got {new.get('id', 'none')}",
                [("id", f"expected {thing}")],
            )
        self._keep(new, old)

    def delete(self, thing: str, tags: str | None = None) -> None:
        """Delete a description.

        Raises:
            RequestError: there is none, or the state is not the one that the client knows.
        """
        check_state(self.get(thing), tags)
        self._retire(thing)

    def take_in(self, thing: Mapping[str, Any], source: str) -> None:
        """Take the description that a device sent by another way than HTTP.

        Args:
            thing: the description.
            source: its text as it came.

        Raises:
            DescriptionError: it is not valid; the old one stays.
        """
        old = self.find(str(thing.get("id")))
        self._graph.register(thing, source=source)
        self._tell(old, self.get(thing["id"]))

    def purge(self) -> int:
        """Delete what has expired; return how many."""
        expired = self._expired()
        for thing in expired:
            self._retire(thing)
        return len(expired)

    def _expired(self) -> list[str]:
        now = Literal(self.now().isoformat(), datatype=XSD.dateTime)
        return [str(thing) for (thing,) in self._graph.select(_query("expired"), {"now": now}).rows]

    def _keep(self, given: Mapping[str, Any], old: Entry | None) -> Entry:
        expires, ttl = expiry(given.get(MEMBER), self.now())
        thing = {key: value for key, value in given.items() if key != MEMBER}
        # The source is the description as it came; of its registration, what the graph lacks.
        source = _text(thing if ttl is None else {**thing, MEMBER: {"ttl": ttl}})
        try:
            self._graph.register(thing, source=source, expires=expires)
        except DescriptionError as error:
            raise invalid(error) from None
        entry = self.get(thing["id"])
        self._tell(old, entry)
        return entry

    def _tell(self, old: Entry | None, new: Entry) -> None:
        self.changed()
        thing = str(new.thing["id"])
        if old is None:
            self._announce(Kind.CREATED, thing, new.enriched())
        else:
            change = difference(old.enriched(), new.enriched())
            self._announce(Kind.UPDATED, thing, change)

    def _retire(self, thing: str) -> None:
        self._graph.retire(thing)
        self.changed()
        self._announce(Kind.DELETED, thing, {})

    def changed(self) -> None:
        """Note that the collection is another one now."""
        self._state = f"{self._run}-{next(self._changes)}"


def _entry(found: registered.Registration) -> Entry:
    thing = json.loads(found.source)
    said = thing.pop(MEMBER, None)
    ttl = said.get("ttl") if isinstance(said, Mapping) else None
    return Entry(thing, Registration(found.created, found.modified, found.expires, ttl))


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@cache
def _query(name: str) -> str:
    folder = files("tinyfleet.server.directory") / "queries"
    return (folder / f"{name}.rq").read_text(encoding="utf-8")


def check_state(entry: Entry | None, tags: str | None) -> None:
    """Let a conditional write pass.

    Args:
        entry: what is there.
        tags: the client's If-Match: entity tags of states in which it wants to write.

    Raises:
        RequestError: 412, something else is there.
    """
    if tags is None:
        return
    known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    if entry is None or ("*" not in known and entry.tag.removeprefix("W/") not in known):
        raise RequestError(
            HTTPStatus.PRECONDITION_FAILED,
            "If-Match: the description has changed since; get it again, then change it",
        )


def invalid(error: DescriptionError) -> RequestError:
    """Return the refusal of a description, with the member that it is about."""
    place, found, text = str(error).partition(": ")
    inside = found and " " not in place and place != "description"  # the whole is called so
    field, description = (place, text) if inside else ("(root)", str(error))
    return RequestError(
        HTTPStatus.BAD_REQUEST,
        f"the description was not accepted: {error}",
        [(field.strip("/").replace("/", ".") or "(root)", description)],
    )
