"""Many devices of one kind are registered by a Thing Model, each as if it had come alone."""

import json

import pytest
from graph_things import counts, fitting, iri, model, quads, thing

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.graph import BATCH, FleetGraph
from tinyfleet.ontology.kinds import read_kind
from tinyfleet.ontology.registration import described
from tinyfleet.ontology.store import open_store

KIND = thing("{{NUMBER}}", gateway="{{GATEWAY}}")


def values(*numbers: int) -> list[dict[str, str]]:
    return [{"NUMBER": str(number), "GATEWAY": "gw-1"} for number in numbers]


def test_each_device_is_as_if_it_had_come_alone() -> None:
    with FleetGraph.open() as many, FleetGraph.open() as alone:
        many.add_model(model())
        alone.add_model(model())
        assert list(many.register_kind(KIND, values(1, 2, 3))) == [3]
        for number in (1, 2, 3):
            alone.register(thing(number))
            assert json.loads(many.thing(iri(number)) or "") == thing(number)
            assert fitting(many, number) == fitting(alone, number) != set()
        assert quads(many) == quads(alone)
        assert counts(many) == counts(alone)
        many.register(thing(2))
        many.retire(iri(1))
        many.retire(iri(3))
        alone.retire(iri(1))
        alone.retire(iri(3))
        assert quads(many) == quads(alone)


def test_thousands_come_in_batches() -> None:
    with FleetGraph.open() as graph:
        told = list(graph.register_kind(KIND, values(*range(BATCH + 1))))
        assert told == [BATCH, BATCH + 1]
        assert counts(graph) == {"devices": BATCH + 1}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"NUMBER": "1"}, "expected GATEWAY, NUMBER"),
        ({"NUMBER": "1> } ; DROP ALL", "GATEWAY": "gw-1"}, "expected letters, digits"),
        ({"NUMBER": "", "GATEWAY": "gw-1"}, "expected letters, digits"),
    ],
)
def test_values_that_cannot_stand_everywhere_are_refused(
    wrong: dict[str, str], message: str
) -> None:
    with FleetGraph.open() as graph:
        with pytest.raises(DescriptionError, match=message):
            list(graph.register_kind(KIND, [wrong]))
        assert quads(graph) == 0


def test_a_device_that_is_there_is_not_written_over() -> None:
    with FleetGraph.open() as graph:
        graph.register(thing(2))
        before = quads(graph)
        with pytest.raises(DescriptionError, match="expected a new device"):
            list(graph.register_kind(KIND, values(1, 2)))
        assert quads(graph) == before


def test_one_device_does_not_come_twice_at_once() -> None:
    with FleetGraph.open() as graph:
        with pytest.raises(DescriptionError, match="expected a new device"):
            list(graph.register_kind(KIND, values(1, 1)))
        assert quads(graph) == 0


def test_what_was_cut_short_is_completed_by_the_same_call_again() -> None:
    store = open_store(None)
    store.extend(described([read_kind(KIND).entry(values(1)[0])]))
    with FleetGraph(store) as graph, FleetGraph.open() as whole:
        assert counts(graph) == {}
        for one in (graph, whole):
            list(one.register_kind(KIND, values(1, 2)))
        assert counts(graph) == {"devices": 2}
        assert quads(graph) == quads(whole)


def test_a_kind_must_tell_its_devices_apart() -> None:
    with FleetGraph.open() as graph, pytest.raises(DescriptionError, match="placeholder"):
        list(graph.register_kind(thing(1), [{}]))
