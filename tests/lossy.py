"""A line that loses, damages and repeats frames, and is cut: a port around another port."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tinyfleet.client.ports import Port, PortLost

CUT_FOR = 2  # frames that nobody hears of while the line is cut


@dataclass
class Lossy:
    """A port that hands on what it is given, most of the time.

    Attributes:
        port: the line itself.
        seed: of what goes wrong.
        share: part of the frames, either way, that are flipped, dropped, doubled or truncated.
        cuts: the line is cut in the middle of the frames written with these numbers.
        on_cut: what happens then to whom it leads to, such as a power cycle.
        damaged: frames so far that something happened to.
    """

    port: Port
    seed: int
    share: float = 0.2
    cuts: Collection[int] = ()
    on_cut: Callable[[], None] = lambda: None
    damaged: int = 0
    written: int = 0
    _down: int = 0
    _pending: bytes = b""
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def write(self, data: bytes) -> None:
        self.written += 1
        if self.written in self.cuts:
            self.port.write(data[: len(data) // 2])
            self.on_cut()
            self._down = CUT_FOR
        if self._down:
            self._down -= 1
            raise PortLost("the line is cut")
        self.port.write(self._through(data))

    def read(self, timeout: float) -> bytes:
        heard = b""
        while not heard:
            data = self.port.read(timeout)
            if not data:
                return b""
            *frames, self._pending = (self._pending + data).split(b"\0")
            heard = b"".join(self._through(frame + b"\0") for frame in frames)
        return heard

    def close(self) -> None:
        self.port.close()

    def _through(self, frame: bytes) -> bytes:
        if self._random.random() >= self.share:
            return frame
        self.damaged += 1
        change: Callable[[bytes], bytes] = self._random.choice(
            [self._flipped, self._truncated, lambda f: f + f, lambda _: b""]
        )
        return change(frame)

    def _flipped(self, frame: bytes) -> bytes:
        damaged = bytearray(frame)
        for _ in range(self._random.randint(1, 3)):
            damaged[self._random.randrange(len(frame))] ^= 1 << self._random.randrange(8)
        return bytes(damaged)

    def _truncated(self, frame: bytes) -> bytes:
        return frame[: self._random.randrange(len(frame))]
