"""Why a model does not fit a device, as figures and in words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Reason = Literal[
    "ram", "flash", "sensor", "runtime", "type", "operator", "latency", "energy", "training"
]
Value = str | int | float
Amount = Value | None


@dataclass(frozen=True)
class Refusal:
    """One reason why a model does not fit a device.

    Attributes:
        device: its IRI.
        model: its IRI.
        name: name of the model.
        reason: what is not met.
        needs: what the model asks; of latency and energy the most that is allowed; None where a
            model that is to be trained does not say what its training takes.
        has: what there is instead, or what it would come to; empty if nothing.
    """

    device: str
    model: str
    name: str
    reason: Reason
    needs: Amount
    has: tuple[Value, ...]

    @property
    def text(self) -> str:
        """The reason in words, such as "needs 206,976 B RAM, has 172,000"."""
        return _TEXTS[self.reason](self.needs, ", ".join(map(_short, self.has)) or "none")

    def at(self, device: str) -> "Refusal":
        """Return the same of another device of its kind."""
        return Refusal(device, self.model, self.name, self.reason, self.needs, self.has)


def _short(amount: Amount) -> str:
    """Return an amount as a person reads it: digits in threes, the last part of an IRI."""
    if isinstance(amount, int):
        return f"{amount:,}"
    if isinstance(amount, float):
        return f"{amount:.3g}"
    text = str(amount)
    if "://" in text:
        return text.rstrip("/").replace("#", "/").rpartition("/")[2]
    return text.rpartition(":")[2] if text.startswith("urn:") else text


def _training(needs: Amount, has: str) -> str:
    if needs is None:
        return "does not state what RAM its training takes"
    return f"needs {_short(needs)} B RAM to train, has {has}"


_TEXTS: Final[Mapping[Reason, Callable[[Amount, str], str]]] = MappingProxyType(
    {
        "ram": lambda needs, has: f"needs {_short(needs)} B RAM, has {has}",
        "flash": lambda needs, has: f"needs {_short(needs)} B flash, has {has}",
        "sensor": lambda needs, has: f"needs sensor {_short(needs)}, has {has}",
        "runtime": lambda needs, has: f"needs runtime {_short(needs)}, has {has}",
        "type": lambda needs, has: f"needs numbers of type {_short(needs)}, has {has}",
        "operator": lambda needs, _: f"needs operator {_short(needs)}, which its runtime lacks",
        "latency": lambda needs, has: f"needs an answer in {_short(needs)} s, takes {has} s",
        "energy": lambda needs, has: f"needs at most {_short(needs)} J, takes {has} J",
        "training": _training,
    }
)
