"""W3C WoT Discovery, the Things API: each testable assertion by its name, and what else it keeps.

Source: https://www.w3.org/TR/2023/REC-wot-discovery-20231205/, 7.3.1 and 7.3.2.1.
"""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from directories import ORIGIN, PATCH, TD, Asked, directory, nameless, thing, wait_until

from tinyfleet.server.directory.access import Access
from tinyfleet.server.directory.directory import Limits

DISCOVERY = "https://www.w3.org/2022/wot/discovery"
HERE = "/things/urn:example:1"
TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def running() -> Iterator[Asked]:
    with directory() as client:
        yield client


@pytest.fixture
def asked(running: Asked) -> Asked:
    """A directory that holds nothing."""
    for found in running("GET", "/things").json():
        running("DELETE", f"/things/{found['id']}")
    return running


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def links(answer: Any) -> dict[str, str]:
    """Return the targets of the Link headers by their relation."""
    found = re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers["link"])
    return {relation: target for target, relation in found}


# Introduction and the directory's own description


def test_introduction_well_known_path(asked: Asked) -> None:
    assert asked("GET", "/.well-known/wot").status_code == 200


def test_introduction_well_known_thing_description(asked: Asked) -> None:
    answer = asked("GET", "/.well-known/wot")

    assert answer.headers["content-type"] == "application/td+json"
    assert answer.json()["base"] == f"{ORIGIN}/"


def test_introduction_direct_directory_description(asked: Asked) -> None:
    assert asked("GET", "/").json() == asked("GET", "/.well-known/wot").json()


def test_exploration_directory_description_type(asked: Asked) -> None:
    own = asked("GET", "/.well-known/wot").json()

    assert own["@type"] == "ThingDirectory"
    assert DISCOVERY in own["@context"]


def test_the_directorys_own_description_can_be_registered(asked: Asked) -> None:
    assert asked.put(asked("GET", "/").json()).status_code == 201


