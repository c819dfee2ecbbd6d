"""Sensors that sketches read with no line from their user: parts with a library of Arduino's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any


@dataclass(frozen=True)
class Driver:
    """How a part of a sensor is read.

    Attributes:
        part: name of the part, as descriptions of sensors have it.
        sensor: class of sensor that this is of the part's, such as "Accelerometer".
        library: the library's name, which is also its header's.
        begin: an expression that is true where the part answers.
        values: numbers of a reading.
        code: statements that put a reading into `values`.
    """

    part: str
    sensor: str
    library: str
    begin: str
    values: int
    code: tuple[str, ...]


def _motion(library: str, sensor: str, *parts: str) -> tuple[Driver, ...]:
    read = {
        "Accelerometer": "IMU.readAcceleration",
        "Gyroscope": "IMU.readGyroscope",
        "Magnetometer": "IMU.readMagneticField",
    }[sensor]
    code = (f"{read}(values[0], values[1], values[2]);",)
    return tuple(Driver(part, sensor, library, "IMU.begin()", 3, code) for part in parts)


def _one(part: str, sensor: str, library: str, name: str, read: str) -> Driver:
    return Driver(part, sensor, library, f"{name}.begin()", 1, (f"values[0] = {name}.{read};",))


DRIVERS = (
    *_motion("Arduino_LSM9DS1", "Accelerometer", "LSM9DS1"),
    *_motion("Arduino_LSM9DS1", "Gyroscope", "LSM9DS1"),
    *_motion("Arduino_LSM9DS1", "Magnetometer", "LSM9DS1"),
    *_motion("Arduino_BMI270_BMM150", "Accelerometer", "BMI270"),
    *_motion("Arduino_BMI270_BMM150", "Gyroscope", "BMI270"),
    *_motion("Arduino_BMI270_BMM150", "Magnetometer", "BMM150", "BMI270"),
    _one("HTS221", "Thermometer", "Arduino_HTS221", "HTS", "readTemperature()"),
    _one("HTS221", "HumiditySensor", "Arduino_HTS221", "HTS", "readHumidity()"),
    _one("HS3003", "Thermometer", "Arduino_HS300x", "HS300x", "readTemperature()"),
    _one("HS3003", "HumiditySensor", "Arduino_HS300x", "HS300x", "readHumidity()"),
    _one("LPS22HB", "Barometer", "Arduino_LPS22HB", "BARO", "readPressure()"),
    _one("APDS9960", "ProximitySensor", "Arduino_APDS9960", "APDS", "readProximity()"),
)
"""The libraries' own calls, as their documentation on docs.arduino.cc has them."""


@dataclass(frozen=True)
class Reading:
    """Numbers that a sketch reads at one go.

    Attributes:
        function: name of the C function that reads them.
        at: place of the first among all channels.
        channels: what they are.
        driver: what reads them; None for analog pins.
    """

    function: str
    at: int
    channels: tuple[Mapping[str, Any], ...]
    driver: Driver | None


def readings(channels: Sequence[Mapping[str, Any]]) -> tuple[Reading, ...]:
    """Group channels that one property of the device has, and find what reads them."""
    found: list[Reading] = []
    names: set[str] = set()
    for _, group in groupby(enumerate(channels), key=lambda pair: pair[1]["property"]):
        numbered = tuple(group)
        members = tuple(channel for _, channel in numbered)
        function = _function(members[0]["property"], names)
        found.append(Reading(function, numbered[0][0], members, _driver(members)))
    return tuple(found)


def _driver(channels: Sequence[Mapping[str, Any]]) -> Driver | None:
    part, sensor = _letters(channels[0]["part"]), channels[0]["sensor"]
    for driver in DRIVERS:
        same = driver.sensor == sensor and driver.values == len(channels)
        if same and _letters(driver.part) in part:
            return driver
    return None


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _function(name: str, taken: set[str]) -> str:
    """Return a name of C that is nobody else's: "read" and words of ASCII."""
    words = re.findall(r"[A-Za-z0-9]+", name)[:6]
    wanted = "read" + "".join(word[:20].capitalize() for word in words)
    if wanted in ("read", "readChannels", "readSerial"):
        wanted += "Value"
    made, count = wanted, 1
    while made in taken:
        count += 1
        made = f"{wanted}_{count}"
    taken.add(made)
    return made
