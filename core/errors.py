"""The errors that tinyfleet raises: one small tree.

FleetError
├── NetworkError      a network that does not fit together, or weights that do not fit it
├── TrainingError     settings of a training that no device can follow
├── DatasetError      data that is missing, cut short, damaged or not finite
├── StudyError        a study file or a run folder that cannot be used
├── KernelError       the compiled kernel refused what it was given
├── WireError         a frame or message that is damaged or means nothing, or a device that refuses
├── BrokerError       a broker that cannot be reached, started or configured
├── ConfigError       a configuration file that cannot be used
├── FirmwareError     firmware that cannot be built, or a board that faults
├── DescriptionError  a description of a device or a model that cannot be read or breaks a shape
└── QueryError        a query that is malformed, forbidden, too long, or lacks what it needs

A message names the file and the field, says what was expected, what came, and what to do next.
Commands catch `FleetError` alone.
"""


class FleetError(Exception):
    """Anything that tinyfleet refuses; its text is one line for a person.

    Attributes:
        exit_code: what a command returns to the shell for this error.
    """

    exit_code = 1


class NetworkError(FleetError):
    """A network that does not fit together, or weights that do not fit the network."""

    exit_code = 3


class TrainingError(FleetError):
    """Training settings that no device can follow."""

    exit_code = 4


class DatasetError(FleetError):
    """Data that is missing, cut short, damaged, of the wrong shape or not finite."""

    exit_code = 5


class StudyError(FleetError):
    """A study file or a run folder that cannot be used."""

    exit_code = 6


class KernelError(FleetError):
    """The compiled kernel refused its arguments."""

    exit_code = 7


class WireError(FleetError):
    """A frame or message that is damaged or means nothing, or a device that refuses it."""

    exit_code = 8


class BrokerError(FleetError):
    """A broker that cannot be reached, started or configured."""

    exit_code = 9


class ConfigError(FleetError):
    """A configuration file that cannot be used."""

    exit_code = 10


class FirmwareError(FleetError):
    """Firmware that cannot be built, or a board that faults."""

    exit_code = 11


class DescriptionError(FleetError):
    """A description of a device or a model that cannot be read, or that breaks a shape."""

    exit_code = 12


class QueryError(FleetError):
    """A query that is malformed, not allowed, over its limits, or lacks a bound variable."""

    exit_code = 13