@pytest.mark.parametrize("path", ["/", "/.well-known/wot"])
def test_exploration_server_http_head(asked: Asked, path: str) -> None:
    head, get = asked("HEAD", path), asked("GET", path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers


# Registration information and anonymous descriptions


def test_tdd_context_injection(asked: Asked) -> None:
    asked.put(thing() | {"@context": ["https://www.w3.org/2022/wot/td/v1.1", {"e": "http://e/"}]})

    assert asked("GET", HERE).json()["@context"] == [
        "https://www.w3.org/2022/wot/td/v1.1",
        DISCOVERY,
        {"e": "http://e/"},
    ]


def test_tdd_absolute_time(asked: Asked) -> None:
    asked.put(thing(registration={"expires": "2126-03-01T12:00:00+02:00"}))

    assert moment(asked("GET", HERE).json()["registration"]["expires"]) == datetime(
        2126, 3, 1, 10, tzinfo=UTC
    )


def test_tdd_registrationinfo_vocab_created(asked: Asked) -> None:
    before = datetime.now(UTC)
    asked.put(thing())
    created = asked("GET", HERE).json()["registration"]["created"]
    asked.put(thing(title="again"))

    assert before <= moment(created) <= datetime.now(UTC)
    assert asked("GET", HERE).json()["registration"]["created"] == created


def test_tdd_registrationinfo_vocab_modified(asked: Asked) -> None:
    asked.put(thing())
    first = asked("GET", HERE).json()["registration"]["modified"]
    asked.put(thing(title="again"))

    assert moment(asked("GET", HERE).json()["registration"]["modified"]) > moment(first)


def test_tdd_registrationinfo_vocab_expires(asked: Asked) -> None:
    asked.put(thing(registration={"ttl": 1000, "expires": "2126-01-01T00:00:00Z"}))
    said = asked("GET", HERE).json()["registration"]

    assert moment(said["expires"]) < datetime.now(UTC) + timedelta(seconds=1001), "ttl goes first"


def test_tdd_registrationinfo_vocab_ttl(asked: Asked) -> None:
    asked.put(thing(registration={"ttl": 1000}))
    said = asked("GET", HERE).json()["registration"]

    lives = moment(said["expires"]) - moment(said["modified"])
    assert said["ttl"] == 1000
    assert abs(lives - timedelta(seconds=1000)) < timedelta(seconds=2)


def test_tdd_registrationinfo_vocab_retrieved(asked: Asked) -> None:
    asked.put(thing())
    before = datetime.now(UTC)

    retrieved = asked("GET", HERE).json()["registration"]["retrieved"]
    assert before <= moment(retrieved) <= datetime.now(UTC)


def test_what_a_client_says_of_created_and_modified_does_not_count(asked: Asked) -> None:
    asked.put(thing(registration={"created": "1999-01-01T00:00:00Z"}))

    assert moment(asked("GET", HERE).json()["registration"]["created"]).year > 1999


def test_tdd_registrationinfo_expiry_purge() -> None:
    with directory(limits=Limits(purge=0.05)) as client:
        client.put(thing(1, registration={"ttl": 0.1}))
        client.put(thing(2))

        wait_until(lambda: client("GET", HERE).status_code == 404)
        assert [found["id"] for found in client("GET", "/things").json()] == ["urn:example:2"]


def test_an_empty_patch_renews_the_time_to_live(asked: Asked) -> None:
    asked.put(thing(registration={"ttl": 1000}))
    first = asked("GET", HERE).json()["registration"]
    time.sleep(0.01)
    asked.patch("urn:example:1", {})

    renewed = asked("GET", HERE).json()["registration"]
    assert moment(renewed["expires"]) > moment(first["expires"])
    assert renewed["ttl"] == 1000


def test_a_time_to_live_that_is_taken_away_leaves_no_expiry(asked: Asked) -> None:
    asked.put(thing(registration={"ttl": 1000}))
    asked.patch("urn:example:1", {"registration": {"ttl": None}})

    assert not {"ttl", "expires"} & set(asked("GET", HERE).json()["registration"])


def test_tdd_anonymous_td_identifier(asked: Asked) -> None:
    place = asked.post(nameless()).headers["location"]
    found = asked("GET", place).json()

    assert place == f"/things/{found['id']}"
    assert asked("GET", "/things").json()[0]["id"] == found["id"]


def test_tdd_anonymous_td_local_uuid(asked: Asked) -> None:
    place = asked.post(nameless()).headers["location"]

    assert re.fullmatch(
        r"/things/urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        place,
    )


# The interfaces


def test_tdd_things_list_only(asked: Asked) -> None:
    assert asked("GET", "/things").json() == []


def test_tdd_things_crud(asked: Asked) -> None:
    steps = [
        asked.put(thing()),
        asked("GET", HERE),
        asked.put(thing(title="again")),
        asked("DELETE", HERE),
    ]
    assert [answer.status_code for answer in steps] == [201, 200, 204, 204]


def test_tdd_things_crudl(asked: Asked) -> None:
    allowed = {
        path: set(asked("OPTIONS", path).headers["allow"].split(", ")) for path in ("/things", HERE)
    }
    assert allowed == {
        "/things": {"GET", "HEAD", "OPTIONS", "POST"},
        HERE: {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"},
    }


def test_tdd_things_read_only_auth() -> None:
    with directory(access=Access(TOKEN)) as client:
        bearer = {"authorization": f"Bearer {TOKEN}"}
        client.put(thing(), **bearer)
        refused = [
            client.put(thing(title="again")),
            client.post(nameless()),
            client.patch("urn:example:1", {"title": "again"}),
            client("DELETE", HERE),
            client("DELETE", HERE, headers={"authorization": "Bearer another-token-of-length"}),
        ]

        assert {answer.status_code for answer in refused} == {401}
        assert all("Bearer" in answer.headers["www-authenticate"] for answer in refused)
        assert client("GET", HERE).json()["title"] == "thing 1"
        assert client("DELETE", HERE, headers=bearer).status_code == 204


def test_tdd_things_default_representation(asked: Asked) -> None:
    asked.put(thing())

    assert asked("GET", HERE).json()["@context"]
    assert asked("GET", "/things").headers["content-type"] == "application/ld+json"


@pytest.mark.parametrize("media", ["application/ld+json", "application/json"])
def test_tdd_things_representation_alternate_input(asked: Asked, media: str) -> None:
    answer = asked("PUT", HERE, content=json.dumps(thing()), headers={"content-type": media})

    assert answer.status_code == 201


@pytest.mark.parametrize("media", ["application/td+json", "application/json"])
def test_tdd_http_representation_alternate_output(asked: Asked, media: str) -> None:
    asked.put(thing())
    answer = asked("GET", HERE, headers={"accept": f"text/html, {media};q=0.5"})

    assert answer.headers["content-type"] == media
    assert asked("GET", HERE, headers={"accept": "text/html"}).status_code == 406


# Create


def test_tdd_things_create_known_vs_anonymous(asked: Asked) -> None:
    named = asked.post(thing())
    unnamed = asked("PUT", HERE, content=json.dumps(nameless()), headers=TD)

    assert (named.status_code, unnamed.status_code) == (400, 400)
    assert asked("GET", "/things").json() == []


def test_tdd_things_create_known_td(asked: Asked) -> None:
    other = asked("PUT", "/things/urn:example:2", content=json.dumps(thing()), headers=TD)

    assert other.status_code == 400, "the id of the path is the description's"
    assert asked.put(thing()).status_code == 201


def test_tdd_things_create_known_contenttype(asked: Asked) -> None:
    answer = asked("PUT", HERE, content=json.dumps(thing()), headers={"content-type": "text/plain"})

    assert answer.status_code == 415
    assert "application/td+json" in answer.headers["accept"]


def test_tdd_things_create_known_td_resp(asked: Asked) -> None:
    answer = asked.put(thing())

    assert (answer.status_code, answer.content) == (201, b"")


def test_tdd_things_create_anonymous_td(asked: Asked) -> None:
    place = asked.post(nameless()).headers["location"]

    assert asked("GET", place).json()["title"] == "thing 1"


def test_tdd_things_create_anonymous_contenttype(asked: Asked) -> None:
    answer = asked("POST", "/things", content=json.dumps(nameless()))

    assert answer.status_code == 415


def test_tdd_things_create_anonymous_id(asked: Asked) -> None:
    places = {asked.post(nameless()).headers["location"] for _ in range(3)}

    assert len(places) == 3


def test_tdd_things_create_anonymous_td_resp(asked: Asked) -> None:
    answer = asked.post(nameless())

    assert answer.status_code == 201
    assert answer.headers["location"].startswith("/things/")


def test_an_anonymous_description_can_be_replaced_without_its_id(asked: Asked) -> None:
    place = asked.post(nameless()).headers["location"]
    answer = asked("PUT", place, content=json.dumps(nameless(title="again")), headers=TD)

    assert answer.status_code == 204
    assert asked("GET", place).json()["title"] == "again"


@pytest.mark.parametrize(
    "identifier",
    ["http://example.org/things/1?a=b#c", "urn:example:%20", "tag:example.org,2026:ü", "urn:a:b/"],
)
def test_any_iri_is_an_identifier(asked: Asked, identifier: str) -> None:
    place = f"/things/{quote(identifier, safe='')}"
    created = asked("PUT", place, content=json.dumps(thing() | {"id": identifier}), headers=TD)

    assert created.status_code == 201
    assert asked("GET", place).json()["id"] == identifier
    assert asked("DELETE", place).status_code == 204


# Retrieve


def test_tdd_things_retrieve(asked: Asked) -> None:
    asked.put(thing())

    assert asked("GET", HERE).json()["id"] == "urn:example:1"
    assert asked("GET", "/things/urn:example:2").status_code == 404


def test_tdd_things_retrieve_resp(asked: Asked) -> None:
    asked.put(thing(version={"instance": "1.0"}))
    answer = asked("GET", HERE)

    assert answer.status_code == 200
    assert {**answer.json(), "@context": ""}.items() >= {
        **thing(version={"instance": "1.0"}),
        "@context": "",
    }.items()


def test_tdd_things_retrieve_resp_content_type(asked: Asked) -> None:
    asked.put(thing())

    assert asked("GET", HERE).headers["content-type"] == "application/td+json"


def test_a_description_that_did_not_change_is_not_sent_again(asked: Asked) -> None:
    asked.put(thing())
    tag = asked("GET", HERE).headers["etag"]

    assert asked("GET", HERE, headers={"if-none-match": tag}).status_code == 304
    asked.patch("urn:example:1", {"title": "again"})
    assert asked("GET", HERE, headers={"if-none-match": tag}).status_code == 200


# Update


def test_tdd_things_update(asked: Asked) -> None:
    asked.put(thing(description="old"))
    asked.put(thing(title="new"))

    found = asked("GET", HERE).json()
    assert found["title"] == "new"
    assert "description" not in found


def test_tdd_things_update_contenttype(asked: Asked) -> None:
    asked.put(thing())
    answer = asked("PUT", HERE, content="title=new", headers={"content-type": "text/plain"})

    assert answer.status_code == 415
    assert asked("GET", HERE).json()["title"] == "thing 1"


def test_tdd_things_update_resp(asked: Asked) -> None:
    asked.put(thing())
    answer = asked.put(thing(title="new"))

    assert (answer.status_code, answer.content) == (204, b"")


def test_tdd_things_update_partial(asked: Asked) -> None:
    asked.put(thing(description="old"))
    asked.patch("urn:example:1", {"title": "new"})

    found = asked("GET", HERE).json()
    assert (found["title"], found["description"]) == ("new", "old")


def test_tdd_things_update_partial_mergepatch(asked: Asked) -> None:
    asked.put(thing(description="old", version={"instance": "1", "e": "x"}, links=[]))
    asked.patch(
        "urn:example:1",
        {"description": None, "version": {"e": None, "f": "y"}, "links": [{"href": "http://e/"}]},
    )

    found = asked("GET", HERE).json()
    assert "description" not in found
    assert found["version"] == {"instance": "1", "f": "y"}
    assert found["links"] == [{"href": "http://e/"}]


def test_tdd_things_update_partial_contenttype(asked: Asked) -> None:
    asked.put(thing())
    answer = asked("PATCH", HERE, content="{}", headers=TD)

    assert answer.status_code == 415


def test_tdd_things_update_partial_partialtd(asked: Asked) -> None:
    asked.put(thing())
    answers = [
        asked.patch("urn:example:1", {"security": "nobody", "securityDefinitions": None}),
        asked.patch("urn:example:1", {"id": "urn:example:2"}),
        asked("PATCH", HERE, content="[]", headers=PATCH),
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert asked("GET", HERE).json()["security"] == "nosec_sc", "the old one stays"
    assert asked.patch("urn:example:9", {}).status_code == 404


def test_tdd_things_update_partial_resp(asked: Asked) -> None:
    asked.put(thing())
    answer = asked.patch("urn:example:1", {"title": "new"})

    assert (answer.status_code, answer.content) == (204, b"")


def test_a_change_made_meanwhile_is_not_lost(asked: Asked) -> None:
    asked.put(thing())
    tag = asked("GET", HERE).headers["etag"]
    asked.patch("urn:example:1", {"title": "somebody's"})

    late = [
        asked.patch("urn:example:1", {"title": "ours"}, **{"if-match": tag}),
        asked.put(thing(title="ours"), **{"if-match": tag}),
        asked("DELETE", HERE, headers={"if-match": tag}),
    ]
    assert [answer.status_code for answer in late] == [412, 412, 412]
    assert asked("GET", HERE).json()["title"] == "somebody's"


# Delete


def test_tdd_things_delete(asked: Asked) -> None:
    asked.put(thing())
    asked("DELETE", HERE)

    assert asked("GET", HERE).status_code == 404
    assert asked("DELETE", HERE).status_code == 404


def test_tdd_things_delete_resp(asked: Asked) -> None:
    asked.put(thing())
    answer = asked("DELETE", HERE)

    assert (answer.status_code, answer.content) == (204, b"")


# List


@pytest.fixture
def five(asked: Asked) -> Asked:
    """A directory that holds five descriptions, which came in another order than their names'."""
    for number in (3, 1, 5, 2, 4):
        asked.put(thing(number))
    return asked


def numbers(answer: Any) -> list[int]:
    return [int(found["id"].rpartition(":")[2]) for found in answer.json()]


def test_tdd_things_list_method(five: Asked) -> None:
    assert len(five("GET", "/things").json()) == 5


def test_tdd_things_list_resp(five: Asked) -> None:
    answer = five("GET", "/things")

    assert answer.status_code == 200
    assert all(found["registration"]["created"] for found in answer.json())


def test_tdd_things_list_resp_content_type(five: Asked) -> None:
    assert five("GET", "/things").headers["content-type"] == "application/ld+json"
    plain = five("GET", "/things", headers={"accept": "application/json"})
    assert plain.headers["content-type"] == "application/json"


def test_tdd_things_list_pagination(five: Asked) -> None:
    found, path = [], "/things?limit=2"
    while path:
        answer = five("GET", path)
        found += numbers(answer)
        path = links(answer).get("next", "")

    assert found == [1, 2, 3, 4, 5]


def test_tdd_things_list_pagination_limit(five: Asked) -> None:
    assert numbers(five("GET", "/things?limit=2&offset=3")) == [4, 5]
    assert five("GET", "/things?limit=0").status_code == 400


def test_tdd_things_list_pagination_header_nextlink(five: Asked) -> None:
    assert "next" in links(five("GET", "/things?limit=2"))
    assert "next" not in links(five("GET", "/things?limit=2&offset=3"))
    assert "next" not in links(five("GET", "/things?limit=5"))


def test_tdd_things_list_pagination_header_nextlink_attr(five: Asked) -> None:
    answer = five("GET", "/things?limit=2&sort_by=created&sort_order=desc&format=collection")

    assert links(answer)["next"] == (
        "/things?offset=2&limit=2&sort_by=created&sort_order=desc&format=collection"
    )


def test_tdd_things_list_pagination_header_nextlink_base(five: Asked) -> None:
    following = links(five("GET", "/things?limit=2"))["next"]

    assert numbers(five("GET", f"{ORIGIN}{following}")) == [3, 4]


def test_tdd_things_list_pagination_header_canonicallink(five: Asked) -> None:
    def canonical(path: str) -> str:
        found = re.search(
            r'</things>; rel="canonical"; etag="([^"]+)"', five("GET", path).headers["link"]
        )
        assert found is not None
        return found[1]

    pages = {canonical("/things?limit=2"), canonical("/things?offset=4"), canonical("/things")}
    assert len(pages) == 1, "the collection is one, whatever page is shown"
    five("DELETE", HERE)
    assert canonical("/things?limit=2") not in pages


def test_tdd_things_list_pagination_order_default(asked: Asked) -> None:
    names = ["urn:example:b", "urn:example:B", "urn:example:ü", "urn:example:10", "urn:example:9"]
    names.append("urn:example:\U0001f33f")
    for name in names:
        assert asked.put(thing() | {"id": name}).status_code == 201

    assert [found["id"] for found in asked("GET", "/things").json()] == sorted(names)


def test_tdd_things_list_pagination_collection(five: Asked) -> None:
    answer = five("GET", "/things?limit=2&offset=2&format=collection").json()

    assert answer["@type"] == "ThingCollection"
    assert answer["@context"] == DISCOVERY
    assert answer["@id"] == "/things?offset=2&limit=2&format=collection"
    assert answer["next"] == "/things?offset=4&limit=2&format=collection"
    assert (answer["total"], len(answer["members"])) == (5, 2)


@pytest.mark.parametrize(
    ("parameters", "order"),
    [
        ("sort_by=created", [3, 1, 5, 2, 4]),
        ("sort_by=created&sort_order=desc", [4, 2, 5, 1, 3]),
        ("sort_by=modified", [3, 1, 2, 4, 5]),
        ("sort_order=desc", [5, 4, 3, 2, 1]),
    ],
)
def test_the_list_is_sorted_as_asked(five: Asked, parameters: str, order: list[int]) -> None:
    five.put(thing(5, title="again"))

    assert numbers(five("GET", f"/things?{parameters}")) == order


def test_the_list_cannot_be_sorted_by_anything_else(five: Asked) -> None:
    answer = five("GET", "/things?sort_by=title")

    assert answer.status_code == 400
    assert answer.json()["validationErrors"][0]["field"] == "sort_by"


def test_a_page_has_an_end_even_where_nobody_asked_for_one() -> None:
    with directory(limits=Limits(page=2)) as client:
        for number in range(3):
            client.put(thing(number))
        answer = client("GET", "/things")

    assert len(answer.json()) == 2
    assert links(answer)["next"] == "/things?offset=2&limit=2"


def test_the_list_is_not_sent_again_where_nothing_changed(five: Asked) -> None:
    tag = five("GET", "/things").headers["etag"]

    assert five("GET", "/things", headers={"if-none-match": tag}).status_code == 304
    five("DELETE", HERE)
    assert five("GET", "/things", headers={"if-none-match": tag}).status_code == 200
