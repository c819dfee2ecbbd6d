"""What goes into a model is found in the Thing Description, or nothing is."""

from typing import Any

import pytest
from generated import number, thing

from tinyfleet.ontology.boards import boards
from tinyfleet.ontology.inputs import Mapped, channels, map_inputs
from tinyfleet.ontology.things import board_thing

NANO = board_thing(boards()["Arduino Nano 33 BLE Sense"], "urn:nano")
CLIMATE = thing(
    temperature=number(-40, 120, unit="unit:DEG_C"),
    humidity=number(0, 100),
    state={"type": "string"},
)
MOTION = {"type": "object", "properties": {axis: number(-4, 4) for axis in "xyz"}}


def names(mapped: Mapped) -> list[str]:
    return [channel.name for channel in mapped.channels]


def test_numbers_go_in_with_their_unit_and_limits_in_the_order_of_the_description() -> None:
    mapped = map_inputs(CLIMATE, (2,), ())

    first = mapped.channels[0]
    assert names(mapped) == ["temperature", "humidity"]
    assert (first.minimum, first.maximum, first.unit) == (-40, 120, "DEG_C")
    assert first.sensor == "Thermometer"


def test_a_vector_takes_as_many_readings_as_fill_it() -> None:
    assert map_inputs(CLIMATE, (8,), ()).window == 4
    assert map_inputs(CLIMATE, (7,), ()) == Mapped()


def test_a_window_of_motion_takes_the_axes_of_the_sensor_that_the_model_needs() -> None:
    mapped = map_inputs(NANO, (128, 3, 1), ("https://x/sosa_extend/Accelerometer",))

    assert names(mapped) == ["accelerometer.x", "accelerometer.y", "accelerometer.z"]
    assert mapped.window == 128
    assert {channel.part for channel in mapped.channels} == {"LSM9DS1"}


def test_numbers_of_other_properties_are_left_out_where_one_property_alone_fits() -> None:
    described = thing(battery=number(0, 5), acceleration=MOTION)

    assert names(map_inputs(described, (3,), ())) == [f"acceleration.{axis}" for axis in "xyz"]
    assert names(map_inputs(described, (128, 3, 1), ())) == [f"acceleration.{a}" for a in "xyz"]


def test_nothing_is_guessed_where_several_properties_fit() -> None:
    described = thing(acceleration=MOTION, rotation=MOTION, battery=number(0, 5))

    assert map_inputs(described, (128, 3), ()) == Mapped()
    assert map_inputs(CLIMATE, (1,), ()) == Mapped()


@pytest.mark.parametrize("sensors", [(), ("Camera",), ("Microphone",)])
def test_a_picture_takes_no_numbers(sensors: tuple[str, ...]) -> None:
    assert map_inputs(CLIMATE, (96, 96, 1), sensors) == Mapped()


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object", "properties": {"x": number(-1, 1), "t": {"type": "string"}}}, ["a.x"]),
        (
            {"type": "array", "items": number(0, 1), "minItems": 2, "maxItems": 2},
            ["a.0", "a.1"],
        ),
        ({"type": "array", "items": number(0, 1), "minItems": 2, "maxItems": 3}, []),
        ({"type": "number", "writeOnly": True}, []),
        ({"type": "number", "const": 3}, []),
        ({"type": "string"}, []),
        ("number", []),
        (None, []),
        ({"type": ["number"]}, []),
    ],
)
def test_a_property_gives_the_numbers_that_it_has(schema: Any, expected: list[str]) -> None:
    assert [channel.name for channel in channels({"properties": {"a": schema}})] == expected


@pytest.mark.parametrize(
    ("low", "high"),
    [(1, 1), (2, 1), (None, 1), ("0", 1), (True, 2), (float("nan"), 1), (-(10**400), 10**400)],
)
def test_limits_that_are_none_scale_nothing(low: Any, high: Any) -> None:
    (channel,) = channels(thing(a={"type": "number", "minimum": low, "maximum": high}))

    assert (channel.minimum, channel.maximum) == (None, None)
