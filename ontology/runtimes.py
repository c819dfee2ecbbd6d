"""The runtimes that boards have: which operators and number types each computes."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tinyfleet.operators import KERNEL, MICRO_OPERATORS, OPERATORS, operators_of
from tinyfleet.operators import MICRO as MICRO

LITERT: Final = "LiteRT"


@dataclass(frozen=True)
class Runtime:
    """What a runtime computes.

    Attributes:
        operators: names of operators as TensorFlow Lite has them; empty where it knows them all.
        types: number types of what a model computes with; empty where it knows them all.
    """

    operators: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


RUNTIMES: Final = MappingProxyType(
    {
        KERNEL: Runtime(operators_of(OPERATORS), ("float32",)),
        # It had uint8 convolutions once and has uint8 elsewhere: see docs/match.md.
        MICRO: Runtime(MICRO_OPERATORS, ("float32", "int16", "int8", "uint8")),
        LITERT: Runtime(),
    }
)
"""The runtimes, by name."""
