"""What a round costs a device follows from stated figures, and meets the published ones."""

import math
from dataclasses import replace

import numpy as np
import pytest
from boards import host

from tinyfleet import Assignment, Network, Training, named_network
from tinyfleet.client.board import Board
from tinyfleet.client.link import Link
from tinyfleet.client.stages import stages_of
from tinyfleet.cost import cost
from tinyfleet.layers import Dense
from tinyfleet.network import sequence
from tinyfleet.payloads import Ack, Order, Report
from tinyfleet.simulations.carried import (
    DEVICE,
    ID,
    NETWORK_ID,
    Carried,
    over_mqtt,
    over_serial,
)
from tinyfleet.simulations.costs import (
    CORTEX_M4,
    COUNTED,
    RASPBERRY_PI_4,
    Machine,
    Samples,
    byte_cost,
    head_update,
    inference,
    inference_instructions,
    published_cost,
    round_cost,
    step_instructions,
    step_macs,
)
from tinyfleet.simulations.reproduce import table_3, table_7, table_8
from tinyfleet.simulations.reproduce.rounds import COUNTED as COUNTED_COLUMN
from tinyfleet.simulations.reproduce.rounds import Rounds, cells_of
from tinyfleet.task import Task

PRESENCE = named_network("presence")
ONLINE = Training(rate=0.01)


def asked(network: Network, **changes: object) -> Assignment:
    values: dict[str, object] = {"round": 1, "weights": network.init(0), "training": ONLINE}
    return Assignment(**{**values, **changes})  # type: ignore[arg-type]


def test_a_round_is_its_parts() -> None:
    machine = Machine("by hand", 1e6, 2.0, 1000.0, 500.0, 3.0, 1.0, gateway=False)

    found = round_cost(PRESENCE, asked(PRESENCE), Samples(10), machine)

    assert found.macs == 10 * 12_896
    assert found.instructions == 10 * 33_243
    assert found.train == 10 * 33_243 * 2 / 1e6
    assert found.receive == found.carried.down / 1000
    assert found.send == found.carried.up / 500
    assert found.total == found.receive + found.train + found.send
    assert found.joules == pytest.approx(3 * found.total)
    assert found.memory_published == 4 * 4513 + 4 * (8 + 32 + 64 + 32 + 1)


def test_local_layers_are_rebuilt_on_the_support_and_the_others_learn_the_query() -> None:
    local = ("dense-3", "dense-4")
    others = frozenset(PRESENCE.parts) - set(local)

    found = round_cost(PRESENCE, asked(PRESENCE, local=local), Samples(5, 7), CORTEX_M4)

    expected = 5 * step_macs(PRESENCE, others) + 7 * step_macs(PRESENCE, frozenset(local))
    assert found.macs == expected
    assert step_macs(PRESENCE, others) == 4384 + (2048 + 32) + 32


@pytest.mark.parametrize("name", COUNTED)
def test_an_inference_takes_less_than_a_step_of_the_last_layer(name: str) -> None:
    network = named_network(name)
    last = list(network.parts)[:-1]

    forward = inference_instructions(network)

    assert forward < step_instructions(network, frozenset(last)) < step_instructions(network)
    per_mac = forward / cost(network, ONLINE).macs_forward
    assert 2 < per_mac < 5.5


def test_a_network_that_nobody_counted_is_taken_from_its_operations() -> None:
    network = Network("own", (16,), sequence(Dense(8), Dense(2)), "mean-square")

    assert step_instructions(network) == round(2.58 * step_macs(network))
    assert inference(network, CORTEX_M4).seconds == pytest.approx(2.58 * 144 * 1.3 / 64e6, rel=0.01)


def test_an_update_of_a_head_takes_what_its_weights_take() -> None:
    small, large = (head_update(n, 5, RASPBERRY_PI_4) for n in (63, 127))

    assert large.seconds == pytest.approx(2 * small.seconds, rel=1e-3)
    assert small.joules == pytest.approx(1.4 * small.seconds)
    assert small.seconds == pytest.approx(2.58 * 2 * 64 * 5 / 1.5e9, rel=0.01)


@pytest.mark.parametrize(("share", "cost_"), [(1.0, 0.5318), (0.75, 0.4653), (0.5, 0.3988)])
def test_the_published_cost_is_that_of_its_formula(share: float, cost_: float) -> None:
    what = asked(PRESENCE, local=("dense-3", "dense-4"), share=share)

    assert published_cost(PRESENCE, what) == pytest.approx(cost_, abs=1e-3)
    beyond = byte_cost(PRESENCE, what) - published_cost(PRESENCE, what)
    places = 0 if share == 1.0 else 12 + 2400 / 8
    assert beyond == pytest.approx(places / (8 * 4513), abs=1e-4)


