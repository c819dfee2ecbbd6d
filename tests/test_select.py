"""A query over the graph chooses who trains."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lines import ONLINE, LineFleet, vector
from small_graph import NETWORK, iri, register, small_graph, tell

from tinyfleet.envelope import devices_from_config
from tinyfleet.errors import QueryError, TrainingError
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.provenance import RoundRecord, UpdateRecord, record_round
from tinyfleet.server.algorithms import ALGORITHMS, Knobs, build
from tinyfleet.server.app import run
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.left_out import left_out
from tinyfleet.server.select import (
    Candidate,
    Chosen,
    Selection,
    Selector,
    choose_devices,
    choose_nodes,
    read_selection,
    share_out,
)
from tinyfleet.server.selections import named_selections

TF = "PREFIX tf: <https://w3id.org/tinyfleet/ontology#>\n"
EVERYONE = range(8)
CAPABLE = {0, 1, 2, 3, 4, 5}


@pytest.fixture
def fleet() -> Iterator[Selector]:
    graph, model = small_graph()
    with graph:
        yield Selector(graph, read_selection("least-recent"), 2, 1, model, NETWORK.name)


def train(selector: Selector, number: int, losses: dict[int, float]) -> None:
    updates = [UpdateRecord(iri(device), 10, loss) for device, loss in losses.items()]
    devices = [update.device for update in updates]
    record = RoundRecord("r", number, number == 1, devices, updates, f"{number:064}", "f" * 64)
    selector.graph.record(record_round(record))


def ask(selector: Selector, name: str, count: int, number: int = 1) -> tuple[int, ...]:
    chosen = replace(selector, selection=read_selection(name), count=count)
    return chosen.choose(number, EVERYONE).numbers


def test_the_library_has_the_selections_of_the_page() -> None:
    assert named_selections() == ["available", "capable", "fair", "least-recent", "worst-accuracy"]


@pytest.mark.parametrize("name", ["capable", "fair", "least-recent", "worst-accuracy"])
def test_who_is_offline_or_cannot_train_the_model_is_never_chosen(
    fleet: Selector, name: str
) -> None:
    assert set(ask(fleet, name, 0)) == CAPABLE


def test_available_chooses_whoever_is_online(fleet: Selector) -> None:
    assert set(ask(fleet, "available", 0)) == {*CAPABLE, 6}


@pytest.mark.parametrize("name", ["available", "capable"])
def test_a_draw_follows_from_seed_and_round_alone(fleet: Selector, name: str) -> None:
    drawn = [ask(fleet, name, 3, number) for number in range(1, 13)]

    assert drawn == [ask(fleet, name, 3, number) for number in range(1, 13)]
    assert len(set(drawn)) > 6
    assert drawn != [ask(replace(fleet, seed=2), name, 3, number) for number in range(1, 13)]


def test_least_recent_asks_everybody_before_anybody_again(fleet: Selector) -> None:
    asked: list[int] = []
    for number in range(1, 4):
        chosen = fleet.choose(number, EVERYONE)
        train(fleet, number, dict.fromkeys(chosen.numbers, 1.0))
        asked += chosen.numbers

    assert set(asked) == CAPABLE
    assert set(fleet.choose(4, EVERYONE).numbers) == set(asked[:2])


def test_who_was_offline_comes_back_at_its_own_place(fleet: Selector) -> None:
    train(fleet, 1, dict.fromkeys(CAPABLE - {0}, 1.0))
    tell(fleet.graph, [1], online=False)
    train(fleet, 2, dict.fromkeys(CAPABLE - {1}, 1.0))
    tell(fleet.graph, [1])

    assert fleet.choose(3, EVERYONE).numbers[0] == 1


def test_fair_shares_places_out_among_gateways(fleet: Selector) -> None:
    chosen = ask(fleet, "fair", 4)

    assert len([n for n in chosen if n < 4]) == len([n for n in chosen if n >= 4]) == 2
    assert set(ask(fleet, "fair", 5)) > {4, 5}


def test_worst_first_asks_the_unknown_then_the_highest_loss(fleet: Selector) -> None:
    train(fleet, 1, {0: 0.3, 1: 0.9, 2: 0.5, 3: 0.1, 4: 0.7})

    assert ask(fleet, "worst-accuracy", 6) == (5, 1, 4, 2, 0, 3)


def test_the_next_in_order_takes_the_place_of_one_that_cannot_be_reached(fleet: Selector) -> None:
    first = fleet.choose(1, EVERYONE)
    present = [number for number in EVERYONE if number != first.numbers[0]]

    again = fleet.choose(1, present)

    assert again.numbers[0] == first.numbers[1]
    assert len(again.numbers) == 2
    assert again.passed[first.devices[0]] == "it cannot be reached now"


def test_devices_of_another_fleet_do_not_count(fleet: Selector) -> None:
    assert replace(fleet, fleet="lab").choose(1, EVERYONE).numbers
    assert replace(fleet, fleet="other").choose(1, EVERYONE).numbers == ()


def test_a_query_of_ones_own_sets_a_quota(fleet: Selector, tmp_path: Path) -> None:
    path = tmp_path / "rooms.rq"
    path.write_text(
        TF + "SELECT ?device ?group (1 AS ?quota) { GRAPH <urn:tinyfleet:graph:index> "
        "{ ?device tf:number ?n ; tf:gateway ?group } FILTER (?n < 4 + ?round) } ORDER BY ?n"
    )
    own = replace(fleet, selection=read_selection(str(path)), count=4)

    assert own.choose(2, EVERYONE).numbers == (0, 4)
    assert own.choose(0, EVERYONE).numbers == (0,)
    assert own.choose(2, EVERYONE).passed[iri(5)] == "gw-2 had its share of the round: 1"


def test_a_device_counts_once_however_often_it_is_named(fleet: Selector) -> None:
    text = f"SELECT ?device {{ VALUES ?device {{ {3 * f'<{iri(3)}> '} }} }}"

    assert replace(fleet, selection=Selection("own", text)).choose(1, EVERYONE).numbers == (3,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT ?thing { ?thing ?p ?o }", r"own\.rq: expected a SELECT that binds \?device, got"),
        ("SELECT ?device { ?device", r"own\.rq: .*expected"),
        ("ASK { ?device ?p ?o }", r"own\.rq: .*SELECT"),
        ("SELECT ?device { SERVICE <http://x/> { ?device ?p ?o } }", r"own\.rq: .*SERVICE"),
        ("DROP ALL", r"own\.rq: "),
        ("", r"own\.rq: "),
    ],
)
def test_a_query_that_cannot_choose_is_refused_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "own.rq"
    path.write_text(text)

    with pytest.raises(QueryError, match=message) as error:
        read_selection(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nobody", "missing.rq", "", "../select-fair", "a\0b.rq"])
def test_a_query_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(QueryError, match="expected") as error:
        read_selection(name)
    assert "\n" not in str(error.value)


def test_a_quota_that_is_no_number_is_refused(fleet: Selector) -> None:
    text = (
        f'SELECT ?device ?group ("x" AS ?quota) {{ VALUES (?device ?group) {{ (<{iri(0)}> 1) }} }}'
    )
    own = replace(fleet, selection=Selection("own", text))

    with pytest.raises(QueryError, match=r"own: \?quota: expected a number, got 'x'"):
        own.choose(1, EVERYONE)


def test_places_that_a_group_cannot_fill_go_to_others() -> None:
    candidates = [Candidate(f"d{i}", group) for i, group in enumerate("aaaaab")]
    passed: dict[str, str] = {}

    taken, sure = share_out(candidates, 4, passed)

    assert [c.device for c in taken] == ["d0", "d1", "d2", "d5"]
    assert not sure  # another group further on would change it
    assert set(passed) == {"d3", "d4"}


def test_a_strategy_asks_whom_the_query_names(fleet: Selector) -> None:
    devices = LineFleet(devices=(1, 3, 4, 5, 6, 7))
    strategy, told = build(ALGORITHMS["tinyreptile"], Knobs(ONLINE)), list[Chosen]()
    grid = FleetGrid(devices)
    strategy.choose = choose_nodes(fleet, lambda: grid.devices, told.append)

    run(grid, strategy, vector(0.5, 0.25), 1)

    assert devices.calls == [tuple(sorted(told[0].numbers))]
    assert set(told[0].numbers) < {1, 3, 4, 5}


def test_a_round_that_finds_nobody_stops_a_run_on_devices(fleet: Selector) -> None:
    tell(fleet.graph, range(7), online=False)
    grid = FleetGrid(LineFleet(devices=EVERYONE))
    strategy = build(ALGORITHMS["tinyreptile"], Knobs(ONLINE))
    strategy.choose = choose_nodes(fleet, lambda: grid.devices, lambda _: None)

    with pytest.raises(QueryError, match="least-recent: round 1: expected at least one of 8 devic"):
        run(grid, strategy, vector(0.5, 0.25), 1)


def test_gateways_are_told_which_devices_learn(fleet: Selector) -> None:
    expected = sorted(fleet.choose(1, EVERYONE).numbers)
    choose = choose_devices(fleet, lambda _: None)
    choice = choose(1, [11, 12])
    tell(fleet.graph, range(7), online=False)

    assert list(choice.nodes) == [11, 12]
    assert list(choice.devices or ()) == expected
    assert list(choose(2, [11, 12]).nodes) == []


@pytest.mark.parametrize("devices", ["1", [1.5], [True], None])
def test_a_gateway_refuses_devices_that_are_no_numbers(devices: object) -> None:
    with pytest.raises(TrainingError, match=r"config\.devices: expected whole numbers"):
        devices_from_config({"devices": devices})


def test_why_others_were_left_out_is_said_of_each(fleet: Selector) -> None:
    chosen = replace(fleet, selection=read_selection("fair"), count=2).choose(1, EVERYONE)

    reasons = left_out(fleet, chosen)

    assert set(reasons) == {iri(n) for n in range(8)} - set(chosen.devices)
    assert "RAM to train, has 8,192" in reasons[iri(6)]
    assert reasons[iri(7)] == "never online"
    assert {reasons[d] for d in chosen.passed} <= {
        "the round was full before its turn",
        "gw-1 had its share of the round: 1",
        "gw-2 had its share of the round: 1",
    }


def test_a_new_device_is_first_in_turn(fleet: Selector) -> None:
    train(fleet, 1, dict.fromkeys(CAPABLE, 1.0))
    register(fleet.graph, 8)
    tell(fleet.graph, [8])

    assert fleet.choose(2, range(9)).numbers[0] == 8


def test_an_empty_graph_chooses_nobody() -> None:
    with FleetGraph.open() as graph:
        for name in named_selections():
            assert Selector(graph, read_selection(name), 3).choose(1, EVERYONE).numbers == ()