def test_a_round_over_mqtt_is_the_length_of_its_messages() -> None:
    what = asked(PRESENCE)
    order = Order.from_assignment(ID, DEVICE, NETWORK_ID, what).to_bytes()
    weights, by = b"\1" * 18052, "firmware 0.1.0 on nano-33-ble"
    report = Report(ID, DEVICE, 1, NETWORK_ID, weights, None, 32, 0.25, 1, by).to_bytes()
    ack = Ack(ID, "accepted").to_bytes()
    topic = len("tinyfleet/1/lab/gateway-1/17/")

    found = over_mqtt(what, len(weights), len(weights))

    # PUBLISH: type, length, length of the topic, topic, number of the packet; PUBACK: 4 bytes
    ordered = 1 + 3 + 2 + topic + len("assignment") + 2 + len(order)
    acked = 1 + 1 + 2 + topic + len("ack") + 2 + len(ack)
    reported = 1 + 3 + 2 + topic + len("update") + 2 + len(report)
    assert found == Carried(ordered + acked + 4, reported + 4 + 4)


class CountingPort:
    """A port to the firmware's host build that counts what passes."""

    def __init__(self) -> None:
        self.port, self.down, self.up = host(), 0, 0

    def write(self, data: bytes) -> None:
        self.down += len(data)
        self.port.write(data)

    def read(self, timeout: float) -> bytes:
        data = self.port.read(timeout)
        self.up += len(data)
        return data

    def close(self) -> None:
        self.port.close()


def test_frames_are_counted_as_a_board_exchanges_them(request: pytest.FixtureRequest) -> None:
    sine = named_network("sine")
    port = CountingPort()
    request.addfinalizer(port.close)
    link = Link(port, timeout=10)
    x, y = np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
    task, what = Task(x, y, x[:0], y[:0]), asked(sine)
    board = Board(link, sine)
    board.learn(what, task)
    payload_max = link.hello().payload_max
    before = port.down, port.up

    board.learn(what, task)  # the program is there already

    stream = stages_of(sine, what, task)[0].stream
    assert stream is not None
    assert stream.nbytes == 8
    found = over_serial(4 * sine.parameters, 4 * sine.parameters, payload_max)
    # here a sample comes by BEGIN, CHUNK and COMMIT; there the sensor's by SENSE
    begin, chunk, commit = 24, 8, 0
    down = found.down - framed(8) + sum(map(framed, (begin, chunk, commit)))
    up = found.up + 2 * framed(4)
    # COBS takes a byte less where a zero follows 254 others; HELLO's names differ
    assert down - 30 <= port.down - before[0] <= down
    assert abs(port.up - before[1] - up) <= 40


def framed(payload: int) -> int:
    plain = 10 + payload
    return plain + 1 + plain // 254 + 1


@pytest.mark.parametrize("rounds", [table_3.ROUNDS, table_7.ROUNDS, table_8.ROUNDS])
def test_at_their_size_the_model_meets_what_was_measured(rounds: Rounds) -> None:
    theirs = [cell for cell in cells_of(rounds) if "their size" in cell.row]

    assert len(theirs) == 3 * 8
    for cell in theirs:
        if cell.ours is not None and cell.published is not None:
            near = 0.1 if cell.column in ("receive", "send") else 0.05
            assert cell.ours == pytest.approx(cell.published, rel=near, abs=0.01), cell


@pytest.mark.parametrize("rounds", [table_3.ROUNDS, table_7.ROUNDS, table_8.ROUNDS])
def test_no_figure_is_missing_without_a_reason(rounds: Rounds) -> None:
    for cell in cells_of(rounds):
        assert cell.ci95 is None
        assert cell.command == f"tinyfleet reproduce --only {rounds.table}"
        if cell.ours is None:
            assert "not published" in cell.why


def test_our_round_is_cheaper_wherever_it_stands_beside_a_published_one() -> None:
    for rounds in (table_3.ROUNDS, table_7.ROUNDS, table_8.ROUNDS):
        cells = [cell for cell in cells_of(rounds) if "their size" not in cell.row]
        for cell in cells:
            if cell.column in ("train", "total", "energy") and cell.published is not None:
                assert cell.ours is not None
                assert cell.ours < cell.published, cell


def test_places_count_against_the_published_cost() -> None:
    cells = {(cell.row, cell.column): cell.ours for cell in cells_of(table_3.ROUNDS)}
    row = "TinyMetaFed, P = 75, 108,229 parameters (their size)"
    plain, counted = cells[row, "communication cost"], cells[row, COUNTED_COLUMN]

    assert plain is not None
    assert counted is not None
    assert math.isclose(counted - plain, 37_880 / 8 / (8 * 108_229), rel_tol=0.02)


def test_all_rates_scale_as_they_should() -> None:
    slow = replace(CORTEX_M4, hertz=32e6, down=1450.0)
    at, half = (round_cost(PRESENCE, asked(PRESENCE), Samples(4), m) for m in (CORTEX_M4, slow))

    assert half.train == pytest.approx(2 * at.train)
    assert half.receive == pytest.approx(2 * at.receive)
    assert half.carried == at.carried
